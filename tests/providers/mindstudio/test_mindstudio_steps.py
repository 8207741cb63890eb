"""Single steps, batches, estimates and tasks: what is sent, and what their ends mean."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from model import Cost, Wait
from providers.errors import InvalidPayload, OutcomeUnknown, Refused, Unavailable
from providers.mindstudio import steps, tasks
from tests.providers.doubles import Memory, Scripted, answer
from tests.providers.mindstudio.calls import PENDING, TOKEN, Walk, body_of

BEGUN = answer(200, {"executionToken": TOKEN, "appId": "app_1", "threadId": "thr_1"})
NOT_THERE = answer(404, {"message": "Cannot POST."})
URL = "https://files.mindstudio-cdn.com/out.json?sig=planted-output"
SPEECH = {"step": "textToSpeech", "input": {"text": "hi"}}
MANY = {"steps": [{"step": "generateText", "input": {"message": "a"}}, {"step": "extractText"}]}
BATCH = answer(200, {"batchToken": TOKEN, "status": "pending"})


def one(*answers: Any, **data: Any) -> Walk:
    return Walk(Scripted(*answers), steps.STEP, {**SPEECH, **data})


def many(*answers: Any, **data: Any) -> Walk:
    return Walk(Scripted(*answers), steps.STEPS, {**MANY, **data})


def complete(**more: Any) -> Any:
    return answer(200, {"status": "complete", "billingCost": 41000, **more})


def paths(walk: Walk) -> list[str]:
    return [request.url.partition("/v2/")[2] for request in walk.using.requests]


# ------------------------------------------------------------------------------------------------------------ one step


def test_a_step_is_begun_and_looked_at() -> None:
    walk = one(BEGUN, PENDING, complete(output={"audioUrl": "https://cdn.example/a.mp3"}), thread_id="thr_1", name="n")
    done = walk.end()
    look = f"steps/textToSpeech/execute-async/poll/{TOKEN}"
    assert paths(walk) == ["steps/textToSpeech/execute-async", look, look]
    assert body_of(walk.using) == {"step": {"text": "hi"}, "threadId": "thr_1"}
    assert done.result == {
        "step": "textToSpeech",
        "output": {"audioUrl": "https://cdn.example/a.mp3"},
        "app_id": "app_1",
        "thread_id": "thr_1",
        "cost": {"amount": "41000", "unit": "nano_credits"},
        "name": "n",
    }
    assert done.cost == Cost(Decimal(41000), "nano_credits")


def test_names_of_their_clients_are_names_on_the_wire() -> None:
    walk = one(BEGUN, step="generateText")
    walk.step()
    assert paths(walk) == ["steps/userMessage/execute-async"]
    assert steps.wire_name("generateAsset") == "generatePdf"
    assert steps.wire_name("aStepOfTomorrow") == "aStepOfTomorrow"


@pytest.mark.parametrize("name", [None, "", "a/b", "execute-batch", "../x", "a" * 101, 3])
def test_what_is_no_name_is_refused(name: Any) -> None:
    with pytest.raises(InvalidPayload, match="must be the name of a step"):
        one(step=name).step()


def test_an_older_server_answers_at_once() -> None:
    heads = {"x-mindstudio-app-id": "app_1", "x-mindstudio-thread-id": "thr_1"}
    walk = one(NOT_THERE, answer(200, {"output": {"text": "x"}, "billingCost": 7}, heads))
    done = walk.end()
    assert paths(walk) == ["steps/textToSpeech/execute-async", "steps/textToSpeech/execute"]
    assert (done.result["thread_id"], done.result["app_id"], done.cost) == (
        "thr_1",
        "app_1",
        Cost(Decimal(7), "nano_credits"),
    )


def test_only_404_says_that_there_is_no_such_operation() -> None:
    walk = one(answer(400, {"message": "Bad."}))
    with pytest.raises(InvalidPayload, match="Bad"):
        walk.step()
    both = one(NOT_THERE, NOT_THERE)
    with pytest.raises(InvalidPayload):
        both.step()


@pytest.mark.parametrize("answers", [[answer(502)], [NOT_THERE, answer(502)]])
def test_a_lost_step_is_never_repeated_by_itself(answers: Any) -> None:
    walk = one(*answers)
    with pytest.raises(OutcomeUnknown):
        walk.step()
    with pytest.raises(Refused, match="answer to a step that was begun was lost"):
        walk.lost()


def test_an_output_that_lies_elsewhere_is_fetched_in_a_step_of_its_own_without_the_key() -> None:
    walk = one(BEGUN, complete(outputUrl=URL), answer(503), answer(200, {"value": {"text": "long"}}))
    walk.step()
    paid = walk.step()
    assert paid.cost == Cost(Decimal(41000), "nano_credits")
    assert walk.repeats() == "safe"
    with pytest.raises(Unavailable):
        walk.step()
    done = walk.end()
    assert done.result["output"] == {"text": "long"}
    assert done.result["cost"] == {"amount": "41000", "unit": "nano_credits"}
    assert done.cost is None  # it is on the row of the step before
    fetch = walk.using.requests[-1]
    assert (fetch.url, fetch.trusted) == (URL, False)
    assert "authorization" not in map(str.lower, fetch.headers)
    assert "planted-output" not in f"{walk.urls!r}"


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_an_output_that_is_not_to_be_had_is_no_fault_of_the_account(status: int) -> None:
    walk = one(BEGUN, complete(outputUrl=URL), answer(status))
    walk.step()
    walk.step()
    walk.step()
    with pytest.raises(Refused, match="said that the step failed: The output cannot be fetched") as refused:
        walk.step()
    assert type(refused.value) is Refused


def test_a_step_that_failed() -> None:
    walk = one(BEGUN, answer(200, {"status": "error", "error": {"message": "Voice unknown."}}))
    walk.step()
    walk.step()
    with pytest.raises(Refused, match="the step failed: Voice unknown"):
        walk.step()


def test_a_long_output_is_a_file() -> None:
    walk = one(BEGUN, complete(output={"text": "x" * 200_000}))
    done = walk.end()
    assert "output" not in done.result
    assert done.result["file"]["mime"] == "application/json"


def test_media_files_become_addresses() -> None:
    media = Memory()
    asset = "01930000-0000-7000-8000-00000000000a"
    media.stored(asset, b"ID3", "audio/mpeg")
    place = answer(200, {"uploadUrl": "https://up.example/1", "url": "https://cdn.example/1"})
    walk = one(place, answer(200), BEGUN, step="transcribeAudio", input={"audioUrl": {"asset_id": asset}})
    walk.media = media
    for _ in range(3):
        walk.step()
    assert body_of(walk.using, -1) == {"step": {"audioUrl": "https://cdn.example/1"}}


# ----------------------------------------------------------------------------------------------------------- many steps


def test_many_steps_fail_each_on_its_own_in_the_order_asked() -> None:
    results = [{"stepType": "userMessage", "output": {"content": "a"}, "billingCost": 5}, {"error": "needs url"}]
    body = {"status": "complete", "results": results, "totalBillingCost": 5, "appId": "app_1", "threadId": "thr_1"}
    walk = many(BATCH, PENDING, answer(200, body), app_id="app_1")
    done = walk.end()
    assert paths(walk)[:2] == ["steps/execute-batch-async", f"steps/execute-batch-async/poll/{TOKEN}"]
    assert body_of(walk.using) == {
        "steps": [{"stepType": "userMessage", "step": {"message": "a"}}, {"stepType": "extractText", "step": {}}],
        "appId": "app_1",
    }
    assert done.result == {
        "results": [
            {"step": "generateText", "output": {"content": "a"}, "cost": {"amount": "5", "unit": "nano_credits"}},
            {"step": "extractText", "error": "needs url"},
        ],
        "steps": 2,
        "failed": 1,
        "app_id": "app_1",
        "thread_id": "thr_1",
        "cost": {"amount": "5", "unit": "nano_credits"},
    }


def test_a_batch_of_which_nothing_is_done_fails() -> None:
    walk = many(NOT_THERE, answer(200, {"results": [{"error": "first"}, {"error": "second"}], "totalBillingCost": 0}))
    walk.step()
    with pytest.raises(Refused, match="all 2 steps failed, the first one with: first"):
        walk.step()


def test_outputs_of_a_batch_that_lie_elsewhere() -> None:
    results = [{"outputUrl": URL}, {"outputUrl": URL + "2"}]
    walk = many(NOT_THERE, answer(200, {"results": results}), answer(200, {"value": 1}), answer(404))
    done = walk.end()
    assert done.result["results"][0] == {"step": "generateText", "output": 1}
    assert done.result["results"][1]["error"].startswith("The output cannot be fetched.")
    assert done.result["failed"] == 1


@pytest.mark.parametrize("results", [None, [], [{"output": 1}], [1, 2]])
def test_results_that_are_not_those_of_the_steps_leave_it_unknown(results: Any) -> None:
    with pytest.raises(OutcomeUnknown, match="other results than those of 2 steps"):
        many(NOT_THERE, answer(200, {"results": results})).step()


# ------------------------------------------------------------------------------------------------------------ estimates


def test_what_a_step_would_cost() -> None:
    rows = [{"label": "in", "estimatedCost": 1000}, {"label": "out", "estimatedCost": 500.5}, {"label": "?"}]
    walk = Walk(Scripted(answer(200, {"costType": "x", "estimates": rows})), steps.ESTIMATE, {**SPEECH, "app_id": "a"})
    done = walk.end()
    assert body_of(walk.using) == {"step": {"type": "textToSpeech", "text": "hi"}, "appId": "a"}
    assert done.result["cost"] == {"amount": "1500.5", "unit": "nano_credits"}
    assert done.cost is None
    assert done.result["estimates"] == rows


# ---------------------------------------------------------------------------------------------------------------- tasks

TASK = {
    "prompt": "Find suppliers.",
    "input": {"for": "pet beds"},
    "tools": ["searchGoogle", {"step": "generateText", "defaults": {"temperature": 0}}],
    "structured_output_example": {"names": []},
    "model": "gpt-4o",
    "max_turns": 10,
}
TASK_BEGUN = answer(200, {"taskToken": TOKEN})
RAN = {
    "status": "complete",
    "output": {"names": ["x"]},
    "outputRaw": '{"names":["x"]}',
    "parsedSuccessfully": True,
    "turns": 3,
    "usage": {"inputTokens": 10, "outputTokens": 5, "totalBillingCost": 900},
    "toolCalls": [{"name": "searchGoogle", "success": True, "durationMs": 40}, {"name": "x", "success": False}],
}


def test_a_task() -> None:
    walk = Walk(Scripted(TASK_BEGUN, answer(200, {"status": "running"}), answer(200, RAN)), tasks.REQUESTED, TASK)
    done = walk.end()
    assert body_of(walk.using) == {
        "prompt": "Find suppliers.",
        "model": "gpt-4o",
        "tools": [
            {"stepType": "searchGoogle"},
            {"stepType": "userMessage", "defaults": {"temperature": 0}},
        ],
        "input": {"for": "pet beds"},
        "structuredOutputExample": '{"names":[]}',
        "maxTurns": 10,
    }
    assert paths(walk)[1] == f"task/poll/{TOKEN}"
    assert done.cost == Cost(Decimal(900), "nano_credits")
    assert done.result["tool_calls"] == [
        {"name": "searchGoogle", "success": True, "duration_ms": 40},
        {"name": "x", "success": False},
    ]
    assert (done.result["output"], done.result["parsed"], done.result["turns"]) == ({"names": ["x"]}, True, 3)


def test_an_output_that_is_not_as_the_example_is_said_to_be_so() -> None:
    body = {**RAN, "parsedSuccessfully": False, "output": None, "outputRaw": "I could not."}
    done = Walk(Scripted(TASK_BEGUN, answer(200, body)), tasks.REQUESTED, TASK).end()
    assert (done.result["output"], done.result["parsed"]) == ("I could not.", False)


def test_a_task_that_failed() -> None:
    walk = Walk(Scripted(TASK_BEGUN, answer(200, {"status": "error", "error": "No model."})), tasks.REQUESTED, TASK)
    walk.step()
    assert isinstance(walk.step(), Wait)
    with pytest.raises(Refused, match="the task failed: No model"):
        walk.step()


def test_progress_is_json() -> None:
    walk = one(BEGUN, complete(outputUrl=URL))
    walk.step()
    walk.step()
    assert json.loads(json.dumps([wait.progress for wait in walk.waits])) == [wait.progress for wait in walk.waits]
