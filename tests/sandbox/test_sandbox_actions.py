"""What providers of the sandbox have beyond doors: named errors, actions, calls of their own; and cut credentials."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Mapping
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from sandbox import console
from sandbox.control import SandboxRefused
from sandbox.faults import NAMED, Fault, Named, Rules, named, of_provider
from sandbox.outgoing import NotSent, send
from sandbox.process import start
from sandbox.redaction import without_secrets
from sandbox.routes import Route, Router, StandIn, action
from sandbox.server import World, listen
from sandbox.wire import Answer, Request, json_answer


def greet(name: str, times: int = 1) -> str:
    if times < 1:
        raise ValueError("times is at least 1")
    return " ".join([f"hello {name}"] * times)


async def ring(name: str) -> dict[str, str]:
    await asyncio.sleep(0)
    return {"rang": name}


async def think(request: Request) -> Answer:
    await asyncio.sleep(0)
    return json_answer({"thought": request.body.decode()})


PLAYED = StandIn(
    routes=(Route("POST", "/v{major}.0/think", think),),
    faults={"tired": Fault(status=200, body={"error": 1}), "late": Fault(status=500, work=True)},
    actions={"greet": action(greet), "ring": action(ring)},
)


def world() -> World:
    """A sandbox that plays one more provider."""
    made = World()
    made.stand_ins["played"] = PLAYED
    made.router = Router(made.stand_ins)
    made.faults |= of_provider("played", PLAYED.faults)
    made.rules = Rules(made.faults)
    return made


def do(made: World, name: str, body: bytes) -> tuple[int, Any]:
    """The control door of an action."""

    async def asked() -> Answer:
        said = console.answer(made, "POST", f"/_sandbox/do/{name}", "", body)
        return said if isinstance(said, Answer) else await said

    answer = asyncio.run(asked())
    return answer.status, json.loads(answer.body)


@pytest.mark.parametrize(
    ("name", "given", "status", "said"),
    [
        ("played/greet", {"name": "you", "times": 2}, 200, {"result": "hello you hello you"}),
        ("played/ring", {"name": "bell"}, 200, {"result": {"rang": "bell"}}),
        ("played/greet", {"name": "you", "times": 0}, 400, {"error": "times is at least 1"}),
    ],
)
def test_an_action_is_done_with_the_fields_of_an_object(
    name: str, given: Mapping[str, Any], status: int, said: Any
) -> None:
    assert do(world(), name, json.dumps(given).encode()) == (status, said)


@pytest.mark.parametrize(
    ("name", "body", "status", "words"),
    [
        ("played/greet", b"{}", 400, "missing a required argument: 'name'"),
        ("played/greet", b'{"nam": 1}', 400, "greet(name"),
        ("played/greet", b"[]", 400, "JSON object"),
        ("played/greet", b"{", 400, "Expecting"),
        ("played/sing", b"{}", 404, "no action 'sing'"),
        ("nobody/sing", b"{}", 404, "'nobody' has no action"),
    ],
)
def test_an_action_that_means_nothing_is_a_sentence(name: str, body: bytes, status: int, words: str) -> None:
    got, said = do(world(), name, body)
    assert (got, words in said["error"]) == (status, True), said


def test_a_providers_faults_have_its_name_and_do_no_work_unless_they_say_so() -> None:
    by_name = of_provider("played", PLAYED.faults)
    assert set(by_name) == {"played:tired", "played:late"}
    assert not by_name["played:tired"].fault.does_work
    assert by_name["played:late"].fault.does_work
    assert named("/fault/played:late/v1.0/think", by_name) == (by_name["played:late"], "/v1.0/think")
    assert named("/fault/played:late/v1.0/think", NAMED) is None
    assert isinstance(by_name["played:late"], Named)


async def exchange(port: int, raw: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(raw)
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    return answer


def think_of(text: str, close: bool = True) -> bytes:
    closing = "Connection: close\r\n" if close else ""
    return f"POST /played/v3.0/think HTTP/1.1\r\nHost: x\r\n{closing}Content-Length: {len(text)}\r\n\r\n{text}".encode()


def test_an_answer_may_be_awaited_with_faults_too() -> None:
    async def visits() -> list[bytes]:
        made = world()
        server = await listen(made, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        answers = [await exchange(port, think_of("one", close=False) + think_of("two"))]
        for fault in ("played:tired", "played:late", "drop-after"):
            made.rules.replace([{"path": "/played/*", "fault": fault}])
            answers.append(await exchange(port, think_of("x")))
        server.close()
        return answers

    both, tired, late, dropped = asyncio.run(visits())
    assert both.index(b'{"thought":"one"}') < both.index(b'{"thought":"two"}')
    assert tired.startswith(b"HTTP/1.1 200")
    assert tired.endswith(b'{"error": 1}')
    assert late.startswith(b"HTTP/1.1 500")
    assert dropped == b""


def test_a_dot_in_a_route_is_a_dot() -> None:
    router = Router({"played": PLAYED})
    assert router.find("POST", "/v3x0/think") == 404
    assert router.find("GET", "/v3.0/think") == 405


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://192.0.2.1/", "this machine only"),
        ("https://127.0.0.1/", "this machine only"),
        ("http://example.com/", "this machine only"),
        ("nonsense", "this machine only"),
        ("http://127.0.0.1:port/", "no URL"),
        ("http://127.0.0.1:9/é", "not answered"),
    ],
)
def test_nothing_is_sent_beyond_this_machine(url: str, words: str) -> None:
    with pytest.raises(NotSent, match=words):
        asyncio.run(send("GET", url, {}, b""))


def test_what_is_sent_and_not_answered_is_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        thread = threading.Thread(target=lambda: server.accept()[0].close())
        thread.start()
        with pytest.raises(NotSent, match="was not answered"):
            asyncio.run(send("POST", f"http://127.0.0.1:{port}/x", {}, b"{}"))
        thread.join()
    with pytest.raises(NotSent, match="refused"):
        asyncio.run(send("GET", f"http://localhost:{port}/", {}, b""))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("access_token=EAABlong&limit=5", "access_token=EAAB…&limit=5"),
        ('{"app_id": "1", "secret": "12345678", "n": 2}', '{"app_id": "1", "secret": "1234…", "n": 2}'),
        ("my_secret=12345678&code=12345678", "my_secret=12345678&code=1234…"),
        ('{"code": "12345678", "token": "12345678"}', '{"code": "12345678", "token": "12345678"}'),
        ('{"secret": "123"}', '{"secret": "123"}'),
        ("batch=%5B%5D&client_secret=meta_app_secret_1", "batch=%5B%5D&client_secret=meta…"),
    ],
)
def test_credentials_are_cut(text: str, shown: str) -> None:
    assert without_secrets(text) == shown


def test_the_control_client_does_actions_and_rules_by_name() -> None:
    with start() as sandbox:
        token = sandbox.control.do("meta_ads", "issue_token", app_id="1", app_secret="s", person="10001")
        sandbox.control.add_rule("/v25.0/*", "meta_ads:policy", times=1)
        url = f"{sandbox.url}/v25.0/me?access_token={token}"
        with pytest.raises(HTTPError) as raised:
            urlopen(url, timeout=5)
        with raised.value as answer:
            assert (answer.status, json.load(answer)["error"]["code"]) == (403, 368)
        with urlopen(url, timeout=5) as answer:
            assert json.load(answer)["id"] == "10001"
        with pytest.raises(SandboxRefused, match="no fault is named 'meta_ads:nonsense'"):
            sandbox.control.add_rule("/v25.0/*", "meta_ads:nonsense")
        with pytest.raises(SandboxRefused, match="no action"):
            sandbox.control.do("meta_ads", "nonsense")
