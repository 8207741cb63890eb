"""Tokens: refreshed once, ahead or after a rejection; what is lost, dead or late; and nothing secret anywhere."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr
from structlog.testing import LogCapture

import db.integrations
import db.tokens
from db.tokens import SealedGrant
from providers.errors import CredentialsRejected, Unavailable
from providers.oauth2 import Grant
from sandbox.process import Sandbox
from settings import Settings
from tasks import tokens as tasks
from tests.mesh import Mesh, eventually
from tests.oauth import (
    DATA,
    EVENT,
    FACTS,
    NAME,
    TOKEN_DOOR,
    Logins,
    asked,
    expire,
    make_due,
    mesh_with_logins,
    one_account,
    token_row,
    tokens_of,
)
from tests.servers import Servers
from tests.worker.test_secrets import content, found_in, logged, written
from worker import accounts, grants, resources, tokens, vault
from worker.app import CONTROL_QUEUE, app
from worker.grants import sealed
from worker.refreshing import BACKOFF_S, backoff_s
from worker.rotation import rotate, unreadable
from worker.tokens import Access

__all__ = ["logged"]  # a fixture


@pytest.fixture
def mesh(
    servers: Servers, mesh_settings: Settings, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Mesh]:
    with mesh_with_logins(servers, mesh_settings, sandbox, monkeypatch) as mesh:
        one_account(sandbox)
        yield mesh


@pytest.fixture
def account(mesh: Mesh) -> UUID:
    return Logins(mesh).connect().integration_id


def state_of(mesh: Mesh, account: UUID) -> Any:
    with mesh.engine.begin() as connection:
        return db.integrations.get(connection, account)


def refreshed(mesh: Mesh, account: UUID) -> Any:
    """Refresh as beat has it done; the row when that has ended."""
    make_due(mesh, account)
    mesh.resources.tokens.refresh(account)
    eventually(lambda: token_row(mesh, account).refresh_state != "refreshing", "the refresh has ended")
    return token_row(mesh, account)


def deliver(mesh: Mesh) -> UUID:
    ((_, delivery_id),) = mesh.publish(EVENT, DATA).deliveries
    mesh.deliver(delivery_id)
    return delivery_id


# ----------------------------------------------------------------------------------------------------------- refreshing


def test_a_good_token_is_used_as_it_is(mesh: Mesh, account: UUID) -> None:
    first = mesh.resources.tokens.access(account)
    assert (first.version, first.token[:3]) == (1, "at-")
    assert mesh.resources.tokens.access(account) == first
    assert asked(mesh.sandbox) == 0


def test_an_expired_one_is_refreshed_first(mesh: Mesh, account: UUID) -> None:
    before = mesh.resources.tokens.access(account)
    expire(mesh, account)
    after = mesh.resources.tokens.access(account)
    assert (after.version, asked(mesh.sandbox)) == (2, 1)
    assert after.token != before.token
    row = token_row(mesh, account)
    assert (row.refresh_state, row.refresh_owner, row.refresh_failures, row.last_error) == ("idle", None, 0, None)
    assert row.scopes == ["read", "write"]
    assert mesh.delivery(deliver(mesh)).state == "succeeded"


def test_many_callers_make_one_refresh(mesh: Mesh, account: UUID) -> None:
    expire(mesh, account)
    mesh.sandbox.control.add_rule(TOKEN_DOOR, "slow-200ms")
    others = [tokens_of(mesh) for _ in range(4)]
    with ThreadPoolExecutor(16) as threads:
        got = list(threads.map(lambda n: others[n % 4].access(account), range(16)))
    assert {each.version for each in got} == {2}
    assert len({each.token for each in got}) == 1
    assert asked(mesh.sandbox) == 1
    for other in others:
        other.close()


def test_the_tick_sends_one_message_for_each_token_that_is_due(
    mesh: Mesh, account: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Logins(mesh).connect(name="other").integration_id
    monkeypatch.setattr(resources, "_shared", mesh.resources)
    tasks.refresh_due_tick()
    assert mesh.resources.tokens.due() == [], "nothing is due"
    make_due(mesh, account)
    make_due(mesh, other)
    mesh.sql("update integrations set state = 'disconnected' where id = %(id)s", id=other)
    tasks.refresh_due_tick()
    queue = f"{mesh.settings.mesh_key_prefix}{CONTROL_QUEUE}"
    (sent,) = [json.loads(each) for each in mesh.redis.lrange(queue, 0, -1)]
    assert sent["headers"]["task"] == "tokens.refresh"
    assert sent["headers"]["expires"] is not None
    assert json.loads(sent["body"])[0] == [str(account)]
    assert token_row(mesh, account).version == 1
    for _ in range(3):  # the message, and copies of it
        tasks.refresh_token(str(account))
    eventually(lambda: token_row(mesh, account).version == 2, "it is refreshed")
    assert asked(mesh.sandbox) == 1
    assert app.conf.task_routes["tokens.refresh"] == {"queue": CONTROL_QUEUE}


def test_what_a_call_waits_for_goes_before_what_is_only_due(
    mesh: Mesh, account: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "EXCHANGES", 1)
    other = Logins(mesh).connect(name="other").integration_id
    make_due(mesh, account)
    make_due(mesh, other)
    mesh.sandbox.control.add_rule(TOKEN_DOOR, {"delay_s": 1})
    mesh.resources.tokens.refresh(account)
    mesh.resources.tokens.refresh(other)
    assert token_row(mesh, account).refresh_state == "refreshing"
    assert token_row(mesh, other).refresh_state == "idle", "its turn comes with another tick"
    expire(mesh, other)
    assert mesh.resources.tokens.access(other).version == 2, "a call does not wait for that"


@pytest.mark.parametrize("state", ["active", "paused", "blocked"])
def test_tokens_of_accounts_that_wait_are_kept_alive(mesh: Mesh, account: UUID, state: str) -> None:
    mesh.sql("update integrations set state = %(state)s", state=state)
    make_due(mesh, account)
    assert mesh.resources.tokens.due() == [account]


def test_a_provider_that_does_not_rotate_keeps_the_refresh_token(mesh: Mesh, account: UUID) -> None:
    before = token_row(mesh, account)
    mesh.sandbox.control.add_rule(TOKEN_DOOR, {"body": {"access_token": "at-next", "expires_in": 60}})
    row = refreshed(mesh, account)
    assert row.refresh_token_sealed == before.refresh_token_sealed
    assert (row.version, row.scopes) == (2, ["read", "write"])
    assert mesh.resources.tokens.access(account).token == "at-next"
    assert 35 < (row.next_refresh_at - row.obtained_at).total_seconds() < 45, "a third of its life before its end"


# ------------------------------------------------------------------------------------------------------ what goes wrong


@pytest.mark.parametrize(
    ("fault", "state"),
    [
        ("oauth2:unavailable", "idle"),
        ({"status": 429, "headers": {"Retry-After": "500"}}, "idle"),
        ("oauth2:invalid_client", "idle"),
        ({"status": 404}, "idle"),
        ({"status": 401}, "idle"),  # of a proxy, say: no grant is buried for it
        ("500", "answer_lost"),
        ("drop-after", "answer_lost"),
        ("wrong-json", "answer_lost"),
        ("truncate", "answer_lost"),
    ],
)
def test_a_failure_backs_off_and_keeps_the_old_token(mesh: Mesh, account: UUID, fault: Any, state: str) -> None:
    before = mesh.resources.tokens.access(account)
    mesh.sandbox.control.add_rule(TOKEN_DOOR, fault, times=1)
    row = refreshed(mesh, account)
    assert (row.refresh_state, row.refresh_failures, row.version) == (state, 1, 1)
    assert row.last_error
    wait_s = mesh.one("select extract(epoch from next_refresh_at - now())::float8 from integration_tokens")
    assert (490 if "429" in repr(fault) else 55) < wait_s < (510 if "429" in repr(fault) else 67)
    assert mesh.resources.tokens.access(account) == before
    assert mesh.resources.tokens.due() == []
    assert state_of(mesh, account).state == "active"


def test_the_waits_double_up_to_an_hour() -> None:
    first, most = BACKOFF_S
    assert all(first * 2**n <= backoff_s(n) <= first * 2**n * 1.1 for n in range(6))
    assert all(most <= backoff_s(n) <= most * 1.1 for n in (6, 7, 100, 10_000))


def test_while_it_backs_off_an_expired_token_makes_calls_wait(mesh: Mesh, account: UUID) -> None:
    expire(mesh, account)
    mesh.sandbox.control.add_rule(TOKEN_DOOR, "oauth2:unavailable", times=1)
    with pytest.raises(Unavailable, match="could not be renewed: The answer was 400 temporarily_unavailable") as caught:
        mesh.resources.tokens.access(account)
    assert 50 < (caught.value.wait_s or 0) < 70
    delivery_id = deliver(mesh)
    row = mesh.delivery(delivery_id)
    assert (row.state, row.error_code) == ("retrying", "token_not_ready")
    assert asked(mesh.sandbox) == 0, "only the one that the rule answered"
    assert state_of(mesh, account).consecutive_failures == 0, "the account is well"
    make_due(mesh, account)
    mesh.due_now()
    mesh.drain()
    assert mesh.delivery(delivery_id).state == "succeeded"


def test_a_grant_that_is_over_ends_with_a_person(mesh: Mesh, account: UUID) -> None:
    mesh.hook("/receive/notice", event_type="integration.attention_needed")
    mesh.sandbox.control.do("oauth2", "end_logins")
    row = refreshed(mesh, account)
    assert (row.refresh_state, row.next_refresh_at) == ("dead", None)
    integration = state_of(mesh, account)
    assert integration.state == "needs_reconnect"
    assert integration.state_reason.startswith("Sample says that the grant is over:")
    assert integration.state_reason.endswith(f"`mesh integrations reconnect {account}` connects the account again.")
    ((notice,),) = mesh.sql("select data from events where type = 'integration.attention_needed'")
    assert (notice["integration_id"], notice["state"], notice["provider"]) == (str(account), "needs_reconnect", NAME)
    assert mesh.count("deliveries", "event_type = 'integration.attention_needed'") == 1
    for _ in range(3):
        mesh.resources.tokens.refresh(account)
        expire(mesh, account)
        with pytest.raises(CredentialsRejected, match="the grant is over"):
            mesh.resources.tokens.access(account)
    assert asked(mesh.sandbox) == 1, "it is never tried again"


def test_a_paused_account_stays_paused_when_its_grant_ends(mesh: Mesh, account: UUID) -> None:
    mesh.sql("update integrations set state = 'paused', state_reason = 'Its owner paused it.'")
    mesh.sandbox.control.do("oauth2", "end_logins")
    assert refreshed(mesh, account).refresh_state == "dead"
    assert state_of(mesh, account).state == "paused"
    assert mesh.count("events") == 0


def test_a_newer_token_of_somebody_else_is_not_buried(mesh: Mesh, account: UUID) -> None:
    """A login came while a refresh was under way: what the provider says of the old grant is old."""
    mesh.sandbox.control.add_rule(
        TOKEN_DOOR, {"status": 400, "body": {"error": "invalid_grant"}, "delay_s": 1}, times=1
    )
    make_due(mesh, account)
    mesh.resources.tokens.refresh(account)
    eventually(lambda: mesh.sandbox.control.state()["in_flight"] == 1, "the refresh is under way")
    again = Logins(mesh).connect()
    assert again.integration_id == account
    eventually(lambda: mesh.sandbox.control.state()["in_flight"] == 0, "it has ended")
    mesh.resources.tokens.close()
    row = token_row(mesh, account)
    assert (row.version, row.refresh_state, row.last_error) == (2, "idle", None)
    assert state_of(mesh, account).state == "active"


def test_a_late_answer_does_not_replace_a_newer_login(mesh: Mesh, account: UUID) -> None:
    mesh.sandbox.control.add_rule(TOKEN_DOOR, {"delay_s": 1}, times=1)
    make_due(mesh, account)
    mesh.resources.tokens.refresh(account)
    eventually(lambda: mesh.sandbox.control.state()["in_flight"] == 1, "the refresh is under way")
    Logins(mesh).connect()
    stored = token_row(mesh, account)
    mesh.resources.tokens.close()
    row = token_row(mesh, account)
    assert (row.version, row.access_token_sealed) == (2, stored.access_token_sealed)


def test_a_lost_answer_is_its_own_state_and_tried_once_more(mesh: Mesh, account: UUID) -> None:
    """The provider has used the refresh token up, so the second try is told that it is over."""
    expire(mesh, account)
    mesh.sandbox.control.add_rule(TOKEN_DOOR, "drop-after", times=1)
    with pytest.raises(Unavailable):
        mesh.resources.tokens.access(account)
    assert token_row(mesh, account).refresh_state == "answer_lost"
    assert state_of(mesh, account).state == "active"
    make_due(mesh, account)
    with pytest.raises(CredentialsRejected, match="An answer of Sample to a refresh was lost"):
        mesh.resources.tokens.access(account)
    assert token_row(mesh, account).refresh_state == "dead"
    assert state_of(mesh, account).state == "needs_reconnect"
    assert state_of(mesh, account).state_reason.startswith("An answer of Sample to a refresh was lost")
    assert asked(mesh.sandbox) == 2


def test_an_answer_that_was_only_late_in_coming_heals(mesh: Mesh, account: UUID) -> None:
    mesh.sandbox.control.add_rule(TOKEN_DOOR, "503", times=1)
    assert refreshed(mesh, account).refresh_state == "answer_lost"
    mesh.sandbox.control.add_rule(TOKEN_DOOR, "oauth2:unavailable", times=1)
    assert refreshed(mesh, account).refresh_state == "answer_lost", "what was lost before is lost still"
    row = refreshed(mesh, account)
    assert (row.refresh_state, row.version, row.refresh_failures) == ("idle", 2, 0)


def test_an_expired_token_that_nothing_renews(mesh: Mesh, account: UUID) -> None:
    mesh.sql("update integration_tokens set refresh_token_sealed = null, next_refresh_at = null")
    assert mesh.resources.tokens.access(account).version == 1
    expire(mesh, account)
    with pytest.raises(CredentialsRejected, match="has expired, and nothing renews it"):
        mesh.resources.tokens.access(account)
    delivery_id = deliver(mesh)
    assert mesh.delivery(delivery_id).error_code == "credentials_rejected"
    assert state_of(mesh, account).state == "needs_reconnect"


def test_an_account_without_a_token(mesh: Mesh, account: UUID) -> None:
    mesh.sql("delete from integration_tokens")
    with pytest.raises(CredentialsRejected, match="It has no token"):
        mesh.resources.tokens.access(account)
    deliver(mesh)
    assert state_of(mesh, account).state == "needs_reconnect"


def test_our_app_s_missing_secret_is_named(mesh: Mesh, account: UUID) -> None:
    lacking = resources.build(mesh.settings.model_copy(update={f"{NAME}_secret": SecretStr("")}))
    make_due(mesh, account)
    lacking.tokens.refresh(account)
    eventually(lambda: token_row(mesh, account).refresh_failures == 1, "it is given back")
    lacking.close()
    assert token_row(mesh, account).last_error.startswith("META_ADS_SECRET is not set")
    assert asked(mesh.sandbox) == 0


def test_a_token_that_cannot_be_opened_is_nobody_s_end(mesh: Mesh, account: UUID) -> None:
    mesh.sql("update integration_tokens set access_token_sealed = 'v1:gone:AAAA'")
    delivery_id = deliver(mesh)
    assert (mesh.delivery(delivery_id).state, mesh.delivery(delivery_id).error_code) == ("retrying", "adapter_error")
    assert state_of(mesh, account).state == "active"


# -------------------------------------------------------------------------------------------------------- Postgres away


class Away:
    """An engine whose server ends the next so many connections."""

    def __init__(self, engine: Any) -> None:
        self._engine, self.left = engine, 0

    def begin(self) -> Any:
        if self.left:
            self.left -= 1
            with self._engine.connect() as connection:  # the server itself says so
                connection.exec_driver_sql("select pg_terminate_backend(pg_backend_pid())")
        return self._engine.begin()


def test_an_answer_is_held_while_postgres_is_away(mesh: Mesh, account: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grants, "AWAY_PAUSE_S", 0.01)
    mesh.sandbox.control.add_rule(TOKEN_DOOR, {"delay_s": 1})
    make_due(mesh, account)
    away = Away(mesh.engine)
    monkeypatch.setattr(mesh.resources.tokens, "_engine", away)
    mesh.resources.tokens.refresh(account)
    away.left = 5
    mesh.resources.tokens.close()
    assert away.left == 0
    assert (token_row(mesh, account).version, token_row(mesh, account).refresh_state) == (2, "idle")


def test_an_answer_after_the_lease_is_stored_where_nobody_followed(mesh: Mesh, account: UUID) -> None:
    """Postgres was away for longer than the lease: whoever sees that first leaves the holder a moment."""
    owner = uuid4()
    with mesh.engine.begin() as connection:
        assert db.tokens.take(connection, account, owner, version=1, state="idle", lease_s=-1)
        assert db.tokens.lapse(connection) == 1
    row = token_row(mesh, account)
    assert (row.refresh_state, row.refresh_lease_until, row.refresh_failures) == ("answer_lost", None, 1)
    with mesh.engine.begin() as connection:
        taken = db.tokens.take(connection, account, uuid4(), version=1, state="answer_lost", lease_s=10)
        assert not taken, "not in that moment"
    with mesh.engine.begin() as connection:
        assert db.tokens.store(connection, account, owner, version=1, grant=a_grant(mesh, account)) == 2
    assert token_row(mesh, account).refresh_state == "idle"


def test_a_holder_that_lives_takes_its_lease_back(mesh: Mesh, account: UUID) -> None:
    """Postgres was away for longer than the lease, and is back before the token endpoint has answered."""
    mesh.sandbox.control.add_rule(TOKEN_DOOR, {"delay_s": 4}, times=1)
    holder, other = tokens_of(mesh, lease_s=1.0), tokens_of(mesh, patience_s=20.0)
    away = Away(mesh.engine)
    away.left = 1_000
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(holder._leases, "_engine", away)
        expire(mesh, account)
        make_due(mesh, account)
        holder.refresh(account)
        eventually(lambda: mesh.one("select refresh_lease_until < now() from integration_tokens"), "its lease is over")
        with mesh.engine.begin() as connection:
            assert db.tokens.lapse(connection) == 1
        away.left = 0
        assert other.access(account).version == 2
    holder.close()
    other.close()
    assert asked(mesh.sandbox) == 1
    assert token_row(mesh, account).refresh_state == "idle"


def test_leases_that_end_again_and_again_are_taken_less_often(mesh: Mesh, account: UUID) -> None:
    """Perhaps this refresh kills whoever makes it."""
    waits = []
    for state in ("idle", *["answer_lost"] * 5):
        make_due(mesh, account)
        with mesh.engine.begin() as connection:
            assert db.tokens.take(connection, account, uuid4(), version=1, state=state, lease_s=-1)
            db.tokens.lapse(connection)
        waits.append(mesh.one("select extract(epoch from next_refresh_at - now())::float8 from integration_tokens"))
    assert waits == sorted(waits)
    assert waits[-1] > 20 * waits[0]


def test_a_suspended_tenant_s_grant_ends_too(mesh: Mesh, account: UUID) -> None:
    mesh.sandbox.control.do("oauth2", "end_logins")
    mesh.sql("update tenants set state = 'suspended'")
    assert refreshed(mesh, account).refresh_state == "dead"
    assert mesh.count("rejected_events", "event_type = 'integration.attention_needed'") == 1
    assert mesh.resources.tokens.due() == []


@pytest.mark.parametrize("column", ["access_token_sealed", "refresh_token_sealed"])
def test_what_cannot_be_refreshed_does_not_stand_before_the_others(
    mesh: Mesh, account: UUID, monkeypatch: pytest.MonkeyPatch, column: str
) -> None:
    monkeypatch.setattr(tokens, "DUE_LIMIT", 1)
    other = Logins(mesh).connect(name="other").integration_id
    mesh.sql(
        f"update integration_tokens set {column} = 'v1:gone:AAAA', next_refresh_at = now() - interval '1 day'"
        " where integration_id = %(id)s",
        id=account,
    )
    make_due(mesh, other)
    assert mesh.resources.tokens.due() == [account]
    mesh.resources.tokens.refresh(account)
    assert mesh.resources.tokens.due() == [other]
    assert column in token_row(mesh, account).last_error


def test_a_paused_account_s_token_that_nothing_renews_any_more_is_over(mesh: Mesh, account: UUID) -> None:
    mesh.sql("update integration_tokens set refresh_token_sealed = null")
    mesh.sql("update integrations set state = 'paused'")
    expire(mesh, account)
    row = refreshed(mesh, account)
    assert (row.refresh_state, row.next_refresh_at) == ("dead", None)
    assert state_of(mesh, account).state == "paused"
    with mesh.engine.begin() as connection:
        accounts.resume(connection, account)
    deliver(mesh)
    assert state_of(mesh, account).state == "needs_reconnect"


def test_postgres_away_while_a_token_is_read_is_not_the_account_s_fault(
    mesh: Mesh, account: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = Away(mesh.engine)
    monkeypatch.setattr(mesh.resources.tokens, "_engine", away)
    away.left = 1
    delivery_id = deliver(mesh)
    assert (mesh.delivery(delivery_id).state, mesh.delivery(delivery_id).error_code) == ("retrying", "database_away")
    assert state_of(mesh, account).consecutive_failures == 0


def test_a_version_does_not_come_back_with_another_login(mesh: Mesh, account: UUID) -> None:
    """Notices and rejections name it."""
    mesh.sql("update integration_tokens set version = 50")
    Logins(mesh).oauth.disconnect(account)
    Logins(mesh).connect()
    assert token_row(mesh, account).version > 50


def test_an_answer_is_fenced_where_somebody_followed(mesh: Mesh, account: UUID) -> None:
    late, follower = uuid4(), uuid4()
    with mesh.engine.begin() as connection:
        db.tokens.take(connection, account, late, version=1, state="idle", lease_s=-1)
        db.tokens.lapse(connection)
    make_due(mesh, account)
    with mesh.engine.begin() as connection:
        assert db.tokens.take(connection, account, follower, version=1, state="answer_lost", lease_s=10)
        assert db.tokens.renew(connection, [(account, late), (account, follower)], lease_s=10) == 1
        grant = a_grant(mesh, account)
        assert db.tokens.store(connection, account, late, version=1, grant=grant) is None
        assert not db.tokens.bury(connection, account, late, version=1, error="x")
        assert not db.tokens.give_back(connection, account, late, state="idle", wait_s=0, error="x")
        assert db.tokens.store(connection, account, follower, version=1, grant=grant) == 2
        assert db.tokens.store(connection, account, follower, version=1, grant=grant) is None, "and once only"


def a_grant(mesh: Mesh, account: UUID) -> SealedGrant:
    return sealed(mesh.resources.vault, account, FACTS, Grant("at-x", "rt-x", 3600.0))


# -------------------------------------------------------------------------------------------------- rejected deliveries


def test_a_rejected_call_refreshes_and_is_tried_again_once(mesh: Mesh, account: UUID) -> None:
    mesh.sandbox.control.do("oauth2", "end_access_tokens")
    delivery_id = deliver(mesh)
    assert mesh.delivery(delivery_id).state == "succeeded"
    rows = mesh.attempts(delivery_id)
    assert [(row.attempt_number, row.http_status, row.error_code) for row in rows] == [
        (1, 401, "credentials_rejected"),
        (2, 200, None),
    ]
    assert asked(mesh.sandbox) == 1


def test_a_rejected_call_uses_the_newer_token_that_is_there(mesh: Mesh, account: UUID) -> None:
    """Its token was replaced while it was in the air."""
    mesh.sandbox.control.add_rule("/oauth2/messages", {"status": 401, "delay_s": 1}, times=1)
    ((_, delivery_id),) = mesh.publish(EVENT, DATA).deliveries
    deliver_beside = threading.Thread(target=mesh.deliver, args=(delivery_id,))
    deliver_beside.start()
    eventually(lambda: mesh.sandbox.control.state()["in_flight"] == 1, "the call is in the air")
    Logins(mesh).connect()
    deliver_beside.join()
    assert mesh.delivery(delivery_id).state == "succeeded"
    assert asked(mesh.sandbox) == 0
    assert state_of(mesh, account).state == "active"


def test_a_rejection_that_a_refresh_does_not_cure_stands(mesh: Mesh, account: UUID) -> None:
    mesh.sandbox.control.add_rule("/oauth2/messages", {"status": 401})
    delivery_id = deliver(mesh)
    row = mesh.delivery(delivery_id)
    assert (row.state, row.error_code, row.attempt_count) == ("retrying", "credentials_rejected", 2)
    assert asked(mesh.sandbox) == 1, "once per attempt"
    assert state_of(mesh, account).state == "needs_reconnect"


def test_a_rejection_with_a_dead_grant_stands(mesh: Mesh, account: UUID) -> None:
    mesh.sandbox.control.do("oauth2", "end_logins")
    delivery_id = deliver(mesh)
    assert mesh.delivery(delivery_id).attempt_count == 1
    assert state_of(mesh, account).state == "needs_reconnect"
    assert token_row(mesh, account).refresh_state == "dead"
    assert mesh.count("events", "type = 'integration.attention_needed'") == 1


def test_a_rejection_while_the_token_endpoint_is_down_is_nobody_s_end(mesh: Mesh, account: UUID) -> None:
    mesh.sandbox.control.do("oauth2", "end_access_tokens")
    mesh.sandbox.control.add_rule(TOKEN_DOOR, "oauth2:unavailable", times=1)
    delivery_id = deliver(mesh)
    row = mesh.delivery(delivery_id)
    assert (row.state, row.error_code) == ("retrying", "token_not_ready")
    assert state_of(mesh, account).state == "active"


def test_a_provider_whose_refresh_cures_no_rejection(
    servers: Servers, mesh_settings: Settings, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mesh_with_logins(servers, mesh_settings, sandbox, monkeypatch, refresh_on_rejection=False) as mesh:
        one_account(sandbox)
        account = Logins(mesh).connect().integration_id
        sandbox.control.do("oauth2", "end_access_tokens")
        assert mesh.delivery(deliver(mesh)).attempt_count == 1
        assert (asked(sandbox), state_of(mesh, account).state) == (0, "needs_reconnect")


def test_an_account_with_a_newer_token_is_not_marked(mesh: Mesh, account: UUID) -> None:
    with mesh.engine.begin() as connection:
        assert not db.integrations.set_state(connection, account, "needs_reconnect", "old", token_version=0)
        assert not db.integrations.set_state(connection, account, "needs_reconnect", "old", token_version=2)
        assert db.integrations.set_state(connection, account, "needs_reconnect", "now", token_version=1)
    mesh.sql("delete from integration_tokens")
    with mesh.engine.begin() as connection:
        assert db.integrations.set_state(connection, account, "active", "", token_version=0)


def test_the_wait_for_a_token_is_part_of_the_attempt(mesh: Mesh, account: UUID) -> None:
    expire(mesh, account)
    mesh.sandbox.control.add_rule(TOKEN_DOOR, "slow-200ms")
    delivery_id = deliver(mesh)
    (row,) = mesh.attempts(delivery_id)
    assert row.state == "succeeded"
    assert row.duration_ms >= 200


def test_a_call_does_not_wait_for_ever(mesh: Mesh, account: UUID) -> None:
    expire(mesh, account)
    mesh.sandbox.control.add_rule(TOKEN_DOOR, {"delay_s": 1.5})
    hasty = tokens_of(mesh, patience_s=0.3)
    with pytest.raises(Unavailable, match="is being renewed"):
        hasty.access(account)
    hasty.close()
    assert mesh.resources.tokens.access(account).version == 2, "and the exchange went on"
    assert asked(mesh.sandbox) == 1


# -------------------------------------------------------------------------------------------------------------- secrets


def test_keys_rotate_while_tokens_are_refreshed(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    logins = Logins(mesh)
    made = [logins.connect(name=f"n{n}").integration_id for n in range(6)]
    old = mesh.settings.mesh_encryption_keys.get_secret_value()
    both = vault.parse(f"{vault.generate('k2')},{old}")
    monkeypatch.setattr(mesh.resources.tokens, "_vault", both)
    monkeypatch.setattr(mesh.resources.tokens, "_patience_s", 30.0)
    stop = threading.Event()
    versions: list[int] = []

    def load(account: UUID) -> None:
        while not stop.is_set():
            expire(mesh, account)
            versions.append(mesh.resources.tokens.access(account).version)

    with ThreadPoolExecutor(6) as threads:
        loads = [threads.submit(load, account) for account in made]
        eventually(lambda: len(versions) > 12, "tokens are being refreshed")
        for _ in range(5):
            assert not any(column.unreadable for column in rotate(mesh.engine, both))
        eventually(lambda: len(versions) > 60, "and still are")
        stop.set()
        for each in loads:
            each.result(20)
    rotate(mesh.engine, both)
    assert unreadable(mesh.engine, both) == []
    rows = mesh.sql("select access_token_sealed a, refresh_token_sealed r from integration_tokens")
    assert len(rows) == 6
    assert all(row.a.startswith("v1:k2:") and row.r.startswith("v1:k2:") for row in rows)
    status = mesh.sandbox.control.do("oauth2", "status")
    assert (status["alive"], status["reuses"]) == (6, 0), "no grant was lost on the way"


def test_a_swapped_token_does_not_open(mesh: Mesh) -> None:
    logins = Logins(mesh)
    one, other = (logins.connect(name=name).integration_id for name in ("a", "b"))
    mesh.sql(
        "update integration_tokens set access_token_sealed = (select access_token_sealed from integration_tokens"
        " where integration_id = %(other)s) where integration_id = %(one)s",
        one=one,
        other=other,
    )
    with pytest.raises(vault.VaultError, match=f"integration_tokens.access_token_sealed:{one} cannot be opened"):
        mesh.resources.tokens.access(one)
    assert mesh.resources.tokens.access(other)


def test_no_token_anywhere(mesh: Mesh, logged: LogCapture, capfd: pytest.CaptureFixture[str]) -> None:
    planted = ["at-PLANTEDaccess0123456789", "rt-PLANTEDrefresh0123456789", "PLANTEDcode0123456789abc"]
    access, refresh, code = planted
    secrets = [*planted, mesh.settings.meta_ads_secret.get_secret_value()]
    logins, control = Logins(mesh), mesh.sandbox.control
    secrets.append(logins.browser_secret)
    given = {"access_token": access, "refresh_token": refresh, "expires_in": 3600, "scope": "read write"}
    callback = logins.callback()
    control.add_rule(TOKEN_DOOR, {"status": 200, "body": given}, times=1)
    reached = [{"id": "1", "name": "One", "currency": "EUR", "timezone": "UTC", "open": True}]
    control.add_rule("/oauth2/accounts", {"status": 200, "body": {"accounts": reached}, "work": False})
    account = logins.finish({**callback, "code": code}).integration_id
    errors: list[BaseException] = []
    echo = {"error": "x", "error_description": ""}  # of what was sent
    for fault in ({"status": 400, "body": echo}, {"status": 500, "body": echo}, {"body": echo}, "drop-after"):
        echo["error_description"] = f"no {refresh} or {secrets[3]}"
        control.add_rule(TOKEN_DOOR, fault, times=1)
        refreshed(mesh, account)
        refused = logins.callback()
        echo["error_description"] = f"no {code} or {secrets[3]}"
        control.add_rule(TOKEN_DOOR, fault, times=1)
        with pytest.raises(Exception, match=r".") as caught:
            logins.finish({**refused, "code": code})
        errors.append(caught.value)
    control.add_rule("/oauth2/messages", {"status": 401, "body": {"said": f"Bearer {access}"}}, times=1)
    deliver(mesh)
    control.add_rule("/oauth2/messages", {"status": 400, "body": {"said": f"token {access}"}}, times=1)
    deliver(mesh)
    control.add_rule(TOKEN_DOOR, {"status": 400, "body": {**echo, "error": "invalid_grant"}}, times=1)
    assert refreshed(mesh, account).refresh_state == "dead"
    assert mesh.count("integration_sync_logs", "answer like '%%said%%'") >= 2, "there was something to hide"
    logins.oauth.disconnect(account)

    for table in [row[0] for row in mesh.sql("select tablename from pg_tables where schemaname = 'public'")]:
        for row in mesh.sql(f'select * from "{table}" as t'):
            text = " ".join(written(value) for value in row)
            assert found_in(text, secrets) == [], f"a row of {table}: {text[:600]}"
    for key in mesh.redis.scan_iter(match="*"):
        assert found_in(repr((key, content(mesh, key))), secrets) == [], f"Redis key {key!r}"
    assert len(logged.entries) > 5
    for thing in (
        *logged.entries,
        *errors,
        *(error.__cause__ for error in errors),
        logins.oauth,
        mesh.resources.tokens,
    ):
        assert found_in(repr(thing) + str(thing), secrets) == [], thing
    out, err = capfd.readouterr()
    assert found_in(out + err, secrets) == []


def test_no_token_in_reprs() -> None:
    assert "at-secret" not in repr(Access("at-secret", 3)) + str(Access("at-secret", 3))
    sealed = SealedGrant("v1:k:at-secret", "v1:k:rt-secret", (), {}, None, None, None)
    assert "secret" not in repr(sealed)
