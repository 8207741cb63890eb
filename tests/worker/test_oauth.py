"""Connecting accounts by a login: what goes well, and every way in which it does not, each with its own sentence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from pydantic import SecretStr

import db.integrations
from providers.oauth2 import challenge
from sandbox.process import Sandbox
from settings import Settings
from tests.mesh import TENANT, Mesh
from tests.oauth import (
    DATA,
    EVENT,
    NAME,
    PUBLIC_URL,
    TOKEN_DOOR,
    Browser,
    Logins,
    mesh_with_logins,
    one_account,
    query_of,
    token_row,
)
from tests.servers import Servers
from worker import accounts, oauth_errors
from worker.accounts import AccountError
from worker.grants import opened
from worker.oauth import Connected, Revocation, new_browser_secret
from worker.resources import build


@pytest.fixture
def mesh(
    servers: Servers, mesh_settings: Settings, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Mesh]:
    with mesh_with_logins(servers, mesh_settings, sandbox, monkeypatch) as mesh:
        yield mesh


@pytest.fixture
def logins(mesh: Mesh) -> Logins:
    return Logins(mesh)


def row_of(mesh: Mesh, connected: Connected) -> Any:
    with mesh.engine.begin() as connection:
        return db.integrations.get(connection, connected.integration_id)


def nothing_was_stored(mesh: Mesh) -> bool:
    return mesh.count("integrations") == 0 and mesh.count("integration_tokens") == 0


def is_one_sentence(error: BaseException) -> bool:
    text = str(error)
    return text.endswith(".") and "\n" not in text and "Traceback" not in text and len(text) < 400


# ----------------------------------------------------------------------------------------------------------- begins


def test_the_authorize_url_says_all_that_the_provider_needs(mesh: Mesh, logins: Logins) -> None:
    asked = query_of(logins.begin())
    assert asked["client_id"] == "app-1"
    assert asked["response_type"] == "code"
    assert asked["redirect_uri"] == f"{PUBLIC_URL}/oauth/{NAME}/callback"
    assert asked["scope"] == "read write"
    assert asked["code_challenge_method"] == "S256"
    assert len(asked["state"]) >= 43
    row = mesh.sql("select * from oauth_states")[0]
    stored = repr(tuple(row)) + bytes(row.state_hash).hex()
    assert asked["state"] not in stored
    assert logins.browser_secret not in stored
    verifier = mesh.resources.vault.open(row.pkce_sealed, f"oauth_states.pkce_sealed:{bytes(row.state_hash).hex()}")
    assert verifier not in stored
    assert challenge(verifier) == asked["code_challenge"]
    assert 590 < (row.expires_at - row.created_at).total_seconds() <= 600


def test_every_login_has_a_state_and_a_verifier_of_its_own(logins: Logins) -> None:
    asked = [query_of(logins.begin()) for _ in range(20)]
    assert len({each["state"] for each in asked}) == len({each["code_challenge"] for each in asked}) == 20


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"provider": "nobody"}, "There is no provider 'nobody'"),
        ({"provider": "elevenlabs"}, "ElevenLabs is connected by its fields"),
        ({"tenant_id": "stranger"}, 'Tenant "stranger" is not known'),
        ({"fields": {"colour": "red"}}, "has no field 'colour'"),
        ({"fields": {"note": "a\nb"}}, "note holds a control character"),
    ],
)
def test_what_cannot_be_begun(mesh: Mesh, logins: Logins, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(AccountError, match=said) as caught:
        logins.begin(**changes)
    assert is_one_sentence(caught.value)
    assert mesh.count("oauth_states") == 0


@pytest.mark.parametrize("name", ["api_key", "secret"])
def test_a_missing_setting_is_named(mesh: Mesh, name: str) -> None:
    lacking = build(mesh.settings.model_copy(update={f"{NAME}_{name}": SecretStr("")}))
    other = Logins(mesh)
    object.__setattr__(other.oauth, "installed", lacking.installed)
    with pytest.raises(oauth_errors.SettingMissing, match=f"^META_ADS_{name.upper()} is not set: give the") as caught:
        other.begin()
    lacking.close()
    assert is_one_sentence(caught.value)


# --------------------------------------------------------------------------------------------------------- ends well


def test_with_several_accounts_it_waits_for_one_to_be_chosen(mesh: Mesh, logins: Logins) -> None:
    connected = logins.connect(fields={"pixel_id": "px1"})
    assert connected.waits_for_choice
    assert [(each.id, bool(each.unusable)) for each in connected.accounts] == [
        ("1001", False),
        ("1002", False),
        ("1003", True),
    ]
    row = row_of(mesh, connected)
    assert (row.state, row.external_account_id, row.config) == ("paused", None, {"pixel_id": "px1"})
    assert row.state_reason == f"choose an account: mesh integrations accounts {row.id}"
    with pytest.raises(AccountError, match="choose one with"), mesh.engine.begin() as connection:
        accounts.resume(connection, row.id)
    chosen = logins.oauth.choose(connected.integration_id, "1002")
    assert chosen.chosen is not None
    row = row_of(mesh, connected)
    assert (row.state, row.external_account_id) == ("active", "1002")
    assert row.config == {
        "pixel_id": "px1",
        "account_id": "1002",
        "account_name": "South",
        "currency": "USD",
        "timezone": "America/New_York",
    }


def test_a_single_usable_account_is_chosen_at_once(mesh: Mesh, logins: Logins) -> None:
    one_account(mesh.sandbox)
    connected = logins.connect()
    assert connected.chosen is not None
    assert (connected.chosen.id, connected.waits_for_choice) == ("1001", False)
    assert row_of(mesh, connected).state == "active"
    token = token_row(mesh, connected.integration_id)
    assert (token.version, token.refresh_state, token.scopes) == (1, "idle", ["read", "write"])
    assert 2900 < (token.next_refresh_at - token.obtained_at).total_seconds() < 3600
    grant = opened(mesh.resources.vault, mesh.resources.tokens.row(connected.integration_id))
    assert grant.access_token.startswith("at-")
    assert (grant.refresh_token or "").startswith("rt-")
    assert "at-" not in token.access_token_sealed
    assert "rt-" not in token.refresh_token_sealed


def test_only_accounts_that_are_there_and_usable_can_be_chosen(mesh: Mesh, logins: Logins) -> None:
    connected = logins.connect()
    with pytest.raises(AccountError, match="does not reach account '7'"):
        logins.oauth.choose(connected.integration_id, "7")
    with pytest.raises(AccountError, match="Account 1003 cannot be used: It is closed"):
        logins.oauth.choose(connected.integration_id, "1003")
    with pytest.raises(AccountError, match="There is no integration"):
        logins.oauth.choose(uuid4(), "1001")
    assert row_of(mesh, connected).state == "paused"


def test_a_reconnect_replaces_the_token_and_resumes_what_waited(mesh: Mesh, logins: Logins) -> None:
    one_account(mesh.sandbox)
    first = logins.connect(fields={"note": "kept"})
    mesh.sandbox.control.do("oauth2", "end_logins")
    ((_, delivery_id),) = mesh.publish(EVENT, DATA).deliveries
    mesh.deliver(delivery_id)
    assert row_of(mesh, first).state == "needs_reconnect"
    mesh.deliver(delivery_id)
    assert mesh.delivery(delivery_id).due_at.year == 9999, "it is parked"
    again = logins.connect(fields={"pixel_id": "px2"})
    assert (again.integration_id, again.resumed) == (first.integration_id, 1)
    row = row_of(mesh, again)
    assert (row.state, row.config["note"], row.config["pixel_id"]) == ("active", "kept", "px2")
    token = token_row(mesh, again.integration_id)
    assert (token.version, token.refresh_state, token.last_error) == (2, "idle", None)
    mesh.drain()
    assert mesh.delivery(delivery_id).state == "succeeded"


def test_the_account_that_was_chosen_stays_where_the_login_still_reaches_it(mesh: Mesh, logins: Logins) -> None:
    first = logins.connect()
    logins.oauth.choose(first.integration_id, "1002")
    assert row_of(mesh, logins.connect()).external_account_id == "1002"


def test_nothing_goes_to_another_account_than_the_one_that_was_chosen(mesh: Mesh, logins: Logins) -> None:
    first = logins.connect()
    logins.oauth.choose(first.integration_id, "1002")
    mesh.sandbox.control.do("oauth2", "end_logins")
    ((_, delivery_id),) = mesh.publish(EVENT, DATA).deliveries
    mesh.deliver(delivery_id)
    mesh.deliver(delivery_id)
    one_account(mesh.sandbox)  # 1001, and no longer 1002: somebody else logged in
    for _ in range(2):
        again = logins.connect()
        assert (again.waits_for_choice, again.resumed) == (True, 0)
        row = row_of(mesh, again)
        assert (row.state, row.config) == ("paused", {})
        assert row.state_reason.startswith("the login does not reach account 1002: log in again as somebody who does")
        assert mesh.delivery(delivery_id).due_at.year == 9999, "it waits for the account it was meant for"
    chosen = logins.oauth.choose(again.integration_id, "1001")
    assert (row_of(mesh, again).state, chosen.resumed) == ("active", 1)


def test_another_account_starts_from_the_beginning(mesh: Mesh, logins: Logins) -> None:
    connected = logins.connect()
    logins.oauth.choose(connected.integration_id, "1001")
    mesh.sql(
        "insert into sync_cursors (integration_id, stream, cursor, synced_at)"
        f" values ('{connected.integration_id}', 'insights', '{{\"through\": \"2026-11-22\"}}', now())"
    )
    mesh.sql(
        "insert into campaign_links (integration_id, external_id, seen_at)"
        f" values ('{connected.integration_id}', 'of-1001', now())"
    )
    walk = mesh.publish(EVENT, DATA).deliveries[0][1]
    mesh.sql("update deliveries set event_type = 'sync.due', progress = '{\"page\": 3}'")
    logins.oauth.choose(connected.integration_id, "1001")
    assert mesh.count("campaign_links") == 1, "the same account keeps them"
    assert mesh.delivery(walk).progress == {"page": 3}
    logins.oauth.choose(connected.integration_id, "1002")
    assert mesh.sql("select cursor, synced_at from sync_cursors") == [({}, None)]
    assert mesh.count("campaign_links") == 0, "else its campaigns look deleted in the next listing"
    assert mesh.delivery(walk).progress is None


def test_a_login_that_no_longer_reaches_the_account_waits_for_another_choice(mesh: Mesh, logins: Logins) -> None:
    one_account(mesh.sandbox)
    logins.connect()
    others = [
        {"id": str(number), "name": str(number), "currency": "EUR", "timezone": "UTC", "open": True}
        for number in (21, 22)
    ]
    mesh.sandbox.control.do("oauth2", "change", accounts=others)
    again = logins.connect()
    row = row_of(mesh, again)
    assert (row.state, row.config) == ("paused", {}), "no call goes to the old account"
    assert row.external_account_id == "1001", "what it used before is remembered"


def test_names_tell_accounts_apart(mesh: Mesh, logins: Logins) -> None:
    one_account(mesh.sandbox)
    ids = {logins.connect(name=name).integration_id for name in ("a", "b", "a")}
    assert len(ids) == mesh.count("integrations") == 2


# -------------------------------------------------------------------------------------------------------- ends badly


def test_cancelled(mesh: Mesh, logins: Logins) -> None:
    callback = logins.callback("deny")
    with pytest.raises(oauth_errors.Cancelled, match="was cancelled: nothing was connected") as caught:
        logins.finish(callback)
    assert is_one_sentence(caught.value)
    with pytest.raises(oauth_errors.UsedState):
        logins.finish(callback)
    assert nothing_was_stored(mesh)


def test_a_callback_with_the_state_alone_is_a_cancelled_one(logins: Logins) -> None:
    with pytest.raises(oauth_errors.Cancelled):
        logins.finish({"state": query_of(logins.begin())["state"]})


def test_what_else_the_provider_says_in_place_of_a_code(logins: Logins) -> None:
    state = query_of(logins.begin())["state"]
    said = {"state": state, "error": "invalid_scope", "error_description": "No such\r\nscope \x1b[31m" + "x" * 999}
    with pytest.raises(oauth_errors.ProviderRefused, match="refused the login: No such scope") as caught:
        logins.finish(said)
    assert is_one_sentence(caught.value)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("state", [None, "", "x", "a" * 43, "\x00", "ä€\ud800"])
def test_a_state_that_nobody_began(mesh: Mesh, logins: Logins, state: str | None) -> None:
    callback = logins.callback()
    changed = {name: value for name, value in {**callback, "state": state}.items() if value is not None}
    with pytest.raises(oauth_errors.UnknownState) as caught:
        logins.finish(changed)
    assert is_one_sentence(caught.value)
    assert mesh.sandbox.control.counts(TOKEN_DOOR)["requests"] == 0
    assert logins.finish(callback), "the right one still works"


def test_a_state_of_another_provider(mesh: Mesh, logins: Logins) -> None:
    callback = logins.callback()
    mesh.sql("update oauth_states set provider = 'tiktok_ads'")
    with pytest.raises(oauth_errors.UnknownState):
        logins.finish(callback)


def test_a_replay(mesh: Mesh, logins: Logins) -> None:
    callback = logins.callback()
    logins.finish(callback)
    with pytest.raises(oauth_errors.UsedState, match="was finished before") as caught:
        logins.finish(callback)
    assert is_one_sentence(caught.value)
    assert mesh.sandbox.control.counts(TOKEN_DOOR)["requests"] == 1, "the code was not sent again"
    assert mesh.sandbox.control.do("oauth2", "status")["alive"] == 1


def test_another_browser(mesh: Mesh, logins: Logins) -> None:
    callback = logins.callback()
    for stranger in ("", new_browser_secret()):
        with pytest.raises(oauth_errors.OtherBrowser, match="in another browser") as caught:
            logins.finish(callback, browser_secret=stranger)
        assert is_one_sentence(caught.value)
    assert nothing_was_stored(mesh)
    assert logins.finish(callback), "whoever began it may still finish"


def test_an_expired_state(mesh: Mesh, logins: Logins) -> None:
    callback = logins.callback()
    mesh.sql("update oauth_states set expires_at = now()")
    with pytest.raises(oauth_errors.ExpiredState, match="more than ten minutes ago") as caught:
        logins.finish(callback)
    assert is_one_sentence(caught.value)
    assert nothing_was_stored(mesh)


def test_old_states_are_forgotten(mesh: Mesh, logins: Logins) -> None:
    logins.begin()
    logins.begin()
    mesh.sql(
        "update oauth_states set expires_at = now() - interval '2 hours' where state_hash = ("
        "select min(state_hash::text)::bytea from oauth_states)"
    )
    mesh.resources.tokens.due()
    assert mesh.count("oauth_states") == 1


def test_a_code_that_was_used(mesh: Mesh, logins: Logins) -> None:
    spent, fresh = logins.callback(), logins.callback()
    logins.finish(spent)
    with pytest.raises(oauth_errors.CodeRefused, match="used or expired: begin again") as caught:
        logins.finish({**fresh, "code": spent["code"]})
    assert is_one_sentence(caught.value)


def test_a_wrong_verifier(mesh: Mesh, logins: Logins) -> None:
    """A code that was stolen and brought to another login is worth nothing: the verifier is that login's own."""
    stolen, own = logins.callback(), logins.callback()
    with pytest.raises(oauth_errors.CodeRefused):
        logins.finish({"code": stolen["code"], "state": own["state"]})
    assert nothing_was_stored(mesh)


