"""TikTok's stand-in: conversion events it takes, and webhooks it sends."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any
from urllib.request import Request, urlopen

import pytest

from sandbox.process import Sandbox, start
from sandbox.tiktok_ads.webhooks import signature
from tests.sandbox.tiktok import APP, EU, JAPAN, NOW, SECRET, US, Api

PIXEL = "CHALDENEU0000000001"
HASH = hashlib.sha256(b"ada@example.com").hexdigest()

# The example of the page on verification, computed with another implementation.
BODY = (
    '{"client_key":"ck1","event":"post.publish.complete","create_time":1791450000,'
    '"user_openid":"u1","content":"{\\"publish_id\\":\\"p1\\"}"}'
)
SIGNATURE = "t=1791450000,s=07be9a2b8dbe8aa0065f0769ce0d08f7e914078d83bb4a805b45cbbf4fb39040"


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture(scope="module")
def process() -> Iterator[Sandbox]:
    with start() as running:
        yield running


@pytest.fixture
def sandbox(process: Sandbox) -> Sandbox:
    process.control.reset()
    process.control.record_bodies(True)
    return process


def event(**others: Any) -> dict[str, Any]:
    return {
        "event": "CompletePayment",
        "event_time": int(NOW),
        "event_id": "order-1:CompletePayment",
        "user": {"email": HASH, "ip": "203.0.113.9", "ttclid": "E.C.P.abc"},
        "properties": {"currency": "EUR", "value": 59.9},
        "page": {"url": "https://shop.example/thanks"},
        **others,
    }


def track(api: Api, *events: Any, **others: Any) -> tuple[int, Any]:
    body = {"event_source": "web", "event_source_id": PIXEL, "data": list(events), **others}
    return api.post("event/track/", **body)


def counts(api: Api) -> tuple[int, int, int]:
    bill = api.stand_in.bill()
    return bill.get("events_received", 0), bill.get("events_distinct", 0), bill.get("test_events", 0)


@pytest.mark.parametrize(
    ("others", "code"),
    [
        ({}, 0),
        ({"event": "SomethingOfOurs"}, 0),
        ({"event": ""}, 40002),
        ({"event": None}, 40002),
        ({"event_time": None}, 40002),
        ({"event_time": "1791450000"}, 40002),
        ({"event_time": 1791450000.5}, 40002),
        ({"event_time": 1791450000000}, 40002),
        ({"event_time": "2026-11-20T12:00:00Z"}, 40002),
        ({"event_time": True}, 40002),
        ({"event_id": None}, 0),
        ({"user": {"email": "ada@example.com"}}, 40062),
        ({"user": {"email": HASH.upper()}}, 40062),
        ({"user": {"email": [HASH, HASH]}}, 0),
        ({"user": {"email": [HASH, "ada@example.com"]}}, 40062),
        ({"user": {"phone": "+4930123456"}}, 40062),
        ({"user": {"external_id": "42"}}, 40062),
        ({"user": {"external_id": HASH, "phone": HASH}}, 0),
        ({"user": None}, 0),
        ({"properties": {"value": "59.90"}}, 40002),
        ({"properties": {"currency": "euro"}}, 40002),
        ({"page": None}, 40002),
        ({"page": {}}, 40002),
        ({"page": {"url": "shop.example"}}, 40002),
        ({"evnet_id": "x"}, 40002),
    ],
)
def test_what_an_event_needs(api: Api, others: dict[str, Any], code: int) -> None:
    assert track(api, event(**others)) == (code, {})
    assert counts(api) == ((1, 1, 0) if code == 0 else (0, 0, 0))


def test_one_bad_event_refuses_all_and_is_named(api: Api) -> None:
    events = [event(event_id=str(n)) for n in range(5)]
    body = {"event_source": "web", "event_source_id": PIXEL, "data": [*events, event(event_time=0)]}
    answer = json.loads(api.send("POST", "/open_api/v1.3/event/track/", body=json.dumps(body).encode()).body)
    assert (answer["code"], answer["message"]) == (40002, "data[5].event_time: must be unix seconds.")
    assert counts(api) == (0, 0, 0)


def test_a_thousand_events_are_the_most(api: Api) -> None:
    events = [event(event_id=str(n)) for n in range(1001)]
    assert track(api, *events)[0] == 40002
    assert track(api)[0] == 40002
    assert track(api, *events[:1000])[0] == 0
    assert counts(api) == (1000, 1000, 0)


def test_an_event_counts_once_by_source_name_and_id(api: Api) -> None:
    assert track(api, event(), event(), event(event="Purchase"), event(event_id="order-2"))[0] == 0
    assert track(api, event(user={"email": HASH}))[0] == 0
    assert counts(api) == (5, 3, 0)
    assert track(api, event(), event_source_id="CHALDENUS0000000002")[0] == 0
    assert track(api, event(event_id=None), event(event_id=None))[0] == 0
    assert counts(api) == (8, 6, 0)


def test_test_events_do_not_count(api: Api) -> None:
    assert track(api, event(), test_event_code="TEST123")[0] == 0
    assert counts(api) == (0, 0, 1)


def test_only_web_events_need_a_page_and_a_pixel(api: Api) -> None:
    assert track(api, event(page=None), event_source="offline", event_source_id="7001")[0] == 0
    assert track(api, event(), event_source="tv")[0] == 40002
    assert track(api, event(), event_source_id="CUNKNOWN")[0] == 40001
    api.token = api.do("issue_token", app_id=APP, secret=SECRET, advertiser_ids=[US])
    assert track(api, event())[0] == 40001


def test_every_account_has_a_pixel(api: Api) -> None:
    codes = [api.get("pixel/list/", advertiser_id=one)[1]["pixels"][0]["pixel_code"] for one in (EU, US, JAPAN)]
    assert codes == [PIXEL, "CHALDENUS0000000002", "CHALDENJP0000000003"]
    assert api.get("pixel/list/", advertiser_id=EU, code=codes[0])[1]["page_info"]["total_number"] == 1
    assert api.get("pixel/list/", advertiser_id=EU, code=codes[1])[1]["pixels"] == []
    assert api.get("pixel/list/", advertiser_id=EU, page_size=21)[0] == 40002


def a_subscription(token: str | None, **others: Any) -> dict[str, Any]:
    return {
        "app_id": APP,
        "secret": SECRET,
        "subscribe_entity": "LEAD",
        "callback_url": "https://mesh.test/hooks/tiktok_ads/1",
        "subscription_detail": {"access_token": token, "advertiser_id": EU},
        **others,
    }


def subscription(api: Api, **others: Any) -> tuple[int, Any]:
    return api.post("subscription/subscribe/", **a_subscription(api.token, **others))


def subscribed(api: Api, **others: Any) -> list[str]:
    code, data = api.get("subscription/get/", app_id=APP, secret=SECRET, **others)
    assert code == 0
    return [one["subscription_id"] for one in data["subscriptions"]]


def test_subscriptions_come_and_go(api: Api) -> None:
    (_, leads), (_, reports) = subscription(api), subscription(api, subscribe_entity="REPORT_DATA_CHANGE")
    assert subscribed(api) == [leads["subscription_id"], reports["subscription_id"]]
    assert subscribed(api, subscribe_entity="LEAD") == [leads["subscription_id"]]
    _, data = api.get("subscription/get/", app_id=APP, secret=SECRET, page_size=1)
    assert (len(data["subscriptions"]), data["page_info"]["total_number"]) == (1, 2)
    assert str(api.token) not in json.dumps(data)
    body = {"app_id": APP, "secret": SECRET, **leads}
    assert api.post("subscription/unsubscribe/", **{**body, "app_id": "8"})[0] == 40007
    assert api.post("subscription/unsubscribe/", **body) == (0, leads)
    assert api.post("subscription/unsubscribe/", **body)[0] == 40007
    assert subscribed(api) == [reports["subscription_id"]]


@pytest.mark.parametrize(
    ("others", "code"),
    [
        ({"secret": "bad"}, 40101),
        ({"app_id": "8"}, 40101),
        ({"subscribe_entity": "WEATHER"}, 40002),
        ({"callback_url": "mesh.test"}, 40002),
        ({"subscription_detail": {}}, 40104),
        ({"subscription_detail": {"access_token": ["x"]}}, 40105),
        ({"subscription_detail": {"access_token": "act.guessed"}}, 40105),
    ],
)
def test_what_a_subscription_needs(api: Api, others: dict[str, Any], code: int) -> None:
    assert subscription(api, **others)[0] == code
    assert subscribed(api) == []


def test_a_subscription_falls_silent_with_its_token(api: Api) -> None:
    subscription(api)
    api.do("revoke", token=api.token)
    assert subscribed(api) == []


def test_the_signature_is_that_of_the_page_on_verification() -> None:
    assert signature("tt_app_secret_1", 1791450000, BODY.encode()) == SIGNATURE


def hear(sandbox: Sandbox, **arguments: Any) -> dict[str, Any]:
    """Subscribe a receiver, have a notification sent, and return its record there."""
    control = sandbox.control
    token = control.do("tiktok_ads", "issue_token", app_id=APP, secret=SECRET)
    body = a_subscription(token, callback_url=f"{sandbox.url}/receive/tiktok?key=k1")
    request = Request(f"{sandbox.url}/open_api/v1.3/subscription/subscribe/", json.dumps(body).encode())
    with urlopen(request, timeout=5) as answer:
        made = json.load(answer)["data"]
    (sent,) = control.do("tiktok_ads", "send_webhook", entity="LEAD", **arguments)
    assert (sent["subscription_id"], sent["status"]) == (made["subscription_id"], 200)
    (record,) = control.received(path="/receive/tiktok")
    assert (record["query"], record["body"]) == ("key=k1", sent["body"])
    return {**record}


def test_a_notification_is_signed_over_its_raw_bytes(sandbox: Sandbox) -> None:
    record = hear(sandbox, body=BODY, at=1791450000)
    assert record["headers"]["tiktok-signature"] == SIGNATURE
    assert record["body"] == BODY


def test_a_notification_of_a_lead_has_its_entries_and_the_time(sandbox: Sandbox) -> None:
    record = hear(sandbox, entry=[{"id": "lead-1", "campaign_id": "1801000000000000005"}])
    body = json.loads(record["body"])
    assert (body["object"], body["entry"][0]["id"]) == (1, "lead-1")
    assert 0 <= record["at"] - body["time"] < 60
    assert record["headers"]["tiktok-signature"] == signature(SECRET, body["time"], record["body"].encode())


def test_a_notification_can_be_signed_wrongly_or_not_at_all(sandbox: Sandbox) -> None:
    forged = hear(sandbox, body=BODY, at=1791450000, secret="another")
    assert forged["headers"]["tiktok-signature"] == signature("another", 1791450000, BODY.encode())
    sandbox.control.reset()
    sandbox.control.record_bodies(True)
    assert "tiktok-signature" not in hear(sandbox, signed=False)["headers"]
