"""Their models: what each takes, costs, and whose concurrency it shares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sandbox.elevenlabs.errors import Refusal

DEFAULT_MODEL: Final = "eleven_multilingual_v2"
DIALOGUE_MODEL: Final = "eleven_v3"
SPEECH_TO_SPEECH_MODEL: Final = "eleven_english_sts_v2"
STANDARD: Final = "standard"
TURBO: Final = "turbo"


@dataclass(frozen=True, slots=True)
class Model:
    """What one model takes and costs."""

    name: str
    max_characters: int
    cost: float  # billed characters per character
    group: str  # its concurrency group
    languages: tuple[str, ...] = ("en", "de", "fr")
    speaks: bool = True  # text to speech
    converts: bool = False  # speech to speech
    stitches: bool = True  # takes ids of other requests


MODELS: Final[Mapping[str, Model]] = {
    "eleven_v3": Model("Eleven v3", 3_000, 1.0, STANDARD, stitches=False),
    "eleven_multilingual_v2": Model("Eleven Multilingual v2", 10_000, 1.0, STANDARD),
    "eleven_flash_v2_5": Model("Eleven Flash v2.5", 40_000, 0.5, TURBO),
    "eleven_turbo_v2_5": Model("Eleven Turbo v2.5", 40_000, 0.5, TURBO),
    "eleven_flash_v2": Model("Eleven Flash v2", 30_000, 0.5, TURBO, ("en",)),
    "eleven_turbo_v2": Model("Eleven Turbo v2", 30_000, 0.5, TURBO, ("en",)),
    "eleven_multilingual_v1": Model("Eleven Multilingual v1", 10_000, 1.0, STANDARD),
    "eleven_multilingual_sts_v2": Model(
        "Eleven Multilingual STS v2", 10_000, 1.0, STANDARD, speaks=False, converts=True
    ),
    "eleven_english_sts_v2": Model(
        "Eleven English STS v2", 10_000, 1.0, STANDARD, ("en",), speaks=False, converts=True
    ),
}


def speaking_model(model_id: str) -> Model:
    """A model for text to speech; raises Refusal."""
    found = known_model(model_id)
    if not found.speaks:
        raise Refusal("unsupported_model", f"{model_id} does not do text to speech.", "model_id")
    return found


def converting_model(model_id: str) -> Model:
    """A model for speech to speech; raises Refusal."""
    found = known_model(model_id)
    if not found.converts:
        raise Refusal("unsupported_model", f"{model_id} does not do voice conversion.", "model_id")
    return found


def known_model(model_id: str) -> Model:
    """A model by its id; raises Refusal."""
    if model_id not in MODELS:
        raise Refusal("model_not_found", f"No model {model_id}.", "model_id")
    return MODELS[model_id]


def model_json(model_id: str, model: Model) -> dict[str, Any]:
    """A model as they list it."""
    return {
        "model_id": model_id,
        "name": model.name,
        "description": f"{model.name}, played by the sandbox.",
        "can_be_finetuned": False,
        "can_do_text_to_speech": model.speaks,
        "can_do_voice_conversion": model.converts,
        "can_use_style": True,
        "can_use_speaker_boost": True,
        "serves_pro_voices": False,
        "token_cost_factor": model.cost,
        "requires_alpha_access": False,
        "max_characters_request_free_user": model.max_characters,
        "max_characters_request_subscribed_user": model.max_characters,
        "maximum_text_length_per_request": model.max_characters,
        "languages": [{"language_id": code, "name": code} for code in model.languages],
        "model_rates": {"character_cost_multiplier": model.cost},
        "concurrency_group": model.group,
    }