@pytest.mark.parametrize("path", [TOKEN_DOOR, "/oauth2/accounts"])
@pytest.mark.parametrize("fault", ["500", "drop", "drop-after", "wrong-json", {"status": 503}])
def test_a_provider_that_is_down(mesh: Mesh, logins: Logins, path: str, fault: Any) -> None:
    callback = logins.callback()
    mesh.sandbox.control.add_rule(path, fault)
    with pytest.raises(oauth_errors.ProviderDown, match="nothing was stored: begin again") as caught:
        logins.finish(callback)
    assert is_one_sentence(caught.value)
    assert nothing_was_stored(mesh)
    mesh.sandbox.control.clear_rules()
    assert logins.connect()


def test_a_wrong_app_secret(mesh: Mesh, logins: Logins) -> None:
    callback = logins.callback()
    mesh.sandbox.control.add_rule(TOKEN_DOOR, "oauth2:invalid_client")
    with pytest.raises(oauth_errors.WrongSecret, match="does not take META_ADS_API_KEY with META_ADS_SECRET") as caught:
        logins.finish(callback)
    assert is_one_sentence(caught.value)


def test_permissions_that_were_taken_away(mesh: Mesh, logins: Logins) -> None:
    mesh.sandbox.control.do("oauth2", "change", withheld=["write"])
    with pytest.raises(oauth_errors.MissingPermissions, match="did not give write: begin again") as caught:
        logins.connect()
    assert is_one_sentence(caught.value)
    assert nothing_was_stored(mesh)


