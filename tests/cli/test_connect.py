"""`mesh integrations connect` as a person lives it: a process that waits, and a browser that keeps cookies."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import IO
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from typer.testing import CliRunner, Result

from cli import integrations, local_door
from cli.embedded import free_port
from cli.errors import Problem
from cli.main import app
from providers.oauth2 import Reached
from sandbox.process import Sandbox
from tests.cli.test_cli import OURS, ROOT, environment, forget, id_in, is_one_sentence, mesh, sql
from tests.mesh import eventually
from tests.oauth import APP_ID, APP_SECRET, FACTS, NAME, PROVIDER, TOKEN_DOOR, Browser, one_account, query_of, registry
from tests.servers import Servers

__all__ = ["environment", "mesh"]  # fixtures

MESH = "from tests.oauth import install; install(); from cli.main import run; run()"
CONNECT = ("integrations", "connect", NAME, "--tenant", "acme")
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+\S*/oauth/\S+/authorize")

Mesh = Callable[..., Result]


@pytest.fixture
def settings_here(
    environment: Mapping[str, str], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> Mapping[str, str]:
    """Settings of our app at the provider, in this process too."""
    monkeypatch.setitem(registry(), NAME, replace(PROVIDER, oauth=FACTS))
    given = {
        **environment,
        "MESH_PUBLIC_URL": f"http://127.0.0.1:{free_port()}",
        "META_ADS_API_KEY": APP_ID,
        "META_ADS_SECRET": APP_SECRET,
        "META_ADS_BASE_URL": f"{sandbox.url}/oauth2",
        "META_ADS_AUTHORIZE_URL": f"{sandbox.url}/oauth2/authorize",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    forget()
    return given


class Waiting:
    """The command as a process that waits for a browser."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said = ""
        assert process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(process.stdout,), daemon=True)
        self._reader.start()

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            self.said += line

    def address(self) -> str:
        """What it asks to open, as soon as it has printed it all."""
        eventually(lambda: "Ctrl-C stops" in self.said or self.process.poll() is not None, "it waits")
        found = ADDRESS.search(self.said)
        assert found is not None, self.said + (self.process.stderr.read() if self.process.stderr else "")
        return found[0]

    def ended(self) -> tuple[int, str, str]:
        """How it ended: exit code, what it printed, its error."""
        code = self.process.wait(30)
        assert self.process.stderr is not None
        self._reader.join(10)
        return code, self.said, self.process.stderr.read()


