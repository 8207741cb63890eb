"""A JSON body field by field: which there are, of which kind, and the list that FastAPI makes of wrong ones."""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType
from typing import Any, Final

from sandbox.elevenlabs.errors import Invalid, Refusal
from sandbox.wire import Request

Kinds = Mapping[str, tuple[type, ...]]

TEXT: Final = (str, NoneType)
LIST: Final = (list, NoneType)
MAP: Final = (dict, NoneType)
NUMBER: Final = (int, float, NoneType)
FLAG: Final = (bool, NoneType)

SPEECH: Final[Kinds] = {  # what text to speech and dialogue have in common
    "model_id": TEXT,
    "language_code": TEXT,
    "pronunciation_dictionary_locators": LIST,
    "seed": (int, NoneType),
    "previous_text": TEXT,
    "previous_request_ids": LIST,
    "next_request_ids": LIST,
    "use_pvc_as_ivc": FLAG,
    "apply_text_normalization": TEXT,
    "audio_effects": MAP,
}
SEED_MAX: Final = 4_294_967_295
UNIT_SETTINGS: Final = ("stability", "similarity_boost", "similarity", "style", "clone_strength")  # 0 to 1


def json_body(request: Request, kinds: Kinds, required: tuple[str, ...] = ()) -> dict[str, Any]:
    """The JSON object of a request, its known fields of the right kind; raises Invalid."""
    try:
        body = request.json()
    except ValueError:
        raise Invalid("body", "0", "JSON decode error", "json_invalid") from None
    for name in required:
        if not isinstance(body, dict) or name not in body:
            raise Invalid("body", name, "Field required", "missing")
    if not isinstance(body, dict):
        raise Invalid("body", "0", "Input should be an object", "model_attributes_type")
    for name, kind in kinds.items():
        if name in body and not is_a(body[name], kind):
            raise Invalid("body", name, "Input should be of another type", "type_error")
    return body


def is_a(value: object, kind: tuple[type, ...]) -> bool:
    """Whether a value is of a kind; true and false are no numbers."""
    return isinstance(value, kind) and (bool in kind or not isinstance(value, bool))


def check_seed(body: Mapping[str, Any]) -> None:
    """Raise Refusal for a seed out of range."""
    seed = body.get("seed")
    if seed is not None and not 0 <= seed <= SEED_MAX:
        raise Refusal("invalid_parameters", f"seed is from 0 to {SEED_MAX}.", "seed")


def check_settings(settings: Mapping[str, Any] | None, param: str) -> None:
    """Raise Refusal for voice settings out of range."""
    for name in UNIT_SETTINGS:
        value = (settings or {}).get(name)
        if value is not None and (not is_a(value, (int, float)) or not 0 <= value <= 1):
            raise Refusal("invalid_voice_settings", f"{name} is from 0 to 1.", param)


def page_size(args: Mapping[str, str], bounds: tuple[int, int]) -> int:
    """The page size asked for; `bounds` are the default and the greatest. Raises Invalid."""
    default, greatest = bounds
    asked = args.get("page_size", str(default))
    if not asked.isdecimal() or not 1 <= int(asked) <= greatest:
        raise Invalid("query", "page_size", f"Input should be between 1 and {greatest}", "less_than_equal")
    return int(asked)


def whole_number(args: Mapping[str, str], name: str, default: int) -> int:
    """A number of the query; raises Invalid."""
    asked = args.get(name, str(default))
    if not asked.isdecimal():
        raise Invalid("query", name, "Input should be a valid integer", "int_parsing")
    return int(asked)
