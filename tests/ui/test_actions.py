"""What people do on the pages: each button does what it says, the page says so, and the audit has it."""

from __future__ import annotations

import re
from html import unescape
from typing import Any
from uuid import UUID

import pytest

import db.rejected
from tests.mesh import Mesh
from tests.ui.conftest import Enter, Visit, said
from worker import ids
from worker.reconcile import replay_step


def audited(mesh: Mesh) -> list[tuple[Any, ...]]:
    """What was done, but for logging in."""
    rows = mesh.sql("select actor, door, action, subject, subject_id, tenant_id from audit_log order by id")
    return [tuple(row) for row in rows if row.action != "log in"]


def done(mesh: Mesh, *actions: str, subject: str, subject_id: UUID | str) -> bool:
    """Whether these very things were done by olga to a row of acme."""
    return audited(mesh) == [("olga", "pages", action, subject, str(subject_id), "acme") for action in actions]


def state_of(mesh: Mesh, table: str, row_id: UUID) -> str:
    return str(mesh.one(f"select state from {table} where id = %(id)s", id=row_id))


def dead(mesh: Mesh, *, tenant: str = "acme") -> UUID:
    """A dead letter."""
    if not mesh.one("select id from webhooks where tenant_id = %(t)s", t=tenant):
        mesh.hook(tenant=tenant)
    delivery = mesh.signup(tenant=tenant)
    mesh.sql(
        "update deliveries set state = 'failed', due_at = null, settled_at = now(), error_code = 'unavailable',"
        " error_message = 'The answer was 503: overloaded, try later.' where id = %(id)s",
        id=delivery,
    )
    return delivery


# ------------------------------------------------------------------------------------------------------ integrations


def test_an_account_is_connected_by_its_providers_own_fields(mesh: Mesh, olga: Visit) -> None:
    form = olga.get("/connect/elevenlabs").text
    assert {"field-api_key", "field-voice_id"} <= set(re.findall(r'name="(field-\w+)"', form))
    assert re.search(r'name="field-api_key" type="password"', form)
    page = olga.did(
        "/connect/elevenlabs",
        {"tenant": "acme", "name": "main", "field-api_key": "key-of-acme", "field-voice_id": "v_host"},
    )
    assert "ElevenLabs is connected." in page
    assert "key-of-acme" not in page
    row = mesh.sql("select id, tenant_id, name, config, secrets_sealed from integrations")[0]
    assert (row.tenant_id, row.name, row.config["voice_id"]) == ("acme", "main", "v_host")
    assert done(mesh, "connect", subject="integration", subject_id=row.id)
    assert "key-of-acme" not in str(mesh.sql("select a::text from audit_log a"))
    mesh.deliver(mesh.speak())
    assert "Authorization failed" not in olga.read("/deliveries")


def test_what_is_missing_is_said_on_the_form_which_keeps_the_rest_but_the_secret(mesh: Mesh, olga: Visit) -> None:
    answer = olga.post("/connect/elevenlabs", {"tenant": "acme", "name": "second", "field-api_key": "s3cret"})
    assert answer.status_code == 422
    assert "ElevenLabs needs voice_id." in said(answer.text)
    assert 'value="second"' in answer.text
    assert "s3cret" not in answer.text
    assert olga.refused("/connect/elevenlabs", {"tenant": "gone", "field-api_key": "k", "field-voice_id": "v"}) == (
        'Tenant "gone" is not known: create it with `mesh tenants create gone`.'
    )
    assert mesh.count("integrations") == 0


def test_what_has_no_form_is_not_there(olga: Visit) -> None:
    assert "Not found" in olga.read("/connect/nobody", 404)
    assert "Not found" in olga.read("/connect/zapier", 404)


