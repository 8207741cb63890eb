"""Conversions: who it was, without saying it; one at a time, and many with bad ones among them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import pytest

from model import Wait
from providers.errors import InvalidPayload, OutcomeUnknown, RateLimited, Refused
from providers.http import Answer, Request
from providers.meta_ads import PROVIDER
from providers.meta_ads.conversions import NAMES, SOURCES
from tests.providers.doubles import NOW, Scripted, answer
from tests.providers.meta_ads.calls import ACCOUNT, TOKEN, calling, done, error, params, path, run, waiting, walked

ANN = "b7e0d8372a47f54bbefeb251ab9ac1e9e6b2d1983263de10196101be3961ed23"  # of ann.lee@example.com
ANNS_PHONE = "5e7ec4c79ccac6e420876e65ad0e6b4b2ccf73ec3dccb50297bf2890a1ec73b9"  # of 14155550100
PURCHASE: dict[str, Any] = {
    "attribution_id": "att_5001",
    "name": "purchase",
    "value": 59.9,
    "currency": "EUR",
    "happened_at": "2026-11-23T10:00:00Z",
    "source_url": "https://shop.example/thanks",
    "order_id": "9917",
    "user": {
        "email": " Ann.Lee@Example.com ",
        "phone": "+1 (415) 555-0100",
        "ip": "203.0.113.9",
        "user_agent": "Mozilla/5.0",
        "fbclid": "IwAR2xAbC",
        "fbp": "fb.1.1791000000000.1234567890",
        "clicked_at": "2026-11-23T09:51:02.123Z",
    },
    "contents": [{"id": "sku-1", "quantity": 2, "price": 29.95}, {"id": "sku-2"}],
}


def taken(count: int = 1, **more: Any) -> Answer:
    return answer(200, {"events_received": count, "messages": [], "fbtrace_id": "AbC123", **more})


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def sent(request: Request) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = json.loads(params(request)["data"])
    return events


def event(conversion: Mapping[str, Any]) -> dict[str, Any]:
    """The one event that goes out for a conversion."""
    scripted = Scripted(taken())
    run(calling(scripted, "attribution.event", conversion))
    (only,) = sent(scripted.requests[0])
    return only


def person(**user: Any) -> dict[str, Any]:
    found: dict[str, Any] = event({**PURCHASE, "user": {"user_agent": "x", **user}})["user_data"]
    del found["client_user_agent"]
    return found


def test_a_purchase() -> None:
    scripted = Scripted(taken())
    outcome = done(run(calling(scripted, "attribution.event", PURCHASE)))
    (request,) = scripted.requests
    assert path(request) == "POST /v25.0/987654321098765/events"
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"
    assert sent(request) == [
        {
            "event_name": "Purchase",
            "event_time": 1795428000,
            "event_id": "att_5001:Purchase",
            "action_source": "website",
            "event_source_url": "https://shop.example/thanks",
            "user_data": {
                "em": [ANN],
                "ph": [ANNS_PHONE],
                "client_ip_address": "203.0.113.9",
                "client_user_agent": "Mozilla/5.0",
                "fbp": "fb.1.1791000000000.1234567890",
                "fbc": "fb.1.1795427462123.IwAR2xAbC",
            },
            "custom_data": {
                "value": 59.9,
                "currency": "EUR",
                "order_id": "9917",
                "content_type": "product",
                "content_ids": ["sku-1", "sku-2"],
                "contents": [{"id": "sku-1", "quantity": 2, "item_price": 29.95}, {"id": "sku-2"}],
            },
        }
    ]
    assert outcome.result == {"sent": 1, "received": 1}
    assert outcome.external_id == "AbC123"


def test_a_warning_of_metas_is_kept() -> None:
    outcome = run(calling(Scripted(taken(messages=["Use a better user agent."])), "attribution.event", PURCHASE))
    assert done(outcome).result["messages"] == ["Use a better user agent."]


@pytest.mark.parametrize(
    ("field", "given", "name", "plain"),
    [
        ("first_name", " Ann ", "fn", "ann"),
        ("last_name", "LEE", "ln", "lee"),
        ("city", "St. Louis-2", "ct", "stlouis"),
        ("state", "C.A. (1)", "st", "ca"),
        ("zip", " 94110-1234", "zp", "94110"),
        ("zip", "SW1A 1AA", "zp", "sw1a1aa"),
        ("country", " US ", "country", "us"),
        ("gender", "Female", "ge", "f"),
        ("date_of_birth", "1990-05-31", "db", "19900531"),
        ("external_id", " Usr_31 ", "external_id", "usr_31"),
        ("phone", "0044 20 7946 0000", "ph", "442079460000"),
    ],
)
def test_people_are_normalized_and_hashed(field: str, given: str, name: str, plain: str) -> None:
    assert person(**{field: given}) == {name: [sha(plain)]}


def test_what_is_hashed_stays_and_many_values_are_many() -> None:
    assert person(email=[ANN.upper(), "Bo@Example.com"]) == {"em": [ANN, sha("bo@example.com")]}


@pytest.mark.parametrize(
    ("field", "given"),
    [("email", "nobody"), ("phone", "020 7946 0000"), ("phone", "12"), ("country", "USA"), ("gender", "x"),
     ("date_of_birth", "May"), ("zip", "-"), ("city", "99")],
)  # fmt: skip
def test_what_says_nothing_is_left_out(field: str, given: str) -> None:
    assert person(**{field: given, "external_id": "u"}) == {"external_id": [sha("u")]}


def test_the_click() -> None:
    given = "fb.1.1791440000123.IwAR2x"
    assert person(fbc=given, fbclid="other") == {"fbc": given}
    unknown = person(fbclid="AbC_dEf")  # the click came to be known with the event
    assert unknown == {"fbc": f"fb.1.{int(NOW.timestamp() * 1000)}.AbC_dEf"}


@pytest.mark.parametrize(("ours", "theirs"), NAMES.items())
def test_the_names_of_events(ours: str, theirs: str) -> None:
    found = event({**PURCHASE, "name": ours})
    assert (found["event_name"], found["event_id"]) == (theirs, f"att_5001:{theirs}")


@pytest.mark.parametrize(("channel", "source"), SOURCES.items())
def test_the_channel_is_the_source(channel: str, source: str) -> None:
    assert event({**PURCHASE, "channel": channel})["action_source"] == source


def test_a_lead_of_the_crm_is_known_by_its_id() -> None:
    lead = {"attribution_id": "a", "name": "lead", "channel": "crm", "user": {"lead_id": "1234567890123456"}}
    found = event(lead)
    assert found["user_data"] == {"lead_id": "1234567890123456"}
    assert found["custom_data"] == {"event_source": "crm", "lead_event_source": "Agent Mesh"}
    assert found["event_time"] == int(NOW.timestamp())
    assert "event_source_url" not in found


def test_limited_data_use() -> None:
    limited = event({**PURCHASE, "limited_data_use": True})
    assert limited["data_processing_options"] == ["LDU"]
    assert (limited["data_processing_options_country"], limited["data_processing_options_state"]) == (0, 0)
    assert "data_processing_options" not in event({**PURCHASE, "limited_data_use": False})


BAD = {
    "missing_source_url": {**PURCHASE, "source_url": None},
    "missing_user_agent": {**PURCHASE, "user": {"email": "ann@example.com"}},
    "missing_user": {**PURCHASE, "channel": "store", "user": {"email": "nobody"}},
    "missing_currency": {**PURCHASE, "currency": None},
}


@pytest.mark.parametrize(("code", "conversion"), BAD.items())
def test_what_meta_would_not_take_is_refused_before_it_is_sent(code: str, conversion: dict[str, Any]) -> None:
    with pytest.raises(InvalidPayload) as refused:
        run(calling(Scripted(), "attribution.event", conversion))
    assert refused.value.code == code


def test_metas_own_words_are_over_ours() -> None:
    own = {
        "event_name": "StartTrial",
        "action_source": "app",
        "user_data": {"madid": "38400000-8cf0-11bd-b23e-10b96e40000d"},
        "app_data": {"advertiser_tracking_enabled": 1},
        "attribution_data": {"ad_id": "120215000000000003"},
    }
    data = {"attribution_id": "att_1", "name": "subscribe", "extra": {"meta_ads": own, "tiktok_ads": {"event": "x"}}}
    found = event(data)
    assert {name: found[name] for name in own} == own
    assert found["event_id"] == "att_1:StartTrial"


def test_conversions_with_a_test_code_are_shown_at_meta_only() -> None:
    scripted = Scripted(taken(), taken())
    run(calling(scripted, "attribution.event", PURCHASE, config={**ACCOUNT, "test_event_code": "TEST123"}))
    run(calling(scripted, "attribution.event", PURCHASE, config={**ACCOUNT, "test_event_code": ""}))
    assert [params(each).get("test_event_code") for each in scripted.requests] == ["TEST123", None]


def test_no_conversion_goes_where_there_is_no_pixel() -> None:
    for event_type in ("attribution.event", "attribution.batch"):
        assert PROVIDER.actions[event_type].needs == "pixel_id"


def test_a_pixel_is_one_piece_of_the_address() -> None:
    scripted = Scripted(taken())
    run(calling(scripted, "attribution.event", PURCHASE, config={**ACCOUNT, "pixel_id": " 12/../me?x "}))
    assert path(scripted.requests[0]) == "POST /v25.0/12%2F..%2Fme%3Fx/events"


# -------------------------------------------------------------------------------------------------------------- many


def batch(count: int, **wrong: dict[str, Any]) -> dict[str, Any]:
    """Conversions with ids from 0; `wrong` has those at `_<number>`."""
    return {
        "conversions": [
            {**PURCHASE, "attribution_id": str(number), **wrong.get(f"_{number}", {})} for number in range(count)
        ]
    }


class Judge:
    """Meta as it takes events: whole requests, or none of it for one that is bad."""

    def __init__(self, *bad: str, refusal: Answer | None = None) -> None:
        self._bad = {f"{each}:Purchase" for each in bad}
        self._refusal = refusal or error(100, 2804003, error_user_title="Event Timestamp Too Old")
        self.requests: list[Request] = []
        self.taken: list[str] = []

    def send(self, request: Request, deadline_s: float) -> Answer:
        self.requests.append(request)
        ids = [each["event_id"] for each in sent(request)]
        given = self._refusal if self._bad.intersection(ids) else taken(len(ids))
        if given is not self._refusal:
            self.taken += ids
        return Answer(given.status, given.headers, given.content, 1, False, request)


def test_a_thousand_go_out_in_one_request() -> None:
    judge = Judge()
    steps, last = walked(judge, "attribution.batch", batch(1000))
    assert steps == []
    assert len(judge.taken) == 1000
    assert last.result == {"sent": 1000, "received": 1000, "refused": []}


def test_more_than_a_request_takes_go_out_in_several() -> None:
    judge = Judge()
    (step,), last = walked(judge, "attribution.batch", batch(1001))
    assert (step.wait_s, step.progress["done"], step.progress["of"]) == (0, 1000, 1001)
    assert [len(sent(each)) for each in judge.requests] == [1000, 1]
    assert last.result["sent"] == 1001


def test_the_bad_ones_are_found_and_the_good_ones_are_sent_once() -> None:
    judge = Judge("3", "70", "71")
    steps, last = walked(judge, "attribution.batch", batch(100))
    good = [f"{number}:Purchase" for number in range(100) if number not in (3, 70, 71)]
    assert sorted(judge.taken) == sorted(good)
    assert (last.result["sent"], last.result["received"]) == (97, 97)
    refused = last.result["refused"]
    assert [each["attribution_id"] for each in refused] == ["3", "70", "71"]
    assert {each["code"] for each in refused} == {"conversion_refused"}
    assert "Event Timestamp Too Old" in refused[0]["why"]
    assert len(judge.requests) == len(steps) + 1 < 40
    progress = [step.progress["done"] for step in steps]
    assert progress == sorted(progress)
    assert all(step.wait_s == 0 and step.progress["of"] == 100 for step in steps)


def test_what_we_know_to_be_bad_is_not_sent_at_all() -> None:
    judge = Judge("4")
    _, last = walked(judge, "attribution.batch", batch(6, _1={"source_url": None}, _5={"user": {}}))
    assert all("1:Purchase" not in str(sent(each)) for each in judge.requests)
    assert [(each["attribution_id"], each["code"]) for each in last.result["refused"]] == [
        ("1", "missing_source_url"),
        ("4", "conversion_refused"),
        ("5", "missing_user_agent"),
    ]
    assert sorted(judge.taken) == ["0:Purchase", "2:Purchase", "3:Purchase"]


def test_a_batch_of_which_nothing_is_taken_has_failed() -> None:
    with pytest.raises(InvalidPayload, match="None of the 2 conversions was taken") as refused:
        walked(Judge("0", "1"), "attribution.batch", batch(2))
    assert refused.value.code == "all_refused"
    with pytest.raises(InvalidPayload):
        walked(Scripted(), "attribution.batch", batch(1, _0={"source_url": None}))


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (error(100, 33), InvalidPayload),  # the pixel is not there
        (error(190, 463), Refused),
        (error(200), Refused),
        (error(17, 2446079), RateLimited),
        (error(2, status=500), OutcomeUnknown),
        (answer(400, {"detail": "not Meta's"}), InvalidPayload),
    ],
)
def test_what_no_conversion_is_to_blame_for_ends_the_request_whole(given: Answer, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        run(calling(Scripted(given), "attribution.batch", batch(4)))


def test_a_step_that_is_repeated_sends_the_same_events() -> None:
    scripted = Scripted(error(100, 2804003), taken(2), taken(2))
    first = waiting(run(calling(scripted, "attribution.batch", batch(4))))
    for _ in range(2):
        again = run(calling(scripted, "attribution.batch", batch(4), progress=first.progress))
        assert isinstance(again, Wait)
    assert scripted.requests[1].body == scripted.requests[2].body
