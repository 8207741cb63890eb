"""Speech to speech: a recording said again by another voice.

https://elevenlabs.io/docs/api-reference/speech-to-speech
Their client asks at `/v1/voice-changer/…`, their older description has `/v1/speech-to-speech/…`; both are here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable
from typing import Any, Final

from sandbox.elevenlabs.errors import Invalid, Refusal
from sandbox.elevenlabs.fields import check_settings
from sandbox.elevenlabs.generation import Generation, Line
from sandbox.elevenlabs.making import draft, existing_voice, hand_out, make
from sandbox.elevenlabs.models import SPEECH_TO_SPEECH_MODEL, converting_model
from sandbox.elevenlabs.multipart import Form, read_form
from sandbox.elevenlabs.workspace import Call
from sandbox.wire import Answer

# Unconfirmed: a minute costs so much. How long a recording is, the sandbox tells by its size, at 128 kbit/s.
CHARACTERS_PER_MINUTE: Final = 1_000
BYTES_PER_SECOND: Final = 16_000


def convert(call: Call) -> Answer | Awaitable[Answer]:
    """All of the sound."""
    return hand_out(call, converted(call), Generation.audio)


def stream(call: Call) -> Answer | Awaitable[Answer]:
    """The sound in pieces."""
    return hand_out(call, converted(call), Generation.audio, chunked=True)


def converted(call: Call) -> Generation:
    """What the form asks for, made; raises Refusal."""
    form = read_form(call.request)
    content = recording(form)
    voice_id = existing_voice(call.workspace, call.params["voice_id"])
    model_id = form.text("model_id") or SPEECH_TO_SPEECH_MODEL
    converting_model(model_id)
    settings = settings_of(form)
    seconds = len(content) / BYTES_PER_SECOND
    cost = max(1, math.ceil(seconds * CHARACTERS_PER_MINUTE / 60))
    voiced = draft(call, [Line("", voice_id)], model_id, source="STS", settings=settings, seconds=seconds, cost=cost)
    return make(call, voiced)


def recording(form: Form) -> bytes:
    """The uploaded sound; raises Refusal."""
    files = form.uploads("audio")
    if not files:
        raise Invalid("body", "audio", "Field required", "missing")
    if not files[0].content:
        raise Refusal("invalid_audio", "The audio is empty.", "audio")
    return files[0].content


def settings_of(form: Form) -> dict[str, Any] | None:
    """Voice settings: here a text that holds a JSON object; raises Refusal."""
    text = form.text("voice_settings")
    try:
        settings = None if text is None else json.loads(text)
    except ValueError:
        settings = text
    if settings is not None and not isinstance(settings, dict):
        raise Refusal("invalid_voice_settings", "voice_settings is a JSON object in a text.", "voice_settings")
    check_settings(settings, "voice_settings")
    return settings