def test_a_secret_that_is_left_empty_stays_and_a_new_one_replaces_it(mesh: Mesh, olga: Visit) -> None:
    account = mesh.account(api_key="key-of-acme")
    form = olga.get(f"/integrations/{account}/reconnect").text
    assert "key-of-acme" not in form
    assert 'value="v_host"' in form
    mesh.sql("update integrations set state = 'needs_reconnect', state_reason = 'The key is wrong.'")
    page = olga.did(f"/integrations/{account}/reconnect", {"field-api_key": "", "field-voice_id": "v_guest"})
    assert "It is active; 0 waiting deliveries are due now." in page
    assert (secret_of(mesh, account), config_of(mesh, account)["voice_id"]) == ("key-of-acme", "v_guest")
    olga.did(f"/integrations/{account}/reconnect", {"field-api_key": "another", "field-voice_id": "v_guest"})
    assert secret_of(mesh, account) == "another"
    assert done(mesh, "reconnect", "reconnect", subject="integration", subject_id=account)
    assert "another" not in str(mesh.sql("select a::text from audit_log a"))


def secret_of(mesh: Mesh, account: UUID) -> str:
    sealed = mesh.one("select secrets_sealed from integrations where id = %(id)s", id=account)
    return mesh.resources.vault.open(sealed, f"integrations.secrets_sealed:{account}").split('"')[3]


def config_of(mesh: Mesh, account: UUID) -> dict[str, str]:
    return dict(mesh.one("select config from integrations where id = %(id)s", id=account))


def test_an_account_is_paused_resumed_and_ended(mesh: Mesh, olga: Visit) -> None:
    account = mesh.account()
    path = f"/integrations/{account}"
    assert "It is paused" in olga.did(f"{path}/pause")
    assert state_of(mesh, "integrations", account) == "paused"
    assert "It is paused" not in olga.read(path), "what was said is said once"
    assert "It is active again; 0 waiting deliveries are due now." in olga.did(f"{path}/resume")
    assert state_of(mesh, "integrations", account) == "active"
    assert "It is disconnected" in olga.did(f"{path}/disconnect")
    assert state_of(mesh, "integrations", account) == "disconnected"
    assert "is disconnected" in olga.refused(f"{path}/resume")
    assert done(mesh, "pause", "resume", "disconnect", subject="integration", subject_id=account)


def test_limits_of_an_account_are_changed_and_given_back_to_the_provider(mesh: Mesh, olga: Visit) -> None:
    account = mesh.account()
    path = f"/integrations/{account}"
    assert "2.5 calls a second (its own)" in olga.did(f"{path}/limits", {"rate": "2.5", "at_once": "4"})
    assert tuple(mesh.sql("select rate_per_s, max_in_flight from integrations")[0]) == (2.5, 4)
    assert "its own" not in olga.did(f"{path}/limits", {"rate": "", "at_once": ""})
    assert tuple(mesh.sql("select rate_per_s, max_in_flight from integrations")[0]) == (None, None)
    assert "Calls at once must be more than 0" in olga.refused(f"{path}/limits", {"at_once": "0"})
    assert done(mesh, "change limits", "change limits", subject="integration", subject_id=account)


def test_streams_are_read_now_and_how_far_that_is_is_shown(mesh: Mesh, olga: Visit) -> None:
    account = mesh.account()
    page = olga.did(f"/integrations/{account}/sync", {"stream": "voices"})
    assert "Reading voices" in page
    assert re.search(r"voices never in \d+ h pending", page)
    mesh.sql('update deliveries set progress = \'{"done": 2, "of": 5}\'')
    assert "2 of 5" in said(olga.get(f"/integrations/{account}?fragment=1").text)
    mesh.drain()
    assert re.search(r"voices \d+ m?s ago in \d+ h succeeded", olga.read(f"/integrations/{account}"))
    assert "has no stream" in olga.refused(f"/integrations/{account}/sync", {"stream": "nothing"})
    assert done(mesh, "sync", subject="integration", subject_id=account)


