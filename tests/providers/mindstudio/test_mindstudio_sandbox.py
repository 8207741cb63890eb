"""The adapter against the stand-in of MindStudio over HTTP: every action, each way of ending."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from model import Done
from providers.errors import (
    AccountBlocked,
    CredentialsRejected,
    InvalidPayload,
    OutcomeUnknown,
    RateLimited,
    Refused,
    Retryable,
    Unsettled,
)
from providers.http import HttpTransport, media_request
from providers.mindstudio import PROVIDER, runs, steps, tasks
from sandbox.process import Sandbox
from tests.providers.doubles import Memory, transport
from tests.providers.mindstudio.calls import KEY, Knows, Walk, action, ms_call
from tests.sandbox.mindstudio import CHAT, READER, WRITER

MOOD = {"agent_id": READER, "variables": {"text": "Late again"}}
ASSET = "01930000-0000-7000-8000-00000000000a"


@pytest.fixture
def http() -> Iterator[HttpTransport]:
    with transport() as made:
        yield made


@pytest.fixture
def walk(http: HttpTransport, sandbox: Sandbox) -> Any:
    def begin(event_type: str, data: Any, **more: Any) -> Walk:
        return Walk(http, event_type, data, base_url=sandbox.url, **more)

    return begin


def bill(sandbox: Sandbox) -> Any:
    return sandbox.control.bill().get("mindstudio", {}).get(KEY, {"runs": 0, "steps": 0, "tasks": 0})


def do(sandbox: Sandbox, action: str, **arguments: Any) -> Any:
    return sandbox.control.do("mindstudio", action, **arguments)


@pytest.mark.parametrize("mode", ["poll", "sync"])
@pytest.mark.parametrize("shape", ["plain", "text", "spaced"])
def test_a_run(walk: Any, sandbox: Sandbox, mode: str, shape: str) -> None:
    do(sandbox, "set_runs", shape=shape)
    done = walk(runs.REQUESTED, {**MOOD, "mode": mode}).end()
    assert {name.lower(): value for name, value in done.result["data"].items()} == {"mood": "angry", "score": "-2"}
    assert (str(done.cost.amount), done.cost.unit) == (bill(sandbox)["usd"], "usd")
    assert bill(sandbox)["runs"] == 1
    assert done.external_id == do(sandbox, "runs")[0]["thread_id"]


def test_a_run_that_says_a_text(walk: Any) -> None:
    done = walk(runs.REQUESTED, {"agent_id": CHAT, "variables": {"question": "When?"}}).end()
    assert done.result["text"] == "Thank you for asking: When?"


def test_a_run_that_calls_back(walk: Any, sandbox: Sandbox) -> None:
    known = Knows(url=f"{sandbox.url}/receive/hooks/mindstudio/1?delivery=2&token=3")
    do(sandbox, "set_callbacks", after=None)
    run = walk(runs.REQUESTED, {**MOOD, "mode": "callback"}, known=known)
    run.step()
    run.step()
    run.step()
    (sent,) = do(sandbox, "send_callbacks")
    known.came = sent["body"].encode()
    done = run.end()
    assert done.result["data"] == {"mood": "angry", "score": "-2"}
    assert done.external_id == sent["thread_id"]
    assert bill(sandbox)["runs"] == 1


@pytest.mark.parametrize("end", ["error", "unsuccessful"])
def test_a_run_that_fails(walk: Any, sandbox: Sandbox, end: str) -> None:
    do(sandbox, "set_runs", end=end, error="Out of luck.")
    with pytest.raises(Refused, match=r"Out of luck\."):
        walk(runs.REQUESTED, MOOD).end()
    with pytest.raises(Refused, match="Out of luck"):
        walk(runs.REQUESTED, {**MOOD, "mode": "sync"}).end()
    assert bill(sandbox)["runs"] == 2


def test_a_token_that_expired(walk: Any, sandbox: Sandbox) -> None:
    run = walk(runs.REQUESTED, MOOD)
    run.step()
    assert do(sandbox, "forget_polls") == 1
    run.step()
    with pytest.raises(Refused, match="does not tell any more how the run ended"):
        run.step()
    assert run.end().result["data"]["mood"] == "angry"
    assert bill(sandbox)["runs"] == 2


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("mindstudio:rate_limited", RateLimited),
        ("mindstudio:rate_limited_date", RateLimited),
        ("mindstudio:gateway", OutcomeUnknown),
        ("mindstudio:gateway_timeout_after", OutcomeUnknown),
        ("mindstudio:internal_after", Unsettled),
        ("mindstudio:error_text", Unsettled),
        ("mindstudio:details_object", InvalidPayload),
        ("mindstudio:details_text", InvalidPayload),
        ("mindstudio:forbidden", Refused),
        ("mindstudio:unavailable", OutcomeUnknown),
        ("drop-after", OutcomeUnknown),
        ("truncate", OutcomeUnknown),
        ("wrong-json", OutcomeUnknown),
    ],
)
def test_faults_of_a_beginning(walk: Any, sandbox: Sandbox, fault: str, kind: type) -> None:
    sandbox.control.add_rule("/developer/v2/agents/run", fault)
    with pytest.raises(kind) as failed:
        walk(runs.REQUESTED, MOOD).step()
    assert type(failed.value) is kind
    if isinstance(failed.value, RateLimited):
        assert (failed.value.wait_s or 0) > 0


@pytest.mark.parametrize("fault", ["mindstudio:gateway", "mindstudio:internal", "drop", "truncate", "reset-after"])
def test_faults_of_a_look_cost_nothing(walk: Any, sandbox: Sandbox, fault: str) -> None:
    run = walk(runs.REQUESTED, MOOD)
    run.step()
    sandbox.control.add_rule("/developer/v2/agents/run/poll/*", fault, times=1)
    with pytest.raises((Retryable, OutcomeUnknown)):
        run.step()
    assert run.repeats() == "safe"
    assert run.end().result["data"]["mood"] == "angry"
    assert bill(sandbox)["runs"] == 1


def test_accounts_that_a_person_must_mend(http: HttpTransport, sandbox: Sandbox) -> None:
    for key, kind in (("bad_key", CredentialsRejected), ("empty_key", AccountBlocked)):
        call = ms_call(http, runs.REQUESTED, MOOD, base_url=sandbox.url, secrets={"api_key": key})
        with pytest.raises(kind):
            action(runs.REQUESTED).run(call)


def test_what_is_known_of_agents_is_checked_before_it_costs(walk: Any, sandbox: Sandbox) -> None:
    done: Done = walk("sync.due", {"integration_id": "x", "stream": "agents"}).end()
    assert done.result == {"agents": 3, "workflows": 5}
    assert done.records is not None
    assert done.records.cursor is not None
    known = Knows({"agents": done.records.cursor.value})
    with pytest.raises(InvalidPayload, match="has Main, Summarise, Hashtags"):
        walk(runs.REQUESTED, {"agent_id": WRITER, "workflow": "Nope"}, known=known).step()
    with pytest.raises(InvalidPayload, match="give `product`"):
        walk(runs.REQUESTED, {"agent_id": WRITER, "variables": {"tone": "plain"}}, known=known).step()
    assert bill(sandbox)["runs"] == 0
    do(sandbox, "set_runs", shape="spaced")
    data = {"agent_id": WRITER, "variables": {"product": "wool socks", "tone": None}, "mode": "sync"}
    assert walk(runs.REQUESTED, data, known=known).end().result["data"]["title"] == "Wool Socks"


@pytest.mark.parametrize("stream", [one.name for one in PROVIDER.streams])
def test_streams(walk: Any, stream: str) -> None:
    done = walk("sync.due", {"integration_id": "x", "stream": stream}).end()
    assert done.result
    assert done.records.cursor.stream == stream


def test_a_step_with_its_conversation(walk: Any, sandbox: Sandbox) -> None:
    first = walk(steps.STEP, {"step": "generateText", "input": {"message": "hello"}}).end()
    assert first.result["output"] == {"content": "Answer 1: hello"}
    place = {name: first.result[name] for name in ("app_id", "thread_id")}
    second = walk(steps.STEP, {"step": "userMessage", "input": {"message": "again"}, **place}).end()
    assert second.result["output"] == {"content": "Answer 2: again"}
    assert bill(sandbox)["nano_credits"] == first.cost.amount + second.cost.amount


@pytest.mark.parametrize("older", [False, True])
def test_outputs_elsewhere(walk: Any, sandbox: Sandbox, older: bool) -> None:
    do(sandbox, "set_runs", outputs_by_url=True)
    if older:
        sandbox.control.add_rule("/developer/v2/steps/userMessage/execute-async", "404")
        sandbox.control.add_rule("/developer/v2/steps/execute-batch-async", "404")
    alone = walk(steps.STEP, {"step": "generateText", "input": {"message": "hello"}})
    assert alone.end().result["output"] == {"content": "Answer 1: hello"}
    assert any(url.endswith("/userMessage/execute") for url in alone.urls) is older
    both = {"steps": [{"step": "generateText", "input": {"message": "a"}}, {"step": "extractText"}]}
    batch = walk(steps.STEPS, both).end()
    assert batch.result["results"][0]["output"] == {"content": "Answer 1: a"}
    assert batch.result["results"][1] == {"step": "extractText", "error": "extractText needs url."}
    assert bill(sandbox)["steps"] == 2


def test_a_step_that_there_is_not(walk: Any) -> None:
    with pytest.raises(InvalidPayload, match="not played by the sandbox"):
        walk(steps.STEP, {"step": "danceForMe", "input": {}}).end()


def test_a_media_file_is_copied_and_read_there(walk: Any, sandbox: Sandbox, http: HttpTransport) -> None:
    media = Memory()
    media.stored(ASSET, b"ID3 the sound", "audio/mpeg")
    run = walk(runs.REQUESTED, {"agent_id": "app_of_mine", "variables": {"file": {"asset_id": ASSET}}}, media=media)
    text = run.end().result["text"]
    found = http.send(media_request("GET", text.removeprefix("file: ")), 5)
    assert (found.content, found.headers["content-type"]) == (b"ID3 the sound", "audio/mpeg")


def test_an_estimate_is_what_it_costs(walk: Any, sandbox: Sandbox) -> None:
    asked = {"step": "generateText", "input": {"message": "hello"}}
    told = walk(steps.ESTIMATE, asked).end().result["cost"]
    assert bill(sandbox)["steps"] == 0
    assert Decimal(told["amount"]) == walk(steps.STEP, asked).end().cost.amount


def test_a_task(walk: Any, sandbox: Sandbox) -> None:
    asked = {
        "prompt": "Find.",
        "tools": ["searchGoogle"],
        "structured_output_example": {"names": []},
        "model": "gpt-4o",
    }
    done = walk(tasks.REQUESTED, asked).end()
    assert (done.result["output"], done.result["parsed"]) == ({"names": []}, True)
    assert done.cost.amount == bill(sandbox)["nano_credits"]
    do(sandbox, "set_runs", end="unsuccessful")
    done = walk(tasks.REQUESTED, asked).end()
    assert (done.result["output"], done.result["parsed"]) == ("I could not do this: Find.", False)