@contextmanager
def waiting(cwd: Path, given: Mapping[str, str], *arguments: str) -> Iterator[Waiting]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith((*OURS, "META_ADS_"))}
    with subprocess.Popen(
        [sys.executable, "-c", MESH, *arguments],
        cwd=cwd,
        env={**inherited, "PYTHONPATH": str(ROOT), **given},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Waiting(process)
        finally:
            process.kill()


class Bringing:
    """A person who logs in somewhere else, and pastes the address that the login ended at."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.printed: list[str] = []
        self.brought = ""
        monkeypatch.setattr("cli.local_door.say", self.printed.append)

    def __call__(self, text: str, **_: object) -> str:
        (login,) = (line for line in self.printed if "/authorize?" in line)
        self.brought = Browser().decide(login.split()[-1], "allow")
        return f" {self.brought}\n"


def come_back(browser: Browser, address: str, decision: str = "allow") -> str:
    """Open the door, decide at the provider; the callback's address, not opened yet."""
    opened = browser.open(address)
    assert opened.status == 302, opened.text
    assert opened.location is not None
    return browser.decide(opened.location, decision)


# ------------------------------------------------------------------------------------------------------ as a process


def test_a_login_from_the_first_line_to_the_account(
    servers: Servers, sandbox: Sandbox, mesh: Mesh, settings_here: Mapping[str, str], tmp_path: Path
) -> None:
    one_account(sandbox)
    browser = Browser()
    with waiting(tmp_path, settings_here, *CONNECT, "--field", "pixel_id=px1") as command:
        address = command.address()
        callback = come_back(browser, address)
        (cookie,) = browser.cookies
        assert cookie.has_nonstandard_attr("HttpOnly")
        assert cookie.get_nonstandard_attr("SameSite") == "Lax"
        page = browser.open(callback)
        code, said, err = command.ended()
    assert (code, err) == (0, "")
    assert page.status == 200
    assert "Sample is connected: North (1001). You may close this page." in page.text
    assert '<html lang="en">' in page.text
    assert '<p role="status">' in page.text
    account = id_in(said)
    assert f"Integration {account}: acme is connected to Sample." in said
    assert "It uses account 1001, North." in said
    assert sql(servers, "select state, external_account_id, config->>'pixel_id' from integrations") == [
        ("active", "1001", "px1")
    ]
    for secret in (query_of(callback)["code"], query_of(callback)["state"], cookie.value or "-", APP_SECRET):
        assert secret not in said + page.text
    listed = mesh("integrations", "list").stdout
    assert re.search(r"default +1001 North EUR +ends in 60 min, renewed before that", listed)
    shown = mesh("integrations", "show", account).stdout
    for fact in ("state +active", "account +1001 North EUR", "pixel_id +px1", "scopes +read, write"):
        assert re.search(fact, shown), shown
    assert is_one_sentence(mesh("integrations", "show", str(UUID(int=1))).stderr)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("details = '{}'", "ok +logins +none ends soon"),
        (
            "details = jsonb_build_object('login_again_by', now() + interval '13 days')",
            "warning +logins +1 ends within",
        ),
        ("details = jsonb_build_object('login_again_by', now() + interval '15 days')", "ok +logins"),
        ("next_refresh_at = null, expires_at = now() + interval '1 day'", "warning +logins +1 ends within"),
    ],
)
def test_the_doctor_says_when_only_a_new_login_helps(
    mesh: Mesh,
    servers: Servers,
    settings_here: Mapping[str, str],
    monkeypatch: pytest.MonkeyPatch,
    change: str,
    found: str,
) -> None:
    monkeypatch.setattr("cli.checks.ANSWER_S", 0.1)
    monkeypatch.setenv("MESH_PUBLIC_URL", "https://mesh.example.com")
    forget()
    monkeypatch.setattr("cli.local_door.typer.prompt", Bringing(monkeypatch))
    assert mesh(*CONNECT, "--account", "1002").exit_code == 0
    sql(servers, f"update integration_tokens set {change}")
    assert re.search(found, mesh("doctor").stdout)


def test_several_accounts_without_a_terminal_are_listed(
    servers: Servers, mesh: Mesh, settings_here: Mapping[str, str], tmp_path: Path
) -> None:
    browser = Browser()
    with waiting(tmp_path, settings_here, *CONNECT) as command:
        page = browser.open(come_back(browser, command.address()))
        code, said, _ = command.ended()
    assert (code, page.status) == (0, 200)
    assert "choose one of its accounts in the terminal" in page.text
    account = id_in(said)
    assert f"`mesh integrations choose {account} ACCOUNT`" in said
    assert re.search(r"1002 +South +USD +America/New_York +usable", said)
    assert re.search(r"1003 +Old +EUR +Europe/Berlin +It is closed\.", said)
    assert sql(servers, "select state from integrations") == [("paused",)]
    refused = mesh("integrations", "resume", account)
    assert (refused.exit_code, is_one_sentence(refused.stderr)) == (1, True)
    chosen = mesh("integrations", "choose", account, "1002")
    assert "It uses account 1002, South." in chosen.stdout
    assert re.search(r"1002 +South .*chosen", mesh("integrations", "accounts", account).stdout)
    assert is_one_sentence(mesh("integrations", "choose", account, "1003").stderr)


def test_the_account_on_the_command_line(
    servers: Servers, mesh: Mesh, settings_here: Mapping[str, str], tmp_path: Path
) -> None:
    browser = Browser()
    with waiting(tmp_path, settings_here, *CONNECT, "--account", "1002") as command:
        browser.open(come_back(browser, command.address()))
        code, said, err = command.ended()
    assert (code, err) == (0, "")
    assert "It uses account 1002, South." in said
    assert sql(servers, "select state, external_account_id from integrations") == [("active", "1002")]