@pytest.mark.parametrize(
    ("reached", "said"),
    [
        ([], "reaches no account that can be used: log in as"),
        (
            [{"id": "9", "name": "Shut", "currency": "EUR", "timezone": "UTC", "open": False}],
            "can be used; Shut: It is closed: log in as",
        ),
    ],
)
def test_no_usable_account(mesh: Mesh, logins: Logins, reached: Any, said: str) -> None:
    mesh.sandbox.control.do("oauth2", "change", accounts=reached)
    with pytest.raises(oauth_errors.NoUsableAccount, match=said) as caught:
        logins.connect()
    assert is_one_sentence(caught.value)
    assert nothing_was_stored(mesh)


# --------------------------------------------------------------------------------------------------------- afterwards


def test_disconnecting_tells_the_provider_and_forgets_the_token(mesh: Mesh, logins: Logins) -> None:
    connected = logins.connect()
    assert logins.oauth.disconnect(connected.integration_id) is Revocation.DONE
    assert mesh.count("integration_tokens") == 0
    assert row_of(mesh, connected).state == "disconnected"
    assert mesh.sandbox.control.do("oauth2", "status")["alive"] == 0
    assert logins.oauth.disconnect(connected.integration_id) is Revocation.NONE


def test_a_provider_that_is_down_keeps_nobody_connected(mesh: Mesh, logins: Logins) -> None:
    connected = logins.connect()
    mesh.sandbox.control.add_rule("/oauth2/revoke", "drop")
    assert logins.oauth.disconnect(connected.integration_id) is Revocation.FAILED
    assert mesh.count("integration_tokens") == 0
    assert row_of(mesh, connected).state == "disconnected"


