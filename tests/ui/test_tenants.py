"""Who is bound to a tenant sees that tenant's rows, as if there were no other; who is not sees all, or one of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from uuid import UUID

import pytest

import db.inbox
from tests.mesh import Mesh
from tests.ui.conftest import Enter, Visit, said
from worker import api_keys, chain_setup, ids, people
from worker.redelivery import redeliver_all

LISTS = (
    *("/", "/integrations", "/webhooks", "/events", "/deliveries", "/letters", "/chains", "/inbox", "/keys", "/audit"),
    *("/rejected", "/rejected?all=1", "/people"),
)


@dataclass(frozen=True)
class Theirs:
    """What the other tenant has."""

    event: UUID
    delivery: UUID
    hook: UUID
    account: UUID
    replay: UUID
    rejection: UUID
    message: UUID
    key: UUID


@pytest.fixture
def theirs(mesh: Mesh, cheap: None) -> Theirs:
    """A row of every kind, of globex; acme has none but itself."""
    mesh.tenant()
    hook = mesh.hook("/receive/globex-hook", tenant="globex")
    account = mesh.account(tenant="globex", name="globex-account")
    delivery = mesh.signup(tenant="globex")
    mesh.sql(
        "update deliveries set state = 'failed', due_at = null, error_code = 'globex_error', settled_at = now()"
        " where id = %(id)s",
        id=delivery,
    )
    step = {
        "do": "audio.render_requested",
        "integration": "elevenlabs",
        "data": {"text": "x"},
    }
    message, rejection = ids.new(), ids.new()
    with mesh.engine.begin() as connection:
        chain_setup.apply(connection, "globex", {"name": "globex-chain", "steps": [{"on": "report.generated", **step}]})
        replay = redeliver_all(connection, requested_by="globex-person", tenant_id="globex")
        key = api_keys.create(connection, name="globex-key", tenant_id="globex").id
        people.add(connection, "globex-person", "viewer", "correct horse battery", "globex")
        db.inbox.refuse(
            connection,
            inbox_id=message,
            provider="elevenlabs",
            integration_id=account,
            reason="globex-reason",
            headers={},
            body=b"{}",
        )
    mesh.sql(
        "insert into rejected_events (id, door, reason, body, body_size, tenant_id, event_type) values"
        " (%(id)s, 'redis', 'globex-rejection', '{}', 2, 'globex', 'user.signup')",
        id=rejection,
    )
    mesh.sql("insert into audit_log (door, actor, tenant_id, action) values ('pages', 'globex-actor', 'globex', 'x')")
    event = mesh.delivery(delivery).event_id
    return Theirs(event, delivery, hook.webhook_id, account, replay, rejection, message, key)


def pages_of(theirs: Theirs) -> list[str]:
    account, hook = f"/integrations/{theirs.account}", f"/webhooks/{theirs.hook}"
    return [
        *(f"/events/{theirs.event}", f"/deliveries/{theirs.delivery}", hook, account, f"{account}/reconnect"),
        *(f"{account}/choose", f"/replays/{theirs.replay}", f"/rejected/{theirs.rejection}"),
        *(f"/inbox/{theirs.message}", "/chains/one?tenant=globex&name=globex-chain"),
    ]


FORMS = (
    *(
        f"/integrations/{{account}}/{act}"
        for act in ("pause", "resume", "disconnect", "test", "sync", "choose", "limits")
    ),
    "/integrations/{account}/reconnect",
    *(f"/webhooks/{{hook}}/{act}" for act in ("rotate", "test", "enable", "disable", "unregister", "change")),
    *("/deliveries/{delivery}/replay", "/rejected/{rejection}/accept", "/rejected/{rejection}/dismiss"),
    *("/keys/{key}/revoke", "/people/globex-person/disabled"),
)


def changed(mesh: Mesh) -> list[tuple[object, ...]]:
    """Everything that the forms could have changed."""
    tables = ("integrations", "webhooks", "deliveries", "rejected_events", "api_keys", "chain_steps", "replays")
    rows = [tuple(row) for table in tables for row in mesh.sql(f"select t::text from {table} t order by id")]
    return [*rows, *(tuple(row) for row in mesh.sql("select name, state from people order by name"))]


@pytest.fixture
def bound(mesh: Mesh, theirs: Theirs, enter: Enter) -> Visit:
    """An admin of acme alone."""
    return enter("admin", "acme", name="ada")


def test_another_tenants_rows_are_not_there(bound: Visit, theirs: Theirs) -> None:
    assert {path: bound.get(path).status_code for path in pages_of(theirs)} == dict.fromkeys(pages_of(theirs), 404)


def test_another_tenants_rows_are_not_changed(mesh: Mesh, bound: Visit, theirs: Theirs) -> None:
    before = changed(mesh)
    for form in FORMS:
        path = form.format(**{name: getattr(theirs, name) for name in Theirs.__dataclass_fields__})
        assert bound.post(path, {"account": "1001"}).status_code == 404, path
    for path, fields in {
        "/connect/elevenlabs": {"tenant": "globex", "field-api_key": "k", "field-voice_id": "v"},
        "/webhooks/new": {"tenant": "globex", "event_type": "*", "url": "https://example.com/"},
        "/chains/new": {"tenant": "globex", "definition": "{}"},
        "/chains/one/disable": {"tenant": "globex", "name": "globex-chain"},
        "/letters/replay": {"tenant": "globex", "sure": "yes"},
        "/keys": {"tenant": "globex", "name": "k", "scope": "read"},
        "/people": {"tenant": "globex", "name": "eve", "role": "admin", "password": "correct horse battery"},
    }.items():
        assert bound.post(path, fields).status_code == 404, path
    assert bound.post("/letters/replay", {"webhook": str(theirs.hook), "sure": "yes"}).status_code == 404
    assert changed(mesh) == before


def test_no_list_shows_them(bound: Visit, theirs: Theirs) -> None:
    for path in LISTS:
        for suffix in ("", "&fragment=1" if "?" in path else "?fragment=1"):
            answer = bound.get(path + suffix)
            assert answer.status_code == 200, path
            assert "globex" not in answer.text, path


def test_who_sees_all_finds_them_in_the_same_lists(enter: Enter, theirs: Theirs) -> None:
    visit = enter("admin")
    for path in LISTS:
        without_filters = re.sub(r"<option[^>]*>.*?</option>", "", visit.get(path).text)
        assert ("globex" in without_filters) or path == "/", path
    for path in pages_of(theirs):
        if not path.endswith("/choose"):  # there is no login behind this account
            assert visit.get(path).status_code == 200, path


def test_another_tenant_cannot_be_asked_for(bound: Visit) -> None:
    for path in LISTS[:-3]:
        assert bound.get(f"{path}?tenant=globex").status_code == 404, path
        assert bound.get(f"{path}?tenant=acme").status_code == 200, path


def test_who_sees_all_may_look_at_one(mesh: Mesh, enter: Enter, theirs: Theirs) -> None:
    mesh.hook("/receive/acme-hook")
    mesh.signup()
    visit = enter("operator")
    rows = re.findall(r'data-label="Tenant">(\w+)', visit.get("/deliveries").text)
    assert sorted(rows) == ["acme", "globex"]
    assert re.findall(r'data-label="Tenant">(\w+)', visit.get("/deliveries?tenant=acme").text) == ["acme"]


def test_what_a_bound_person_makes_is_their_tenants(mesh: Mesh, bound: Visit) -> None:
    bound.did("/webhooks/new", {"event_type": "user.signup", "url": f"{mesh.sandbox.url}/receive/x"})
    bound.did("/keys", {"name": "their key", "scope": "read"})
    bound.did("/people", {"name": "eve", "role": "viewer", "password": "correct horse battery"})
    for table, name in (("webhooks", "event_type = 'user.signup'"), ("api_keys", "name = 'their key'")):
        assert mesh.one(f"select tenant_id from {table} where {name} order by id desc") == "acme"
    assert mesh.one("select tenant_id from people where name = 'eve'") == "acme"


def test_a_message_to_the_whole_app_is_for_those_who_see_all(mesh: Mesh, enter: Enter, theirs: Theirs) -> None:
    message = ids.new()
    with mesh.engine.begin() as connection:
        db.inbox.refuse(
            connection,
            inbox_id=message,
            provider="meta_ads",
            integration_id=None,
            reason="Nobody's.",
            headers={},
            body=b"",
        )
    assert "Nobody's." in said(enter("viewer").get("/inbox").text)
    bound = enter("viewer", "acme")
    assert "Nobody's." not in said(bound.get("/inbox").text)
    assert bound.get(f"/inbox/{message}").status_code == 404


def test_a_tenant_is_added_once_by_an_admin_of_all(mesh: Mesh, enter: Enter) -> None:
    visit = enter("admin", name="ada")
    assert "There is no tenant yet: add the first" in visit.read("/")
    assert "Tenant acme is there." in visit.did("/tenants", {"id": "acme", "name": "Acme Ltd."})
    assert "was there already" in visit.did("/tenants", {"id": "acme", "name": "another"})
    assert "cannot be a tenant's id" in visit.refused("/tenants", {"id": "a b"})
    assert [tuple(row) for row in mesh.sql("select id, name from tenants")] == [("acme", "Acme Ltd.")]
    done = mesh.sql("select actor, action, tenant_id from audit_log where subject = 'tenant'")
    assert [tuple(row) for row in done] == [("ada", "create", "acme")]
    bound = enter("admin", tenant="acme")
    assert "Acme Ltd." in bound.read("/tenants")
    assert "Tenants are added by admins of all tenants." in said(bound.post("/tenants", {"id": "b"}).text)
