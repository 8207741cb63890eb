"""Where the pieces of a file are kept until they are put together, and the file itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import jsontext
from model import MediaAsset
from providers.contract import Call
from providers.elevenlabs import api, joining, timing
from providers.elevenlabs.audio import Audio, kind_of
from providers.elevenlabs.script import Script
from providers.errors import Unavailable
from providers.waiting import aside

T = TypeVar("T")


def keep(call: Call, number: int, bare: joining.Bare, output_format: str, times: Mapping[str, Any] | None) -> None:
    """Store a piece that was paid for. OutcomeUnknown where it cannot be stored."""
    if times is not None:
        api.keep(call, _times_name(call, number), Audio(timing.encoded(times), "application/json", "json"))
    mime, extension = kind_of(output_format)
    api.keep(call, _name(call, number), Audio(bare.content, mime, extension))


def read(call: Call, number: int) -> bytes | None:
    """A piece; None when it is not there any more."""
    return stored(partial(call.media.read, _name(call, number)))


def times_of(call: Call, number: int) -> Mapping[str, Any] | None:
    """When its characters are said, where that is known."""
    content = stored(partial(call.media.read, _times_name(call, number)))
    found: Mapping[str, Any] | None = jsontext.decoded(content) if content else None
    return found


def drop(call: Call, script: Script) -> None:
    """Remove all pieces of a file."""
    for number in range(len(script.pieces)):
        stored(partial(call.media.drop, _name(call, number)))
        if script.timed:
            stored(partial(call.media.drop, _times_name(call, number)))


def keep_file(call: Call, script: Script, audio: Audio, timed: Sequence[timing.Timed]) -> tuple[MediaAsset, ...]:
    """Store the whole file, and its times where they are wanted."""
    voices = {voice for piece in script.pieces for voice in piece.voices}
    only = {"voice_id": voices.pop()} if len(voices) == 1 else {}
    details = {"characters": script.characters, "model_id": script.model_id, **only}
    sound = api.keep(call, f"{call.delivery_id}.{audio.extension}", audio, **details)
    if not script.timed:
        return (sound,)
    times = Audio(timing.encoded(timing.together(timed)), "application/json", "json")
    return sound, api.keep(call, f"{call.delivery_id}.json", times)


def apart(content: bytes, output_format: str) -> joining.Bare:
    """A file taken apart, beside the loop of calls: an hour of MP3 takes a fifth of a second. Raises NotThisFormat."""
    return aside(partial(joining.bare, content, output_format))


def together(parts: Sequence[tuple[bytes, float]], output_format: str) -> Audio:
    """The file of all pieces, each followed by so many seconds of silence."""
    return Audio(aside(partial(joining.join, parts, output_format)), *kind_of(output_format))


def stored(use: Callable[[], T]) -> T:
    """Use media storage in a step that pays nothing: whatever a storage raises, it is tried again."""
    try:
        return use()
    except Exception as error:
        away = Unavailable("Media storage did not answer.", code="media_away")
        away.holds = False  # the account there has nothing to do with it
        raise away from error


def _name(call: Call, number: int) -> str:
    return f"{call.delivery_id}.part{number}"


def _times_name(call: Call, number: int) -> str:
    return f"{call.delivery_id}.part{number}.json"
