"""The stream of a step's log: lines that it writes while it works, then its end.

https://github.com/mindstudio-ai/mindstudio-agent (src/client.ts)
A stream that stops without saying `done` or `error` has told no end: the step may have been done, and be on the bill.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jsontext
from providers.contract import Call
from providers.errors import OutcomeUnknown
from providers.http import Answer
from providers.mindstudio import api

TYPE = "text/event-stream"
DONE, ERROR, LOG = "done", "error", "log"
MOST_LINES = 100  # of a log that are kept, the last ones: an event holds 256 KiB
LINE_CHARACTERS = 200


def is_stream(answer: Answer) -> bool:
    """Whether they took us at our word: an older server answers at once, as without a stream."""
    return answer.headers.get("content-type", "").partition(";")[0].strip().lower() == TYPE


def ended(call: Call, answer: Answer) -> dict[str, Any]:
    """The end that a stream tells, with its `log`. OutcomeUnknown where it tells none."""
    log: list[dict[str, Any]] = []
    for event in _events(answer.content):
        kind = event.get("type")
        if kind in (DONE, ERROR):
            end = {name: value for name, value in event.items() if name != "type"}
            return {"error": "no reason was given", **end, "log": log} if kind == ERROR else {**end, "log": log}
        if kind == LOG:
            log = [*log, _line(call, event)][-MOST_LINES:]
    raise OutcomeUnknown("The stream of the step's log stopped before its end.", code="stream_broken")


def _line(call: Call, event: Mapping[str, Any]) -> dict[str, Any]:
    """A line of a log, as it may be shown."""
    said = event.get("value")
    text = said if isinstance(said, str) else jsontext.text(said)
    tag, at = event.get("tag"), event.get("ts")
    return {
        "text": api.shown(call, text)[:LINE_CHARACTERS],
        **({"tag": tag[:LINE_CHARACTERS]} if isinstance(tag, str) else {}),
        **({"at_ms": at} if isinstance(at, int) and not isinstance(at, bool) else {}),
    }


def _events(content: bytes) -> Iterator[Mapping[str, Any]]:
    """The objects of a stream. What is none is no end, and passed over: a line of a log is worth less than an end."""
    for block in content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n\n"):
        lines = [line[5:].removeprefix(b" ") for line in block.split(b"\n") if line.startswith(b"data:")]
        try:
            event = jsontext.decoded(b"\n".join(lines)) if lines else None
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict):
            yield event
