"""The judges of ElevenLabs' stand-in: the official client, unmodified, and the schemas of client and API."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, Final
from urllib.request import Request, urlopen

import fastjsonschema
import pytest

from sandbox.process import ROOT, Sandbox

FOLDER: Final = ROOT.parent / "shared" / "specs" / "content" / "elevenlabs"
KEY: Final = "sk_test"
TEXT: Final = "Welcome back to Margin Notes."
NEEDS_FOLDER: Final = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="ELEVENLABS' SPECIFICATIONS NOT CHECKED: the folder shared/specs/content is absent"
)


def client_of(sandbox: Sandbox, key: str = KEY) -> Any:
    """The official client; the test is skipped where it is not installed."""
    client = pytest.importorskip("elevenlabs.client", reason="NOT CHECKED: the official client is not installed")
    return client.ElevenLabs(base_url=sandbox.url, api_key=key)


def refusal(call: Any, *args: Any, **kwargs: Any) -> tuple[int | None, Any]:
    """Status and detail of a call that the client must report as refused; it is sent once."""
    from elevenlabs.core.api_error import ApiError

    def ask_once() -> None:
        said = call(*args, **kwargs, request_options={"max_retries": 0})
        if hasattr(said, "__next__"):
            b"".join(said)

    with pytest.raises(ApiError) as raised:
        ask_once()
    body = raised.value.body
    if hasattr(body, "model_dump"):  # what the client has a class for
        body = body.model_dump()
    return raised.value.status_code, body["detail"]


def ask(sandbox: Sandbox, method: str, path: str, body: bytes | None = None, kind: str = "application/json") -> Any:
    """A JSON answer without any client."""
    headers = {"xi-api-key": KEY, "Content-Type": kind}
    with urlopen(Request(sandbox.url + path, body, headers, method=method), timeout=5) as answer:
        return json.load(answer)


def document(name: str) -> Any:
    """One of the specifications."""
    return json.loads((FOLDER / name).read_text())


def closed(schema: Any) -> Any:
    """The schema with its open enums (`anyOf [enum, {}]`) closed: the client is lenient, the test is not."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "anyOf" in schema and {} in schema["anyOf"]:
        schema = {**schema, "anyOf": [one for one in schema["anyOf"] if one]}
    return {name: closed(value) for name, value in schema.items() if name != "default"}


@cache
def of_the_client() -> Mapping[str, Any]:
    """The schemas of the client's models."""
    schemas: Mapping[str, Any] = closed(document("sdk-2.78.0-schemas.json")["schemas"])
    return schemas


@cache
def of_the_api() -> Mapping[str, Any]:
    """The schemas of their description, for what the client's file leaves out."""
    schemas: Mapping[str, Any] = document("openapi-2025-08-25.json")["components"]["schemas"]
    return schemas


def check(name: str, answer: Any) -> None:
    """The answer is one of this schema, and has no field that the schema does not name."""
    if name in of_the_client():
        schemas, whole = of_the_client(), {"schemas": of_the_client(), "$ref": f"#/schemas/{name}"}
    else:
        schemas = of_the_api()
        whole = {"components": {"schemas": schemas}, "$ref": f"#/components/schemas/{name}"}
    fastjsonschema.compile(reachable(whole))(answer)
    assert set(answer) <= set(schemas[name]["properties"]), name


def reachable(whole: Mapping[str, Any]) -> Any:
    """The document without what its entry does not lead to: there are schemas that no draft allows."""
    at = whole["$ref"].split("/")[1:-1]
    schemas: Any = whole
    for step in at:
        schemas = schemas[step]
    kept: dict[str, Any] = {}
    names = [whole["$ref"].rpartition("/")[2]]
    while names:
        name = names.pop()
        if name not in kept:
            kept[name] = schemas[name]
            names += references(schemas[name])
    for step in reversed(at):
        kept = {step: kept}
    return {**kept, "$ref": whole["$ref"]}


def references(schema: Any) -> list[str]:
    """The names of the schemas that one refers to."""
    if isinstance(schema, list):
        return [name for one in schema for name in references(one)]
    if not isinstance(schema, dict):
        return []
    found = [name for value in schema.values() for name in references(value)]
    ref = schema.get("$ref")
    return [*found, ref.rpartition("/")[2]] if isinstance(ref, str) else found