def test_a_test_says_what_the_provider_answered(mesh: Mesh, olga: Visit, monkeypatch: pytest.MonkeyPatch) -> None:
    account = mesh.account()
    monkeypatch.setattr("api.ui.integrations.probe", lambda engine, row: (row.id == account, "It answered."))
    assert "The test went well: It answered." in olga.did(f"/integrations/{account}/test")
    monkeypatch.setattr("api.ui.integrations.probe", lambda engine, row: (False, "It did not."))
    assert "The test failed: It did not." in olga.did(f"/integrations/{account}/test")
    assert done(mesh, "test", "test", subject="integration", subject_id=account)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("state = 'needs_reconnect', state_reason = 'The key was revoked.'", "You: Connect it again: The key was"),
        ("state = 'blocked', state_reason = 'No credits.'", "You: Mend it at ElevenLabs, then resume: No credits."),
        ("held_until = now() + interval '10 min', hold_reason = 'Busy.'", "The provider: Calls go on in 10 min. Busy."),
        ("consecutive_failures = 3, failing_since = now() - interval '1 h'", "Nobody yet: The last 3 calls failed"),
        ("rate_per_s = 2.5", "2.5 calls a second (its own)"),
    ],
)
def test_a_card_says_who_must_act(mesh: Mesh, olga: Visit, change: str, sentence: str) -> None:
    mesh.account()
    mesh.sql(f"update integrations set {change}")
    assert sentence in olga.read("/integrations")


def test_what_needs_a_person_stands_on_the_first_page(mesh: Mesh, olga: Visit) -> None:
    assert "What needs a person Nothing." in olga.read("/")
    account = mesh.account()
    hook = mesh.hook()
    mesh.sql("update integrations set state = 'blocked', state_reason = 'No credits.' where id = %(id)s", id=account)
    mesh.sql("update webhooks set state = 'gone', state_reason = 'It answered 410.'")
    rejected(mesh)
    page = olga.get("/?window=1h").text
    for needed in (
        "ElevenLabs of acme, main",
        "Mend it at ElevenLabs, then resume: No credits.",
        "gone: It answered 410.",
        "1 event was rejected",
    ):
        assert needed in said(page)
    assert f'href="/ui/integrations/{account}"' in page
    assert f'href="/ui/webhooks/{hook.webhook_id}"' in page


def test_the_first_page_counts(mesh: Mesh, olga: Visit) -> None:
    mesh.hook()
    mesh.deliver(mesh.signup(), mesh.signup())
    dead(mesh)
    page = olga.read("/?window=1h&tenant=acme")
    assert "Delivered 2 Under way 0 Failed 1" in page
    assert "Zapier 2 0 1" in page
    drawing = re.findall(r'<svg class="spark".*?</svg>', olga.get("/?window=1h").text, re.S)
    assert [len(re.findall("<rect", each)) for each in drawing] == [2], "one bar of two pieces, for one provider"
    assert "1 dead letter" in page
    assert page.count("2 succeeded, 0 under way, 1 failed") == 1


# ---------------------------------------------------------------------------------------------------------- webhooks