def test_cancelled_ends_the_command_and_says_so(
    servers: Servers, mesh: Mesh, settings_here: Mapping[str, str], tmp_path: Path
) -> None:
    browser = Browser()
    with waiting(tmp_path, settings_here, *CONNECT) as command:
        page = browser.open(come_back(browser, command.address(), "deny"))
        code, _, err = command.ended()
    assert (code, page.status) == (1, 400)
    assert err == "The login at Sample was cancelled: nothing was connected.\n"
    assert '<p role="alert">The login at Sample was cancelled: nothing was connected.</p>' in page.text
    assert sql(servers, "select count(*) from integrations") == [(0,)]


def test_strangers_and_replays_do_not_end_it(
    servers: Servers, mesh: Mesh, settings_here: Mapping[str, str], tmp_path: Path
) -> None:
    """Wrong state, no state, another browser, an expired state: each has its page, and the right one still may come."""
    mine, stranger = Browser(), Browser()
    with waiting(tmp_path, settings_here, *CONNECT, "--account", "1001") as command:
        address = command.address()
        callback = come_back(mine, address)
        for browser, url, said in (
            (mine, callback.replace("state=", "state=x"), "No login with this state was begun here"),
            (mine, callback.partition("?")[0], "No login with this state was begun here"),
            (stranger, callback, "begun in another browser"),
        ):
            page = browser.open(url)
            assert page.status == 400
            assert said in page.text
            assert f'<a href="{address}">Begin again</a>' in page.text
        sql(servers, "update oauth_states set expires_at = now()")
        assert "more than ten minutes ago" in mine.open(callback).text
        assert command.process.poll() is None
        for path in ("/", "/oauth/other/authorize", "/oauth/../etc/passwd", f"{urlsplit(address).path}/x"):
            assert mine.open(urlsplit(address)._replace(path=path).geturl()).status == 404
        page = mine.open(come_back(mine, address))
        assert (page.status, "The terminal says whether account 1001 can be used." in page.text) == (200, True)
        assert command.ended()[0] == 0


def test_two_tabs_make_one_account(
    servers: Servers, mesh: Mesh, settings_here: Mapping[str, str], tmp_path: Path
) -> None:
    browser = Browser()
    with waiting(tmp_path, settings_here, *CONNECT, "--account", "1001") as command:
        callback = come_back(browser, command.address())
        with ThreadPoolExecutor(2) as tabs:
            pages = list(tabs.map(lambda _: browser.open(callback), range(2)))
        assert command.ended()[0] == 0
    assert sorted(page.status for page in pages) == [200, 400]
    assert any("was finished before" in page.text for page in pages)
    assert sql(servers, "select count(*) from integrations") == [(1,)]


def test_a_provider_that_is_down(
    servers: Servers, sandbox: Sandbox, mesh: Mesh, settings_here: Mapping[str, str], tmp_path: Path
) -> None:
    browser = Browser()
    sandbox.control.add_rule(TOKEN_DOOR, "503")
    with waiting(tmp_path, settings_here, *CONNECT) as command:
        page = browser.open(come_back(browser, command.address()))
        code, _, err = command.ended()
    assert (code, page.status, is_one_sentence(err)) == (1, 400, True)
    assert "nothing was stored: begin again in a few minutes" in err
    assert "nothing was stored" in page.text
    assert sql(servers, "select count(*) from integrations") == [(0,)]


def test_ctrl_c(mesh: Mesh, settings_here: Mapping[str, str], tmp_path: Path) -> None:
    with waiting(tmp_path, settings_here, *CONNECT) as command:
        command.address()
        command.process.send_signal(signal.SIGINT)
        code, _, err = command.ended()
    assert (code, err) == (1, "Stopped.\n")


