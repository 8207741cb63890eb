"""Chains: what one account's result starts at the next, in the order in which people meet it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

import db.events
from model import Cost, Done, Event, NewEvent
from providers import PROVIDERS
from providers.contract import Action, Call
from tests.mesh import Mesh, eventually
from worker import accounts, chain_setup, rejections
from worker.catalog import event_types
from worker.chain_setup import ChainError
from worker.enqueue import accept
from worker.reconcile import route_events

SPEAK = "audio.render_requested"
SPOKEN = "audio.rendered"
WELCOME = {
    "name": "welcome",
    "steps": [
        {
            "on": "user.signup",
            "integration": "elevenlabs/main",
            "do": SPEAK,
            "data": {"text": "Hello {{user_id}}", "name": "{{plan?}}"},
        },
        {
            "on": SPOKEN,
            "integration": "elevenlabs/second",
            "do": SPEAK,
            "data": {"text": "{{asset_id}} for {{user.signup:user_id}}"},
        },
    ],
}


def speak(call: Call) -> Done:
    """Says what it was asked, and what that cost."""
    text = call.event.data["text"]
    facts = {"asset_id": f"a-{len(text)}", "uri": "memory://a", "mime": "audio/mpeg", "name": text}
    event = NewEvent(call.event.tenant_id, SPOKEN, facts, f"{SPOKEN}:{call.delivery_id}")
    return Done(facts, events=(event,), cost=Cost(Decimal(len(text)), "characters"))


@pytest.fixture
def two(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> tuple[UUID, UUID]:
    """Two accounts of a provider that speaks at once."""
    action = Action(speak, publishes=(SPOKEN,))
    monkeypatch.setitem(PROVIDERS, "elevenlabs", replace(PROVIDERS["elevenlabs"], actions={SPEAK: action}))
    return mesh.account(name="main"), mesh.account(name="second")


def applied(mesh: Mesh, definition: Any = WELCOME, tenant: str = "acme") -> chain_setup.Applied:
    with mesh.engine.begin() as connection:
        return chain_setup.apply(connection, tenant, definition)


def state(mesh: Mesh, wanted: str, chain: str = "welcome") -> int:
    with mesh.engine.begin() as connection:
        return chain_setup.set_state(connection, "acme", chain, wanted)


def story(mesh: Mesh) -> list[tuple[str, Any]]:
    """Every event with the text or name in it, in order."""
    rows = mesh.sql("select type, data from events order by id")
    return [(row.type, row.data.get("text") or row.data.get("name") or row.data.get("user_id")) for row in rows]


# ------------------------------------------------------------------------------------------------------------- walking


def test_a_chain_walks_from_account_to_account(mesh: Mesh, two: tuple[UUID, UUID]) -> None:
    assert applied(mesh) == chain_setup.Applied("welcome", 2, "set up", ())
    mesh.publish()
    mesh.drain()
    assert story(mesh) == [
        ("user.signup", "usr_31"),
        (SPEAK, "Hello usr_31"),
        (SPOKEN, "Hello usr_31"),
        (SPEAK, "a-12 for usr_31"),
        (SPOKEN, "a-12 for usr_31"),
    ]
    deliveries = mesh.sql("select integration_id, state from deliveries order by id")
    assert [tuple(row) for row in deliveries] == [(two[0], "succeeded"), (two[1], "succeeded")]


def test_all_of_it_is_one_trace_with_what_each_call_cost(mesh: Mesh, two: tuple[UUID, UUID]) -> None:
    applied(mesh)
    first = mesh.publish().event_id
    mesh.drain()
    rows = mesh.sql("select id, caused_by, trace_id, chain_step_id from events order by id")
    assert [row.caused_by for row in rows] == [None, *(row.id for row in rows[:-1])]
    assert [row.trace_id for row in rows] == [None, first, first, first, first]
    steps = [row[0] for row in mesh.sql("select id from chain_steps order by position")]
    assert [row.chain_step_id for row in rows] == [None, steps[0], None, steps[1], None]
    assert {row[0] for row in mesh.sql("select trace_id from deliveries")} == {first}
    attempts = mesh.sql("select trace_id, cost, cost_unit from integration_sync_logs order by id")
    assert [tuple(row) for row in attempts] == [(first, 12, "characters"), (first, 15, "characters")]


def test_a_step_s_event_goes_to_its_account_alone(mesh: Mesh, two: tuple[UUID, UUID]) -> None:
    mesh.hook("/receive/every", event_type="*")
    applied(mesh, {"name": "welcome", "steps": WELCOME["steps"][:1]})
    mesh.publish()
    mesh.drain()
    asked = mesh.sql("select integration_id, webhook_id from deliveries where event_type = %(type)s", type=SPEAK)
    assert [tuple(row) for row in asked] == [(two[0], None)]
    assert mesh.count("deliveries", "webhook_id is not null") == 2, "what happened goes to the webhook, requests do not"


def test_an_account_that_takes_no_events_of_its_own_accord_is_reached_by_chains(
    mesh: Mesh, two: tuple[UUID, UUID]
) -> None:
    mesh.sql("update integrations set event_types = '{}'")
    applied(mesh)
    mesh.publish()
    mesh.drain()
    assert len(story(mesh)) == 5
    assert mesh.publish(SPEAK, {"text": "x"}).deliveries == ()


def test_filters_decide_as_they_do_for_webhooks(mesh: Mesh, two: tuple[UUID, UUID]) -> None:
    step = {**WELCOME["steps"][0], "where": {"plan": ["pro", "team"]}}  # type: ignore[dict-item]
    applied(mesh, {"name": "welcome", "steps": [step]})
    mesh.publish(data={"user_id": "a", "plan": "free"})
    mesh.publish(data={"user_id": "b", "plan": "team"})
    assert [text for kind, text in story(mesh) if kind == SPEAK] == ["Hello b"]


def test_a_later_step_follows_only_its_own_chain(mesh: Mesh, two: tuple[UUID, UUID]) -> None:
    applied(mesh)
    mesh.publish(SPEAK, {"text": "by hand"})
    mesh.drain()
    assert [kind for kind, _ in story(mesh)] == [SPEAK, SPOKEN, SPOKEN], "both accounts spoke, no step was started"


def test_steps_may_branch(mesh: Mesh, two: tuple[UUID, UUID]) -> None:
    third = {"on": SPOKEN, "after": 1, "integration": "elevenlabs/main", "do": SPEAK, "data": {"text": "also"}}
    applied(mesh, {"name": "welcome", "steps": [*WELCOME["steps"], third]})
    mesh.publish()
    mesh.drain()
    assert sorted(text for kind, text in story(mesh) if kind == SPEAK) == ["Hello usr_31", "a-12 for usr_31", "also"]


def test_the_same_event_published_again_starts_nothing_new(mesh: Mesh, two: tuple[UUID, UUID]) -> None:
    applied(mesh)
    for _ in range(3):
        mesh.publish(key="k1")
        mesh.drain()
    assert len(story(mesh)) == 5


def test_every_door_starts_chains(mesh: Mesh, two: tuple[UUID, UUID]) -> None:
    applied(mesh)
    mesh.receive({"type": "user.signup", "tenant_id": "acme", "data": {"user_id": "redis"}})
    mesh.receive(
        {"type": "user.signup", "tenant_id": "acme", "data": {"user_id": "direct"}}, message_id="d", direct=True
    )
    mesh.sql("select publish_event('acme', 'user.signup', '{\"user_id\": \"sql\"}', 'k')")
    route_events(mesh.engine)

    def all_have_spoken_twice() -> bool:
        mesh.drain()
        return mesh.count("events", f"type = '{SPOKEN}'") == 6

    eventually(all_have_spoken_twice)
    said = [text for kind, text in story(mesh) if kind == SPEAK and text.startswith("Hello")]
    assert sorted(said) == ["Hello direct", "Hello redis", "Hello sql"]


def test_other_tenants_are_left_alone(mesh: Mesh, two: tuple[UUID, UUID]) -> None:
    applied(mesh)
    mesh.account(tenant="other")
    mesh.publish(tenant="other")
    mesh.drain()
    assert story(mesh) == [("user.signup", "usr_31")]


def test_a_paused_account_makes_its_step_wait(mesh: Mesh, two: tuple[UUID, UUID]) -> None:
    applied(mesh)
    with mesh.engine.begin() as connection:
        accounts.pause(connection, two[1])
    mesh.publish()
    mesh.drain()
    assert mesh.count("deliveries", "due_at = 'infinity'") == 1
    with mesh.engine.begin() as connection:
        accounts.resume(connection, two[1])
    mesh.drain()
    assert len(story(mesh)) == 5


# ------------------------------------------------------------------------------------------------------ what goes wrong


def test_a_step_that_cannot_be_filled_in_says_why_and_can_be_tried_again(mesh: Mesh, two: tuple[UUID, UUID]) -> None:
    broken = {**WELCOME["steps"][0], "data": {"text": "{{nickname}}"}}  # type: ignore[dict-item]
    notes = applied(mesh, {"name": "welcome", "steps": [broken]}).notes
    assert len(notes) == 1
    assert "{{nickname}} is not among what the catalog says of user.signup" in notes[0]
    event_id = mesh.publish().event_id
    (row,) = mesh.sql("select * from rejected_events")
    assert (row.door, row.event_id, row.event_type) == ("chain", event_id, SPEAK)
    assert row.reason == "Step 1 of chain welcome: {{nickname}} is not in the data of user.signup."
    assert story(mesh) == [("user.signup", "usr_31")], "the event itself is accepted"
    with mesh.engine.begin() as connection, pytest.raises(ValueError, match="nickname"):
        rejections.retry(connection, row.id)
    applied(mesh, {"name": "welcome", "steps": [{**broken, "data": {"text": "Hi {{user_id}}"}}]})
    with mesh.engine.begin() as connection:
        made = rejections.retry(connection, row.id)
    mesh.drain()
    assert story(mesh)[1:] == [(SPEAK, "Hi usr_31"), (SPOKEN, "Hi usr_31")]
    assert mesh.one("select caused_by from events where id = %(id)s", id=made) == event_id


def test_what_a_removed_chain_left_behind_can_only_be_dismissed(mesh: Mesh, two: tuple[UUID, UUID]) -> None:
    broken = {**WELCOME["steps"][0], "data": {"text": "{{nickname}}"}}  # type: ignore[dict-item]
    applied(mesh, {"name": "welcome", "steps": [broken]})
    mesh.publish()
    state(mesh, "removed")
    rejected = mesh.one("select id from rejected_events")
    with mesh.engine.begin() as connection, pytest.raises(rejections.RejectionError, match="is gone: dismiss it"):
        rejections.retry(connection, rejected)
    with mesh.engine.begin() as connection:
        rejections.dismiss(connection, rejected)
    assert mesh.one("select resolved_at is not null from rejected_events")


def test_data_that_does_not_fit_its_type_is_rejected(mesh: Mesh, two: tuple[UUID, UUID]) -> None:
    wrong = {**WELCOME["steps"][0], "data": {"text": "{{plan}}"}}  # type: ignore[dict-item]
    applied(mesh, {"name": "welcome", "steps": [wrong]})
    mesh.publish(data={"user_id": "u", "plan": ""})
    assert "does not fit its schema" in mesh.one("select reason from rejected_events")


def test_a_disconnected_account_is_said(mesh: Mesh, two: tuple[UUID, UUID]) -> None:
    applied(mesh)
    with mesh.engine.begin() as connection:
        accounts.disconnect(connection, two[0])
    mesh.publish()
    assert "is disconnected" in mesh.one("select reason from rejected_events")
    assert mesh.count("deliveries") == 0


def test_a_loop_that_slipped_in_ends_after_one_round(mesh: Mesh, two: tuple[UUID, UUID]) -> None:
    applied(mesh, {"name": "welcome", "steps": WELCOME["steps"][:1]})
    mesh.sql('update chain_steps set event_type = %(type)s, mapping = \'{"text": "again"}\'', type=SPOKEN)
    mesh.publish(SPOKEN, {"asset_id": "a", "uri": "memory://a", "mime": "audio/mpeg"})
    mesh.drain()
    assert [kind for kind, _ in story(mesh)] == [SPOKEN, SPEAK, SPOKEN]
    assert "a loop, which is refused" in mesh.one("select reason from rejected_events")


# ------------------------------------------------------------------------------------------------------- setting it up


def step(**changes: Any) -> dict[str, Any]:
    return {"on": "user.signup", "integration": "elevenlabs/main", "do": SPEAK, "data": {"text": "x"}, **changes}


AGAIN = {"on": SPOKEN, "integration": "elevenlabs/main", "do": SPEAK, "data": {"text": "x"}}


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([], "A chain has 1 to 30 steps."),
        (["x"], "Step 1 must be a JSON object."),
        ([step(then=1)], "Step 1 has an unexpected field 'then'"),
        ([step(on="user.signed")], 'Step 1, on: Event type "user.signed" is not in the catalog: did you mean'),
        ([step(do="audio.render")], 'Step 1, do: Event type "audio.render" is not in the catalog'),
        ([step(do="campaign.created")], "Step 1: ElevenLabs cannot do campaign.created: it can do"),
        ([step(integration="capcut")], "has no integration 'capcut': name its id, its provider, or provider/name."),
        ([step(integration="elevenlabs")], "may be each of elevenlabs/main, elevenlabs/second: name one of them."),
        ([step(integration="zapier")], "Zapier hears of events by its webhooks"),
        ([step(data={"txt": "x", "text": "y"})], f"Step 1: {SPEAK} has no 'txt': it has text"),
        ([step(data={"name": "x"})], f"Step 1: data must hold text, which {SPEAK} needs."),
        ([step(data="x")], "Step 1: data and where must be JSON objects."),
        ([step(where=[])], "Step 1: data and where must be JSON objects."),
        ([step(data={"text": "{{a b}}"})], "Step 1: {{a b}} is not a placeholder"),
        ([step(after=1)], "Step 1 comes after no other step."),
        ([step(), step(on="user.signup")], f"Step 2 waits for user.signup, which step 1 ({SPEAK}) never publishes"),
        ([step(), {**AGAIN, "after": 2}], "Step 2: after must be the number of an earlier step."),
        (
            [step(), {**AGAIN, "data": {"text": "{{campaign.created:name}}"}}],
            "names an event that this step cannot have come of",
        ),
        ([AGAIN], f"It would go round for ever: {SPOKEN} → {SPEAK} → {SPOKEN} → {SPEAK}."),
    ],
)
def test_a_definition_that_cannot_work_is_refused_with_the_reason(
    mesh: Mesh, two: tuple[UUID, UUID], steps: Any, said: str
) -> None:
    mesh.hook()
    with pytest.raises(ChainError) as failed:
        applied(mesh, {"name": "x", "steps": steps})
    assert said in str(failed.value)
    assert mesh.count("chain_steps") == 0


@pytest.mark.parametrize("definition", [None, [], {"name": "", "steps": []}, {"name": "x", "steps": [], "more": 1}])
def test_what_is_no_definition_is_refused(mesh: Mesh, two: tuple[UUID, UUID], definition: Any) -> None:
    with pytest.raises(ChainError):
        applied(mesh, definition)


def test_a_tenant_that_is_not_known_is_said(mesh: Mesh) -> None:
    with pytest.raises(ChainError, match='Tenant "nobody" is not known'):
        applied(mesh, tenant="nobody")


def test_a_loop_through_two_chains_is_refused_in_either_order(mesh: Mesh, two: tuple[UUID, UUID]) -> None:
    there: Mapping[str, Any] = {"name": "there", "steps": [step()]}
    back: Mapping[str, Any] = {"name": "back", "steps": [AGAIN]}
    applied(mesh, there)
    with pytest.raises(ChainError, match="round for ever"):
        applied(mesh, back)
    assert mesh.count("chain_steps") == 1


def test_enabling_looks_for_loops_again(mesh: Mesh, two: tuple[UUID, UUID]) -> None:
    applied(mesh, {"name": "a", "steps": [step()]})
    state(mesh, "disabled", "a")
    mesh.sql("update chain_steps set event_type = %(type)s", type=SPOKEN)
    with pytest.raises(ChainError, match="round for ever"):
        state(mesh, "active", "a")
    assert mesh.one("select state from chain_steps") == "disabled"


def test_a_disabled_chain_rests_and_a_removed_one_is_gone(mesh: Mesh, two: tuple[UUID, UUID]) -> None:
    applied(mesh)
    assert state(mesh, "disabled") == 2
    mesh.publish()
    assert len(story(mesh)) == 1
    assert state(mesh, "active") == 2
    mesh.publish()
    assert len(story(mesh)) == 3
    assert state(mesh, "removed") == 2
    mesh.publish()
    assert len(story(mesh)) == 4
    with pytest.raises(ChainError, match='has no chain "welcome"'):
        state(mesh, "active")


def test_what_a_replaced_chain_has_begun_goes_on_by_its_old_steps(mesh: Mesh, two: tuple[UUID, UUID]) -> None:
    applied(mesh)
    mesh.publish(data={"user_id": "old"})
    second = {**WELCOME["steps"][1], "data": {"text": "new"}}  # type: ignore[dict-item]
    assert applied(mesh, {"name": "welcome", "steps": [WELCOME["steps"][0], second]}).what == "changed"
    mesh.publish(data={"user_id": "young"})
    mesh.drain()
    said = sorted(text for kind, text in story(mesh) if kind == SPEAK)
    assert said == ["Hello old", "Hello young", "a-9 for old", "new"]


@pytest.mark.parametrize("wanted", ["disabled", "removed"])
def test_what_a_replaced_chain_has_begun_can_be_stopped(mesh: Mesh, two: tuple[UUID, UUID], wanted: str) -> None:
    applied(mesh)
    mesh.publish()
    applied(mesh, {"name": "welcome", "steps": [step(where={"plan": "pro"})]})
    assert state(mesh, wanted) == 1
    mesh.drain()
    assert [kind for kind, _ in story(mesh)] == ["user.signup", SPEAK, SPOKEN]


def test_changing_a_disabled_chain_does_not_start_again_what_was_stopped(mesh: Mesh, two: tuple[UUID, UUID]) -> None:
    applied(mesh)
    mesh.publish()
    state(mesh, "disabled")
    assert applied(mesh, {"name": "welcome", "steps": WELCOME["steps"][:1]}).what == "changed"
    mesh.drain()
    assert [kind for kind, _ in story(mesh)] == ["user.signup", SPEAK, SPOKEN]


def test_applying_the_same_again_leaves_everything_as_it_was(mesh: Mesh, two: tuple[UUID, UUID]) -> None:
    applied(mesh)
    before = mesh.sql("select * from chain_steps order by id")
    assert applied(mesh).what == "as it was"
    assert mesh.sql("select * from chain_steps order by id") == before
    state(mesh, "disabled")
    assert applied(mesh).what == "changed"
    assert {row.state for row in mesh.sql("select state from chain_steps")} == {"removed", "active"}


def test_events_of_one_outcome_share_the_look_at_what_they_came_of(
    mesh: Mesh, two: tuple[UUID, UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    applied(mesh)
    looks: list[UUID] = []
    look = db.events.ancestors

    def counted(connection: Any, event_id: UUID) -> list[Event]:
        looks.append(event_id)
        return look(connection, event_id)

    monkeypatch.setattr(db.events, "ancestors", counted)
    mesh.publish()
    mesh.drain()
    looks.clear()
    with mesh.engine.begin() as connection:
        first = mesh.one("select id from events where type = %(type)s order by id limit 1", type=SPEAK)
        asked = db.events.as_event(connection, first)
        facts = {"uri": "memory://a", "mime": "audio/mpeg"}
        many = [NewEvent("acme", SPOKEN, {"asset_id": f"a{n}", **facts}, f"many:{n}") for n in range(5)]
        many.append(NewEvent("acme", SPOKEN, facts | {"asset_id": "broken"}, "many:broken"))
        accept(connection, many, cause=asked)
    assert looks == [first]
    made = [text for kind, text in story(mesh) if kind == SPEAK]
    assert made[2:] == [*(f"a{n} for usr_31" for n in range(5)), "broken for usr_31"]


SHOP = {"on": "product.updated", "integration": "autods", "do": "product.price_change_requested"}


@pytest.fixture
def shop(mesh: Mesh) -> None:
    """An AutoDS account, whose products and orders are read."""
    mesh.sql("insert into integrations (tenant_id, provider, name) values (%(t)s, 'autods', 'main')", t=mesh.tenant())


def test_what_a_step_changes_must_not_start_it_when_it_is_read_back(mesh: Mesh, shop: None) -> None:
    change = {**SHOP, "data": dict.fromkeys(event_types()[SHOP["do"]].schema["required"], "{{product_id}}")}
    with pytest.raises(ChainError, match=r"round for ever.*read back as such an event: give the step .* a `where`"):
        applied(mesh, {"name": "x", "steps": [change]})
    made = applied(mesh, {"name": "x", "steps": [{**change, "where": {"state": "out_of_stock"}}]})
    assert "may be read back as another product.updated: its `where` must not hold" in made.notes[-1]


def test_an_account_without_what_an_action_needs_is_said(mesh: Mesh) -> None:
    mesh.sql("insert into integrations (tenant_id, provider, name) values (%(t)s, 'meta_ads', 'main')", t=mesh.tenant())
    fetch = {"on": "user.signup", "integration": "meta_ads", "do": "lead.fetch_requested", "data": {"lead_id": "1"}}
    with pytest.raises(ChainError, match=r"meta_ads/main has no page_id, which lead\.fetch_requested needs"):
        applied(mesh, {"name": "x", "steps": [fetch]})


def test_a_chain_s_events_are_stored_with_the_event_or_not_at_all(mesh: Mesh, two: tuple[UUID, UUID]) -> None:
    applied(mesh)
    with mesh.engine.connect() as connection:
        accept(connection, [NewEvent("acme", "user.signup", {"user_id": "u"})])
        connection.rollback()
    assert mesh.count("events") == mesh.count("deliveries") == 0
