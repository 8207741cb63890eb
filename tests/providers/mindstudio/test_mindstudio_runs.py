"""Runs of agents: what is sent, how their end is heard of, and what becomes of each kind of end."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from model import Cost, Wait
from providers.errors import (
    AccountBlocked,
    CredentialsRejected,
    InvalidPayload,
    OutcomeUnknown,
    RateLimited,
    Refused,
    Retryable,
    Unavailable,
    Unsettled,
)
from providers.mindstudio import runs
from tests.providers.doubles import Memory, Scripted, answer
from tests.providers.mindstudio.calls import (
    CALLBACK_URL,
    KEY,
    PENDING,
    RUN,
    STARTED,
    TOKEN,
    Knows,
    Walk,
    at,
    body_of,
)

OK: dict[str, Any] = {"success": True, "threadId": "th_9", "result": {"summary": "Fine."}, "billingCost": "$0.0031"}
COMPLETE = answer(200, {"status": "complete", "result": OK})
PAGE = b"<html><head><title>502 Bad Gateway</title></head></html>"
KNOWN = {
    "agents": {
        "agents": {
            "agent_1": {
                "name": "Shop Writer",
                "workflows": [
                    {"id": "wf1", "name": "Main", "slug": "main", "takes": ["topic"], "gives": ["summary"]},
                    {"id": "wf2", "name": "Tags", "slug": "tags", "takes": ["text", "tone"], "gives": []},
                ],
            }
        }
    }
}


def walk(*answers: Any, known: Knows | None = None, **data: Any) -> Walk:
    return Walk(Scripted(*answers), runs.REQUESTED, {**RUN, **data}, known=known or Knows())


# ----------------------------------------------------------------------------------------------------------------- poll


def test_a_run_is_begun_then_looked_at_until_it_has_ended() -> None:
    run = walk(STARTED, PENDING, PENDING, COMPLETE, workflow="Summarise.flow", metadata={"n": 1}, version="draft")
    done = run.end()
    begun, *looks = run.using.requests
    assert begun.url == "https://v1.mindstudio-api.com/developer/v2/agents/run"
    assert begun.headers["Authorization"] == f"Bearer {KEY}"
    assert body_of(run.using) == {
        "appId": "agent_1",
        "variables": {"topic": "socks"},
        "workflow": "Summarise",
        "includeBillingCost": True,
        "async": True,
        "version": "draft",
        "metadata": {"n": 1},
    }
    assert {one.url for one in looks} == {f"https://v1.mindstudio-api.com/developer/v2/agents/run/poll/{TOKEN}"}
    assert all("authorization" not in map(str.lower, one.headers) for one in looks)
    assert [wait.wait_s for wait in run.waits] == [1, 1, 2]
    assert run.waits[0].external_id == "th_9"
    assert done.result == {
        "agent_id": "agent_1",
        "workflow": "Summarise",
        "thread_id": "th_9",
        "data": {"summary": "Fine."},
        "cost": {"amount": "0.0031", "unit": "usd"},
    }
    assert (done.external_id, done.cost) == ("th_9", Cost(Decimal("0.0031"), "usd"))
    (event,) = done.events
    assert (event.type, event.key) == (runs.COMPLETED, f"agent.run_completed:{run.call().delivery_id}")


def test_waits_grow_to_half_a_minute() -> None:
    run = walk(STARTED, *[PENDING] * 8)
    for _ in range(9):
        run.step()
    assert [wait.wait_s for wait in run.waits] == [1, 1, 2, 4, 8, 16, 30, 30, 30]


def test_only_the_beginning_is_asked_about_after_a_lost_answer() -> None:
    run = walk(STARTED)
    assert run.repeats() == "lookup"
    run.step()
    assert run.repeats() == "safe"


def test_the_token_is_shown_nowhere() -> None:
    echo = answer(500, {"message": f"token {TOKEN} and {KEY}"})
    run = walk(STARTED, echo)
    run.step()
    call = run.call()
    with pytest.raises(Unavailable) as failed:
        run.step(call)
    shown = f"{failed.value} {call.exchange!r} {run.using.requests!r}"
    assert TOKEN not in shown
    assert KEY not in shown
    assert call.exchange is not None
    assert call.exchange.url == "https://v1.mindstudio-api.com/developer/v2/agents/run/poll/****"


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_token_that_is_not_known_any_more_leaves_the_end_unknown(status: int) -> None:
    """It is no failure, and nothing is wrong with the key: none was sent."""
    run = walk(STARTED, answer(status, {"message": "Unknown token."}), STARTED)
    run.step()
    assert isinstance(run.step(), Wait)
    with pytest.raises(Refused, match="may have been done and be on the bill: look at thread th_9 there") as refused:
        run.step()
    assert (refused.value.code, type(refused.value)) == ("end_unknown", Unsettled)
    run.step()  # a person makes it due again
    assert run.progress == {}
    assert isinstance(run.step(), Wait)
    assert run.progress["step"] == "look"


@pytest.mark.parametrize("status", [502, 503, 504, 500])
def test_a_look_that_fails_is_tried_again(status: int) -> None:
    run = walk(STARTED, answer(status, PAGE), COMPLETE)
    run.step()
    with pytest.raises(Unavailable):
        run.step()
    assert run.end().result["data"] == {"summary": "Fine."}


def test_an_unknown_status_is_not_the_end() -> None:
    run = walk(STARTED, answer(200, {"status": "queued"}), COMPLETE)
    run.end()
    assert len(run.waits) == 2


def test_a_run_that_does_not_end_in_time_is_given_up_and_a_replay_goes_on_looking() -> None:
    run = walk(STARTED, PENDING, PENDING, PENDING, PENDING, COMPLETE, timeout_s=60)
    run.step()
    at(run, 57)
    run.step()
    assert run.waits[-1].wait_s == 1
    at(run, 1)
    run.step()  # the last look is made after the time is over
    with pytest.raises(Refused, match=r"did not end within 60 s: look at thread th_9 there\. A replay goes on looking"):
        run.step()
    at(run, 3600)
    run.step()
    run.step()
    assert run.progress["step"] == "look"
    assert len([one for one in run.using.requests if one.method == "POST"]) == 1
    assert isinstance(run.step(), Wait)
    assert run.end().result["thread_id"] == "th_9"


def test_a_worker_that_died_while_it_said_so_leaves_the_same_words() -> None:
    run = walk(STARTED, answer(404, {"message": "Gone."}))
    run.step()
    run.step()
    assert run.repeats() == "lookup"
    with pytest.raises(Refused, match="does not tell any more"):
        run.lost()


@pytest.mark.parametrize(
    "end",
    [
        {"status": "error", "error": "The model said no."},
        {"status": "complete", "result": {"success": False, "error": "The model said no."}},
        {"status": "complete", "result": {"success": False, "message": "The model said no."}},
        {"status": "complete", "result": {"success": False, "details": {"message": ["The model said no."]}}},
    ],
)
def test_a_run_that_failed_is_a_dead_letter_with_their_words(end: Any) -> None:
    run = walk(STARTED, answer(200, end))
    run.step()
    run.step()
    with pytest.raises(Refused, match=r"said that the run failed: The model said no\.$") as refused:
        run.step()
    assert refused.value.code == "failed_there"


def test_what_a_failed_run_cost_is_counted() -> None:
    failed = {"success": False, "error": "No.", "billingCost": "$0.002"}
    run = walk(STARTED, answer(200, {"status": "complete", "result": failed}))
    run.step()
    outcome = run.step()
    assert outcome.cost == Cost(Decimal("0.002"), "usd")


@pytest.mark.parametrize("said", ["Timed out after 300 s.", "The model did not answer in time.", "No credits left."])
def test_what_timed_out_there_is_begun_once_more_and_no_more(said: str) -> None:
    error = answer(200, {"status": "error", "error": said})
    run = walk(STARTED, error, STARTED, error)
    run.step()
    run.step()
    assert (run.waits[-1].wait_s, run.progress) == (30, {"step": "begin", "again": True})
    run.step()
    run.step()
    with pytest.raises(Refused, match="said that the run failed"):
        run.step()


# --------------------------------------------------------------------------------------------------------- lost answers


@pytest.mark.parametrize("given", [answer(502, PAGE), answer(503), answer(504, PAGE), answer(408), OutcomeUnknown()])
def test_a_run_that_may_have_begun_is_never_begun_again_by_itself(given: Any) -> None:
    run = walk(given)
    with pytest.raises(OutcomeUnknown):
        run.step()
    with pytest.raises(Refused, match="may have been done, and be on the bill") as refused:
        run.lost()
    assert refused.value.code == "outcome_unknown"
    assert len(run.using.requests) == 1


def test_where_nothing_was_sent_it_is_simply_tried_again() -> None:
    with pytest.raises(Unavailable):
        walk(Unavailable("refused", transient=True)).step()


def test_a_500_is_the_end_of_it() -> None:
    with pytest.raises(
        Refused, match=r"It broke.*may be on the bill all the same; a replay begins it again"
    ) as refused:
        walk(answer(500, {"message": "It broke.", "code": "api_error"})).step()
    assert not isinstance(refused.value, Retryable)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"success": true}'])
def test_an_answer_that_cannot_be_read_leaves_the_run_unknown(body: bytes) -> None:
    with pytest.raises(OutcomeUnknown):
        walk(answer(200, body)).step()


# ------------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (400, {"message": "variables must be an object."}, InvalidPayload, "variables must be an object"),
        (400, {"error": "Bad."}, InvalidPayload, "400: Bad"),
        (400, {"details": "Not configured."}, InvalidPayload, "Not configured"),
        (400, {"details": {"message": ["is required"]}, "code": "invalid_step_config"}, InvalidPayload, "is required"),
        (400, {"error": {"message": "Deep.", "code": 7}}, InvalidPayload, "Deep"),
        (401, {"message": "Invalid API key."}, CredentialsRejected, "Invalid API key"),
        (402, {"message": "Pay."}, AccountBlocked, "Pay"),
        (403, {"message": "Credits are exhausted."}, AccountBlocked, "exhausted"),
        (403, {"code": "insufficient_credits"}, AccountBlocked, "insufficient_credits"),
        (400, {"message": "You have no credits left."}, AccountBlocked, "no credits"),
        (403, {"message": "This API key was revoked."}, CredentialsRejected, "revoked"),
        (403, {"message": "This agent is not yours."}, Refused, "not yours"),
        (404, {"message": "There is no such app."}, InvalidPayload, "no such app"),
        (404, b"<html><title>404 Not Found</title></html>", InvalidPayload, "404: 404 Not Found"),
        (429, {"message": "Too many."}, RateLimited, "Too many"),
    ],
)
def test_a_refusal_in_whichever_place_its_words_are(status: int, body: Any, kind: type, said: str) -> None:
    with pytest.raises(kind, match=said) as refused:
        walk(answer(status, body)).step()
    assert type(refused.value) is kind


# ------------------------------------------------------------------------------------------------------- sync, callback


def test_a_run_at_once() -> None:
    run = walk(answer(200, {**OK, "thread": {"id": "th_9"}}), mode="sync")
    done = run.end()
    assert run.using.requests[0].url.endswith("/developer/v2/apps/run")
    assert body_of(run.using) == {"appId": "agent_1", "variables": {"topic": "socks"}, "includeBillingCost": True}
    assert done.cost == Cost(Decimal("0.0031"), "usd")


def test_a_run_at_once_that_failed_in_a_200() -> None:
    run = walk(answer(200, {"success": False, "error": "No."}), mode="sync")
    run.step()
    with pytest.raises(Refused, match="the run failed: No"):
        run.step()


def test_a_run_that_is_called_back() -> None:
    known = Knows()
    run = walk(answer(200, {"success": True, "callbackInProgress": True}), known=known, mode="callback")
    run.step()
    run.step()
    request = run.using.requests[0]
    assert body_of(run.using)["callbackUrl"] == CALLBACK_URL
    assert "planted-callback-token" not in repr(request)
    assert request.url.endswith("/apps/run")
    run.step()
    run.step()
    assert [wait.wait_s for wait in run.waits] == [0, 2, 30, 30]
    known.came = json.dumps({"success": True, "result": '{"Summary ": "Fine."}', "billingCost": "$1,000.5"}).encode()
    done = run.end()
    assert done.result["data"] == {"Summary": "Fine."}
    assert done.cost == Cost(Decimal("1000.5"), "usd")
    assert len(run.using.requests) == 1


def test_an_address_that_is_echoed_is_masked() -> None:
    run = walk(answer(400, {"message": f"Cannot reach {CALLBACK_URL}."}), mode="callback")
    run.step()
    call = run.call()
    with pytest.raises(InvalidPayload) as refused:
        run.step(call)
    assert "planted-callback-token" not in f"{refused.value} {call.exchange!r}"


def test_after_a_lost_answer_the_callback_tells() -> None:
    known = Knows()
    run = walk(answer(504, PAGE), known=known, mode="callback")
    run.step()
    with pytest.raises(OutcomeUnknown):
        run.step()
    assert isinstance(run.lost(), Wait)
    assert run.repeats() == "safe"
    known.came = json.dumps(OK).encode()
    assert run.end().result["thread_id"] == "th_9"
    assert len(run.using.requests) == 1


def test_a_worker_that_died_before_anything_was_sent_costs_no_dead_letter() -> None:
    run = walk(answer(200, {"success": True, "callbackInProgress": True}), mode="callback")
    assert run.lost() is None


def test_a_callback_that_never_comes_is_given_up_with_what_to_do() -> None:
    known = Knows()
    started = answer(200, {"success": True, "callbackInProgress": True})
    run = walk(started, known=known, mode="callback", timeout_s=40)
    for _ in range(4):
        run.step()
    at(run, 40)
    run.step()
    with pytest.raises(
        Refused, match=r"did not end within 40 s: look for it there.*MESH_HOOKS_URL.*mode poll"
    ) as given_up:
        run.step()
    assert given_up.value.code == "not_ended"
    known.came = json.dumps(OK).encode()  # too late for that, not for a replay
    assert run.end().result["data"] == {"summary": "Fine."}
    assert len(run.using.requests) == 1


def test_a_failure_that_was_called_back_is_replayed_by_looking() -> None:
    """The address was good for one message."""
    known = Knows(came=None)
    run = walk(
        answer(200, {"success": True, "callbackInProgress": True}), STARTED, COMPLETE, known=known, mode="callback"
    )
    run.step()
    run.step()
    known.came = json.dumps({"success": False, "message": "No."}).encode()
    run.step()
    with pytest.raises(Refused, match="the run failed: No"):
        run.step()
    assert run.end().result["data"] == {"summary": "Fine."}
    assert [one.url.rpartition("/v2/")[2] for one in run.using.requests][:2] == ["apps/run", "agents/run"]


@pytest.mark.parametrize("came", [b"", b"<html>", b"[1]", b'{"hello": 1}'])
def test_a_callback_that_says_nothing_is_not_waited_for_any_longer(came: bytes) -> None:
    known = Knows()
    run = walk(answer(200, {"success": True, "callbackInProgress": True}), known=known, mode="callback")
    run.step()
    run.step()
    known.came = came
    run.step()
    with pytest.raises(Refused, match="no end of a run") as refused:
        run.step()
    assert refused.value.code == "callback_unreadable"


def test_they_call_back_over_https_only() -> None:
    run = walk(known=Knows(url="http://127.0.0.1:8000/hooks"), mode="callback")
    run.step()
    with pytest.raises(Refused, match="set MESH_HOOKS_URL to an https address") as refused:
        run.step()
    assert refused.value.code == "no_callback_address"
    assert run.using.requests == []


# ---------------------------------------------------------------------------------------------------- what comes of it


@pytest.mark.parametrize(
    ("result", "told"),
    [
        ("Hello.", {"text": "Hello."}),
        ("", {"text": ""}),
        ('  {"a": 1}', {"data": {"a": 1}}),
        ("{not json}", {"text": "{not json}"}),
        ("[1, 2]", {"text": "[1, 2]"}),
        ({" Mood ": "glad", "Mood": "sad", "n": None}, {"data": {"Mood": "glad", "n": None}}),
        ([1, 2], {"data": [1, 2]}),
        (None, {}),
    ],
)
def test_results_are_a_text_or_data(result: Any, told: Any) -> None:
    done = walk(answer(200, {"success": True, "threadId": "t", "result": result}), mode="sync").end()
    assert done.result == {"agent_id": "agent_1", "thread_id": "t", **told}


def test_outputs_get_the_names_that_the_workflow_declares() -> None:
    body = {"success": True, "result": {"SUMMARY ": "x", "Other ": 1}}
    done = walk(answer(200, body), known=Knows(KNOWN), mode="sync").end()
    assert done.result["data"] == {"summary": "x", "Other": 1}


def test_a_result_that_is_too_long_for_an_event_is_a_file() -> None:
    run = walk(answer(200, {"success": True, "result": {"text": "x" * 200_000}}), mode="sync")
    done = run.end()
    (asset,) = done.assets
    assert done.result["file"]["uri"] == asset.uri
    assert "data" not in done.result
    assert json.loads(run.media.files[f"{run.call().delivery_id}.json"]) == {"text": "x" * 200_000}


def test_a_paid_result_that_cannot_be_stored_is_not_paid_for_again() -> None:
    run = walk(answer(200, {"success": True, "result": "x" * 200_000}), mode="sync")
    run.media = Memory(OSError("full"))
    with pytest.raises(OutcomeUnknown, match="could not be stored"):
        run.step()


@pytest.mark.parametrize(
    ("billed", "cost"),
    [
        ("$0.0112345678", Cost(Decimal("0.0112345678"), "usd")),
        (" $0 ", Cost(Decimal(0), "usd")),
        ("0.01", None),  # of which unit?
        ("$x", None),
        ("$NaN", None),
        ("$-1", None),
        (None, None),
        (True, None),
    ],
)
def test_the_cost_of_a_run_is_dollars(billed: Any, cost: Any) -> None:
    done = walk(answer(200, {"success": True, "result": "x", "billingCost": billed}), mode="sync").end()
    assert done.cost == cost
    assert ("cost" in done.result) == (cost is not None)


# ----------------------------------------------------------------------------------------------------------- variables


def test_variables_go_out_as_texts() -> None:
    given = {"a": "text", "n": 3, "b": True, "o": {"k": ["ä"]}, "left_out": None, "t": "{{name}}"}
    run = walk(STARTED, variables=given)
    run.step()
    assert body_of(run.using)["variables"] == {"a": "text", "n": "3", "b": "true", "o": '{"k":["ä"]}', "t": "{{name}}"}
    raw = walk(STARTED, variables=given, variables_as="json")
    raw.step()
    assert body_of(raw.using)["variables"] == {name: value for name, value in given.items() if value is not None}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"workflow": "Nope"}, "The agent Shop Writer has no workflow `Nope`: it has Main, Tags"),
        ({"variables": {}}, "The workflow Main takes topic: give `topic` in `variables`, or null"),
        ({"workflow": "tags", "variables": {"text": "x"}}, "give `tone`"),
        ({"mode": "sync", "version": "draft"}, "`version` is taken in the mode poll only, not in sync"),
        ({"agent_id": None}, "No agent is named"),
    ],
)
def test_what_cannot_go_well_is_refused_before_it_costs(data: Any, said: str) -> None:
    run = walk(known=Knows(KNOWN), **data)
    with pytest.raises(InvalidPayload, match=said):
        run.step()
    assert run.using.requests == []


@pytest.mark.parametrize(
    "data",
    [
        {"workflow": "TAGS", "variables": {"text": "x", "tone": None}},
        {"workflow": "wf2", "variables": {"text": "x", "tone": "", "more": 1}},
        {"agent_id": "agent_of_others", "workflow": "Nope", "variables": {}},
        {"workflow": "Nope", "version": "draft"},
    ],
)
def test_what_is_known_or_not_known_to_be_wrong_goes_out(data: Any) -> None:
    assert isinstance(walk(STARTED, known=Knows(KNOWN), **data).step(), Wait)


def test_the_account_names_the_agent() -> None:
    run = Walk(Scripted(STARTED), runs.REQUESTED, {"variables": {}}, config={"agent_id": "agent_7"})
    run.step()
    assert body_of(run.using)["appId"] == "agent_7"


def test_media_files_are_copied_first_each_in_a_step_of_its_own() -> None:
    media = Memory()
    one, two = "01930000-0000-7000-8000-00000000000a", "01930000-0000-7000-8000-00000000000b"
    media.stored(one, b"ID3 one", "audio/mpeg")
    media.stored(two, b"png", "image/png")
    places = [
        answer(200, {"uploadUrl": f"https://up.example/{n}?sig=planted-upload", "url": f"https://cdn.example/{n}"})
        for n in (1, 2)
    ]
    run = walk(
        places[0],
        answer(200),
        places[1],
        answer(200),
        STARTED,
        variables={"a": {"asset_id": one}, "l": [{"asset_id": two}]},
    )
    run.media = media
    assert run.lost() is None  # nothing can have been sent
    run.step()
    assert run.repeats() == "safe"
    run.step()
    run.step()
    run.step()
    announced, put, *_ = run.using.requests
    assert json.loads(announced.body) == {"extension": "mp3", "type": "audio/mpeg"}
    assert (put.method, put.body, put.headers["Content-Type"]) == ("PUT", b"ID3 one", "audio/mpeg")
    assert "authorization" not in map(str.lower, put.headers)
    assert not put.trusted
    assert body_of(run.using, -1)["variables"] == {"a": "https://cdn.example/1", "l": '["https://cdn.example/2"]'}
    assert "planted-upload" not in f"{run.waits!r} {run.urls!r}"


def test_a_file_that_is_not_there_is_refused_before_it_costs() -> None:
    run = walk(variables={"a": {"asset_id": "nope"}})
    run.step()
    with pytest.raises(InvalidPayload, match="There is no media file nope"):
        run.step()


def test_a_storage_of_theirs_that_says_no_does_not_disconnect_the_account() -> None:
    media = Memory()
    media.stored("01930000-0000-7000-8000-00000000000a", b"x", "audio/mpeg")
    place = answer(200, {"uploadUrl": "https://up.example/1", "url": "https://cdn.example/1"})
    run = walk(place, answer(401), variables={"a": {"asset_id": "01930000-0000-7000-8000-00000000000a"}})
    run.media = media
    run.step()
    with pytest.raises(Refused, match="not taken") as refused:
        run.step()
    assert type(refused.value) is Refused