def test_a_webhook_is_registered_and_its_secret_shown_once(mesh: Mesh, olga: Visit) -> None:
    url = f"{mesh.sandbox.url}/receive/from-the-page"
    form = {
        "tenant": "acme",
        "event_type": "user.signup",
        "url": url,
        "user": "",
        "rate": "5",
        "at_once": "2",
        "filter_name": ["plan", "size.height", ""],
        "filter_value": ['["pro", "team"]', "tall", "left out"],
    }
    page = olga.post("/webhooks/new", form).text
    secret = re.findall(r"whsec_[\w+/=]+", page)
    assert len(secret) == 1
    row = mesh.sql("select * from webhooks")[0]
    assert (row.event_type, row.filters, row.rate_per_s, row.max_in_flight) == (
        *("user.signup", {"plan": ["pro", "team"], "size.height": "tall"}, 5, 2),
    )
    for path in ("/webhooks", f"/webhooks/{row.id}"):
        assert secret[0] not in olga.get(path).text
    assert "was there already" in olga.did("/webhooks/new", form)
    assert done(mesh, "register", subject="webhook", subject_id=row.id)
    assert "from-the-page" not in str(mesh.sql("select a::text from audit_log a")), "a URL is a credential"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"url": "http://10.0.0.1/x"}, "The URL must"),
        ({"event_type": "no.such"}, 'Event type "no.such" is not in the catalog'),
        ({"tenant": "gone"}, 'Tenant "gone" is not known'),
        ({"rate": "fast"}, "Calls a second must be a number."),
        ({"at_once": "-1"}, "Calls at once must be more than 0, and at most a million."),
    ],
)
def test_what_cannot_be_registered_stays_in_the_form(
    mesh: Mesh, olga: Visit, changes: dict[str, str], sentence: str
) -> None:
    form = {"tenant": "acme", "event_type": "user.signup", "url": f"{mesh.sandbox.url}/receive/x", **changes}
    answer = olga.post("/webhooks/new", {**form, "filter_name": "plan", "filter_value": "pro"})
    assert answer.status_code == 422
    assert sentence in said(answer.text)
    assert 'value="plan"' in answer.text
    assert mesh.count("webhooks") == 0


def test_a_webhook_is_tested_rotated_stopped_and_ended(mesh: Mesh, olga: Visit) -> None:
    made = mesh.hook("/receive/hook")
    path = f"/webhooks/{made.webhook_id}"
    assert "The receiver took user.signup: it answered 200" in olga.did(f"{path}/test")
    rotated = olga.post(f"{path}/rotate").text
    (secret,) = re.findall(r"whsec_[\w+/=]+", rotated)
    assert secret != made.secret
    assert len(mesh.one("select secrets from webhooks")) == 2
    assert "It is disabled" in olga.did(f"{path}/disable")
    assert state_of(mesh, "webhooks", made.webhook_id) == "disabled"
    assert "It is active again." in olga.did(f"{path}/enable")
    assert "The webhook is unregistered" in olga.did(f"{path}/unregister")
    assert state_of(mesh, "webhooks", made.webhook_id) == "unregistered"
    assert "register the URL anew" in olga.refused(f"{path}/enable")
    assert "register its URL anew" in olga.refused(f"{path}/test")
    actions = ("test", "rotate secret", "disable", "enable", "unregister")
    assert done(mesh, *actions, subject="webhook", subject_id=made.webhook_id)


def test_filters_and_limits_of_a_webhook_are_changed(mesh: Mesh, olga: Visit) -> None:
    stored = {"plan": ["pro"], "code": "7", "name": "Ada", "size": 3}
    made = mesh.hook(filters=stored)
    path = f"/webhooks/{made.webhook_id}"
    form = olga.get(path).text
    names = [unescape(each) for each in re.findall(r'name="filter_name" value="([^"]*)"', form)]
    values = [unescape(each) for each in re.findall(r'name="filter_value" value="([^"]*)"', form)]
    same = {"filter_name": names, "filter_value": values}
    olga.did(f"{path}/change", same)
    assert mesh.one("select filters from webhooks") == stored, "a form that nobody touched changes nothing"
    page = olga.did(f"{path}/change", {"filter_name": ["size"], "filter_value": ["4"], "rate": "0.5", "at_once": "3"})
    assert "Its filters and limits are changed." in page
    assert "At most 0.5 calls a second At once 3 calls" in page
    assert mesh.one("select filters from webhooks") == {"size": 4}
    assert "Calls a second must be a number." in olga.refused(f"{path}/change", {"rate": "x"})
    assert done(mesh, "change", "change", subject="webhook", subject_id=made.webhook_id)


def test_a_test_that_fails_says_why(mesh: Mesh, olga: Visit) -> None:
    made = mesh.hook("/fault/500/receive/x")
    page = olga.did(f"/webhooks/{made.webhook_id}/test")
    assert re.search(r"The test of user.signup failed after \d+ ms: .*500", page)


