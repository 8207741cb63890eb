"""The `mesh` command: what a person reads when something is wrong, and that the ways through work."""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from uuid import uuid4

import psycopg2
import pytest
from typer.testing import CliRunner, Result

import settings
from cli import session
from cli.embedded import free_port
from cli.errors import sentence
from cli.main import COMMANDS, app
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
    assert "named" in mesh("integrations", "connect", "elevenlabs", "--tenant", "acme", *fields).stderr
    assert mesh("integrations", "pause", account).exit_code == 0
    assert "paused" in mesh("integrations", "list").stdout
    assert "active" in mesh("integrations", "resume", account).stdout
    assert "s3cret" not in mesh("integrations", "list").stdout
    assert "api_key*" in mesh("integrations", "providers").stdout


def test_a_dead_letter_is_replayed(servers: Servers, mesh: Mesh, sandbox: Sandbox) -> None:
    delivery = dead_letter(servers, mesh, sandbox)
    dry = mesh("deliveries", "replay", "--since", "1h", "--tenant", "acme", "--dry-run")
    assert dry.stdout.startswith("1 dead letter since")
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
