"""Sound without a voice: effects, music, a voice without its noise. None of it is ever in the history.

https://elevenlabs.io/docs/api-reference/text-to-sound-effects/convert
What they cost is unconfirmed: the figures stand below.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final
from uuid import uuid4

from sandbox.audio import FORMATS, sound
from sandbox.elevenlabs.errors import Invalid, Refusal
from sandbox.elevenlabs.fields import FLAG, MAP, NUMBER, TEXT, Kinds, is_a, json_body
from sandbox.elevenlabs.generation import DEFAULT_FORMAT
from sandbox.elevenlabs.making import output_format
from sandbox.elevenlabs.multipart import read_form
from sandbox.elevenlabs.voice_changer import BYTES_PER_SECOND, recording
from sandbox.elevenlabs.workspace import Call
from sandbox.wire import Answer, json_answer

EFFECT: Final[Kinds] = {
    "text": (str,),
    "duration_seconds": NUMBER,
    "prompt_influence": NUMBER,
    "loop": FLAG,
    "model_id": TEXT,
}
EFFECT_MODELS: Final = ("eleven_text_to_sound_v2", "eleven_text_to_sound_v3")
EFFECT_S: Final = (0.5, 30)
EFFECT_USUAL_S: Final = 5.0  # when they choose
EFFECT_COST_PER_S: Final = 40
MUSIC: Final[Kinds] = {
    "prompt": TEXT,
    "composition_plan": MAP,
    "music_length_ms": NUMBER,
    "model_id": TEXT,
    "force_instrumental": FLAG,
}
PLAN: Final[Kinds] = {"prompt": (str,), "music_length_ms": NUMBER, "source_composition_plan": MAP, "model_id": TEXT}
MUSIC_MODELS: Final = ("music_v1", "music_v2", "music_v2_5")
MUSIC_MS: Final = (3_000, 600_000)
MUSIC_USUAL_MS: Final = 30_000
MUSIC_COST_PER_S: Final = 25
ISOLATION_COST_PER_S: Final = 1_000 / 60


def effect(call: Call) -> Answer:
    """A sound by its description."""
    body = json_body(call.request, EFFECT, ("text",))
    if not body["text"].strip():
        raise Refusal("empty_text", "The text is empty.", "text")
    check_model(body, EFFECT_MODELS)
    seconds = within(body, "duration_seconds", EFFECT_S, EFFECT_USUAL_S)
    within(body, "prompt_influence", (0, 1), 0.3)
    return charged(call, seconds, EFFECT_COST_PER_S, output_format(call.args))


def music(call: Call) -> Answer:
    """A piece of music by a prompt or by a plan."""
    body = json_body(call.request, MUSIC)
    if (body.get("prompt") is None) == (body.get("composition_plan") is None):
        raise Refusal("invalid_parameters", "Send either prompt or composition_plan.", "prompt")
    check_model(body, MUSIC_MODELS)
    seconds = within(body, "music_length_ms", MUSIC_MS, MUSIC_USUAL_MS) / 1000
    asked = call.args.get("output_format", "auto")
    kept = asked if asked in FORMATS else DEFAULT_FORMAT  # the 48 kHz ones of music are not made here
    return charged(call, seconds, MUSIC_COST_PER_S, kept, {"song-id": uuid4().hex})


def plan(call: Call) -> Answer:
    """Sections for a piece of music; nothing is billed (unconfirmed)."""
    body = json_body(call.request, PLAN, ("prompt",))
    check_model(body, MUSIC_MODELS)
    length_ms = int(within(body, "music_length_ms", MUSIC_MS, MUSIC_USUAL_MS))
    section = {
        "section_name": "All of it",
        "positive_local_styles": [body["prompt"]],
        "negative_local_styles": [],
        "duration_ms": length_ms,
        "lines": [],
    }
    return json_answer({"positive_global_styles": [], "negative_global_styles": [], "sections": [section]})


def isolate(call: Call) -> Answer:
    """A recording's voice alone."""
    content = recording(read_form(call.request))
    return charged(call, len(content) / BYTES_PER_SECOND, ISOLATION_COST_PER_S, DEFAULT_FORMAT)


def charged(call: Call, seconds: float, cost_per_s: float, kind: str, more: Mapping[str, str] | None = None) -> Answer:
    """The sound, on the bill; raises Refusal for quota."""
    cost = max(1, math.ceil(seconds * cost_per_s))
    call.workspace.check_quota(cost)
    call.workspace.charge(cost)
    headers = {"request-id": uuid4().hex, "character-cost": str(cost), "x-trace-id": uuid4().hex, **(more or {})}
    stream = call.request.path.rstrip("/").endswith("/stream")
    return Answer(200, sound(kind, seconds), {"Content-Type": "audio/mpeg", **headers}, chunked=stream)


def check_model(body: Mapping[str, Any], known: tuple[str, ...]) -> None:
    """Raise Refusal for a model of another kind."""
    if (body.get("model_id") or known[0]) not in known:
        raise Refusal("unsupported_model", f"model_id is one of {', '.join(known)}.", "model_id")


def within(body: Mapping[str, Any], name: str, bounds: tuple[float, float], usual: float) -> float:
    """A number in range; raises Refusal."""
    value = body.get(name)
    if value is None:
        return usual
    if not is_a(value, (int, float)):
        raise Invalid("body", name, "Input should be a number", "float_type")
    if not bounds[0] <= value <= bounds[1]:
        raise Refusal("invalid_parameters", f"{name} is from {bounds[0]} to {bounds[1]}.", name)
    return float(value)
