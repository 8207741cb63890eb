"""The MindStudio stand-in against the official npm packages, unmodified, their recorded requests, and their schemas."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import fastjsonschema
import pytest

from sandbox.mindstudio.step_types import PLAYED
from sandbox.process import ROOT, Sandbox, start
from tests.sandbox.mindstudio import CHAT, KEY, READER, WRITER, Client, Packages, installed

SPECS = ROOT.parent / "shared" / "specs" / "content" / "mindstudio"
described = pytest.mark.skipif(not SPECS.is_dir(), reason=f"REQUESTS AND SCHEMAS NOT CHECKED: {SPECS.name} is absent")
FAST = {"pollIntervalMs": 1}
BATCH = [{"stepType": "userMessage", "step": {"message": "a"}}, {"stepType": "x", "step": {}}]


@pytest.fixture(scope="module")
def process() -> Iterator[Sandbox]:
    with start() as running:
        yield running


@pytest.fixture
def sandbox(process: Sandbox) -> Sandbox:
    process.control.reset()
    return process


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Packages:
    return installed(tmp_path_factory.mktemp("npm"))


def values(results: list[Any]) -> list[Any]:
    assert all("value" in one for one in results), results
    return [one["value"] for one in results]


def test_runs(sandbox: Sandbox, packages: Packages) -> None:
    asked = {"appId": READER, "variables": {"text": "great, thanks"}, "includeBillingCost": True, **FAST}
    chat = {"appId": CHAT, "variables": {"question": "Where is it?"}, **FAST}
    older = {"workerId": WRITER, "workflow": "summarise", "variables": {"text": "Sales rose. A lot."}}
    mood, said, summary = values(
        packages.call(
            sandbox.url, ("agent", "runAgent", asked), ("agent", "runAgent", chat), ("mindstudio", "run", older)
        )
    )
    assert (mood["success"], mood["result"], mood["billingCost"]) == (True, {"mood": "glad", "score": "2"}, "$0.00125")
    assert mood["thread"]["id"] == mood["threadId"]
    assert said["result"] == "Thank you for asking: Where is it?"
    assert "billingCost" not in said
    assert summary["result"] == {"summary": "Sales rose."}
    assert summary["billingCost"].startswith("$0.00")
    bill = sandbox.control.bill()["mindstudio"][KEY]
    assert (bill["runs"], bill["steps"]) == (3, 0)


def test_steps_keep_their_conversation(sandbox: Sandbox, packages: Packages) -> None:
    first, second, spoken, batch = values(
        packages.call(
            sandbox.url,
            ("agent", "generateText", {"message": "hello"}),
            ("agent", "generateText", {"message": "hello again"}),
            ("agent", "textToSpeech", {"text": "hi"}),
            ("agent", "executeStepBatch", BATCH),
        )
    )
    assert (first["content"], second["content"]) == ("Answer 1: hello", "Answer 2: hello again")
    assert first["$threadId"] == second["$threadId"] == batch["threadId"]
    assert first["$appId"] == second["$appId"]
    assert first["$billingCost"] == 50_000
    assert first["$billingEvents"][0]["cost"] == 50_000
    assert Client(sandbox.url, None).get(spoken["audioUrl"]).body[:2] == b"\xff\xfb"
    assert [one.get("output", one.get("error")) for one in batch["results"]] == [
        {"content": "Answer 4: a"},
        "The step x is not played by the sandbox.",
    ]
    assert batch["totalBillingCost"] == batch["results"][0]["billingCost"]


def test_outputs_behind_a_link_are_fetched(sandbox: Sandbox, packages: Packages) -> None:
    sandbox.control.do("mindstudio", "set_runs", outputs_by_url=True)
    one, batch = values(
        packages.call(
            sandbox.url,
            ("agent", "generateText", {"message": "hello"}),
            ("agent", "executeStepBatch", [{"stepType": "userMessage", "step": {"message": "a"}}]),
        )
    )
    assert one["content"] == "Answer 1: hello"
    assert batch["results"][0]["output"] == {"content": "Answer 2: a"}


def test_looking_things_up(sandbox: Sandbox, packages: Packages) -> None:
    agents, user, models, voices, service, action, estimate, uploaded = values(
        packages.call(
            sandbox.url,
            ("agent", "listAgents"),
            ("agent", "getUserInfo"),
            ("agent", "listModels"),
            ("agent", "listModelsSummaryByType", "text_to_speech"),
            ("agent", "getConnector", "chat"),
            ("agent", "getConnectorAction", "chat", "post-message"),
            ("agent", "estimateStepCost", "userMessage", {"message": "hello"}),
            ("agent", "uploadFile", {"bytes": "abc"}, {"extension": "png", "type": "image/png"}),
        )
    )
    assert [one["id"] for one in agents["apps"]] == [WRITER, READER, CHAT]
    assert agents["orgId"] == user["organizationId"]
    assert {one["type"] for one in models["models"]} > {"llm_chat", "vision"}
    assert [one["type"] for one in voices["models"]] == ["text_to_speech"]
    assert service["service"]["actions"][0]["id"] == action["action"]["id"] == "post-message"
    assert estimate["estimates"][0]["estimatedCost"] == 50_000
    file = Client(sandbox.url, None).get(uploaded["url"])
    assert (file.body, file.headers["content-type"]) == (b"abc", "image/png")


@pytest.mark.parametrize(
    ("fault", "status", "code", "words"),
    [
        ("invalid_key", 401, "unauthorized", "Invalid API key."),
        ("no_credits", 402, "insufficient_credits", "no credits"),
        ("gateway", 502, "api_error", "502 Bad Gateway"),
        ("invalid_step_config", 400, "invalid_step_config", "not configured correctly"),
    ],
)
def test_errors_are_understood(
    sandbox: Sandbox, packages: Packages, fault: str, status: int, code: str, words: str
) -> None:
    url = f"{sandbox.url}/fault/mindstudio:{fault}"
    (error,) = packages.call(url, ("agent", "generateText", {"message": "a"}))
    assert (error["name"], error["status"], error["code"]) == ("MindStudioError", status, code)
    assert words in error["message"]
    assert "mindstudio" not in sandbox.control.bill()


def test_runs_that_fail_and_tokens_that_expire(sandbox: Sandbox, packages: Packages) -> None:
    sandbox.control.do("mindstudio", "set_runs", polls=1, end="error", error="Out of luck.")
    asked = {"appId": READER, "variables": {}, **FAST}
    older = {"workerId": "w1", "workflow": "main"}
    failed, refused = packages.call(sandbox.url, ("agent", "runAgent", asked), ("mindstudio", "run", older))
    assert (failed["code"], failed["message"]) == ("agent_run_error", "Out of luck.")
    assert (refused["status"], refused["code"], refused["message"]) == (500, "api_error", "Out of luck.")
    sandbox.control.add_rule("/developer/v2/agents/run/poll/*", "mindstudio:poll_expired")
    (expired,) = packages.call(sandbox.url, ("agent", "runAgent", asked))
    assert (expired["status"], expired["code"]) == (404, "poll_token_expired")


def test_a_limited_client_waits_as_told_and_goes_on(sandbox: Sandbox, packages: Packages) -> None:
    sandbox.control.add_rule("/developer/v2/agents/load", "mindstudio:rate_limited", times=1)
    (agents,) = values(packages.call(sandbox.url, ("agent", "listAgents")))
    assert len(agents["apps"]) == 3
    assert sandbox.control.counts("/developer/v2/agents/load")["by_status"] == {"429": 1, "200": 1}


@described
def test_recorded_requests_are_answered(sandbox: Sandbox) -> None:
    client, open_client = Client(sandbox.url), Client(sandbox.url, None)
    answered: dict[str, Any] = {}
    for line in (SPECS / "sdk-recorded-requests.jsonl").read_text().splitlines():
        recorded = json.loads(line)
        path, body = recorded["path"], recorded["json"]
        sends_key = "authorization" in recorded["headers"]
        if path.endswith("/poll/cb1"):
            path = path.replace("cb1", answered["/developer/v2/agents/run"]["callbackToken"])
        if path == "/put":
            path = answered["/developer/v2/account/upload"]["uploadUrl"].removeprefix(sandbox.url)
        raw = body["__raw__"] if body and "__raw__" in body else "" if body is None else json.dumps(body)
        headers = {name: value for name, value in recorded["headers"].items() if name != "authorization"}
        reply = (client if sends_key else open_client).send(
            recorded["method"], sandbox.url + path, raw.encode(), headers
        )
        assert reply.status == 200, (recorded, reply)
        answered[recorded["path"]] = json.loads(reply.body or b"{}")
    assert answered["/developer/v2/workers/run"] == {"success": True, "callbackInProgress": True}
    assert answered["/developer/v2/agents/run/poll/cb1"] == {"status": "pending"}
    assert open_client.get(answered["/developer/v2/account/upload"]["url"]).body == b"abc"


INPUTS: dict[str, dict[str, Any]] = {
    "userMessage": {"message": "hello"},
    "detectPII": {"input": "write to a@b.example", "language": "en", "entities": ["EMAIL_ADDRESS"]},
    "redactPII": {"input": "write to a@b.example", "language": "en", "entities": ["EMAIL_ADDRESS"]},
    "textToSpeech": {"text": "hi"},
    "transcribeAudio": {"audioUrl": "https://cdn.example.org/a.mp3", "prompt": "names"},
    "extractText": {"url": ["https://cdn.example.org/a.pdf"]},
    "analyzeImage": {"prompt": "what", "imageUrl": "https://cdn.example.org/a.png"},
    "analyzeVideo": {"prompt": "what", "videoUrl": "https://cdn.example.org/a.mp4"},
    "logic": {"context": "a refund, please", "cases": ["praise", "refund"]},
    "scrapeUrl": {"url": "https://example.org"},
    "searchGoogle": {"query": "pet beds", "exportType": "json"},
    "httpRequest": {
        "url": "https://example.org",
        "method": "GET",
        "headers": {},
        "queryParams": {},
        "body": "",
        "bodyItems": {},
        "contentType": "none",
        "customContentType": "",
    },
    "queryDataSource": {"dataSourceId": "d", "query": "beds", "maxResults": 2},
    "runPackagedWorkflow": {
        "appId": READER,
        "workflowId": "w",
        "inputVariables": {"text": "late again"},
        "outputVariables": {},
        "name": "n",
    },
    "mergeAudio": {"mp3Urls": ["https://cdn.example.org/a.mp3"]},
    "mixAudioIntoVideo": {
        "videoUrl": "https://cdn.example.org/a.mp4",
        "audioUrl": "https://cdn.example.org/a.mp3",
        "options": {},
    },
    "addSubtitlesToVideo": {
        "videoUrl": "https://cdn.example.org/a.mp4",
        "language": "en",
        "fontName": "Arial",
        "fontSize": 20,
        "fontWeight": "bold",
        "fontColor": "white",
        "highlightColor": "red",
        "strokeWidth": 1,
        "strokeColor": "black",
        "backgroundColor": "none",
        "backgroundOpacity": 0,
        "position": "bottom",
        "yOffset": 0,
        "wordsPerSubtitle": 3,
        "enableAnimation": True,
    },
    "trimMedia": {"inputUrl": "https://cdn.example.org/a.mp4", "start": 1},
}


@described
def test_steps_are_those_of_the_package(sandbox: Sandbox) -> None:
    steps = json.loads((SPECS / "agent-0.1.7-steps.json").read_text())["steps"]
    assert set(INPUTS) == set(PLAYED)
    for name, inputs in INPUTS.items():
        schema = steps[name]
        assert set(PLAYED[name].required) == set(schema["input"]["required"]), name
        fastjsonschema.compile(schema["input"])(inputs)
        output = Client(sandbox.url).post(f"/steps/{name}/execute", step=inputs).json["output"]
        fastjsonschema.compile({**schema["output"], "additionalProperties": False})(output)
