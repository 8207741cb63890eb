"""How anything is generated: checked, charged, recorded; then it takes its time, and its bytes go out."""

from __future__ import annotations

import asyncio
import base64
import json
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final
from uuid import uuid4

from sandbox.audio import FORMATS
from sandbox.elevenlabs.errors import Refusal
from sandbox.elevenlabs.generation import DEFAULT_FORMAT, SECONDS_PER_CHARACTER, Generation, Line
from sandbox.elevenlabs.models import MODELS
from sandbox.elevenlabs.workspace import Call, Workspace
from sandbox.wire import Answer

LOCATORS_MAX: Final = 3


def output_format(args: Mapping[str, str]) -> str:
    """The format asked for; raises Refusal."""
    asked = args.get("output_format", DEFAULT_FORMAT)
    if asked not in FORMATS:
        raise Refusal("invalid_output_format", f"Unknown output_format {asked}.", "output_format")
    return asked


def existing_voice(workspace: Workspace, voice_id: str) -> str:
    """The id of a voice that may speak; raises Refusal for those that start with `missing`, and deleted ones."""
    if voice_id.startswith("missing") or voice_id in workspace.deleted_voices:
        raise Refusal("voice_not_found", f"No voice {voice_id}.", "voice_id")
    own = workspace.voices.get(voice_id)
    if own is not None and own.requires_verification:
        raise Refusal("voice_access_denied", f"Voice {voice_id} is not verified yet.", "voice_id")
    return voice_id


def check_dictionaries(workspace: Workspace, body: Mapping[str, Any]) -> None:
    """Raise Refusal for locators that are too many or lead nowhere."""
    name = "pronunciation_dictionary_locators"
    locators = body.get(name) or []
    if len(locators) > LOCATORS_MAX:
        raise Refusal("invalid_parameters", f"{name} takes {LOCATORS_MAX} of them.", name)
    for one in locators:
        found = str(one.get("pronunciation_dictionary_id")) if isinstance(one, dict) else None
        if found not in workspace.dictionaries:
            raise Refusal("pronunciation_dictionary_not_found", f"No pronunciation dictionary {found}.", name)


def draft(call: Call, lines: Iterable[Line], model_id: str, **others: Any) -> Generation:
    """A generation that was not charged yet; `others` are fields of it."""
    spoken = tuple(lines)
    characters = sum(len(line.text) for line in spoken)
    usual = {
        "source": "TTS",
        "dialogue": False,
        "cost": math.ceil(characters * MODELS[model_id].cost),
        "output_format": output_format(call.args),
        "settings": None,
        "seconds": characters * SECONDS_PER_CHARACTER,
        "logged": call.args.get("enable_logging") != "false",
    }
    return Generation(
        id=uuid4().hex,
        request_id=uuid4().hex,
        lines=spoken,
        model_id=model_id,
        made_at=call.now,
        ready_at=call.now,
        used_before=call.workspace.characters,
        **{**usual, **others},
    )


def make(call: Call, drafted: Generation) -> Generation:
    """Charged and recorded, whoever waits for it; raises Refusal for quota and concurrency."""
    workspace = call.workspace
    workspace.check_quota(drafted.cost)
    ready_at = workspace.enter(MODELS[drafted.model_id].group, call.now)
    made = replace(drafted, ready_at=ready_at)
    workspace.record(made)
    return made


def hand_out(
    call: Call, made: Generation, body: Callable[[Generation], bytes], kind: str = "audio/mpeg", chunked: bool = False
) -> Answer | Awaitable[Answer]:
    """The answer, now or when the generation is ready."""
    group = MODELS[made.model_id].group
    headers = {
        "Content-Type": kind,
        "request-id": made.request_id,
        "history-item-id": made.id,
        "character-cost": str(made.cost),
        **call.workspace.concurrency(group, call.now),
        "x-trace-id": uuid4().hex,
    }
    answer = Answer(200, body(made), headers, chunked=chunked)
    wait_s = made.ready_at - call.now
    return answer if wait_s <= 0 else later(answer, wait_s)


async def later(answer: Answer, wait_s: float) -> Answer:
    """The same answer after a while."""
    await asyncio.sleep(wait_s)
    return answer


def base64_audio(data: bytes) -> str:
    """Sound inside JSON."""
    return base64.b64encode(data).decode()


def json_bytes(value: object) -> bytes:
    """A value as JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def json_lines(values: Iterable[object]) -> bytes:
    """One JSON object in a line: not server-sent events."""
    return b"".join(json_bytes(value) + b"\n" for value in values)