def test_the_last_verdicts_stand_with_the_webhook(mesh: Mesh, olga: Visit) -> None:
    made = mesh.hook("/fault/404/receive/x")
    page = olga.read(f"/webhooks/{made.webhook_id}")
    assert "Nothing was sent there within 7 days." in page
    mesh.deliver(mesh.signup())
    assert "The answer was 404" in olga.read(f"/webhooks/{made.webhook_id}")


# ------------------------------------------------------------------------------------------------ events, deliveries


def test_events_are_found_by_what_they_are(mesh: Mesh, olga: Visit) -> None:
    mesh.publish(key="the-first")
    mesh.publish("campaign.paused", {"campaign_id": "c"}, tenant="globex")

    def rows(query: str) -> list[str]:
        return re.findall(r'<th scope="row"><a[^>]*>([\w.]+)<', olga.get(f"/events{query}").text)

    assert rows("") == ["campaign.paused", "user.signup"]
    assert rows("?tenant=acme") == rows("?key=the-first") == rows("?type=user.signup") == ["user.signup"]
    assert rows("?key=nothing") == []


def test_lists_are_read_page_by_page_and_none_is_left_out(mesh: Mesh, olga: Visit) -> None:
    mesh.hook()
    for n in range(120):
        mesh.publish(key=f"k{n}")
    for path, what in (("/events?tenant=acme", "events"), ("/deliveries?tenant=acme&state=pending", "deliveries")):
        seen: list[str] = []
        pages = 0
        while path:
            page = olga.get(path).text
            seen += re.findall(rf'<th scope="row"><a href="/ui/{what}/([\w-]+)"', page)
            older = re.search(r'rel="next" href="/ui([^"]+)"', page)
            path = older[1].replace("&amp;", "&") if older else ""
            pages += 1
        assert (pages, len(seen)) == (3, 120)
        assert seen == sorted(set(seen), reverse=True)


def test_an_event_is_a_tree_with_times_and_costs(mesh: Mesh, olga: Visit) -> None:
    mesh.account()
    mesh.hook("/receive/x", event_type="audio.rendered")
    delivery = mesh.speak("Hello there.")
    mesh.deliver(delivery)
    mesh.drain()
    event = mesh.delivery(delivery).event_id
    page = olga.read(f"/events/{event}")
    assert re.search(
        r"2 calls in .*12 characters.*audio.render_requested succeeded ElevenLabs, main 1 call, after .*"
        r"12 characters published: audio.rendered succeeded Zapier, http",
        page,
    ), page
    assert '"text": "Hello there."' in page


def test_a_delivery_shows_every_attempt_with_request_and_answer(mesh: Mesh, olga: Visit) -> None:
    mesh.hook("/fault/503/receive/x")
    delivery = mesh.signup()
    mesh.deliver(delivery)
    mesh.due_now(delivery)
    mesh.deliver(delivery)
    page = olga.read(f"/deliveries/{delivery}")
    count = len(mesh.attempts(delivery))
    assert count >= 2
    assert f"{count} attempts" in page
    assert page.count("retryable answered 503") == count
    assert "after the one before" in page
    assert f"POST {mesh.sandbox.url}/fault/" in page
    assert '"status": 503' in page
    assert '"user_id": "usr_31"' in page


def test_what_strangers_wrote_is_shown_and_not_obeyed(mesh: Mesh, olga: Visit) -> None:
    mesh.hook()
    nasty = '<script>alert("x")</script>'
    delivery = mesh.publish(data={"user_id": nasty}).deliveries[0][1]
    mesh.sql("update deliveries set error_code = 'x', error_message = %(text)s", text=nasty)
    for path in (f"/deliveries/{delivery}", "/deliveries", f"/events/{mesh.delivery(delivery).event_id}"):
        text = olga.get(path).text
        assert "&lt;script&gt;" in text
        assert "<script>" not in text


