"""The stream of a step's log, and links: an end that was not told is none, and a link is shown nowhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from model import Cost, Done
from providers.errors import InvalidPayload, OutcomeUnknown, Refused, Unsettled
from providers.http import Answer, HttpTransport
from providers.mindstudio import embedding, sse, steps
from sandbox.process import Sandbox
from tests.providers.doubles import Memory, Scripted, answer, transport
from tests.providers.mindstudio.calls import KEY, Walk, action, body_of, ms_call
from tests.sandbox.mindstudio import CHAT

STEP = {"step": "generateText", "input": {"message": "Label the mood of: 'late again'."}, "stream": True}
PLACE = {"x-mindstudio-app-id": "app_1", "x-mindstudio-thread-id": "thr_1"}
LOG = {"type": "log", "value": "Started.", "tag": "step", "ts": 5}
END = {"type": "done", "output": {"content": "angry"}, "billingCost": 41000}
LINK = "https://app.mindstudio.ai/agents/a1/embed/planted-signature-0123456789"


@pytest.fixture
def http() -> Iterator[HttpTransport]:
    with transport() as made:
        yield made


def stream(*events: Any, end: str = "\n\n") -> Answer:
    body = end.join(each if isinstance(each, str) else f"data: {json.dumps(each)}" for each in events) + end
    return answer(200, body.encode(), {**PLACE, "Content-Type": "text/event-stream; charset=utf-8"})


def one(*answers: Any, **data: Any) -> Walk:
    return Walk(Scripted(*answers), steps.STEP, {**STEP, **data})


def bill(sandbox: Sandbox) -> Any:
    return sandbox.control.bill().get("mindstudio", {}).get(KEY, {}).get("steps", 0)


# ----------------------------------------------------------------------------------------------------------- streams


def test_a_step_ends_by_its_stream(http: HttpTransport, sandbox: Sandbox) -> None:
    walk = Walk(http, steps.STEP, STEP, base_url=sandbox.url)
    done = walk.end()
    assert [line["text"] for line in done.result["log"]] == ["Started.", "Finished."]
    plain = Walk(http, steps.STEP, {**STEP, "stream": False}, base_url=sandbox.url).end()
    assert done.result["output"] == plain.result["output"]
    assert done.cost == plain.cost
    assert bill(sandbox) == 2
    assert sandbox.control.counts(path="/developer/v2/steps/userMessage/execute")["requests"] == 1


def test_what_is_asked_for_and_told() -> None:
    walk = one(stream(LOG, END), app_id="app_0")
    done = walk.end()
    (request,) = walk.using.requests
    assert request.headers["Accept"] == "text/event-stream"
    assert body_of(walk.using) == {"step": STEP["input"], "appId": "app_0"}
    assert done.result == {
        "step": "generateText",
        "output": {"content": "angry"},
        "log": [{"text": "Started.", "tag": "step", "at_ms": 5}],
        "app_id": "app_1",
        "thread_id": "thr_1",
        "cost": {"amount": "41000", "unit": "nano_credits"},
    }
    assert done.cost == Cost(Decimal(41000), "nano_credits")


@pytest.mark.parametrize("fault", [{"truncate": True}, {"drop": "after"}])
def test_a_stream_that_breaks_is_never_begun_again(http: HttpTransport, sandbox: Sandbox, fault: Any) -> None:
    sandbox.control.add_rule("/developer/v2/steps/userMessage/execute", fault, times=1)
    walk = Walk(http, steps.STEP, STEP, base_url=sandbox.url)
    with pytest.raises(OutcomeUnknown):
        walk.step()
    assert walk.repeats() == "lookup"
    with pytest.raises(Unsettled):
        walk.lost()
    assert bill(sandbox) == 1


@pytest.mark.parametrize(
    "events",
    [
        (),
        (LOG,),
        (LOG, 'data: {"type": "done", "outp'),
        ("data: [1]", "data: null", ": comment", "event: done"),
        ('data: {"type": "progress"}',),
    ],
)
def test_a_stream_without_an_end_is_a_lost_answer(events: Any) -> None:
    walk = one(stream(*events))
    with pytest.raises(OutcomeUnknown, match="stopped before its end") as lost:
        walk.step()
    assert lost.value.code == "stream_broken"
    with pytest.raises(Unsettled):
        walk.lost()


def test_ends_of_lines_and_events_over_several_lines() -> None:
    event = 'data: {"type": "done",\r\ndata: "output": "x"}'
    done = one(stream(LOG, event, end="\r\n\r\n")).end()
    assert done.result["output"] == "x"


def test_an_output_that_lies_elsewhere_is_fetched_and_the_log_stays() -> None:
    elsewhere = {"type": "done", "outputUrl": "https://files.example/out.json", "billingCost": 7}
    done = one(stream(LOG, elsewhere), answer(200, {"value": {"text": "x"}})).end()
    assert (done.result["output"], len(done.result["log"])) == ({"text": "x"}, 1)


def test_an_error_is_the_end_of_it() -> None:
    walk = one(stream(LOG, {"type": "error", "error": "No such voice."}))
    walk.step()
    with pytest.raises(Refused, match="No such voice"):
        walk.step()


def test_an_error_without_words_is_no_success() -> None:
    walk = one(stream({"type": "error"}))
    walk.step()
    with pytest.raises(Refused, match="no reason was given"):
        walk.step()


def test_a_server_without_streams_answers_at_once() -> None:
    plain = answer(200, {"output": "x"}, {**PLACE, "Content-Type": "application/json"})
    done = one(plain).end()
    assert (done.result["output"], "log" in done.result) == ("x", False)


def test_a_long_log_is_cut_and_shows_no_key() -> None:
    lines = [{"type": "log", "value": f"{number} {KEY} " + "x" * 1000} for number in range(sse.MOST_LINES + 5)]
    done = one(stream(*lines, END)).end()
    log = done.result["log"]
    assert (len(log), log[0]["text"][:2]) == (sse.MOST_LINES, "5 ")
    assert {len(line["text"]) for line in log} == {sse.LINE_CHARACTERS}
    assert KEY not in str(done)


# ------------------------------------------------------------------------------------------------------------- links


def test_a_link_is_a_file(http: HttpTransport, sandbox: Sandbox) -> None:
    walk = Walk(http, embedding.REQUESTED, {"agent_id": CHAT, "user_id": "u_7"}, base_url=sandbox.url)
    done = walk.end()
    (asset,) = done.assets
    link = walk.media.files[asset.uri.removeprefix("memory://")].decode()
    assert f"/agents/{CHAT}" in link
    assert (done.result["user_id"], done.result["mime"]) == ("u_7", "text/uri-list")
    assert link not in str(done)


def test_a_link_is_shown_nowhere() -> None:
    scripted, media = Scripted(answer(200, {"url": LINK})), Memory()
    call = ms_call(scripted, embedding.REQUESTED, {}, config={"agent_id": "a1"}, media=media)
    done = action(embedding.REQUESTED).run(call)
    assert isinstance(done, Done)
    assert body_of(scripted) == {"agentId": "a1"}
    assert media.files[f"{call.delivery_id}.url"] == LINK.encode()
    assert "planted-signature" not in f"{done!r} {call!r} {call.exchange!r}"


@pytest.mark.parametrize("body", [{}, {"url": ""}, {"url": 5}, [], {"url": "javascript:alert(1)"}])
def test_what_is_no_link_is_not_kept(body: Any) -> None:
    media = Memory()
    call = ms_call(Scripted(answer(200, body)), embedding.REQUESTED, {"agent_id": "a1"}, media=media)
    with pytest.raises(OutcomeUnknown):
        action(embedding.REQUESTED).run(call)
    assert media.files == {}


def test_a_link_is_for_an_agent() -> None:
    with pytest.raises(InvalidPayload, match="No agent is named"):
        action(embedding.REQUESTED).run(ms_call(Scripted(), embedding.REQUESTED, {}))
