"""The MindStudio stand-in: runs, callbacks, polling, steps, tasks, failures, actions and the bill."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from typing import Any

import pytest

from sandbox.control import SandboxRefused
from sandbox.mindstudio.errors import FAULTS, PROBLEMS
from sandbox.process import Sandbox, start
from tests.mesh import eventually
from tests.sandbox.mindstudio import CHAT, KEY, READER, WRITER, Client, Reply

HOOK = "/receive/hooks/mindstudio/run_1/token"


@pytest.fixture(scope="module")
def process() -> Iterator[Sandbox]:
    with start() as running:
        yield running


@pytest.fixture
def sandbox(process: Sandbox) -> Sandbox:
    process.control.reset()
    process.control.record_bodies(True)
    return process


@pytest.fixture
def api(sandbox: Sandbox) -> Client:
    return Client(sandbox.url)


def do(sandbox: Sandbox, action: str, **arguments: Any) -> Any:
    return sandbox.control.do("mindstudio", action, **arguments)


def heard(sandbox: Sandbox, count: int = 1) -> list[Any]:
    """The bodies of the callbacks, once there are so many."""

    def bodies() -> list[Any]:
        found = [one for one in sandbox.control.received(path=HOOK) if one["ended"]]
        return [json.loads(one["body"]) for one in found] if len(found) >= count else []

    return eventually(bodies, f"{count} callbacks")


def run(api: Client, path: str = "/apps/run", **more: Any) -> Reply:
    return api.post(path, **{"appId": READER, "variables": {"text": "Late again"}, **more})


def polled(api: Client, path: str) -> list[Any]:
    """All looks without a key, up to the first that is not pending."""
    looks: list[Any] = []
    while not looks or looks[-1]["status"] == "pending":
        looks.append(Client(api.url, None).get(path).json)
    return looks


def test_a_run_at_once(api: Client, sandbox: Sandbox) -> None:
    answer = run(api, includeBillingCost=True).json
    assert (answer["success"], answer["result"]) == (True, {"mood": "angry", "score": "-2"})
    thread = answer["thread"]
    assert (thread["id"], thread["appId"], thread["error"]) == (answer["threadId"], READER, None)
    assert json.loads(thread["posts"][0]["content"]) == answer["result"]
    assert answer["billingCost"] == "$0.00122"
    assert "billingCost" not in run(api).json
    assert sandbox.control.bill()["mindstudio"] == {
        KEY: {"runs": 2, "usd": "0.00244", "steps": 0, "tasks": 0, "nano_credits": 0}
    }


@pytest.mark.parametrize(
    ("app_id", "workflow", "variables", "result"),
    [
        (WRITER, None, {"product": "wool socks"}, {"title": "Wool Socks", "description": "plain"}),
        (WRITER, "Summarise", {"text": "Sales rose 4 %. More followed."}, {"summary": "Sales rose 4 %."}),
        (WRITER, "hashtags", {"text": "warm winter socks, warm hearts"}, {"hashtags": "#winter #socks #hearts"}),
        (READER, "Main", {"text": "I love it"}, {"mood": "glad", "score": "1"}),
        (CHAT, None, {"question": "When?"}, "Thank you for asking: When?"),
        ("app_of_mine", "any", {"topic": "x", "nested": {"a": 1}}, 'topic: x; nested: {"a": 1}'),
    ],
)
def test_results_follow_from_the_variables(
    api: Client, app_id: str, workflow: str | None, variables: dict[str, Any], result: Any
) -> None:
    said = run(api, appId=app_id, workflow=workflow, variables=variables).json["result"]
    if isinstance(result, dict) and "description" in result:
        assert result["description"] in said["description"]
        said = {**said, "description": result["description"]}
    assert said == result


def test_the_same_thing_by_its_older_name(api: Client) -> None:
    answer = api.post("/workers/run", workerId=READER, workflow="Main", variables={"text": "nice"}).json
    assert answer["result"] == {"mood": "glad", "score": "1"}
    assert answer["billingCost"].startswith("$")


def test_a_run_that_is_polled(api: Client) -> None:
    begun = run(api, "/agents/run", **{"async": True}, metadata={"run": "1"}).json
    looks = polled(api, f"/agents/run/poll/{begun['callbackToken']}")
    assert [one["status"] for one in looks] == ["pending", "pending", "complete"]
    result = looks[-1]["result"]
    assert (result["success"], result["threadId"]) == (True, begun["threadId"])
    again = Client(api.url, None).get(f"/agents/run/poll/{begun['callbackToken']}").json
    assert again == looks[-1]
    assert run(api, "/agents/run").json["result"] == result["result"]  # without `async` at once


def test_a_callback_comes_behind_the_answer(api: Client, sandbox: Sandbox) -> None:
    answer = run(api, callbackUrl=sandbox.url + HOOK, includeBillingCost=True).json
    assert answer == {"success": True, "callbackInProgress": True}
    (told,) = heard(sandbox)
    assert told == {
        "success": True,
        "threadId": told["threadId"],
        "result": {"mood": "angry", "score": "-2"},
        "billingCost": "$0.00122",
    }
    (known,) = eventually(lambda: [one for one in do(sandbox, "runs") if one["callbacks"]])
    assert (known["thread_id"], known["callbacks"][0]["status"]) == (told["threadId"], 200)
    assert json.loads(known["callbacks"][0]["body"]) == told


def test_a_callback_comes_after_so_many_requests_of_the_key(api: Client, sandbox: Sandbox) -> None:
    do(sandbox, "set_callbacks", after=2)
    run(api, callbackUrl=sandbox.url + HOOK)
    Client(sandbox.url, "sk_other").get("/apps/load")
    api.get("/apps/load")
    assert [one["callbacks"] for one in do(sandbox, "runs")] == [[]]
    assert sandbox.control.counts(HOOK)["requests"] == 0
    api.get("/apps/load")
    assert heard(sandbox)[0]["success"]


def test_a_callback_may_be_repeated_held_back_or_never_come(api: Client, sandbox: Sandbox) -> None:
    do(sandbox, "set_callbacks", times=2)
    run(api, callbackUrl=sandbox.url + HOOK)
    assert len(heard(sandbox, 2)) == 2
    do(sandbox, "set_callbacks", after=None)
    run(api, callbackUrl=sandbox.url + HOOK)
    for _ in range(3):
        api.get("/apps/load")
    held = do(sandbox, "runs")[-1]
    assert held["callbacks"] == []
    (sent,) = do(sandbox, "send_callbacks")
    assert (sent["thread_id"], sent["status"], sent["answer"]) == (held["thread_id"], 200, '{"ok":true}')
    assert do(sandbox, "send_callbacks") == []
    assert len(do(sandbox, "send_callbacks", thread_id=held["thread_id"])) == 1
    assert len(heard(sandbox, 4)) == 4
    with pytest.raises(SandboxRefused, match="no run 'x'"):
        do(sandbox, "send_callbacks", thread_id="x")


def test_a_callback_away_from_this_machine_is_never_sent(api: Client, sandbox: Sandbox) -> None:
    assert run(api, callbackUrl="https://mesh.example.org/hooks").json["callbackInProgress"]
    (known,) = eventually(lambda: [one for one in do(sandbox, "runs") if one["callbacks"]])
    assert "this machine only" in known["callbacks"][0]["problem"]
    assert run(api, callbackUrl="hooks").refusal == (400, "invalid_request")


def test_a_lost_answer_does_not_keep_the_callback_from_coming(api: Client, sandbox: Sandbox) -> None:
    sandbox.control.add_rule("/developer/v2/apps/run", "mindstudio:gateway_timeout_after", times=1)
    reply = run(api, callbackUrl=sandbox.url + HOOK)
    assert (reply.status, reply.headers["content-type"]) == (504, "text/html")
    assert heard(sandbox)[0]["success"]
    assert sandbox.control.bill()["mindstudio"][KEY]["runs"] == 1


@pytest.mark.parametrize(
    ("end", "status", "answer", "look", "place"),
    [
        ("error", 500, {"message": "Out of luck.", "code": "api_error"}, {"status": "error"}, "error"),
        ("unsuccessful", 200, {"success": False, "error": "Out of luck."}, {"status": "complete"}, "message"),
    ],
)
def test_runs_that_fail(
    api: Client, sandbox: Sandbox, end: str, status: int, answer: dict[str, Any], look: dict[str, Any], place: str
) -> None:
    do(sandbox, "set_runs", polls=0, end=end, error="Out of luck.")
    reply = run(api)
    assert (reply.status, {name: reply.json[name] for name in answer}) == (status, answer)
    begun = run(api, "/agents/run", **{"async": True}).json
    (only,) = polled(api, f"/agents/run/poll/{begun['callbackToken']}")
    assert only["status"] == look["status"]
    assert "Out of luck." in (only.get("error"), only.get("result", {}).get("error"))
    run(api, callbackUrl=sandbox.url + HOOK)
    (told,) = heard(sandbox)
    assert (told["success"], told[place]) == (False, "Out of luck.")
    assert sandbox.control.bill()["mindstudio"][KEY]["runs"] == 3


@pytest.mark.parametrize(
    ("shape", "result"),
    [("text", '{"mood": "angry", "score": "-2"}'), ("spaced", {"Mood ": "angry", "Score ": "-2"})],
)
def test_results_as_careless_agents_write_them(api: Client, sandbox: Sandbox, shape: str, result: Any) -> None:
    do(sandbox, "set_runs", shape=shape)
    assert run(api).json["result"] == result
    assert run(api, appId=CHAT, variables={"question": "x"}).json["result"] == "Thank you for asking: x"


def test_tokens_expire_and_are_of_one_kind(api: Client, sandbox: Sandbox) -> None:
    token = run(api, "/agents/run", **{"async": True}).json["callbackToken"]
    assert Client(api.url, None).get(f"/task/poll/{token}").refusal == (404, "not_found")
    assert do(sandbox, "forget_polls") == 1
    assert Client(api.url, None).get(f"/agents/run/poll/{token}").refusal == (404, "not_found")


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        ({"appId": None}, (400, "invalid_request")),
        ({"appId": 7}, (400, "invalid_request")),
        ({"appId": "missing_app"}, (404, "not_found")),
        ({"workflow": "Nope"}, (400, "invalid_request")),
        ({"variables": ["text"]}, (400, "invalid_request")),
    ],
)
def test_runs_that_are_refused(api: Client, sandbox: Sandbox, body: dict[str, Any], refusal: tuple[int, str]) -> None:
    assert run(api, **body).refusal == refusal
    assert "mindstudio" not in sandbox.control.bill()


def test_bodies_that_are_no_objects(api: Client) -> None:
    for raw in (b"{", b"[]", b'"x"'):
        assert api.send("POST", "/apps/run", raw).refusal == (400, "invalid_request")


@pytest.mark.parametrize(
    ("key", "refusal"),
    [(None, (401, "unauthorized")), ("bad_key", (401, "unauthorized")), ("empty_key", (402, "insufficient_credits"))],
)
def test_keys(sandbox: Sandbox, key: str | None, refusal: tuple[int, str]) -> None:
    assert run(Client(sandbox.url, key)).refusal == refusal
    assert Client(sandbox.url, key).get("/account/userinfo").status == (200 if key == "empty_key" else 401)


def test_limits(api: Client, sandbox: Sandbox) -> None:
    do(sandbox, "set_limits", requests=1, concurrency=5)
    first, second = api.get("/agents/load"), api.get("/agents/load")
    assert (first.status, first.headers["x-ratelimit-remaining"]) == (200, "0")
    assert first.headers["x-ratelimit-concurrency-limit"] == "5"
    assert first.headers["x-ratelimit-concurrency-remaining"] == "4"
    assert (second.refusal, second.headers["retry-after"]) == ((429, "rate_limited"), "1")
    do(sandbox, "set_limits")
    assert api.get("/agents/load").status == 200


def test_too_many_at_once(api: Client, sandbox: Sandbox) -> None:
    do(sandbox, "set_limits", concurrency=1)
    sandbox.control.add_rule("/developer/v2/apps/load", "hang-after")
    with closing(HTTPConnection("127.0.0.1", sandbox.port)) as waiting:
        waiting.request("GET", "/developer/v2/apps/load", headers={"Authorization": f"Bearer {KEY}"})
        eventually(lambda: sandbox.control.state()["in_flight"], "a request that hangs")
        assert api.get("/agents/load").refusal == (429, "rate_limited")
    eventually(lambda: not sandbox.control.state()["in_flight"], "the end of it")
    assert api.get("/agents/load").status == 200


def test_workflows_and_their_variables(api: Client) -> None:
    assert [one["slug"] for one in api.get("/workers/load").json["apps"]] == [
        "shop-writer",
        "mood-reader",
        "support-chat",
    ]
    flows = api.get(f"/workers/{WRITER}/workflows").json["workflows"]
    assert [(one["name"], one["launchVariables"], one["outputVariables"]) for one in flows][1] == (
        "Summarise",
        ["text", "tone"],
        ["summary"],
    )
    assert api.get("/workers/nobody/workflows").refusal == (404, "not_found")
    assert api.get("/helpers/connectors/nobody").refusal == (404, "not_found")
    assert api.get("/helpers/connections").json == {"connections": []}
    assert f"/agents/{CHAT}" in api.post("/generate-signed-access-url", agentId=CHAT).json["url"]
    described = api.get("/steps/openapi.json").json["paths"]["/developer/v2/steps/userMessage/execute"]["post"]
    step = described["requestBody"]["content"]["application/json"]["schema"]["properties"]["step"]
    assert step["required"] == ["message"]


def test_steps_that_are_polled(api: Client, sandbox: Sandbox) -> None:
    begun = api.post("/steps/userMessage/execute-async", step={"message": "hello"}, threadId="thr_1").json
    looks = polled(api, f"/steps/userMessage/execute-async/poll/{begun['executionToken']}")
    assert [one["status"] for one in looks] == ["pending", "pending", "complete"]
    assert (looks[-1]["output"], looks[-1]["threadId"]) == ({"content": "Answer 1: hello"}, "thr_1")
    again = api.post("/steps/userMessage/execute", step={"message": "more"}, threadId="thr_1")
    assert (again.json["output"], again.headers["x-mindstudio-thread-id"]) == ({"content": "Answer 2: more"}, "thr_1")
    items = [{"stepType": "userMessage", "step": {"message": "a"}}, {"stepType": "userMessage", "step": {}}]
    token = api.post("/steps/execute-batch-async", steps=items).json["batchToken"]
    *before, last = polled(api, f"/steps/execute-batch-async/poll/{token}")
    assert [(one["totalSteps"], one["completedSteps"]) for one in [*before, last]] == [(2, 0), (2, 0), (2, 2)]
    assert [set(one) - {"billingCost"} for one in last["results"]] == [{"stepType", "output"}, {"stepType", "error"}]
    bill = sandbox.control.bill()["mindstudio"][KEY]
    costs = (looks[-1]["billingCost"], again.json["billingCost"], last["totalBillingCost"])
    assert (bill["steps"], bill["nano_credits"]) == (3, sum(costs))
    do(sandbox, "set_runs", polls=0, end="error", error="No.")
    begun = api.post("/steps/userMessage/execute-async", step={"message": "x"}).json
    (failed,) = polled(api, f"/steps/userMessage/execute-async/poll/{begun['executionToken']}")
    assert (failed["status"], failed["error"]) == ("error", "No.")
    assert api.post("/steps/userMessage/execute", step={"message": "x"}).refusal == (500, "step_error")


@pytest.mark.parametrize(("end", "last"), [("complete", "done"), ("error", "error")])
def test_steps_as_a_stream(api: Client, sandbox: Sandbox, end: str, last: str) -> None:
    do(sandbox, "set_runs", end=end)
    reply = api.post("/steps/userMessage/execute", accept="text/event-stream", step={"message": "hello"})
    assert reply.headers["content-type"] == "text/event-stream"
    lines = reply.body.decode().strip().split("\n\n")
    events = [json.loads(line.removeprefix("data: ")) for line in lines]
    assert [one["type"] for one in events] == ["log", "log", last]
    assert (events[-1].get("output") == {"content": "Answer 1: hello"}) == (last == "done")


@pytest.mark.parametrize(
    ("step_type", "inputs", "output"),
    [
        (
            "userMessage",
            {"message": "x", "structuredOutputType": "json", "structuredOutputExample": '{"mood":"angry"}'},
            {"content": '{"mood":"angry"}'},
        ),
        (
            "redactPII",
            {"input": "a@b.example or +49 30 1234567", "language": "en", "entities": ["PHONE_NUMBER", "EMAIL_ADDRESS"]},
            {"text": "<EMAIL_ADDRESS> or <PHONE_NUMBER>"},
        ),
        (
            "logic",
            {"context": "A REFUND please", "cases": ["praise", {"id": "2", "condition": "refund"}]},
            {"selectedCase": 1},
        ),
        ("extractText", {"url": "https://cdn.example.org/a.pdf"}, {"text": "Text of a.pdf."}),
    ],
)
def test_outputs_follow_from_the_inputs(api: Client, step_type: str, inputs: dict[str, Any], output: Any) -> None:
    assert api.post(f"/steps/{step_type}/execute", step=inputs).json["output"] == output


@pytest.mark.parametrize(
    ("step_type", "inputs"),
    [
        ("postToX", {"text": "x"}),
        ("userMessage", {}),
        ("userMessage", {"message": 7}),
        ("userMessage", {"message": "x", "modelOverride": {"model": "gpt-4o-mini"}}),
        ("mergeAudio", {"mp3Urls": "https://cdn.example.org/a.mp3"}),
    ],
)
def test_steps_that_are_refused(api: Client, step_type: str, inputs: dict[str, Any]) -> None:
    assert api.post(f"/steps/{step_type}/execute", step=inputs).refusal == (400, "invalid_step_config")


def test_batches_have_a_limit(api: Client) -> None:
    items = [{"stepType": "userMessage", "step": {"message": "a"}}] * 51
    for steps in (items, [], None, ["userMessage"]):
        assert api.post("/steps/execute-batch", steps=steps).refusal == (400, "invalid_request")
    assert len(api.post("/steps/execute-batch", steps=items[:50]).json["results"]) == 50


def test_videos_are_passed_on_as_they_are(api: Client) -> None:
    step = {"inputUrl": "https://cdn.example.org/a.mov", "start": 1}
    url = api.post("/steps/trimMedia/execute", step=step).json["output"]["mediaUrl"]
    reply = Client(api.url, None).get(url)
    assert url.endswith(".mov")
    assert (reply.status, reply.headers["location"]) == (302, "https://cdn.example.org/a.mov")


def test_uploads_are_announced(api: Client) -> None:
    told = api.post("/account/upload", extension="mp3", type="audio/mpeg").json
    anybody = Client(api.url, None)
    assert anybody.get(told["url"]).status == 404
    assert anybody.send("PUT", told["uploadUrl"], b"x", {"Content-Type": "image/png"}).status == 403
    assert anybody.send("PUT", told["uploadUrl"], b"x", {"Content-Type": "audio/mpeg"}).status == 200
    assert (anybody.get(told["url"]).body, anybody.send("HEAD", told["url"]).status) == (b"x", 200)
    assert api.post("/account/upload", extension="../x", type="audio/mpeg").refusal == (400, "invalid_request")


TASK: dict[str, Any] = {
    "prompt": "Find three suppliers for pet beds",
    "tools": [{"stepType": "searchGoogle"}],
    "structuredOutputExample": '{"names":[]}',
    "model": "gpt-4o",
    "maxTurns": 10,
}


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("complete", {"status": "complete", "output": {"names": []}, "parsedSuccessfully": True}),
        ("unsuccessful", {"status": "complete", "parsedSuccessfully": False}),
        ("error", {"status": "error", "error": "No."}),
    ],
)
def test_tasks(api: Client, sandbox: Sandbox, end: str, said: dict[str, Any]) -> None:
    do(sandbox, "set_runs", polls=1, end=end, error="No.")
    token = api.post("/task", **TASK).json["taskToken"]
    first, last = polled(api, f"/task/poll/{token}")
    assert (first["currentTurn"], first["maxTurns"]) == (1, 10)
    assert {name: last[name] for name in said} == said
    bill = sandbox.control.bill()["mindstudio"][KEY]
    assert bill["tasks"] == 1
    if end == "complete":
        assert last["usage"]["totalBillingCost"] == bill["nano_credits"]
        assert [one["name"] for one in last["toolCalls"]] == ["searchGoogle"]


@pytest.mark.parametrize("change", [{"maxTurns": 101}, {"tools": "searchGoogle"}, {"prompt": ""}, {"model": None}])
def test_tasks_that_are_refused(api: Client, change: dict[str, Any]) -> None:
    assert api.post("/task", **{**TASK, **change}).refusal == (400, "invalid_request")


def test_named_faults_do_no_work_unless_they_say_so(sandbox: Sandbox) -> None:
    for name, fault in FAULTS.items():
        reply = run(Client(f"{sandbox.url}/fault/mindstudio:{name}"))
        assert reply.status == fault.status, name
        if name in PROBLEMS:
            assert reply.refusal == (PROBLEMS[name].status, PROBLEMS[name].code)
        if fault.status == 429:
            assert reply.headers["retry-after"] == "1" or reply.headers["retry-after"].endswith("GMT")
    done = [name for name in FAULTS if name.endswith("_after")]
    assert sandbox.control.bill()["mindstudio"][KEY]["runs"] == len(done) == 2


STRANGE: tuple[Any, ...] = (None, True, 0, -1, 10**30, 1.5, "", "x", [], [1], [[]], {}, {"a": 1}, [{}], "[{}]")
BODIES: dict[str, dict[str, Any]] = {
    "/apps/run": {"appId": WRITER, "workflow": "Main", "variables": {}, "callbackUrl": "https://x.example"},
    "/agents/run": {"appId": READER, "async": True, "variables": {}, "metadata": {}},
    "/workers/run": {"workerId": "w", "workflow": "x", "variables": {}},
    "/steps/execute-batch": {"steps": [], "appId": "a", "threadId": "t"},
    "/task": TASK,
    "/account/upload": {"extension": "mp3", "type": "audio/mpeg"},
    "/helpers/step-cost-estimate": {"step": {"type": "userMessage"}},
    "/generate-signed-access-url": {"agentId": "a", "userId": "u"},
}


def test_nothing_that_a_client_sends_makes_it_fall_over(api: Client) -> None:
    statuses = set()
    for path, body in BODIES.items():
        statuses |= {api.post(path, **{**body, name: value}).status for name in body for value in STRANGE}
    inputs = {"message", "input", "entities", "text", "url", "cases", "query", "numResults", "mp3Urls", "modelOverride"}
    usual = {"message": "m", "text": "t", "input": "i", "language": "en", "entities": [], "context": "c", "cases": []}
    usual |= {"url": "https://x.example", "query": "q", "exportType": "json", "mp3Urls": []}
    for step_type in ("userMessage", "detectPII", "textToSpeech", "extractText", "logic", "searchGoogle", "mergeAudio"):
        for name in inputs:
            for value in STRANGE:
                statuses.add(api.post(f"/steps/{step_type}/execute", step={**usual, name: value}).status)
    assert statuses == {200, 400}


@pytest.mark.parametrize(
    ("action", "arguments"),
    [
        ("set_runs", {"polls": -1}),
        ("set_runs", {"end": "maybe"}),
        ("set_runs", {"shape": "round"}),
        ("set_callbacks", {"times": 0}),
        ("set_limits", {"concurrency": 0}),
    ],
)
def test_actions_that_mean_nothing_are_refused(sandbox: Sandbox, action: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(SandboxRefused):
        do(sandbox, action, **arguments)