def test_deliveries_are_found_by_what_became_of_them(mesh: Mesh, olga: Visit) -> None:
    lost = dead(mesh)
    mesh.deliver(mesh.signup())
    hook, account = mesh.one("select id from webhooks"), mesh.one("select id from integrations")

    def rows(query: str) -> list[str]:
        return re.findall(r'<th scope="row"><a href="/ui/deliveries/([\w-]+)"', olga.get(f"/deliveries{query}").text)

    assert len(rows("")) == 2
    for query in ("?state=failed", "?error=overloaded", '?error="try later"', "?error=503&provider=zapier"):
        assert rows(query) == [str(lost)], query
    assert rows("?error=timeout") == rows("?provider=elevenlabs") == rows("?type=campaign.paused") == []
    assert len(rows(f"?webhook={hook}")) == len(rows(f"?integration={account}&type=user.signup")) == 2


def test_a_dead_letter_is_replayed(mesh: Mesh, olga: Visit) -> None:
    lost = dead(mesh)
    assert "It is due now, with a fresh budget of tries." in olga.did(f"/deliveries/{lost}/replay")
    assert state_of(mesh, "deliveries", lost) == "pending"
    assert "only one that failed or was cancelled" in olga.refused(f"/deliveries/{lost}/replay")
    assert done(mesh, "replay", subject="delivery", subject_id=lost)


def test_many_are_replayed_after_being_counted(mesh: Mesh, olga: Visit) -> None:
    letters = [dead(mesh), dead(mesh)]
    other = dead(mesh, tenant="globex")
    page = olga.did("/letters/replay", {"tenant": "acme", "provider": "zapier", "since": "2h"})
    assert "2 dead letters match" in page
    assert mesh.count("replays") == 0, "counting changes nothing"
    assert "0 dead letters match" in olga.did("/letters/replay", {"tenant": "acme", "since": "2099-01-01"})
    page = olga.did("/letters/replay", {"tenant": "acme", "provider": "zapier", "since": "2h", "sure": "yes"})
    assert "2 dead letters will be tried again." in page
    assert "0 dead letters were made due, 2 left" in page
    replay = mesh.one("select id from replays")
    while replay_step(mesh.engine):
        pass
    fragment = olga.get(f"/replays/{replay}?fragment=1").text
    assert "2 dead letters were made due." in said(fragment)
    assert "data-finished" in fragment, "the page stops asking"
    assert [state_of(mesh, "deliveries", each) for each in (*letters, other)] == ["pending", "pending", "failed"]
    assert "finished" in olga.read("/letters")
    assert done(mesh, "replay many", subject="replay", subject_id=replay)
    assert "must be such as 2h" in olga.refused("/letters/replay", {"since": "soon"})


# ---------------------------------------------------------------------------------------- rejected events, the inbox


def rejected(
    mesh: Mesh, body: bytes = b'{"type": "user.signup", "tenant_id": "acme", "data": {"user_id": "u"}}'
) -> UUID:
    made = ids.new()
    with mesh.engine.begin() as connection:
        db.rejected.insert(
            connection,
            rejected_id=made,
            door="redis",
            reason="It was not known then.",
            body=body,
            tenant_id="acme",
            event_type="user.signup",
        )
    return made


def test_a_rejected_event_is_accepted_after_all_or_dismissed(mesh: Mesh, olga: Visit) -> None:
    first, second = rejected(mesh), rejected(mesh)
    assert olga.read("/rejected").count("It was not known then.") == 2
    page = olga.did(f"/rejected/{first}/accept")
    assert "It is accepted, as this event." in page
    assert '"user_id": "u"' in page
    assert "It is dismissed." in olga.did(f"/rejected/{second}/dismiss")
    assert "Nothing was rejected." in olga.read("/rejected")
    assert olga.read("/rejected?all=1").count("settled") == 2
    assert "was settled at" in olga.refused(f"/rejected/{first}/dismiss")
    assert [row[2:5] for row in audited(mesh)] == [
        ("accept", "rejected event", str(first)),
        ("dismiss", "rejected event", str(second)),
    ]


