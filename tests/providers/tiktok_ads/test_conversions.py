"""Conversions: hashed as TikTok wants it, sent together, and one that is wrong holds up nobody."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from model import Done, Wait
from providers.errors import InvalidPayload, OutcomeUnknown, RateLimited, Refused
from providers.http import Answer, Request
from providers.tiktok_ads import PROVIDER
from providers.tiktok_ads.conversions import EVENTS, SOURCES
from tests.providers.doubles import Scripted, answer
from tests.providers.tiktok_ads.platform import CONFIG, PIXEL, Account, body_of, calling, done, run, said
from worker.catalog import event_types

ORDER: Mapping[str, Any] = {**event_types()["attribution.event"].example, "happened_at": "2026-03-14T15:09:26Z"}


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def sent(conversion: Mapping[str, Any]) -> Any:
    """The one event that is sent for a conversion."""
    scripted = Scripted(said())
    done(calling(scripted, "attribution.event", conversion))
    (event,) = body_of(scripted.requests[0])["data"]
    return event


def user(**given: Any) -> Any:
    return sent({**ORDER, "user": given}).get("user")


# ----------------------------------------------------------------------------------------------------------------- one


def test_a_conversion_is_counted_once_however_often_it_is_sent(account: Account) -> None:
    for _ in range(2):
        assert account.publish("attribution.event", ORDER).external_id == "att_5001:purchase"
    bill = account.sandbox.control.bill()["tiktok_ads"]
    assert (bill["events_received"], bill["events_distinct"], bill["test_events"]) == (2, 1, 0)


def test_the_request() -> None:
    scripted = Scripted(said())
    outcome = done(calling(scripted, "attribution.event", ORDER))
    assert outcome.result == {"event": "CompletePayment", "event_id": "att_5001:purchase"}
    (request,) = scripted.requests
    assert request.shown_url == "https://business-api.tiktok.com/open_api/v1.3/event/track/"
    assert body_of(request) == {
        "event_source": "web",
        "event_source_id": PIXEL,
        "data": [
            {
                "event": "CompletePayment",
                "event_time": int(datetime(2026, 3, 14, 15, 9, 26, tzinfo=UTC).timestamp()),
                "event_id": "att_5001:purchase",
                "user": {
                    "email": sha("ann.lee@example.com"),
                    "ip": "203.0.113.9",
                    "user_agent": "Mozilla/5.0",
                    "ttclid": "E.C.P.CqQB",
                },
                "properties": {
                    "value": 59.9,
                    "currency": "EUR",
                    "order_id": "9917",
                    "content_type": "product",
                    "contents": [{"content_id": "sku-1", "price": 59.9, "quantity": 1}],
                },
                "page": {"url": "https://shop.example/thanks"},
            }
        ],
    }


@pytest.mark.parametrize("name", EVENTS)
def test_every_name_is_taken(account: Account, name: str) -> None:
    account.publish("attribution.event", {**ORDER, "name": name})
    assert sent({**ORDER, "name": name})["event"] == EVENTS[name]


def test_every_name_of_the_catalog_has_one_there() -> None:
    names = event_types()["attribution.event"].schema["properties"]["name"]["enum"]
    assert sorted(names) == sorted(EVENTS)


def test_a_time_that_is_not_told_is_the_events() -> None:
    bare = {name: value for name, value in ORDER.items() if name != "happened_at"}
    assert sent(bare)["event_time"] == int(datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp())


@pytest.mark.parametrize("limited", [True, False])
def test_limited_data_use_is_passed_on(limited: bool) -> None:
    assert sent({**ORDER, "limited_data_use": limited})["limited_data_use"] is limited
    assert "limited_data_use" not in sent(ORDER)


@pytest.mark.parametrize(
    ("field", "given", "plain"),
    [
        ("email", " Ann.Lee@Example.COM ", "ann.lee@example.com"),
        ("phone", "+1 (650) 555-1234", "+16505551234"),
        ("phone", "0049 171 1234567", "+491711234567"),
        ("phone", "+49 (0)171 1234567", "+491711234567"),
        ("phone", "16505551234", "+16505551234"),
        ("external_id", " User-1 ", "user-1"),
        ("first_name", " Ann ", "ann"),
        ("last_name", "Lee", "lee"),
        ("zip", " 94025 ", "94025"),
    ],
)
def test_personal_data_is_normalized_and_hashed(field: str, given: str, plain: str) -> None:
    assert user(**{field: given}) == {{"zip": "zip_code"}.get(field, field): sha(plain)}


def test_known_vectors() -> None:
    assert user(phone="+1 650 555 1234", email="test@example.com") == {
        "phone": "a2996076d3ad4af5dc818b908b3d8e354f26ededf7df0e0aa6ac354143805ee0",
        "email": "973dfe463ec85785f5f95af5ba3906eedb2d931c24e69824a89ea65dba4e813b",
    }


@pytest.mark.parametrize(
    ("field", "given"),
    [("phone", "0171 1234567"), ("phone", "12"), ("phone", "+1234567890123456"), ("phone", "none"), ("email", "ann")],
)
def test_what_says_nothing_is_left_out(field: str, given: str) -> None:
    assert user(**{field: given}) is None


def test_what_is_hashed_already_stays() -> None:
    assert user(email=sha("a").upper(), phone=sha("b")) == {"email": sha("a"), "phone": sha("b")}


def test_several_values_are_a_list_and_names_only_one() -> None:
    assert user(email=["a@b.example", "c@d.example"], first_name=["Ann", "Anna"]) == {
        "email": [sha("a@b.example"), sha("c@d.example")],
        "first_name": sha("ann"),
    }


def test_the_browsers_own_values_stay_as_they_are() -> None:
    given = {"ttclid": "E.C.P.AbC", "ttp": "2F7h", "ip": "203.0.113.9", "user_agent": "Mozilla/5.0"}
    assert user(**given, city="Berlin", fbp="fb.1.2") == given


@pytest.mark.parametrize(
    ("given", "ttclid"),
    [
        ({"user": {"ttclid": "__CLICKID__"}}, None),
        ({"user": {"ttclid": "E.C.P.Cq__QB"}}, "E.C.P.Cq__QB"),
        ({"click_id": "E.C.P.AbC", "user": {}}, "E.C.P.AbC"),
        ({"click_id": "E.C.P.AbC", "user": {"ttclid": "__CLICKID__"}}, "E.C.P.AbC"),
        ({"click_id": "E.C.P.AbC", "user": {"ttclid": "E.C.P.Own"}}, "E.C.P.Own"),
        ({"click_id": "fb.1.2", "user": {}}, None),
    ],
)
def test_a_click_id_is_theirs_and_filled_in(given: dict[str, Any], ttclid: str | None) -> None:
    assert sent({**ORDER, **given}).get("user", {}).get("ttclid") == ttclid


@pytest.mark.parametrize(
    ("change", "code"),
    [({"source_url": None}, "no_page"), ({"channel": "store"}, "other_channel"), ({"channel": "crm"}, "other_channel")],
)
def test_what_a_pixel_does_not_take_is_refused_before_it_is_sent(change: dict[str, Any], code: str) -> None:
    with pytest.raises(InvalidPayload) as refused:
        run(calling(Scripted(), "attribution.event", {**ORDER, **change}))
    assert refused.value.code == code


def test_without_a_pixel_no_conversion_goes_there() -> None:
    for event_type in ("attribution.event", "attribution.batch"):
        action = PROVIDER.actions[event_type]
        assert not action.is_able({"levels": "campaign"})
        assert all(action.is_able({name: "x"}) for _, name in SOURCES.values())
    assert not any(field.required or field.sensitive for field in PROVIDER.fields)


@pytest.mark.parametrize(
    ("channel", "field", "source"),
    [("store", "offline_event_set_id", "offline"), ("crm", "crm_event_set_id", "crm"), ("app", "app_id", "app")],
)
def test_other_channels_have_event_sets_of_their_own(channel: str, field: str, source: str) -> None:
    scripted = Scripted(answer(200, {"code": 0, "message": "OK", "data": {}}))
    order = {**ORDER, "channel": channel, "source_url": None, "user": {"lead_id": "777"}}
    run(calling(scripted, "attribution.event", order, config={**CONFIG, field: "set_1", "test_event_code": "T1"}))
    body = json.loads(scripted.requests[0].body)
    assert (body["event_source"], body["event_source_id"], body["test_event_code"]) == (source, "set_1", "T1")
    (event,) = body["data"]
    assert "page" not in event
    assert event.get("lead") == ({"lead_id": "777"} if channel == "crm" else None)


def test_a_batch_is_told_apart_by_where_each_goes() -> None:
    fine = answer(200, {"code": 0, "message": "OK", "data": {}})
    scripted = Scripted(fine, fine)
    mixed = [{**ORDER, "attribution_id": f"a{n}", "channel": "crm" if n % 2 else "website"} for n in range(4)]
    config = {**CONFIG, "crm_event_set_id": "set_1"}
    call = calling(scripted, "attribution.batch", {"conversions": mixed}, config=config)
    first = run(call)
    assert isinstance(first, Wait)
    call.progress = first.progress
    assert isinstance(run(call), Done)
    bodies = [json.loads(request.body) for request in scripted.requests]
    assert [(body["event_source"], len(body["data"])) for body in bodies] == [("crm", 2), ("web", 2)]


def test_another_accounts_pixel_is_refused(account: Account) -> None:
    with pytest.raises(Refused, match="pixel"):
        account.publish("attribution.event", ORDER, config={**CONFIG, "pixel_code": "CNOTOURS"})


PARTIAL = {"partial_failure": True, "failed_events": [{"order_in_batch": 0, "error": "invalid timestamp"}]}


@pytest.mark.parametrize("given", [said(PARTIAL, 20001), said(PARTIAL)])
def test_a_partial_success_of_one_is_a_refusal(given: Answer) -> None:
    with pytest.raises(InvalidPayload, match="invalid timestamp"):
        run(calling(Scripted(given), "attribution.event", ORDER))


# ---------------------------------------------------------------------------------------------------------------- many


class Pixel:
    """A transport that plays Events API 2.0: it refuses a whole request that holds a bad event."""

    def __init__(self, *bad: str, partial: bool = False) -> None:
        self.bad = set(bad)
        self.partial = partial
        self.calls: list[int] = []
        self.taken: list[str] = []

    def send(self, request: Request, deadline_s: float) -> Answer:
        names = [event["event_id"].partition(":")[0] for event in json.loads(request.body)["data"]]
        self.calls.append(len(names))
        wrong = [place for place, name in enumerate(names) if name in self.bad]
        if wrong and not self.partial:
            return said(code=40002, message=f"data[{wrong[0]}]: wrong")
        self.taken += [name for name in names if name not in self.bad]
        if wrong:
            failed = [{"order_in_batch": place, "error": "wrong"} for place in wrong]
            return said({"partial_failure": True, "failed_events": failed}, 20001)
        return said()


def batch(count: int, **changes: Mapping[str, Any]) -> dict[str, Any]:
    names = [f"att_{n}" for n in range(count)]
    return {"conversions": [{**ORDER, "attribution_id": name, **changes.get(name, {})} for name in names]}


def walked(using: Any, data: Mapping[str, Any]) -> tuple[Done, list[Wait]]:
    """All steps, each with what the one before left as JSON."""
    waits: list[Wait] = []
    while True:
        progress = json.loads(json.dumps(waits[-1].progress)) if waits else {}
        outcome = run(calling(using, "attribution.batch", data, progress=progress))
        if isinstance(outcome, Done):
            return outcome, waits
        waits.append(outcome)


def test_a_thousand_go_out_in_one_call(account: Account) -> None:
    outcome = account.publish("attribution.batch", batch(1000))
    assert outcome.result == {"sent": 1000, "refused": []}
    assert account.requests("event/track/") == 1
    assert account.sandbox.control.bill()["tiktok_ads"]["events_distinct"] == 1000


def test_a_bad_one_is_found_by_halving_and_the_others_are_sent(account: Account) -> None:
    outcome = account.publish("attribution.batch", batch(100, att_37={"currency": "eur"}))
    assert outcome.result["sent"] == 99
    (refused,) = outcome.result["refused"]
    assert refused["event_id"] == "att_37:purchase"
    assert "currency" in refused["why"]
    bill = account.sandbox.control.bill()["tiktok_ads"]
    assert (bill["events_received"], bill["events_distinct"]) == (99, 99)
    assert all(wait.wait_s == 0 for wait in account.waits)


@pytest.mark.parametrize(
    "bad", [("att_0",), ("att_999",), ("att_3", "att_4", "att_500"), tuple(f"att_{n}" for n in range(9))]
)
def test_however_many_are_bad_the_good_ones_go_out_once(bad: tuple[str, ...]) -> None:
    pixel = Pixel(*bad)
    outcome, waits = walked(pixel, batch(1000))
    assert outcome.result["sent"] == 1000 - len(bad)
    assert [one["event_id"] for one in outcome.result["refused"]] == [f"{name}:purchase" for name in bad]
    assert len(pixel.taken) == len(set(pixel.taken)) == 1000 - len(bad)
    done_of = [(wait.progress["done"], wait.progress["of"]) for wait in waits]
    assert done_of == sorted(done_of)
    assert {of for _, of in done_of} == {1000}


def test_a_step_that_is_repeated_sends_nothing_twice_that_was_committed() -> None:
    pixel = Pixel("att_1")
    first = run(calling(pixel, "attribution.batch", batch(4)))
    assert isinstance(first, Wait)
    second = run(calling(pixel, "attribution.batch", batch(4), progress=first.progress))
    again = run(calling(pixel, "attribution.batch", batch(4), progress=first.progress))
    assert second == again
    assert pixel.calls == [4, 2, 2]


def test_when_all_are_bad_it_does_not_take_a_thousand_calls() -> None:
    pixel = Pixel(*(f"att_{n}" for n in range(1000)))
    with pytest.raises(InvalidPayload) as refused:
        walked(pixel, batch(1000))
    assert refused.value.code == "conversions_refused"
    assert len(pixel.calls) < 50


def test_many_bad_ones_at_the_front_do_not_hold_up_the_others() -> None:
    pixel = Pixel(*(f"att_{n}" for n in range(40)), "att_900")
    outcome, _ = walked(pixel, batch(1000))
    assert outcome.result["sent"] == 1000 - 41


@pytest.mark.parametrize("bad", [("att_0", "att_2"), ("att_2",)])
def test_a_partial_success_names_its_bad_ones(bad: tuple[str, ...]) -> None:
    pixel = Pixel(*bad, partial=True)
    outcome, waits = walked(pixel, batch(3))
    assert (outcome.result["sent"], waits) == (3 - len(bad), [])
    assert outcome.result["refused"] == [{"event_id": f"{name}:purchase", "why": "wrong"} for name in bad]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ({}, 20001),
        ({"failed_events": "?"}, 20001),
        ({"failed_events": [None, {"order_in_batch": 7}]}, 20001),
        ({"partial_failure": True}, 0),
    ],
)
def test_a_partial_success_that_names_nobody_is_taken_apart(data: Any, code: int) -> None:
    scripted = Scripted(said(data, code), said(), said(data, code))
    outcome, waits = walked(scripted, batch(2))
    assert outcome.result["sent"] == 1
    assert [one["event_id"] for one in outcome.result["refused"]] == ["att_1:purchase"]
    assert len(waits) == 2


def test_what_cannot_be_sent_is_named_and_not_sent() -> None:
    pixel = Pixel()
    outcome, _ = walked(pixel, batch(3, att_0={"source_url": None}, att_2={"channel": "phone"}))
    assert (outcome.result["sent"], pixel.taken) == (1, ["att_1"])
    assert [one["event_id"] for one in outcome.result["refused"]] == ["att_0:purchase", "att_2:purchase"]


def test_when_nothing_can_be_sent_the_delivery_fails_before_a_call() -> None:
    with pytest.raises(InvalidPayload, match="source_url"):
        walked(Scripted(), batch(2, att_0={"source_url": None}, att_1={"source_url": None}))


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (said(code=40132), RateLimited),
        (said(code=40001), Refused),
        (said(code=49999), InvalidPayload),
        (answer(400), InvalidPayload),
        (said(code=50000), OutcomeUnknown),
    ],
)
def test_what_is_not_about_single_events_is_not_taken_apart(given: Answer, error: type[Exception]) -> None:
    with pytest.raises(error):
        run(calling(Scripted(given), "attribution.batch", batch(2)))
