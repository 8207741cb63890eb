"""The `mesh` command: what a person reads when something is wrong, and that the ways through work."""

from __future__ import annotations

import base64
import io
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import psycopg2
import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

import settings
from cli import session, welcome
from cli.embedded import free_port
from cli.errors import sentence
from cli.main import COMMANDS, app
from cli.stack import Stack
from cli.times import duration, since
from providers.zapier import adapter as zapier_adapter
from sandbox.process import Sandbox
from tests.conftest import KEYS, empty
from tests.servers import Servers
from worker import vault

ROOT = Path(__file__).resolve().parents[2]
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
PAUSED = '{"campaign_id": "cmp_1"}'
OURS = ("DATABASE_URL", "REDIS_URL", "MESH_", "FLOWER_", "COLUMNS")

Mesh = Callable[..., Result]


def alone(cwd: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command as a process of its own, in an empty folder, with these settings and no others."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments],
        cwd=cwd,
        env={**inherited, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def is_one_sentence(text: str) -> bool:
    return len(text.strip().splitlines()) == 1 and "Traceback" not in text and text.strip().endswith(".")


@pytest.fixture
def environment(servers: Servers, sandbox: Sandbox, tmp_path: Path) -> Mapping[str, str]:
    return {
        "DATABASE_URL": servers.database_url,
        "REDIS_URL": servers.redis_url,
        "MESH_KEY_PREFIX": servers.key_prefix,
        "MESH_ENCRYPTION_KEYS": KEYS,
        "MESH_PRIVATE_TARGETS": "127.0.0.0/8",
        "MESH_HOME": str(tmp_path / "home"),
    }


@pytest.fixture
def mesh(
    servers: Servers, environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Mesh]:
    """The command in this process, on empty tables with a tenant `acme`."""
    empty(servers)
    monkeypatch.chdir(tmp_path)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    forget()
    runner = CliRunner()

    def run(*arguments: str, stdin: str | None = None) -> Result:
        return runner.invoke(app, list(arguments), input=stdin)

    assert run("tenants", "create", "acme").exit_code == 0
    yield run
    session.engine().dispose()
    forget()


def forget() -> None:
    for cached in (settings.current, session.engine, session.keys):
        cached.cache_clear()


def id_in(text: str) -> str:
    found = UUID.search(text)
    assert found is not None, text
    return found[0]


def register(mesh: Mesh, sandbox: Sandbox, path: str = "/receive/cli", **options: str) -> Result:
    more = [word for name, value in options.items() for word in (f"--{name}", value)]
    return mesh(
        "webhooks", "register", "--tenant", "acme", "--event", "campaign.paused", "--url", sandbox.url + path, *more
    )


def dead_letter(servers: Servers, mesh: Mesh, sandbox: Sandbox) -> str:
    """A delivery that was given up; its id."""
    register(mesh, sandbox)
    mesh("publish", "campaign.paused", "--tenant", "acme", "--data", PAUSED, "--door", "sql")
    with psycopg2.connect(servers.database_url) as connection, connection.cursor() as cursor:
        cursor.execute(
            "update deliveries set state = 'failed', due_at = null, settled_at = now(), error_code = 'refused'"
            " returning id"
        )
        (delivery_id,) = cursor.fetchone() or ("",)
    connection.close()
    return str(delivery_id)


def sql(servers: Servers, statement: str, **values: object) -> list[tuple[object, ...]]:
    """Run one statement beside the command; its rows."""
    with closing(psycopg2.connect(servers.database_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement, values or None)
        return cursor.fetchall() if cursor.description else []


# ------------------------------------------------------------------------------------------- what a person reads


def test_help_names_every_command_and_is_fast(tmp_path: Path) -> None:
    began = time.monotonic()
    done = alone(tmp_path, "--help")
    assert time.monotonic() - began < 3
    assert [name for name in COMMANDS if name not in done.stdout] == []


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_has_help(command: str) -> None:
    assert CliRunner().invoke(app, [command, "--help"]).exit_code == 0


@pytest.mark.parametrize("command", [["doctor"], ["tenants", "list"], ["deliveries", "list"], ["db", "apply"]])
def test_without_a_stack_a_sentence_says_how_to_start_one(tmp_path: Path, command: list[str]) -> None:
    done = alone(tmp_path, *command)
    assert done.returncode == 1
    assert done.stderr == "No stack runs in .mesh/: start one with `mesh up`, or set DATABASE_URL and REDIS_URL.\n"


def test_postgres_that_does_not_answer(tmp_path: Path) -> None:
    url = f"postgresql://mesh@127.0.0.1:{free_port()}/mesh"
    done = alone(tmp_path, "tenants", "list", DATABASE_URL=url, REDIS_URL="redis://127.0.0.1:1/0")
    assert done.returncode == 1
    assert is_one_sentence(done.stderr)
    assert done.stderr.startswith("PostgreSQL does not answer")
    assert "correct DATABASE_URL" in done.stderr


def test_redis_that_does_not_answer(tmp_path: Path, environment: Mapping[str, str]) -> None:
    gone = {**environment, "REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"}
    done = alone(tmp_path, "publish", "campaign.paused", "--tenant", "acme", "--data", PAUSED, **gone)
    assert done.returncode == 1
    assert is_one_sentence(done.stderr)
    assert done.stderr.startswith("Redis does not answer")


def test_a_database_without_the_schema(tmp_path: Path, servers: Servers, environment: Mapping[str, str]) -> None:
    with servers.empty_database() as url:
        done = alone(tmp_path, "tenants", "list", **{**environment, "DATABASE_URL": url})
        assert (done.returncode, done.stderr) == (
            1,
            "The database has no tables of Agent Mesh, or older ones: run `mesh db apply`.\n",
        )
        assert alone(tmp_path, "db", "apply", **{**environment, "DATABASE_URL": url}).returncode == 0
        assert alone(tmp_path, "tenants", "list", **{**environment, "DATABASE_URL": url}).returncode == 0


def test_one_of_two_addresses(tmp_path: Path) -> None:
    done = alone(tmp_path, "tenants", "list", REDIS_URL="redis://127.0.0.1:1/0")
    assert (done.returncode, is_one_sentence(done.stderr)) == (1, True)
    assert done.stderr.startswith("DATABASE_URL is not set")


def test_blank_addresses_mean_embedded(tmp_path: Path) -> None:
    (tmp_path / ".mesh").mkdir()
    (tmp_path / ".mesh" / "stack.json").write_text(
        '{"settings": {"database_url": "postgresql://mesh@127.0.0.1:1/mesh", "redis_url": "redis://127.0.0.1:1/0"}}'
    )
    done = alone(tmp_path, "tenants", "list", DATABASE_URL="", REDIS_URL="")
    assert done.stderr.startswith("PostgreSQL does not answer")


@pytest.mark.parametrize("keys", ["", "k1:short", "k1"])
def test_a_missing_or_wrong_key(mesh: Mesh, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, keys: str) -> None:
    monkeypatch.setenv("MESH_ENCRYPTION_KEYS", keys)
    forget()
    done = register(mesh, sandbox)
    assert (done.exit_code, is_one_sentence(done.stderr)) == (1, True)
    assert "mesh keys generate" in done.stderr


WRONG = {
    "bad JSON": (["publish", "campaign.paused", "--tenant", "acme", "--data", "{"], "--data is not JSON"),
    "no object": (["publish", "campaign.paused", "--tenant", "acme", "--data", "[1]"], "must be a JSON object"),
    "no file": (["publish", "campaign.paused", "--tenant", "acme", "--data", "@nowhere.json"], "cannot be read"),
    "unknown type": (
        ["publish", "campaign.pause", "--tenant", "acme", "--data", "{}"],
        "did you mean campaign.paused?",
    ),
    "wrong data": (["publish", "campaign.paused", "--tenant", "acme", "--data", "{}"], "does not fit its schema"),
    "unknown tenant": (
        ["publish", "campaign.paused", "--tenant", "acne", "--data", PAUSED, "--door", "sql"],
        "create it with `mesh tenants create acne`",
    ),
    "tenant id": (["tenants", "create", "a/b"], "cannot be a tenant's id"),
    "forbidden URL": (
        ["webhooks", "register", "--tenant", "acme", "--event", "*", "--url", "http://10.0.0.1/hook"],
        "not an IP address",
    ),
    "hook's type": (
        ["webhooks", "register", "--tenant", "acme", "--event", "campaign.pause", "--url", "https://example.com/"],
        "did you mean campaign.paused?",
    ),
    "no provider": (["integrations", "connect", "zappier", "--tenant", "acme"], "There is no provider"),
    "no such field": (["integrations", "connect", "elevenlabs", "--tenant", "acme", "--field", "a=b"], "has no field"),
    "half a field": (["integrations", "connect", "elevenlabs", "--tenant", "acme", "--field", "s3cret"], "NAME=VALUE"),
    "missing fields": (["integrations", "connect", "elevenlabs", "--tenant", "acme"], "needs api_key and voice_id"),
    "type's schema": (["events", "types", "user.singup"], "did you mean user.signup?"),
    "since when": (["deliveries", "replay", "--since", "yesterday"], "such as 2h"),
    "replay what": (["deliveries", "replay"], "Say what to replay"),
    "replay whose": (["deliveries", "replay", "--tenant", "acne"], "create it with `mesh tenants create acne`"),
    "list whose": (["deliveries", "list", "--tenant", "acne"], 'Tenant "acne" is not known'),
    "no tenant": (["webhooks", "list", "--tenant", ""], 'Tenant "" is not known: `mesh tenants list`'),
    "event of no tenant": (
        ["publish", "campaign.paused", "--tenant", "", "--data", PAUSED],
        "must be a non-empty string, not an empty string",
    ),
    "deep data": (["publish", "campaign.paused", "--tenant", "acme", "--data", "[" * 100_000], "nested too deeply"),
    "field of two lines": (
        ["integrations", "connect", "elevenlabs", "--tenant", "acme", "--field", "api_key=s3cret\nx"],
        "api_key holds a control character",
    ),
    "key's name": (["keys", "generate", "--id", "a:b"], "cannot be a key's name"),
    **{
        " ".join(words): ([*words, str(uuid4())], "There is no")
        for words in (
            ["events", "show"],
            ["events", "rejected"],
            ["deliveries", "show"],
            ["deliveries", "replay"],
            ["webhooks", "test"],
            ["webhooks", "enable"],
            ["webhooks", "disable"],
            ["webhooks", "unregister"],
            ["webhooks", "rotate-secret"],
            ["integrations", "pause"],
            ["integrations", "resume"],
            ["integrations", "reconnect"],
            ["integrations", "disconnect"],
            ["deliveries", "replay", "--webhook"],
        )
    },
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_one_sentence(mesh: Mesh, name: str) -> None:
    arguments, said = WRONG[name]
    done = mesh(*arguments)
    assert done.exit_code == 1
    assert said in done.stderr
    assert "s3cret" not in done.stderr
    assert is_one_sentence(done.stderr) or done.stderr.strip().endswith("?")


@pytest.mark.parametrize(
    "arguments", [["events", "show", "1"], ["publsh"], ["publish", "--nope"], ["up", "--workers", "0"]]
)
def test_a_wrong_command_line_is_2_and_names_the_help(arguments: list[str]) -> None:
    done = CliRunner().invoke(app, arguments)
    assert (done.exit_code, is_one_sentence(done.stderr)) == (2, True)
    assert "--help" in done.stderr


def test_an_interruption_is_a_sentence(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("db.tenants.every", lambda connection: (_ for _ in ()).throw(KeyboardInterrupt))
    done = mesh("tenants", "list")
    assert (done.exit_code, done.stderr) == (1, "Stopped.\n")


def test_a_bug_goes_to_a_file(mesh: Mesh, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("cli.errors.gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr("db.tenants.every", lambda connection: 1 / 0)
    done = mesh("tenants", "list")
    assert (done.exit_code, is_one_sentence(done.stderr)) == (1, True)
    (log,) = tmp_path.glob("mesh-error-*.log")
    assert "ZeroDivisionError" in log.read_text()


def test_the_nearest_class_decides() -> None:
    class Late(settings.ConfigurationError):
        pass

    assert sentence(Late("Set it.")) == "Set it."
    assert sentence(ValueError("x")) is None


# --------------------------------------------------------------------------------------------------- ways through


def test_an_event_through_the_sql_door_and_what_became_of_it(mesh: Mesh, sandbox: Sandbox) -> None:
    register(mesh, sandbox)
    first = mesh(
        "publish", "campaign.paused", "--tenant", "acme", "--data", "-", "--id", "k-1", "--door", "sql", stdin=PAUSED
    )
    again = mesh("publish", "campaign.paused", "--tenant", "acme", "--data", PAUSED, "--id", "k-1", "--door", "sql")
    assert "1 delivery" in first.stdout
    assert "nothing new" in again.stdout
    assert id_in(first.stdout) == id_in(again.stdout)
    shown = mesh("events", "show", id_in(first.stdout), "--data")
    assert "campaign.paused of acme  id k-1" in shown.stdout
    assert "pending  zapier" in shown.stdout
    assert '"campaign_id": "cmp_1"' in shown.stdout
    listed = mesh("deliveries", "list", "--state", "pending", "--tenant", "acme", "--provider", "zapier")
    assert "campaign.paused" in mesh("deliveries", "show", id_in(listed.stdout)).stdout


def test_an_event_over_redis_without_a_worker(mesh: Mesh, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("cli.publish.LOOK_S", 0.1)
    (tmp_path / "data.json").write_text(PAUSED)
    done = mesh("publish", "campaign.paused", "--tenant", "acme", "--data", "@data.json")
    assert done.exit_code == 0
    assert "No worker has taken it yet" in done.stdout


def test_a_webhook_from_its_first_day_to_its_last(mesh: Mesh, sandbox: Sandbox) -> None:
    made = register(mesh, sandbox, filter="campaign_id=cmp_1", rate="5")
    hook = id_in(made.stdout)
    assert "shown this once" in made.stdout
    assert "nothing changed" in register(mesh, sandbox).stdout
    assert "whsec_" not in mesh("webhooks", "list").stdout
    assert "It answered 200" in mesh("webhooks", "test", hook).stdout
    rotated = mesh("webhooks", "rotate-secret", hook, "--overlap", "2h")
    assert rotated.stdout.count("whsec_") == 1
    assert mesh("webhooks", "test", hook).exit_code == 0
    assert mesh("webhooks", "disable", hook).exit_code == 0
    assert "disabled" in mesh("webhooks", "list").stdout
    assert mesh("webhooks", "enable", hook).exit_code == 0
    assert mesh("webhooks", "unregister", hook).exit_code == 0
    assert "No webhooks yet" in mesh("webhooks", "list").stdout
    assert "unregistered" in mesh("webhooks", "test", hook).stderr


def test_a_test_says_what_a_broken_receiver_answered(mesh: Mesh, sandbox: Sandbox) -> None:
    hook = id_in(register(mesh, sandbox, "/fault/500/receive/cli").stdout)
    done = mesh("webhooks", "test", hook)
    assert (done.exit_code, is_one_sentence(done.stderr)) == (1, True)
    assert "The answer was 500" in done.stderr


def test_unregistering_a_zapier_hook_tells_zapier(
    mesh: Mesh, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = id_in(register(mesh, sandbox, "/hooks/standard/1/told").stdout)
    monkeypatch.setattr(zapier_adapter, "HOOK_HOSTS", {"127.0.0.1"})
    assert "was told" in mesh("webhooks", "unregister", hook).stdout
    assert [r["method"] for r in sandbox.control.received(path="/hooks/standard/1/told")] == ["DELETE"]


def test_unregistering_any_other_hook_calls_nobody(mesh: Mesh, sandbox: Sandbox) -> None:
    hook = id_in(register(mesh, sandbox, "/hooks/standard/1/untold").stdout)
    assert "was told" not in mesh("webhooks", "unregister", hook).stdout
    assert not sandbox.control.received(path="/hooks/standard/1/untold")


def test_an_integration(mesh: Mesh, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("s3cret\n")
    fields = ("--field", "api_key=@key", "--field", "voice_id=v_host")
    made = mesh("integrations", "connect", "elevenlabs", "--tenant", "acme", *fields)
    account = id_in(made.stdout)
    again = mesh("integrations", "connect", "elevenlabs", "--tenant", "acme", *fields).stderr
    assert again.startswith("For ElevenLabs, acme has an integration named")
    assert f"`mesh integrations reconnect {account}`" in again
    assert mesh("integrations", "pause", account).exit_code == 0
    assert "paused" in mesh("integrations", "list").stdout
    assert "active" in mesh("integrations", "resume", account).stdout
    assert "s3cret" not in mesh("integrations", "list").stdout
    assert "api_key*" in mesh("integrations", "providers").stdout


def test_an_integration_is_reconnected_and_disconnected(
    servers: Servers, mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.checks.ANSWER_S", 0.1)
    fields = ("--field", "api_key=old", "--field", "voice_id=v_host")
    account = id_in(mesh("integrations", "connect", "elevenlabs", "--tenant", "acme", *fields).stdout)
    event = ("publish", "audio.render_requested", "--tenant", "acme", "--data", '{"text": "Hi"}', "--door", "sql")
    assert mesh(*event).exit_code == 0
    park = "update deliveries set due_at = 'infinity'"
    sql(servers, park)
    sql(servers, "update integrations set state = 'needs_reconnect', state_reason = 'refused'")
    assert re.search(r"warning +integrations +1 needs a person: `mesh integrations list`", mesh("doctor").stdout)
    done = mesh("integrations", "reconnect", account, "--field", "api_key=new")
    assert "is active; 1 waiting delivery is due now" in done.stdout
    ((state, voice, sealed),) = sql(servers, "select state, config->>'voice_id', secrets_sealed from integrations")
    assert (state, voice) == ("active", "v_host")
    assert session.keys().open(str(sealed), f"integrations.secrets_sealed:{account}") == '{"api_key": "new"}'
    sql(servers, park)
    assert mesh("integrations", "disconnect", account).exit_code == 0
    assert sql(servers, "select i.state, d.due_at <= now() from deliveries d join integrations i on true") == [
        ("disconnected", True)
    ]


def test_what_strangers_wrote_does_not_steer_the_terminal(servers: Servers, mesh: Mesh) -> None:
    evil = "\x1b]0;owned\x07"
    sql(
        servers,
        "insert into rejected_events (door, reason, body, body_size, tenant_id, event_type, received_at, resolved_at)"
        " values ('redis', %(evil)s, %(body)s, 9, %(evil)s, %(evil)s, now() - interval '1 h', now()),"
        " ('redis', 'newest', 'x', 1, null, null, now(), null)",
        evil=evil,
        body=evil.encode(),
    )
    listed = mesh("events", "rejected").stdout
    assert [line.split()[1] for line in listed.splitlines()[1:]] == ["open", "settled"]
    shown = mesh("events", "rejected", UUID.findall(listed)[1]).stdout
    assert "state   settled at" in shown
    assert shown.count(r"\x1b]0;owned\x07") == 4
    assert "\x1b" not in listed + shown


def test_an_event_of_the_sql_door_that_was_rejected_says_so(servers: Servers, mesh: Mesh) -> None:
    mesh("publish", "campaign.paused", "--tenant", "acme", "--data", PAUSED, "--door", "sql")
    sql(
        servers,
        "insert into rejected_events (door, reason, body, body_size, event_id)"
        " select 'sql', 'It does not fit.', 'x', 1, id from events",
    )
    event = id_in(mesh("events", "list").stdout)
    assert "rejected: It does not fit.  mesh events rejected" in mesh("events", "show", event).stdout


def test_dead_letters_by_webhook_alone(servers: Servers, mesh: Mesh, sandbox: Sandbox) -> None:
    dead_letter(servers, mesh, sandbox)
    hook = id_in(mesh("webhooks", "list").stdout)
    assert "No bulk replays" in mesh("deliveries", "replays").stdout
    assert "1 dead letter matches." in mesh("deliveries", "replay", "--webhook", hook, "--no-wait").stdout
    assert re.search(rf"running +0 .*--webhook {hook}", mesh("deliveries", "replays").stdout)


def test_a_new_key_has_a_new_name(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    several = f"{vault.generate('k7')}, {KEYS}"
    given = {"": "k1", "k1:broken": "k1", KEYS: "k2", several: "k8", vault.generate("prod"): "k1"}
    for keys, name in given.items():
        monkeypatch.setenv("MESH_ENCRYPTION_KEYS", keys)
        forget()
        assert mesh("keys", "generate").stdout.startswith(f"{name}:")


def test_a_rotation_opens_what_it_leaves(mesh: Mesh, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    register(mesh, sandbox)
    monkeypatch.setenv("MESH_ENCRYPTION_KEYS", vault.generate("k1"))  # another key of the same name
    forget()
    done = mesh("keys", "rotate")
    assert done.exit_code == 1
    assert "cannot be opened: key 'k1' is another one" in done.stderr
    assert "may leave" not in done.stdout


def test_the_same_event_over_redis_again(mesh: Mesh) -> None:
    event = ("publish", "campaign.paused", "--tenant", "acme", "--data", PAUSED, "--id", "k-2")
    first = mesh(*event, "--door", "sql")
    again = mesh(*event)
    assert "was there already" in again.stdout
    assert id_in(again.stdout) == id_in(first.stdout)


def test_a_test_that_could_not_be_sent_does_not_say_sent(mesh: Mesh) -> None:
    url = f"http://127.0.0.1:{free_port()}/gone"
    made = mesh("webhooks", "register", "--tenant", "acme", "--event", "*", "--url", url)
    done = mesh("webhooks", "test", id_in(made.stdout))
    assert (done.exit_code, is_one_sentence(done.stderr)) == (1, True)
    assert done.stderr.startswith("Nothing was sent: ")
    assert "Sent" not in done.stdout


def test_the_version() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", CliRunner().invoke(app, ["--version"]).stdout)


@pytest.mark.parametrize("command", ["up", "demo"])
def test_a_home_that_cannot_be_made(tmp_path: Path, command: str) -> None:
    (tmp_path / "file").write_text("")
    done = alone(tmp_path, command, MESH_HOME=str(tmp_path / "file" / "home"))
    assert (done.returncode, is_one_sentence(done.stderr)) == (1, True)
    assert "set MESH_HOME to a folder you own" in done.stderr


def test_up_prints_lines_to_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = Stack(tmp_path, env={}, plan=lambda plan: [])
    stack.settings = {
        "database_url": "postgresql:///mesh?host=/a&user=b",
        "redis_url": "redis://:pa55@127.0.0.1:7001/0",
        "flower_basic_auth": "mesh:fl0wer",
    }
    monkeypatch.setattr("sys.argv", [".venv/bin/mesh", "up"])
    screen = io.StringIO()
    for line in welcome.lines(stack):
        Console(file=screen, width=100).print(line, soft_wrap=True)
    shown = screen.getvalue()
    receiver = f"{stack.sandbox_url}/receive/hello"
    assert "DATABASE_URL='postgresql:///mesh?host=/a&user=b'\nREDIS_URL=redis://:pa55@127.0.0.1:7001/0\n" in shown
    assert "user mesh, password fl0wer" in shown
    assert f"campaign.paused \\\n    --url {receiver}\n.venv/bin/mesh publish campaign.paused" in shown
    assert f"{stack.sandbox_url}/fault/500/receive/hello" in shown
    assert all(len(line) <= 100 for line in shown.splitlines() if str(tmp_path) not in line)


def test_the_command_as_another_terminal_can_call_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for given, called in (
        (str(tmp_path / ".venv/bin/mesh"), ".venv/bin/mesh"),
        (".venv/bin/mesh", ".venv/bin/mesh"),
        ("/x y/mesh", "'/x y/mesh'"),
        ("/cli/main.py", "mesh"),
    ):
        monkeypatch.setattr("sys.argv", [given])
        assert welcome.command() == called


def test_a_dead_letter_is_replayed(servers: Servers, mesh: Mesh, sandbox: Sandbox) -> None:
    delivery = dead_letter(servers, mesh, sandbox)
    dry = mesh("deliveries", "replay", "--since", "1h", "--tenant", "acme", "--dry-run")
    assert re.fullmatch(r"1 dead letter since .* matches\.\n", dry.stdout)
    assert "failed" in mesh("deliveries", "list").stdout
    stored = mesh("deliveries", "replay", "--since", "1h", "--provider", "zapier", "--no-wait")
    assert "is stored" in stored.stdout
    assert "would be tried again" in mesh("deliveries", "replay", delivery, "--dry-run").stdout
    assert "is due now" in mesh("deliveries", "replay", delivery).stdout
    assert "pending" in mesh("deliveries", "list").stdout
    assert "only one that failed" in mesh("deliveries", "replay", delivery).stderr


def test_a_dead_letter_of_a_disabled_webhook_waits_for_the_webhook(
    servers: Servers, mesh: Mesh, sandbox: Sandbox
) -> None:
    delivery = dead_letter(servers, mesh, sandbox)
    hook = id_in(mesh("webhooks", "list").stdout)
    mesh("webhooks", "disable", hook)
    assert f"mesh webhooks enable {hook}" in mesh("deliveries", "replay", delivery).stderr


def test_keys_are_rotated_and_the_old_one_may_go(mesh: Mesh, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    hook = id_in(register(mesh, sandbox).stdout)
    mesh("integrations", "connect", "elevenlabs", "--tenant", "acme", "--field", "api_key=x", "--field", "voice_id=v")
    fresh = mesh("keys", "generate", "--id", "k2").stdout.strip()
    name, _, key = fresh.partition(":")
    assert (name, len(base64.urlsafe_b64decode(key))) == ("k2", 32)
    monkeypatch.setenv("MESH_ENCRYPTION_KEYS", f"{fresh},{KEYS}")
    forget()
    rotated = mesh("keys", "rotate")
    assert re.findall(r"(\d+) re-sealed", rotated.stdout) == ["1", "1", "1", "0", "0"]
    assert re.findall(r"(\d+) re-sealed", mesh("keys", "rotate").stdout) == ["0"] * 5
    monkeypatch.setenv("MESH_ENCRYPTION_KEYS", fresh)
    forget()
    assert mesh("webhooks", "test", hook).exit_code == 0


def test_a_rotation_without_the_old_key_says_which(
    mesh: Mesh, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(mesh, sandbox)
    monkeypatch.setenv("MESH_ENCRYPTION_KEYS", vault.generate("k2"))
    forget()
    done = mesh("keys", "rotate")
    assert done.exit_code == 1
    assert "sealed with key 'k1'" in done.stderr


def test_the_doctor_finds_missing_workers(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.checks.ANSWER_S", 0.1)
    done = mesh("doctor")
    assert done.exit_code == 1
    assert re.search(r"problem +workers +none answers", done.stdout)
    assert re.search(r"ok +PostgreSQL", done.stdout)
    assert re.search(r"ok +schema +applied", done.stdout)


def test_the_doctor_goes_on_when_a_server_is_away(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql://mesh@127.0.0.1:{free_port()}/mesh")
    monkeypatch.setattr("cli.checks.ANSWER_S", 0.1)
    forget()
    done = mesh("doctor")
    assert re.search(r"problem +PostgreSQL +PostgreSQL does not answer", done.stdout)
    assert re.search(r"ok +Redis", done.stdout)


# ----------------------------------------------------------------------------------------------------------- times


def test_durations_and_moments() -> None:
    assert [duration(text).total_seconds() for text in ("90s", "15min", "2h", "3d")] == [90, 900, 7200, 259200]
    assert since("2026-01-31T12:00").isoformat() == "2026-01-31T12:00:00+00:00"
    assert since("2026-01-31T12:00+02:00").isoformat() == "2026-01-31T12:00:00+02:00"