def test_a_login_that_others_live_by_is_not_revoked(mesh: Mesh, logins: Logins) -> None:
    one, other = (logins.connect(name=name).integration_id for name in ("a", "b"))
    mesh.sql("""update integration_tokens set details = '{"user_id": "u1"}'""")
    assert logins.oauth.disconnect(one) is Revocation.SHARED
    assert logins.oauth.disconnect(other) is Revocation.DONE


@pytest.mark.parametrize("change", [accounts.resume, accounts.pause])
def test_only_a_login_brings_a_disconnected_account_back(mesh: Mesh, logins: Logins, change: Any) -> None:
    one_account(mesh.sandbox)
    connected = logins.connect()
    logins.oauth.disconnect(connected.integration_id)
    with pytest.raises(AccountError, match="is disconnected: `mesh integrations reconnect"), mesh.engine.begin() as c:
        change(c, connected.integration_id)
    assert row_of(mesh, connected).state == "disconnected"
    logins.connect()
    assert row_of(mesh, connected).state == "active"


def test_after_disconnecting_a_version_is_not_used_again(mesh: Mesh, logins: Logins) -> None:
    one_account(mesh.sandbox)
    connected = logins.connect()
    before = token_row(mesh, connected.integration_id).version
    logins.oauth.disconnect(connected.integration_id)
    again = logins.connect()
    assert again.integration_id == connected.integration_id
    assert token_row(mesh, again.integration_id).version > before
    assert row_of(mesh, again).state == "active"


