"""Plain HTTP clients of the CapCut stand-in, and reading the boxes of a video."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import requests

KEY = "vc_test"
CLOUD = "/cut_jianying"
MATE = "/openapi/capcut-mate/v1"
PATIENCE_S = 10.0
CONTAINERS = ("moov", "trak", "mdia", "minf", "stbl", "dinf")


@dataclass(frozen=True)
class Reply:
    """Status, type and body of an answer."""

    status: int
    mime: str
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def output(self) -> Any:
        """What stands in the envelope of a success."""
        assert self.status == 200, self.body
        assert self.json["success"] is True, self.json
        return self.json["output"]

    @property
    def error(self) -> str:
        """The words of a failure."""
        assert self.json["success"] is False, self.json
        assert self.json["output"] == ""
        return str(self.json["error"])


class Client:
    """Requests to one of the services."""

    def __init__(self, base_url: str, headers: Mapping[str, str]) -> None:
        self._base_url = base_url
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers.update(headers)

    def post(self, path: str, **fields: Any) -> Reply:
        return self.send("POST", path, json.dumps(fields).encode(), {"Content-Type": "application/json"})

    def get(self, path: str) -> Reply:
        return self.send("GET", path)

    def send(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Reply:
        url = path if path.startswith("http") else self._base_url + path
        answer = self._session.request(method, url, data=body, headers=headers, timeout=PATIENCE_S)
        return Reply(answer.status_code, answer.headers.get("content-type", ""), answer.content)


def local(url: str) -> Client:
    """VectCut as a server of one's own."""
    return Client(url, {})


def cloud(url: str, key: str = KEY) -> Client:
    """VectCut in the cloud."""
    return Client(url + CLOUD, {"Authorization": f"Bearer {key}"})


def mate(url: str) -> Client:
    """The other service, in English."""
    return Client(url + MATE, {"Accept-Language": "en"})


def boxes(data: bytes, path: str = "") -> Iterator[tuple[str, bytes]]:
    """The boxes of an ISO media file with their paths, outer before inner; raises AssertionError where it is torn."""
    at = 0
    while at < len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        assert 8 <= size <= len(data) - at, f"{path}/{name!r} ends beyond what holds it"
        content, here = data[at + 8 : at + size], f"{path}/{name.decode('ascii')}"
        yield here, content
        if name.decode() in CONTAINERS:
            yield from boxes(content, here)
        at += size
