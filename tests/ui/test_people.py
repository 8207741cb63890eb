"""People: their passwords, their sessions, and what stops those who guess."""

from __future__ import annotations

import threading
import time

import pytest

from tests.mesh import Mesh
from tests.ui.conftest import PASSWORD
from worker import people
from worker.people import LoginRefused, PeopleError, Role

WRONG = "The name or the password is wrong."
TOO_MANY = "Too many log-ins with this name have failed: wait 15 minutes."


@pytest.fixture
def ada(mesh: Mesh, cheap: None) -> str:
    """An operator."""
    with mesh.engine.begin() as connection:
        people.add(connection, "Ada", "operator", PASSWORD)
    return "ada"


def refusal(mesh: Mesh, name: str, password: str = "nothing like it") -> str:
    with pytest.raises(LoginRefused) as refused:
        people.log_in(mesh.engine, name, password)
    return str(refused.value)


def holder(mesh: Mesh, token: str) -> people.Person | None:
    with mesh.engine.begin() as connection:
        return people.find(connection, token)


def test_a_password_is_kept_as_scrypt_with_a_salt_of_its_own() -> None:
    first, second = people.hashed(PASSWORD), people.hashed(PASSWORD)
    assert first.startswith("scrypt$15$8$3$")
    assert first != second
    assert people.fits(PASSWORD, first)
    assert not people.fits(PASSWORD + " ", first)


def test_somebody_logs_in_by_a_name_in_any_case(mesh: Mesh, ada: str) -> None:
    person, token = people.log_in(mesh.engine, " ADA ", PASSWORD)
    assert (person.name, person.role, person.tenant_id) == ("ada", Role.OPERATOR, None)
    assert holder(mesh, token) == person


def test_neither_password_nor_token_is_stored(mesh: Mesh, ada: str) -> None:
    _, token = people.log_in(mesh.engine, ada, PASSWORD)
    rows = mesh.sql("select p::text from people p union all select s::text from people_sessions s")
    assert len(rows) == 2
    assert not any(PASSWORD in row[0] or token in row[0] for row in rows)


@pytest.mark.parametrize(
    ("name", "role", "password", "sentence"),
    [
        ("a b", "viewer", PASSWORD, "A name has up to 100 small letters"),
        ("", "viewer", PASSWORD, "A name has up to 100 small letters"),
        ("bo", "king", PASSWORD, "There is no role 'king'"),
        ("bo", "viewer", "short", "A password has 12 to 1024 characters."),
        ("ada", "viewer", PASSWORD, '"ada" is there already'),
    ],
)
def test_who_cannot_be_added(mesh: Mesh, ada: str, name: str, role: str, password: str, sentence: str) -> None:
    with pytest.raises(PeopleError, match=sentence), mesh.engine.begin() as connection:
        people.add(connection, name, role, password)


def test_nobody_is_bound_to_a_tenant_that_is_not_there(mesh: Mesh, cheap: None) -> None:
    with pytest.raises(PeopleError, match='Tenant "acme" is not known'), mesh.engine.begin() as connection:
        people.add(connection, "bo", "viewer", PASSWORD, "acme")


def test_five_failures_close_a_name_even_to_the_right_password(mesh: Mesh, ada: str) -> None:
    assert [refusal(mesh, ada) for _ in range(5)] == [WRONG] * 5
    assert refusal(mesh, ada, PASSWORD) == TOO_MANY
    mesh.sql("update login_failures set last_at = now() - interval '16 minutes'")
    assert people.log_in(mesh.engine, ada, PASSWORD)[0].name == ada
    assert mesh.count("login_failures") == 0


def test_an_unknown_name_is_refused_in_the_same_words(mesh: Mesh, ada: str) -> None:
    assert [refusal(mesh, "nobody") for _ in range(6)] == [WRONG] * 5 + [TOO_MANY]


def test_a_right_password_forgets_the_failures_before(mesh: Mesh, ada: str) -> None:
    for _ in range(3):
        assert [refusal(mesh, ada) for _ in range(4)] == [WRONG] * 4
        people.log_in(mesh.engine, ada, PASSWORD)


def test_many_guesses_at_once_are_counted_one_by_one(mesh: Mesh, ada: str) -> None:
    answers: list[str] = []
    threads = [threading.Thread(target=lambda: answers.append(refusal(mesh, ada))) for _ in range(12)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(20)
    assert (answers.count(WRONG), answers.count(TOO_MANY)) == (5, 7)


def test_an_unknown_name_takes_as_long_as_a_known_one(mesh: Mesh) -> None:
    with mesh.engine.begin() as connection:
        people.add(connection, "ada", "viewer", PASSWORD)
    people._nobodys.cache_clear()
    refusal(mesh, "nobody")  # makes what unknown names are held against

    def took(name: str) -> float:
        began = time.process_time()
        refusal(mesh, name)
        return time.process_time() - began

    assert took("nobody") > took("ada") / 3


def test_guesses_wait_for_their_turn_only_a_moment(mesh: Mesh, ada: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people, "PATIENCE_S", 0.01)
    with people._HASHING, people._HASHING, people._HASHING:
        people.log_in(mesh.engine, ada, PASSWORD)
        with people._HASHING:
            assert refusal(mesh, ada, PASSWORD).startswith("Too many people log in at this moment")


def test_a_session_ends_by_itself(mesh: Mesh, ada: str) -> None:
    _, token = people.log_in(mesh.engine, ada, PASSWORD)
    mesh.sql("update people_sessions set seen_at = now() - interval '11 hours'")
    assert holder(mesh, token) is not None  # and is used by this
    mesh.sql("update people_sessions set created_at = now() - interval '6 days'")
    assert holder(mesh, token) is not None
    mesh.sql("update people_sessions set seen_at = now() - interval '13 hours'")
    assert holder(mesh, token) is None
    mesh.sql("update people_sessions set seen_at = now(), created_at = now() - interval '8 days'")
    assert holder(mesh, token) is None


def test_who_is_disabled_is_out_at_once(mesh: Mesh, ada: str) -> None:
    _, token = people.log_in(mesh.engine, ada, PASSWORD)
    with mesh.engine.begin() as connection:
        people.set_state(connection, ada, "disabled")
    assert holder(mesh, token) is None
    assert refusal(mesh, ada, PASSWORD) == WRONG
    with mesh.engine.begin() as connection:
        people.set_state(connection, ada, "active")
    assert people.log_in(mesh.engine, ada, PASSWORD)


def test_another_password_ends_every_session_and_opens_a_closed_name(mesh: Mesh, ada: str) -> None:
    _, token = people.log_in(mesh.engine, ada, PASSWORD)
    for _ in range(5):
        refusal(mesh, ada)
    with mesh.engine.begin() as connection:
        people.set_password(connection, ada, "another horse battery")
    assert holder(mesh, token) is None
    assert refusal(mesh, ada, PASSWORD) == WRONG
    assert people.log_in(mesh.engine, ada, "another horse battery")


def test_each_role_may_what_those_before_may() -> None:
    table = [[role.may(needed) for needed in Role] for role in Role]
    assert table == [[True, False, False], [True, True, False], [True, True, True]]