def test_accounts_after_the_login_ended(mesh: Mesh, logins: Logins) -> None:
    connected = logins.connect()
    mesh.sandbox.control.do("oauth2", "end_logins")
    with pytest.raises(oauth_errors.ProviderRefused, match="does not take the token any more: connect it again"):
        logins.oauth.accounts(connected.integration_id)


def test_fields_alone_connect_nobody(mesh: Mesh) -> None:
    mesh.tenant()
    with pytest.raises(AccountError, match="by a login there"), mesh.engine.begin() as connection:
        accounts.connect(
            connection, mesh.resources.vault, tenant_id=TENANT, provider=NAME, fields={}, name="x", installed=()
        )


def test_changed_fields_keep_the_account(mesh: Mesh, logins: Logins) -> None:
    one_account(mesh.sandbox)
    connected = logins.connect(fields={"note": "old"})
    with mesh.engine.begin() as connection:
        accounts.reconnect(connection, mesh.resources.vault, connected.integration_id, {"note": "new"})
    config = row_of(mesh, connected).config
    assert (config["note"], config["account_id"], config["timezone"]) == ("new", "1001", "Europe/Berlin")


def test_no_transaction_is_open_while_the_provider_is_asked(mesh: Mesh, logins: Logins) -> None:
    seen: list[int] = []
    send = mesh.resources.transport.send

    def looking(request: Any, deadline_s: float) -> Any:
        seen.append(mesh.engine.pool.checkedout())  # type: ignore[attr-defined]
        return send(request, deadline_s)

    callback = logins.callback()
    watched = type("Watched", (), {"send": staticmethod(looking)})()
    object.__setattr__(logins.oauth, "transport", watched)
    connected = logins.finish(callback)
    logins.oauth.disconnect(connected.integration_id)
    assert seen == [0, 0, 0], "token, accounts, revoke"


def test_the_page_of_ours_is_kept(logins: Logins) -> None:
    assert logins.connect(redirect_to="/ui/integrations").redirect_to == "/ui/integrations"


def test_the_dialog_refuses_a_broken_link(sandbox: Sandbox, logins: Logins) -> None:
    url = urlsplit(logins.begin())
    for wrong in ("", "client_id=a&response_type=code&redirect_uri=javascript:1"):
        assert Browser().open(url._replace(query=wrong).geturl()).status == 400