def test_a_reconnect_goes_through_the_same_door(
    servers: Servers, sandbox: Sandbox, mesh: Mesh, settings_here: Mapping[str, str], tmp_path: Path
) -> None:
    one_account(sandbox)
    browser = Browser()
    with waiting(tmp_path, settings_here, *CONNECT, "--field", "note=kept") as command:
        browser.open(come_back(browser, command.address()))
        account = id_in(command.ended()[1])
    sql(servers, "update integrations set state = 'needs_reconnect', state_reason = 'ended'")
    with waiting(tmp_path, settings_here, "integrations", "reconnect", account) as command:
        page = browser.open(come_back(browser, command.address()))
        code, said, err = command.ended()
    assert (code, err, page.status) == (0, "", 200)
    assert id_in(said) == account
    rows = sql(
        servers,
        "select i.state, i.config->>'note', t.version from integrations i join integration_tokens t"
        " on t.integration_id = i.id",
    )
    assert rows == [("active", "kept", 2)]


# ------------------------------------------------------------------------------------------------- before it can wait


def test_a_port_that_is_taken(mesh: Mesh, settings_here: Mapping[str, str], sandbox: Sandbox) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MESH_PUBLIC_URL", sandbox.url)
        forget()
        done = mesh(*CONNECT)
    assert (done.exit_code, is_one_sentence(done.stderr)) == (1, True)
    assert f"cannot listen on 127.0.0.1:{sandbox.port} (Address already in use)" in done.stderr


