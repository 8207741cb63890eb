"""What the sandbox says it received, against what a client sent; and how the process starts and ends."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from sandbox.process import ROOT, Sandbox, SandboxDidNotStart, start


@pytest.fixture(scope="module")
def process() -> Iterator[Sandbox]:
    with start() as running:
        yield running


@pytest.fixture
def sandbox(process: Sandbox) -> Sandbox:
    process.control.reset()
    return process


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[HTTPConnection]:
    connection = HTTPConnection("127.0.0.1", sandbox.port, timeout=5)
    yield connection
    connection.close()


def send(client: HTTPConnection, path: str, webhook_id: str | None = None, method: str = "POST") -> int:
    headers = {"Content-Type": "application/json"} | ({"webhook-id": webhook_id} if webhook_id else {})
    client.request(method, path, b'{"n":1}', headers)
    answer = client.getresponse()
    answer.read()
    return answer.status


def test_counts_are_what_the_client_sent(sandbox: Sandbox, client: HTTPConnection) -> None:
    sent: Counter[str] = Counter()
    answered: Counter[str] = Counter()
    sandbox.control.add_rule("/receive/*", {"status": 500}, share=0.2, seed=3)
    for n in range(300):
        webhook_id = f"m{n % 100}"
        sent[webhook_id] += 1
        answered[webhook_id] += send(client, f"/receive/{n % 3}", webhook_id) == 200
    counts = sandbox.control.counts("/receive/*")
    assert counts["requests"] == 300
    assert counts["by_id"] == {key: {"requests": sent[key], "ok": answered[key]} for key in sent}
    assert counts["by_status"] == {"200": answered.total(), "500": 300 - answered.total()}
    assert sandbox.control.counts("/receive/1", ids=False) | {"by_status": {}} == {
        "requests": 100,
        "by_status": {},
        "by_id": {},
    }


def test_arrivals_keep_the_first_time(sandbox: Sandbox, client: HTTPConnection) -> None:
    before = time.time()
    send(client, "/receive/a", "m1")
    between = time.time()
    send(client, "/receive/b", "m1")
    send(client, "/hooks/standard/1/abc", "m2")
    arrivals = sandbox.control.arrivals()
    assert before <= arrivals["m1"] <= between <= arrivals["m2"] <= time.time()


def test_records_of_receive_are_kept_on_demand_only(sandbox: Sandbox, client: HTTPConnection) -> None:
    send(client, "/receive/a", "m1")
    assert sandbox.control.received() == []
    sandbox.control.record_bodies(True)
    send(client, "/receive/a?x=1", "m2")
    sandbox.control.record_bodies(False)
    (record,) = sandbox.control.received()
    assert (record["path"], record["query"], record["webhook_id"]) == ("/receive/a", "x=1", "m2")
    assert (record["body"], record["body_size"], record["status"]) == ('{"n":1}', 7, 200)
    assert record["complete"]


def test_records_are_read_page_by_page(sandbox: Sandbox, client: HTTPConnection) -> None:
    for n in range(5):
        send(client, f"/hooks/catch/1/{n}")
    first = sandbox.control.received(limit=2)
    rest = sandbox.control.received(after=first[-1]["seq"], path="/hooks/catch/*")
    assert [record["path"][-1] for record in first + rest] == ["0", "1", "2", "3", "4"]
    assert sandbox.control.received(path="/hooks/catch/1/3")[0]["webhook_id"] is None


def test_credentials_and_long_bodies_are_cut_in_records(sandbox: Sandbox, client: HTTPConnection) -> None:
    client.request("POST", "/v1/nothing", b"x" * 10_000, {"xi-api-key": "sk_planted_secret"})
    assert client.getresponse().read() == b'{"detail":"Not Found"}'
    (record,) = sandbox.control.received()
    assert (len(record["body"]), record["body_size"]) == (4096, 10_000)
    assert "planted" not in json.dumps(record)


def test_a_rest_hook_is_gone_after_reverse_unsubscribe(sandbox: Sandbox, client: HTTPConnection) -> None:
    hook = "/hooks/standard/1234567/abc123/"
    assert send(client, hook) == 200
    assert send(client, hook, method="DELETE") == 200
    assert send(client, hook.rstrip("/")) == 410
    assert send(client, "/hooks/standard/1234567/other/") == 200
    assert send(client, "/hooks/catch/1234567/abc123/") == 200
    assert send(client, "/zapier" + hook) == 410  # under the provider's own prefix
    assert send(client, "/hooks/catch/1/abc/", method="PATCH") == 405


def test_reset_forgets_all(sandbox: Sandbox, client: HTTPConnection) -> None:
    sandbox.control.add_rule("/receive/a", {"status": 500})
    send(client, "/receive/a", "m1")
    sandbox.control.reset()
    assert sandbox.control.counts() == {"requests": 0, "by_status": {}, "by_id": {}}
    assert (sandbox.control.rules(), sandbox.control.arrivals(), sandbox.control.bill()) == ([], {}, {})
    assert send(client, "/receive/a") == 200


def test_unknown_control_doors_say_where_to_read(sandbox: Sandbox, client: HTTPConnection) -> None:
    assert send(client, "/_sandbox/nonsense", method="GET") == 404
    assert send(client, "/_sandbox/received?after=x", method="GET") == 400


def test_a_taken_port_is_one_sentence_and_exit_2(sandbox: Sandbox) -> None:
    command = [sys.executable, "-m", "sandbox", "--port", str(sandbox.port)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=10)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert f"Port {sandbox.port} on 127.0.0.1 is taken" in ended.stderr
    assert ended.stderr.count("\n") == 1
    with pytest.raises(SandboxDidNotStart, match="is taken"):
        start(port=sandbox.port)


def test_it_says_where_it_listens_and_stops_at_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    sandbox = start(log=log)
    hanging = HTTPConnection("127.0.0.1", sandbox.port)
    hanging.request("POST", "/fault/hang/receive/x")
    assert sandbox.control.state()["connections"] >= 1
    started = time.monotonic()
    assert sandbox.stop() == 0
    assert time.monotonic() - started < 2
    assert log.read_text() == f"sandbox listens on {sandbox.url}\n"
    hanging.close()
