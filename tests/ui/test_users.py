"""`mesh users`, and what `mesh up` says while there is nobody."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import settings
from cli import session, welcome
from cli.main import app
from tests.mesh import Mesh
from tests.servers import Servers
from tests.ui.conftest import PASSWORD, Visit
from worker import people

Command = Callable[..., Result]


@pytest.fixture
def users(
    mesh: Mesh, servers: Servers, cheap: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Command]:
    """The command, in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", servers.database_url)
    monkeypatch.setenv("REDIS_URL", servers.redis_url)
    _forget()
    runner = CliRunner()
    yield lambda *arguments, stdin=None: runner.invoke(app, ["users", *arguments], input=stdin)
    session.engine().dispose()
    _forget()


def _forget() -> None:
    for cached in (settings.current, session.engine):
        cached.cache_clear()


def test_somebody_is_added_listed_locked_out_and_let_in_again(mesh: Mesh, users: Command) -> None:
    mesh.tenant()
    made = users("add", "Ada", "--role", "operator", "--tenant", "acme", stdin=f"{PASSWORD}\n{PASSWORD}\n")
    assert made.exit_code == 0, made.stderr
    assert made.stdout.endswith("ada may log in at /ui as operator, for acme.\n")
    assert PASSWORD not in made.stdout
    assert re.search(r"ada +active +operator +acme", users("list").stdout)
    assert people.log_in(mesh.engine, "ada", PASSWORD)
    users("disable", "ada")
    assert re.search(r"ada +disabled", users("list").stdout)
    with pytest.raises(people.LoginRefused):
        people.log_in(mesh.engine, "ada", PASSWORD)
    users("enable", "ada")
    assert people.log_in(mesh.engine, "ada", PASSWORD)


def test_another_password_comes_from_a_file(mesh: Mesh, users: Command, tmp_path: Path) -> None:
    users("add", "ada", "--role", "viewer", "--password-file", "-", stdin=f"{PASSWORD}\n")
    (tmp_path / "new").write_text("another horse battery\n")
    assert users("password", "ada", "--password-file", "new").exit_code == 0
    assert people.log_in(mesh.engine, "ada", "another horse battery")


def test_what_was_done_by_the_command_is_in_the_audit(mesh: Mesh, users: Command) -> None:
    users("add", "ada", "--role", "viewer", "--password-file", "-", stdin=PASSWORD)
    users("password", "ada", "--password-file", "-", stdin=PASSWORD)
    users("disable", "ada")
    users("enable", "ada")
    rows = mesh.sql("select door, action, details->>'name' as name from audit_log order by id")
    actions = ["add person", "change password", "disable person", "enable person"]
    assert [tuple(row) for row in rows] == [("cli", action, "ada") for action in actions]
    assert PASSWORD not in str(mesh.sql("select a::text from audit_log a"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("disable", "bo"), "There is nobody named 'bo': `mesh users list` shows who is."),
        (("password", "bo", "--password-file", "-"), "There is nobody named 'bo': `mesh users list` shows who is."),
        (("add", "bo", "--role", "viewer", "--password-file", "gone"), "gone cannot be read:"),
        (("add", "b o", "--role", "viewer", "--password-file", "-"), "A name has up to 100 small letters"),
        (("add", "bo", "--role", "viewer", "--tenant", "x", "--password-file", "-"), 'Tenant "x" is not known'),
    ],
)
def test_what_goes_wrong_is_one_sentence(users: Command, arguments: tuple[str, ...], sentence: str) -> None:
    answer = users(*arguments, stdin=PASSWORD)
    assert answer.exit_code == 1
    assert answer.stderr.startswith(sentence)
    assert len(answer.stderr.splitlines()) == 1


def test_nobody_yet_is_said_with_what_to_do(users: Command) -> None:
    assert users("list").stdout == "Nobody yet: `mesh users add NAME --role admin` makes the first.\n"


def test_mesh_up_says_how_the_first_one_is_made_while_there_is_nobody(
    mesh: Mesh, servers: Servers, users: Command
) -> None:
    theirs: Any = SimpleNamespace(settings={"database_url": servers.database_url}, postgres=None)
    assert welcome.first_user(theirs).endswith("users add NAME --role admin")
    users("add", "ada", "--role", "admin", "--password-file", "-", stdin=PASSWORD)
    ours: Any = SimpleNamespace(settings=theirs.settings, postgres=True)
    assert (welcome.first_user(theirs), welcome.first_user(ours)) == ("", "")
    nowhere: Any = SimpleNamespace(settings={"database_url": "postgresql:///mesh?host=/nowhere"}, postgres=None)
    assert welcome.first_user(nowhere) == ""


def test_mesh_up_lets_an_admin_into_a_stack_of_its_own_and_says_the_password_once(
    mesh: Mesh, servers: Servers, doors: str, cheap: None
) -> None:
    stack: Any = SimpleNamespace(settings={"database_url": servers.database_url}, postgres=True)
    said = welcome.first_user(stack)
    (password,) = re.findall(r"user admin, password (\S{16,})", said)
    assert Visit(doors).log_in("admin", password).headers["location"] == "/ui/"
    assert welcome.first_user(stack) == ""
    assert [tuple(row) for row in mesh.sql("select name, role, tenant_id from people")] == [("admin", "admin", None)]
