"""Ten thousand requests that nobody should send, at the doors for webhooks: none of them breaks anything."""

from __future__ import annotations

import http.client
import json
import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest

from providers import PROVIDERS
from tests.mesh import Mesh

REQUESTS = 10_000
THREADS = 4
TELLING = [facts for facts in PROVIDERS.values() if facts.inbound is not None]
SIGNATURES = ("x-hub-signature-256", "tiktok-signature", "elevenlabs-signature", "x-autods-signature")
KINDS = (
    "application/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "text/html",
    "\xff",
)


@pytest.fixture
def accounts(mesh: Mesh) -> dict[str, UUID]:
    """An account at each provider that tells us things."""
    mesh.tenant()
    return {
        facts.name: mesh.one(
            "insert into integrations (tenant_id, provider, name) values ('acme', %(name)s, 'main') returning id",
            name=facts.name,
        )
        for facts in TELLING
    }


def body(chance: random.Random) -> bytes:
    """Something between a message and noise."""
    kinds: list[Any] = [
        b"",
        chance.randbytes(chance.randrange(300)),
        b"[" * chance.randrange(5_000),
        b'{"a":' * 2_000,
        b"signed_request=" + chance.randbytes(20),
        b"signed_request=a.b",
        json.dumps(value(chance, 4)).encode(),
        json.dumps(value(chance, 4)).encode()[: chance.randrange(40)],
        b'{"entry": [{"changes": [{"field": "leadgen", "value": {"leadgen_id": 1e999}}]}]}',
        b'{"type": "\\ud800", "data": "\\u0000", "id": null}',
    ]
    made: bytes = chance.choice(kinds)
    return made


def value(chance: random.Random, depth: int) -> Any:
    """JSON of any shape, with the names that messages have."""
    names = ("entry", "changes", "field", "value", "id", "type", "data", "event", "object", "time", "create_time")
    if depth and chance.random() < 0.6:
        return {chance.choice(names): value(chance, depth - 1) for _ in range(3)}
    if depth and chance.random() < 0.3:
        return [value(chance, depth - 1) for _ in range(3)]
    return chance.choice([None, True, -1, 1e308, 2**70, "", "x" * 300, "\ud800", "\x00", "lead", "page"])


def headers(chance: random.Random) -> dict[str, str]:
    found = {"content-type": chance.choice(KINDS)} if chance.random() < 0.9 else {}
    if chance.random() < 0.7:
        signature = chance.choice(("t=1,s=aa", "t=9999999999999,v1=", "sha256=zz", "t=,v0=é", "=", ",,,", "t=1" * 200))
        found[chance.choice(SIGNATURES)] = signature
    if chance.random() < 0.05:
        found["content-encoding"] = "gzip"
    return found


def path(chance: random.Random, accounts: dict[str, UUID]) -> str:
    provider = chance.choice([*accounts, "zapier", "nobody", "%00", "..%2f"])
    account = chance.choice([*accounts.values(), uuid4(), "not-an-id", ""])
    query = chance.choice(
        ["", "", "", "?delivery=x&token=y", f"?delivery={uuid4()}", "?delivery=%00&token=%ff", "?%zz"]
    )
    return f"/hooks/{provider}/{account}{query}"


def requests_of(chance: random.Random, accounts: dict[str, UUID]) -> Iterator[tuple[str, str, bytes, dict[str, str]]]:
    for _ in range(REQUESTS // THREADS):
        method = "POST" if chance.random() < 0.95 else chance.choice(("GET", "PUT", "HEAD", "OPTIONS"))
        yield method, path(chance, accounts), body(chance), headers(chance)


def send(doors: str, seed: int, accounts: dict[str, UUID]) -> Counter[int]:
    """Send one thread's share, over one connection; how they were answered."""
    answered: Counter[int] = Counter()
    connection = http.client.HTTPConnection(urlsplit(doors).netloc, timeout=30)
    for method, there, sent, told in requests_of(random.Random(seed), accounts):
        connection.request(method, there, sent, {name: text.encode("latin-1") for name, text in told.items()})
        answer = connection.getresponse()
        answer.read()
        answered[answer.status] += 1
    connection.close()
    return answered


def test_nothing_that_is_sent_to_the_doors_breaks_them(mesh: Mesh, doors: str, accounts: dict[str, UUID]) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        counts = sum(pool.map(lambda seed: send(doors, seed, accounts), range(THREADS)), Counter[int]())
    assert sum(counts.values()) == REQUESTS
    assert [status for status in counts if status >= 500] == [], counts
    assert counts[401] > 100
    assert counts[404] > 100
    assert mesh.count("events", "type <> 'sync.due'") == 0, "nothing was believed but that something may have changed"
    assert mesh.count("inbox", "verdict = 'refused'") <= 1_000 * len(TELLING)
