"""The Conversions API of the Meta stand-in: what an event must be, and that one bad event rejects all."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.process import Sandbox, start
from tests.sandbox.meta import JONAS, PIXEL, Graph, issue_token

HASH = "b7e0d8372a47f54bbefeb251ab9ac1e9e6b2d1983263de10196101be3961ed23"
EVENTS = f"{PIXEL}/events"
INVALID, NOT_HASHED, OLD, NOBODY = 2804019, 2804013, 2804003, 2804050


@pytest.fixture(scope="module")
def process() -> Iterator[Sandbox]:
    with start() as running:
        yield running


@pytest.fixture
def sandbox(process: Sandbox) -> Sandbox:
    process.control.reset()
    return process


@pytest.fixture
def graph(sandbox: Sandbox) -> Graph:
    return Graph(sandbox.url, issue_token(sandbox))


def event(event_id: str | None = "1", **changes: Any) -> dict[str, Any]:
    """A purchase on a website; a change to None leaves that field out."""
    whole = {
        "event_name": "Purchase",
        "event_time": int(time.time()),
        "event_id": event_id,
        "action_source": "website",
        "event_source_url": "https://shop.example/thanks",
        "user_data": {"em": [HASH], "client_user_agent": "Mozilla/5.0", "client_ip_address": "203.0.113.9"},
        "custom_data": {"currency": "USD", "value": 59.9},
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not None}


def seconds_ago(days: float) -> int:
    return int(time.time() - days * 86_400)


def test_events_come_as_objects_or_as_texts(sandbox: Sandbox, graph: Graph) -> None:
    answers = [
        graph.post_json(EVENTS, {"data": [event("1"), event("2")]}),
        graph.post(EVENTS, data=[json.dumps(event("2")), json.dumps(event("3"))]),
        graph.post_json(EVENTS, {"data": json.dumps([event("3")])}),
    ]
    assert [(one.status, one.json["events_received"], one.json["messages"]) for one in answers] == [
        (200, 2, []),
        (200, 2, []),
        (200, 1, []),
    ]
    assert all(one.json["fbtrace_id"] for one in answers)
    assert sandbox.control.bill()["meta_ads"]["conversions"] == {PIXEL: {"received": 5, "distinct": 3}}
    bill = sandbox.control.bill()["meta_ads"]
    assert (bill["events_received"], bill["events_distinct"], bill["test_events"]) == (5, 3, 0)
    assert sandbox.control.do("meta_ads", "events", pixel=PIXEL) == {
        "Purchase/1": 1,
        "Purchase/2": 2,
        "Purchase/3": 2,
    }


def test_without_an_id_every_event_counts_and_is_warned_about(sandbox: Sandbox, graph: Graph) -> None:
    answer = graph.post_json(EVENTS, {"data": [event(None), event(None, custom_data={"value": 1})]})
    assert [message.partition(":")[0] for message in answer.json["messages"]] == ["data[0]", "data[1]", "data[1]"]
    assert sandbox.control.bill()["meta_ads"]["conversions"] == {PIXEL: {"received": 2, "distinct": 2}}


def test_test_events_are_counted_apart(sandbox: Sandbox, graph: Graph) -> None:
    answer = graph.post_json(EVENTS, {"data": [event()], "test_event_code": "TEST1"})
    assert (answer.status, answer.json["events_received"]) == (200, 1)
    bill = sandbox.control.bill()["meta_ads"]
    assert (bill["test_events"], bill["events_received"], bill["conversions"]) == (1, 0, {})


@pytest.mark.parametrize(
    ("changes", "subcode"),
    [
        ({"event_name": None}, INVALID),
        ({"event_time": None}, INVALID),
        ({"user_data": None}, INVALID),
        ({"user_data": "x"}, INVALID),
        ({"action_source": "billboard"}, INVALID),
        ({"action_source": ["website"]}, INVALID),
        ({"event_source_url": None}, INVALID),
        ({"user_data": {"em": [HASH]}}, INVALID),
        ({"event_time": "2026-10-01"}, INVALID),
        ({"event_time": seconds_ago(7.1)}, OLD),
        ({"event_time": seconds_ago(-1)}, OLD),
        ({"action_source": "physical_store", "event_time": seconds_ago(62.1)}, OLD),
        ({"user_data": {"em": ["ann.lee@example.com"], "client_user_agent": "x"}}, NOT_HASHED),
        ({"user_data": {"ph": HASH.upper(), "client_user_agent": "x"}}, NOT_HASHED),
        ({"user_data": {"em": [HASH, 5], "client_user_agent": "x"}}, NOT_HASHED),
        ({"user_data": {"client_user_agent": "x"}}, NOBODY),
    ],
)
def test_one_bad_event_rejects_all(sandbox: Sandbox, graph: Graph, changes: dict[str, Any], subcode: int) -> None:
    answer = graph.post_json(EVENTS, {"data": [event("1"), event("2", **changes)]})
    assert answer.codes == (400, 100, subcode)
    assert "data[1]" in answer.json["error"]["message"]
    assert sandbox.control.bill() == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"event_time": seconds_ago(6.9)},
        {"action_source": "physical_store", "event_time": seconds_ago(61.9)},
        {"action_source": "system_generated", "event_source_url": None, "user_data": {"lead_id": "1"}},
        {"user_data": {"external_id": "plain", "client_user_agent": "x"}},
        {"user_data": {"client_ip_address": "203.0.113.9", "client_user_agent": "x"}},
    ],
)
def test_events_that_are_good(graph: Graph, changes: dict[str, Any]) -> None:
    assert graph.post_json(EVENTS, {"data": [event(**changes)]}).json["events_received"] == 1


def test_the_size_of_a_request(graph: Graph) -> None:
    thousand = [event(str(n)) for n in range(1000)]
    assert graph.post_json(EVENTS, {"data": thousand}).json["events_received"] == 1000
    assert graph.post_json(EVENTS, {"data": [*thousand, event()]}).codes == (400, 100, None)
    assert graph.post_json(EVENTS, {"data": []}).codes == (400, 100, None)
    assert graph.post_json(EVENTS, {}).codes == (400, 100, None)
    assert graph.post(EVENTS, data=["{"]).codes == (400, 100, INVALID)


def test_a_pixel_has_its_people(sandbox: Sandbox, graph: Graph) -> None:
    assert graph.get(PIXEL, fields="name").json == {"id": PIXEL, "name": f"Pixel {PIXEL}"}
    other = Graph(sandbox.url, issue_token(sandbox, JONAS))
    assert other.post_json(EVENTS, {"data": [event()]}).codes == (400, 100, 33)
    assert graph.post_json("1/events", {"data": [event()]}).codes == (400, 100, 33)
