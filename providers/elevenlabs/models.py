"""The models that speak: what a request of each takes, and which calls count against one ceiling.

https://elevenlabs.io/docs/overview/models
What the account's own list of models says (stream `models`) decides; the tables hold where none was read yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from providers.contract import Call, Ceiling
from providers.elevenlabs.api import MAX_AUDIO_BYTES, MODEL
from providers.elevenlabs.audio import parsed
from providers.http import Answer

STREAM = "models"
DIALOGUE_MODEL = "eleven_v3"
TEXT_LIMITS = {  # code points for one request
    "eleven_v3": 3_000,
    "eleven_flash_v2_5": 40_000,
    "eleven_turbo_v2_5": 40_000,
    "eleven_flash_v2": 30_000,
    "eleven_turbo_v2": 30_000,
    "eleven_multilingual_v2": 10_000,
    "eleven_multilingual_v1": 10_000,
    "eleven_monolingual_v1": 10_000,
}
_LEAST = 1_000  # no model takes less
NOT_STITCHED = frozenset({"eleven_v3"})  # does not take ids of earlier requests
NO_LANGUAGE_CODE = frozenset({"eleven_multilingual_v2"})  # takes none; others pass over one they do not know
SLOWEST = 10  # characters a second: slow speech
BYTES_PER_KBIT = 125
UNKNOWN_BYTES_PER_S = 16_000
_SAMPLE_BYTES = {"ulaw": 1, "alaw": 1}
TURBO, STANDARD = "turbo", "standard"
SPOKEN = frozenset({"audio.render_requested", "podcast.render_requested"})
DIALOGUE = "dialogue.render_requested"


def limit_of(call: Call, model_id: str, output_format: str, characters: int) -> int | None:
    """The characters that one request takes; None where nothing is known to limit it.

    What the model takes, and no more than fits into one answer in that format.
    """
    if characters <= _LEAST:
        return None
    told = call.known.cursor(STREAM).get("models")
    model = told.get(model_id) if isinstance(told, dict) else None
    limit = model.get("limit") if isinstance(model, dict) else None
    of_model = limit if isinstance(limit, int) and limit > 0 else TEXT_LIMITS.get(model_id)
    fits = MAX_AUDIO_BYTES // bytes_per_s(output_format) * SLOWEST
    return fits if of_model is None else min(of_model, fits)


def bytes_per_s(output_format: str) -> int:
    """How many bytes a second of a format takes."""
    kind, rate, kbit = parsed(output_format)
    return kbit * BYTES_PER_KBIT if kbit else rate * _SAMPLE_BYTES.get(kind, 2) or UNKNOWN_BYTES_PER_S


def lane(event_type: str, data: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """The group of models that share a ceiling; empty for what is not speech."""
    if event_type == DIALOGUE:
        return STANDARD
    if event_type not in SPOKEN:
        return ""
    model_id = str(data.get("model_id") or config.get("model_id") or MODEL)
    return TURBO if "turbo" in model_id or "flash" in model_id else STANDARD


def most_at_once(answer: Answer) -> int | None:
    """What an answer says of how many calls of its group may run at once."""
    said = answer.headers.get("maximum-concurrent-requests", "").strip()
    return int(said) if said.isascii() and said.isdigit() and int(said) > 0 else None


CEILING = Ceiling(first=2, lane=lane, read=most_at_once)