def test_what_is_still_wrong_is_said(mesh: Mesh, olga: Visit) -> None:
    row = rejected(mesh, b'{"type": "no.such", "tenant_id": "acme", "data": {}}')
    assert 'Event type "no.such" is not in the catalog' in olga.refused(f"/rejected/{row}/accept")
    assert mesh.count("rejected_events", "resolved_at is null") == 1
    assert audited(mesh) == [], "what was not done is not in the audit"


def test_messages_of_providers_stand_in_the_inbox_with_their_verdict(mesh: Mesh, olga: Visit) -> None:
    account = mesh.account()
    mesh.sql(
        "insert into inbox (provider, integration_id, external_id, verdict, reason, headers, body) values"
        " ('elevenlabs', %(id)s, 'm1', 'accepted', '', '{\"x-id\": \"7\"}', '{\"a\": 1}'),"
        " ('elevenlabs', %(id)s, '', 'refused', 'The signature is not good.', '{}', 'nothing')",
        id=account,
    )
    page = olga.read("/inbox")
    assert "accepted main acme m1" in page
    assert "refused main acme The signature is not good." in page
    assert "m1" not in olga.read("/inbox?verdict=refused")
    assert "m1" in olga.read("/inbox?verdict=accepted&provider=elevenlabs&tenant=acme")
    message = mesh.one("select id from inbox where external_id = 'm1'")
    page = olga.read(f"/inbox/{message}")
    assert "x-id: 7" in page
    assert '{ "a": 1 }' in page


# ---------------------------------------------------------------------------------------------- chains, keys, people


STEP = '{"on": "report.generated", "do": "audio.render_requested", "integration": "elevenlabs", "data": {"text": "x"}}'


def test_a_chain_is_set_up_changed_and_switched(mesh: Mesh, olga: Visit) -> None:
    mesh.account()
    definition = f'{{"name": "weekly/a b", "steps": [{STEP}]}}'
    assert "The chain is set up, with 1 step." in olga.did("/chains/new", {"tenant": "acme", "definition": definition})
    which = {"tenant": "acme", "name": "weekly/a b"}
    page = olga.read("/chains/one?tenant=acme&name=weekly%2Fa+b")
    assert "report.generated" in page
    changed = definition.replace('"x"', '"y"')
    assert "The chain is changed" in olga.did("/chains/new", {"tenant": "acme", "definition": changed})
    assert "The chain is disabled." in olga.did("/chains/one/disable", which)
    assert "The chain is active." in olga.did("/chains/one/enable", which)
    assert "Chain weekly/a b is removed." in olga.did("/chains/one/remove", which)
    assert "No chains yet" in olga.read("/chains")
    assert "There is no such chain." in olga.refused("/chains/one/enable", which, 404)
    assert done(mesh, "apply", "apply", "disable", "enable", "remove", subject="chain", subject_id="weekly/a b")


def test_a_chain_that_is_wrong_stays_in_the_form(mesh: Mesh, olga: Visit) -> None:
    for definition, sentence in (
        ("{", "This is not JSON"),
        ('{"name": "x", "steps": []}', "A chain has 1 to 30 steps."),
    ):
        answer = olga.post("/chains/new", {"tenant": "acme", "definition": definition})
        assert answer.status_code == 422
        assert sentence in said(answer.text)
        assert definition in said(answer.text)
    assert audited(mesh) == []