@pytest.mark.parametrize("url", ["https://mesh.example.com/m", "http://10.0.0.1:8000", "https://127.0.0.1:8000"])
def test_where_browsers_reach_us_elsewhere_the_address_is_brought_by_hand(
    mesh: Mesh, servers: Servers, settings_here: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("MESH_PUBLIC_URL", url)
    forget()
    person = Bringing(monkeypatch)
    monkeypatch.setattr("cli.local_door.typer.prompt", person)
    done = mesh(*CONNECT, "--account", "1002")
    assert done.exit_code == 0, done.stderr
    assert person.brought.startswith(f"{url}/oauth/{NAME}/callback?")
    assert any(f"{url}/oauth/{NAME}/callback" in line for line in person.printed)
    assert sql(servers, "select state from integrations") == [("active",)]


@pytest.mark.parametrize(
    "brought", ["", "https://mesh.example.com/oauth/x/callback", "code=1&state=2", "?state=wrong&code=1"]
)
def test_an_address_that_is_none_is_one_sentence(
    mesh: Mesh, settings_here: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, brought: str
) -> None:
    monkeypatch.setenv("MESH_PUBLIC_URL", "https://mesh.example.com")
    forget()
    monkeypatch.setattr("cli.local_door.typer.prompt", lambda text, **_: brought)
    done = mesh(*CONNECT)
    assert (done.exit_code, is_one_sentence(done.stderr)) == (1, True)
    assert "begin again" in done.stderr


@pytest.mark.parametrize("url", ["nonsense", "http://[::", "ftp://mesh.example.com", "https://", "https://a/?b=c"])
def test_a_public_url_that_is_none(mesh: Mesh, settings_here: Mapping[str, str], url: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MESH_PUBLIC_URL", url)
        forget()
        done = mesh(*CONNECT)
    assert (done.exit_code, is_one_sentence(done.stderr)) == (1, True)
    assert done.stderr.startswith("MESH_PUBLIC_URL is not usable:")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("integrations", "connect", "nobody", "--tenant", "acme"), "There is no provider 'nobody'"),
        (("integrations", "connect", NAME, "--tenant", "stranger"), 'Tenant "stranger" is not known'),
        ((*CONNECT, "--field", "colour=red"), "Sample has no field 'colour'"),
        (("integrations", "accounts", "0192f0c1-7b1a-7c3e-9d55-3f1a2b4c5d6e"), "There is no integration"),
        (("integrations", "choose", "0192f0c1-7b1a-7c3e-9d55-3f1a2b4c5d6e", "1"), "There is no integration"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    mesh: Mesh, settings_here: Mapping[str, str], arguments: tuple[str, ...], said: str
) -> None:
    done = mesh(*arguments)
    assert (done.exit_code, is_one_sentence(done.stderr)) == (1, True), done.stderr
    assert said in done.stderr


@pytest.mark.parametrize("name", ["META_ADS_API_KEY", "META_ADS_SECRET"])
def test_a_missing_setting_is_named(
    mesh: Mesh, settings_here: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "")
    forget()
    done = mesh(*CONNECT)
    assert (done.exit_code, is_one_sentence(done.stderr)) == (1, True)
    assert done.stderr.startswith(f"{name} is not set: give the")


def test_nobody_comes(mesh: Mesh, settings_here: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    patient = local_door.connect_in_browser
    monkeypatch.setattr(local_door, "connect_in_browser", lambda *given: patient(*given, wait_s=0.01))
    done = mesh(*CONNECT)
    assert (done.exit_code, is_one_sentence(done.stderr)) == (1, True)
    assert done.stderr.startswith("Nobody came back from the login in time")


# ----------------------------------------------------------------------------------------------------------- afterwards


def test_disconnecting_says_what_the_provider_was_told(
    sandbox: Sandbox, mesh: Mesh, settings_here: Mapping[str, str], tmp_path: Path
) -> None:
    one_account(sandbox)
    made = []
    for name in ("a", "b"):
        browser = Browser()
        with waiting(tmp_path, settings_here, *CONNECT, "--name", name) as command:
            browser.open(come_back(browser, command.address()))
            made.append(id_in(command.ended()[1]))
    assert "has ended the permission" in mesh("integrations", "disconnect", made[0]).stdout
    sandbox.control.add_rule("/oauth2/revoke", "drop")
    done = mesh("integrations", "disconnect", made[1])
    assert done.exit_code == 0
    assert "could not be told: the token is forgotten here" in done.stdout
    assert sandbox.control.do("oauth2", "status")["alive"] == 1


def test_the_host_of_the_cookie_is_that_of_the_callback(
    mesh: Mesh, settings_here: Mapping[str, str], tmp_path: Path
) -> None:
    """Whoever opens the door by another name of this machine is sent to the one that the provider knows."""
    with waiting(tmp_path, settings_here, *CONNECT) as command:
        address = command.address()
        page = Browser().open(address.replace("127.0.0.1", "localhost"))
    assert (page.status, page.location) == (302, address)


@pytest.mark.parametrize("host", ["evil.example", "[::", "", "127.0.0.1.evil.example:80"])
def test_odd_names_of_this_machine(mesh: Mesh, settings_here: Mapping[str, str], tmp_path: Path, host: str) -> None:
    with waiting(tmp_path, settings_here, *CONNECT) as command:
        address = command.address()
        with socket.create_connection(("127.0.0.1", urlsplit(address).port or 0), 10) as raw:
            raw.sendall(f"GET {urlsplit(address).path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
            answer = raw.makefile("rb").read().decode()
        assert answer.startswith("HTTP/1.0 302 ")
        assert f"Location: {address}\r\n" in answer
        assert "Set-Cookie" not in answer
        raw_one = socket.create_connection(("127.0.0.1", urlsplit(address).port or 0), 10)
        raw_one.close()  # without a word
        command.process.send_signal(signal.SIGINT)
        assert command.ended()[2] == "Stopped.\n"


def test_a_person_picks_an_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.integrations.sys.stdin", SimpleNamespace(isatty=lambda: True))
    reached = [Reached("1", "Shut", unusable="It is closed."), Reached("2", "North"), Reached("3", "South")]
    for answer, picked in ((1, "2"), (2, "3")):
        monkeypatch.setattr("typer.prompt", lambda *_, answer=answer, **__: answer)
        assert integrations._picked(UUID(int=1), reached) == picked
    for answer in (0, 3, -1):
        monkeypatch.setattr("typer.prompt", lambda *_, answer=answer, **__: answer)
        with pytest.raises(Problem, match=f"There is no number {answer}"):
            integrations._picked(UUID(int=1), reached)


def test_commands_know_each_other() -> None:
    shown = CliRunner().invoke(app, ["integrations", "--help"]).stdout
    assert [name for name in ("connect", "accounts", "choose", "reconnect", "disconnect") if name not in shown] == []
