"""`mesh integrations sync`: what a person sees while an account is read, and when that is not possible."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

import cli.syncs
import settings
from cli import session
from cli.main import app
from cli.tree import _came_of
from sandbox.process import Sandbox
from tests.conftest import KEYS
from tests.mesh import Mesh
from tests.paged import Pages, connected, serving_pages
from tests.servers import Servers

Sync = Callable[..., Result]


class Clock:
    """The command's clock: a pause is a chance for a worker to do one step."""

    def __init__(self) -> None:
        self.now = 0.0
        self.on_pause: Callable[[], None] = lambda: None

    def monotonic(self) -> float:
        """Seconds."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """No time passes but here."""
        self.now += seconds
        self.on_pause()


@pytest.fixture
def pages() -> Iterator[Pages]:
    with serving_pages() as pages:
        pages.campaigns = [{"id": "x1"}, {"id": "x2"}]
        yield pages


@pytest.fixture
def account(pages: Pages, mesh: Mesh) -> UUID:
    found: UUID = connected(mesh)
    return found


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, mesh: Mesh) -> Clock:
    """A worker does one step of everything that is due in each pause."""
    clock = Clock()
    due = "select id from deliveries where due_at <= now() order by id"
    clock.on_pause = lambda: mesh.deliver(*[row[0] for row in mesh.sql(due)])
    monkeypatch.setattr(cli.syncs, "time", clock)
    return clock


@pytest.fixture
def sync(
    servers: Servers, sandbox: Sandbox, account: UUID, clock: Clock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Sync]:
    """The command, for the account."""
    environment = {
        "DATABASE_URL": servers.database_url,
        "REDIS_URL": servers.redis_url,
        "MESH_KEY_PREFIX": servers.key_prefix,
        "MESH_ENCRYPTION_KEYS": KEYS,
        "MESH_HOME": str(tmp_path / "home"),
    }
    monkeypatch.chdir(tmp_path)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    forget()

    def run(*arguments: str, of: UUID = account) -> Result:
        return CliRunner().invoke(app, ["integrations", "sync", str(of), *arguments])

    yield run
    session.engine().dispose()
    forget()


def forget() -> None:
    for cached in (settings.current, session.engine, session.keys):
        cached.cache_clear()


def problem(done: Result) -> str:
    """The one sentence that it ended with."""
    assert done.exit_code == 1, done.output
    (line,) = done.stderr.strip().splitlines()
    assert line.endswith(".")
    return str(line)


def test_plain_lines_and_what_was_stored(sync: Sync, mesh: Mesh) -> None:
    mesh.sql(
        "insert into campaign_links (integration_id, external_id, seen_at)"
        " select id, 'gone', now() - interval '1 day' from integrations"
    )
    done = sync()
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert [line.partition(": event ")[0] for line in lines[:2]] == [
        "The sync of numbers begins",
        "The sync of campaigns begins",
    ]
    assert [line for line in lines if line.startswith("numbers: ")] == [
        "numbers: begins",
        *(f"numbers: {page} of 6" for page in range(1, 6)),
        "numbers: done",
    ]
    assert re.fullmatch(r"Synced in \d+ \w+: 60 rows of 6 days stored, 2 campaigns seen, 1 deleted\.", lines[-1])


def test_the_tree_of_a_sync_says_what_each_step_called_and_what_came_of_it(sync: Sync, mesh: Mesh) -> None:
    sync("--stream", "numbers")
    shown = CliRunner().invoke(app, ["events", "show", str(mesh.one("select id from events"))]).stdout
    assert "sync.due (numbers) of acme" in shown
    assert re.search(r"attempt 1 .* succeeded  GET /\S+  answered 200", shown), shown
    assert "result: " in shown


def test_what_was_refused_of_a_batch_is_in_the_tree() -> None:
    refused = [{"event_id": "att_4:purchase", "why": "`source_url` is missing."}]
    assert list(_came_of({"sent": 1, "refused": refused})) == [
        "result: sent 1",
        "[red]refused[/] att_4:purchase: `source_url` is missing.",
    ]


def test_bars_on_a_terminal(sync: Sync, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(cli.syncs, "console", Console(file=screen, force_terminal=True, width=100))
    done = sync("--stream", "numbers")
    assert done.exit_code == 0, done.output
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue()).replace("\r", "\n")
    last = [line.split() for line in shown.splitlines() if line.strip()][-1]
    assert (last[0], last[-1]) == ("numbers", "done")
    assert "numbers: begins" not in done.stdout
    assert "60 rows of 6 days stored" in done.stdout


def test_without_waiting(sync: Sync, mesh: Mesh) -> None:
    done = sync("--no-wait", "--stream", "numbers", "--since", "2026-09-01")
    assert done.exit_code == 0
    assert "Follow it: mesh events show" in done.stdout
    assert mesh.one("select data->>'since' from events") == "2026-09-01"
    assert mesh.one("select attempt_count from deliveries") == 0


def test_one_that_is_under_way_is_watched(sync: Sync, mesh: Mesh) -> None:
    sync("--no-wait")
    done = sync()
    assert done.stdout.count("is under way already") == 2
    assert "60 rows" in done.stdout
    sync("--no-wait")
    assert "reads other days" in problem(sync("--full"))


def test_interrupted_it_goes_on(sync: Sync, mesh: Mesh, clock: Clock) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    clock.on_pause = interrupted
    said = problem(sync())
    assert said.startswith("The sync goes on without being watched: `mesh events show ")
    assert mesh.count("deliveries", "state = 'pending'") == 2
    mesh.drain()
    assert mesh.count("deliveries", "state = 'succeeded'") == 2


def test_one_that_fails_says_why(sync: Sync) -> None:
    said = problem(sync("--stream", "numbers", "--since", "2026-10-02"))
    assert said.startswith("The sync of numbers ended: There is nothing so late; `mesh deliveries show ")


def test_one_that_is_held_up_says_so_and_goes_on(sync: Sync, mesh: Mesh, pages: Pages, clock: Clock) -> None:
    pages.failures = 3  # as often as one call is tried
    work = clock.on_pause

    def later() -> None:
        work()
        mesh.holds_over()
        if clock.now > 5:
            mesh.due_now()

    clock.on_pause = later
    done = sync("--stream", "numbers")
    assert done.exit_code == 0, done.output
    assert re.search(r"numbers: .*503.* It is tried again in \d+ \w+\.", done.stdout)
    assert "60 rows of 6 days" in done.stdout


def test_an_account_that_stops_meanwhile(sync: Sync, mesh: Mesh, account: UUID, clock: Clock) -> None:
    work = clock.on_pause

    def paused() -> None:
        if clock.now > 0.5:
            mesh.sql("update integrations set state = 'paused'")
        work()

    clock.on_pause = paused
    said = problem(sync("--stream", "numbers"))
    assert said == f"Integration {account} is paused: `mesh integrations resume {account}`, then sync."


def test_an_account_that_waits_for_a_choice_says_so(sync: Sync, mesh: Mesh, account: UUID) -> None:
    mesh.sql("update integrations set state = 'paused', state_reason = 'choose an account: mesh integrations accounts'")
    assert problem(sync()) == f"Integration {account} is paused: choose an account: mesh integrations accounts."


def test_without_workers_it_does_not_wait_for_ever(sync: Sync, clock: Clock) -> None:
    clock.on_pause = lambda: None
    assert "`mesh doctor` says why" in problem(sync())
    assert clock.now < 2 * cli.syncs.PATIENCE_S


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--stream", "sales"], "Paged has no stream 'sales': there are numbers, campaigns."),
        (["--since", "2999-01-01"], "--since 2999-01-01 is in the future: give a day that has been."),
        (["--since", "soon"], '--since "soon" is no day: give one such as 2026-09-01'),
        (["--since", "3d", "--full"], "Give either --since or --full"),
    ],
)
def test_what_cannot_be_asked(sync: Sync, mesh: Mesh, arguments: list[str], said: str) -> None:
    assert problem(sync(*arguments)).startswith(said)
    assert mesh.count("events") == 0


def test_what_cannot_be_synced(sync: Sync, mesh: Mesh, account: UUID) -> None:
    mesh.hook()
    nothing = mesh.one("select id from integrations where provider = 'zapier'")
    assert problem(sync(of=nothing)).endswith("has nothing to sync.")
    assert "There is no integration" in problem(sync(of=UUID(int=1)))
    mesh.sql("update integrations set state = 'needs_reconnect' where id = %(id)s", id=account)
    assert f"`mesh integrations reconnect {account}`" in problem(sync())