def test_a_key_is_shown_once_and_revoked(mesh: Mesh, enter: Enter) -> None:
    mesh.tenant()
    admin = enter("admin", name="ada")
    page = admin.post("/keys", {"name": "backend", "tenant": "acme", "scope": ["publish", "read"], "days": "30"}).text
    (key,) = re.findall(r"mesh_[\w-]{20,}", page)
    row = mesh.sql("select *, expires_at - now() < interval '31 days' as ends from api_keys")[0]
    assert (row.tenant_id, row.scopes, row.ends) == ("acme", ["publish", "read"], True)
    listed = admin.get("/keys").text
    assert "backend" in listed
    assert key not in listed
    assert "Key backend is revoked" in admin.did(f"/keys/{row.id}/revoke")
    assert "This key has ended before." in admin.refused(f"/keys/{row.id}/revoke")
    assert [each[2:5] for each in audited(mesh)] == [
        ("create key", "api key", str(row.id)),
        ("revoke key", "api key", str(row.id)),
    ]
    assert key not in str(mesh.sql("select a::text from audit_log a"))
    assert "A key needs a scope" in admin.refused("/keys", {"name": "x"})
    assert "must be a number from 1 to 3650" in admin.refused("/keys", {"name": "x", "scope": "read", "days": "0"})


def test_people_are_let_in_and_out(mesh: Mesh, enter: Enter, doors: str) -> None:
    admin = enter("admin", name="ada")
    form = {"name": "Bo", "role": "viewer", "password": "correct horse battery"}
    assert "bo may log in." in admin.did("/people", form)
    bo = Visit(doors)
    assert bo.log_in("bo").status_code == 303
    assert "bo is disabled." in admin.did("/people/bo/disabled")
    assert bo.get("/", allow_redirects=False).status_code == 303, "out at once"
    assert "bo is active." in admin.did("/people/bo/active")
    assert '"bo" is there already' in admin.refused("/people", form)
    assert "You cannot lock yourself out" in admin.refused("/people/ada/disabled")
    assert [each[2] for each in audited(mesh)] == ["add person", "make person disabled", "make person active"]


def test_the_audit_is_read_by_who_and_by_row(mesh: Mesh, olga: Visit, enter: Enter) -> None:
    account = mesh.account()
    olga.did(f"/integrations/{account}/pause")
    enter("operator", name="bo").did(f"/integrations/{account}/resume")
    page = olga.read("/audit")
    assert "olga by pages pause integration acme name main provider elevenlabs" in page
    assert "pause" not in olga.read("/audit?actor=bo")
    only = olga.read(f"/audit?subject={account}")
    assert ("resume" in only, "pause" in only, "log in" in only) == (True, True, False)


# ------------------------------------------------------------------------------------------------------------ events


def test_an_event_is_published_by_hand_and_once(mesh: Mesh, olga: Visit) -> None:
    mesh.hook()
    form = olga.read("/events/publish?type=user.signup&tenant=acme")
    assert '"user_id"' in form, "the type's example"
    given = {"tenant": "acme", "type": "user.signup", "data": '{"user_id": "u_by_hand"}', "id": "by-hand-1"}
    assert "It is accepted, and goes to 1 account or webhook." in olga.did("/events/publish", given)
    assert "this is it, and nothing is done again" in olga.did("/events/publish", given)
    (event,) = mesh.sql("select id, data from events")
    assert event.data == {"user_id": "u_by_hand"}
    assert (mesh.count("deliveries"), done(mesh, *["publish"] * 2, subject="event", subject_id=event.id)) == (1, True)


def test_an_event_that_is_wrong_is_refused_in_the_words_of_every_door(mesh: Mesh, olga: Visit) -> None:
    given = {"tenant": "acme", "type": "user.signup", "id": ""}
    assert "is not JSON" in olga.refused("/events/publish", {**given, "data": "{user_id: 1}"})
    assert "user_id" in olga.refused("/events/publish", {**given, "data": "{}"})
    assert "did you mean user.signup?" in olga.refused("/events/publish", {**given, "type": "user.signu", "data": "{}"})
    assert "gone" in olga.refused("/events/publish", {**given, "tenant": "gone", "data": '{"user_id": "u"}'})
    assert "acme" not in olga.refused("/events/publish", {**given, "tenant": "", "data": '{"user_id": "u"}'})
    assert mesh.count("events") == 0
    assert audited(mesh) == []
