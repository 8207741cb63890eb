"""ElevenLabs: text to speech, history, voices, models, account.

https://elevenlabs.io/docs/api-reference
There is no idempotency key: a repeated generation is made and billed again. Each API key is a workspace here,
with its own history and bill. Keys that start with `bad` are wrong ones, those that start with `empty` have
no characters left; voice ids that start with `missing` do not exist, all others do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from types import NoneType
from typing import Any, Final
from uuid import uuid4

from sandbox.audio import FORMATS, sound
from sandbox.routes import Route, StandIn
from sandbox.wire import Answer, Request, json_answer

SECONDS_PER_CHARACTER: Final = 0.06
DEFAULT_FORMAT: Final = "mp3_44100_128"
DEFAULT_MODEL: Final = "eleven_multilingual_v2"
CONCURRENT_MAX: Final = 10  # what the header says; not enforced, rules can play it
CHARACTER_LIMIT: Final = 500_000
HISTORY_PAGE: Final = (100, 1000)  # default and greatest page size
VOICES_PAGE: Final = (10, 100)
STARTED_UNIX: Final = 1_750_000_000  # of the made-up account and its voices


@dataclass(frozen=True, slots=True)
class Model:
    """What one model takes and costs."""

    name: str
    max_characters: int
    cost: float  # billed characters per character
    group: str  # its concurrency group
    languages: tuple[str, ...] = ("en", "de", "fr")


MODELS: Final[Mapping[str, Model]] = {
    "eleven_v3": Model("Eleven v3", 3_000, 1.0, "standard"),
    "eleven_multilingual_v2": Model("Eleven Multilingual v2", 10_000, 1.0, "standard"),
    "eleven_flash_v2_5": Model("Eleven Flash v2.5", 40_000, 0.5, "turbo"),
    "eleven_turbo_v2_5": Model("Eleven Turbo v2.5", 40_000, 0.5, "turbo"),
    "eleven_flash_v2": Model("Eleven Flash v2", 30_000, 0.5, "turbo", ("en",)),
    "eleven_turbo_v2": Model("Eleven Turbo v2", 30_000, 0.5, "turbo", ("en",)),
    "eleven_multilingual_v1": Model("Eleven Multilingual v1", 10_000, 1.0, "standard"),
}

VOICES: Final[Mapping[str, str]] = {
    "v_host": "Host",
    "v_guest": "Guest",
    "v_narrator": "Narrator",
    "v_anchor": "Anchor",
    "v_critic": "Critic",
    "v_poet": "Poet",
    "v_scout": "Scout",
    "v_baker": "Baker",
    "v_pilot": "Pilot",
    "v_judge": "Judge",
    "v_tutor": "Tutor",
    "v_clerk": "Clerk",
}


@dataclass(frozen=True, slots=True)
class Generation:
    """One item of a history."""

    id: str
    request_id: str
    voice_id: str
    model_id: str
    text: str = field(repr=False)
    made_at: float
    cost: int
    used_before: int
    output_format: str
    settings: Mapping[str, Any] | None

    def as_json(self) -> dict[str, Any]:
        """The item as the history shows it."""
        return {
            "history_item_id": self.id,
            "request_id": self.request_id,
            "voice_id": self.voice_id,
            "voice_name": VOICES.get(self.voice_id, self.voice_id),
            "voice_category": "premade" if self.voice_id in VOICES else "cloned",
            "model_id": self.model_id,
            "text": self.text,
            "date_unix": int(self.made_at),
            "character_count_change_from": self.used_before,
            "character_count_change_to": self.used_before + self.cost,
            "content_type": "audio/mpeg",
            "state": "created",
            "settings": self.settings,
            "source": "TTS",
            "output_format": self.output_format,
        }


@dataclass(slots=True)
class Workspace:
    """What belongs to one API key."""

    characters: int = 0
    generations: int = 0
    history: dict[str, Generation] = field(default_factory=dict)  # oldest first


class Refusal(Exception):
    """An answer other than 200, in the current shape of their errors."""

    def __init__(self, status: int, kind: str, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.detail: Any = {
            "type": kind,
            "code": code,
            "message": message,
            "status": LEGACY.get(code, code),
            "request_id": uuid4().hex,
            "param": param,
        }


class Invalid(Refusal):
    """422: the list that FastAPI makes of a missing or wrong field."""

    def __init__(self, where: str, name: str, message: str, kind: str) -> None:
        super().__init__(422, kind, kind, message)
        self.detail = [{"type": kind, "loc": [where, name], "msg": message}]


BODY_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "text": (str,),
    "model_id": (str, NoneType),
    "voice_settings": (dict, NoneType),
}
LEGACY: Final[Mapping[str, str]] = {"text_too_long": "max_character_limit_exceeded"}

Door = Callable[["ElevenLabs", Request, Workspace], Answer]


def authorized(door: Door) -> Callable[[ElevenLabs, Request], Answer]:
    """The door behind the `xi-api-key` check, its refusals as answers."""

    @wraps(door)
    def checked(self: ElevenLabs, request: Request) -> Answer:
        try:
            return door(self, request, self.workspace(request.headers.get("xi-api-key", "")))
        except Refusal as refusal:
            return json_answer({"detail": refusal.detail}, refusal.status, {"x-trace-id": uuid4().hex})

    return checked


class ElevenLabs:
    """All workspaces."""

    def __init__(self) -> None:
        self._workspaces: dict[str, Workspace] = {}

    def workspace(self, key: str) -> Workspace:
        """The workspace of a key; raises Refusal."""
        if not key:
            raise Refusal(401, "authentication_error", "missing_api_key", "Send your key as xi-api-key.")
        if key.startswith("bad"):
            raise Refusal(401, "authentication_error", "invalid_api_key", "Invalid API key")
        return self._workspaces.setdefault(key, Workspace())

    def bill(self) -> dict[str, Any]:
        """Characters and generations by API key, for those that have any."""
        return {
            key: {"characters": one.characters, "generations": one.generations}
            for key, one in self._workspaces.items()
            if one.generations
        }

    @authorized
    def speak(self, request: Request, workspace: Workspace) -> Answer:
        """Text to speech: made, billed and in the history before the first byte is sent."""
        if request.headers["xi-api-key"].startswith("empty"):
            return quota_exceeded()
        made = generation(request, workspace)
        workspace.characters += made.cost
        workspace.generations += 1
        if request.args.get("enable_logging") != "false":
            workspace.history[made.id] = made
        headers = {
            "Content-Type": "audio/mpeg",
            "request-id": made.request_id,
            "history-item-id": made.id,
            "character-cost": str(made.cost),
            "current-concurrent-requests": str(request.in_flight),
            "maximum-concurrent-requests": str(CONCURRENT_MAX),
            "x-trace-id": uuid4().hex,
        }
        return Answer(200, audio(made), headers, chunked=request.path.rstrip("/").endswith("/stream"))

    @authorized
    def history(self, request: Request, workspace: Workspace) -> Answer:
        """One page of the history, newest first unless asked otherwise."""
        args = request.args
        if "model_id" in args and "source" not in args:
            raise Invalid("query", "source", "source is required with model_id", "missing")
        size = page_size(args, HISTORY_PAGE)
        items = [one for one in workspace.history.values() if wanted(one, args)]
        if args.get("sort_direction", "desc") != "asc":
            items.reverse()
        start = after(items, args.get("start_after_history_item_id"))
        page = items[start : start + size]
        return json_answer(
            {
                "history": [one.as_json() for one in page],
                "last_history_item_id": page[-1].id if page else None,
                "has_more": start + size < len(items),
                "scanned_until": None,
            }
        )

    @authorized
    def history_item(self, request: Request, workspace: Workspace) -> Answer:
        """One item."""
        return json_answer(item(request, workspace).as_json())

    @authorized
    def history_audio(self, request: Request, workspace: Workspace) -> Answer:
        """Its sound again, at no cost."""
        return Answer(200, audio(item(request, workspace)), {"Content-Type": "audio/mpeg"})

    @authorized
    def delete_history_item(self, request: Request, workspace: Workspace) -> Answer:
        """Forget one item; the bill stays."""
        del workspace.history[item(request, workspace).id]
        return json_answer({"status": "ok"})

    @authorized
    def models(self, request: Request, workspace: Workspace) -> Answer:
        """All models, as a bare list."""
        return json_answer([model_json(model_id, model) for model_id, model in MODELS.items()])

    @authorized
    def voices(self, request: Request, workspace: Workspace) -> Answer:
        """All voices at once, the old way."""
        return json_answer({"voices": [voice_json(voice_id) for voice_id in VOICES]})

    @authorized
    def voices_page(self, request: Request, workspace: Workspace) -> Answer:
        """One page of voices."""
        args = request.args
        size, token = page_size(args, VOICES_PAGE), args.get("next_page_token") or "0"
        if not token.isdigit():
            raise Refusal(400, "validation_error", "invalid_cursor", "Unknown next_page_token.", "next_page_token")
        search = args.get("search", "").lower()
        found = [voice_id for voice_id, name in VOICES.items() if search in name.lower()]
        end = int(token) + size
        return json_answer(
            {
                "voices": [voice_json(voice_id) for voice_id in found[int(token) : end]],
                "has_more": end < len(found),
                "total_count": len(found),
                "next_page_token": str(end) if end < len(found) else None,
            }
        )

    @authorized
    def voice(self, request: Request, workspace: Workspace) -> Answer:
        """One voice."""
        return json_answer(voice_json(existing_voice(request)))

    @authorized
    def user(self, request: Request, workspace: Workspace) -> Answer:
        """The account."""
        return json_answer(
            {
                "user_id": "u_sandbox",
                "workspace_id": "w_sandbox",
                "subscription": subscription_json(workspace),
                "is_new_user": False,
                "can_use_delayed_payment_methods": False,
                "is_onboarding_completed": True,
                "is_onboarding_checklist_completed": True,
                "created_at": STARTED_UNIX,
                "seat_type": "workspace_admin",
                "first_name": "Sandbox",
            }
        )

    @authorized
    def subscription(self, request: Request, workspace: Workspace) -> Answer:
        """What the account may use and has used."""
        invoices = {
            "open_invoices": [],
            "has_open_invoices": False,
            "next_invoice": None,
            "pending_change": None,
        }
        return json_answer(subscription_json(workspace) | invoices)


def generation(request: Request, workspace: Workspace) -> Generation:
    """What a request for speech asks for; raises Refusal."""
    body = body_of(request)
    voice_id = existing_voice(request)
    output_format = request.args.get("output_format", DEFAULT_FORMAT)
    if output_format not in FORMATS:
        message = f"Unknown output_format {output_format}."
        raise Refusal(400, "validation_error", "invalid_output_format", message, "output_format")
    model_id = body.get("model_id") or DEFAULT_MODEL
    if model_id not in MODELS:
        raise Refusal(404, "not_found", "model_not_found", f"No model {model_id}.", "model_id")
    text, limit = body["text"], MODELS[model_id].max_characters
    if len(text) > limit:
        message = f"{len(text)} characters; {model_id} takes {limit} in a request."
        raise Refusal(400, "validation_error", "text_too_long", message, "text")
    return Generation(
        id=uuid4().hex,
        request_id=uuid4().hex,
        voice_id=voice_id,
        model_id=model_id,
        text=text,
        made_at=request.now,
        cost=math.ceil(len(text) * MODELS[model_id].cost),
        used_before=workspace.characters,
        output_format=output_format,
        settings=body.get("voice_settings"),
    )


def body_of(request: Request) -> dict[str, Any]:
    """The JSON body with a text in it; raises Refusal."""
    try:
        body = request.json()
    except ValueError:
        raise Invalid("body", "0", "JSON decode error", "json_invalid") from None
    if not isinstance(body, dict) or "text" not in body:
        raise Invalid("body", "text", "Field required", "missing")
    for name, kind in BODY_TYPES.items():
        if name in body and not isinstance(body[name], kind):
            raise Invalid("body", name, "Input should be of another type", "type_error")
    if not body["text"].strip():
        raise Refusal(400, "validation_error", "empty_text", "The text is empty.", "text")
    return body


def quota_exceeded() -> Answer:
    """Their odd one: nothing left on the plan, told as a 401 in the legacy shape."""
    detail = {"status": "quota_exceeded", "message": "This request exceeds your quota."}
    return json_answer({"detail": detail}, 401)


def existing_voice(request: Request) -> str:
    """The voice id of the path; raises Refusal for one that starts with `missing`."""
    voice_id = request.params["voice_id"]
    if voice_id.startswith("missing"):
        raise Refusal(404, "not_found", "voice_not_found", f"No voice {voice_id}.", "voice_id")
    return voice_id


def audio(made: Generation) -> bytes:
    """The sound of a generation: its length follows the text."""
    return sound(made.output_format, len(made.text) * SECONDS_PER_CHARACTER)


def item(request: Request, workspace: Workspace) -> Generation:
    """The history item of the path; raises Refusal."""
    found = workspace.history.get(request.params["history_item_id"])
    if found is None:
        raise Refusal(404, "not_found", "history_item_not_found", "No such history item.", "history_item_id")
    return found


def page_size(args: Mapping[str, str], bounds: tuple[int, int]) -> int:
    """The page size asked for; raises Invalid."""
    default, greatest = bounds
    asked = args.get("page_size", str(default))
    if not asked.isdigit() or not 1 <= int(asked) <= greatest:
        raise Invalid("query", "page_size", f"Input should be between 1 and {greatest}", "less_than_equal")
    return int(asked)


def wanted(one: Generation, args: Mapping[str, str]) -> bool:
    """Whether a history item is among those asked for."""
    return (
        args.get("voice_id", one.voice_id) == one.voice_id
        and args.get("model_id", one.model_id) == one.model_id
        and args.get("source", "TTS") == "TTS"
        and args.get("search", "").lower() in one.text.lower()
        and int(one.made_at) >= unix(args, "date_after_unix", 0)
        and int(one.made_at) < unix(args, "date_before_unix", 2**62)
    )


def unix(args: Mapping[str, str], name: str, default: int) -> int:
    """A time of the query; raises Invalid."""
    asked = args.get(name, str(default))
    if not asked.isdigit():
        raise Invalid("query", name, "Input should be a valid integer", "int_parsing")
    return int(asked)


def after(items: list[Generation], history_item_id: str | None) -> int:
    """Where the page after an item starts; an unknown item ends the list."""
    if history_item_id is None:
        return 0
    return next((n for n, one in enumerate(items, start=1) if one.id == history_item_id), len(items))


def model_json(model_id: str, model: Model) -> dict[str, Any]:
    """A model as they list it."""
    return {
        "model_id": model_id,
        "name": model.name,
        "description": f"{model.name}, played by the sandbox.",
        "can_be_finetuned": False,
        "can_do_text_to_speech": True,
        "can_do_voice_conversion": False,
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


def voice_json(voice_id: str) -> dict[str, Any]:
    """A voice as they list it."""
    return {
        "voice_id": voice_id,
        "name": VOICES.get(voice_id, f"Voice {voice_id}"),
        "category": "premade" if voice_id in VOICES else "cloned",
        "labels": {"accent": "british", "language": "en"},
        "description": "Played by the sandbox.",
        "settings": {
            "stability": 0.5,
            "similarity_boost": 0.75,
            "style": 0.0,
            "speed": 1.0,
            "use_speaker_boost": True,
        },
        "available_for_tiers": [],
        "high_quality_base_model_ids": [DEFAULT_MODEL],
        "created_at_unix": STARTED_UNIX,
        "is_owner": True,
        "is_legacy": False,
    }


def subscription_json(workspace: Workspace) -> dict[str, Any]:
    """The plan of a workspace and what is left of it."""
    return {
        "tier": "pro",
        "character_count": workspace.characters,
        "character_limit": CHARACTER_LIMIT,
        "max_credit_limit_extension": 0,
        "can_extend_character_limit": False,
        "allowed_to_extend_character_limit": False,
        "next_character_count_reset_unix": STARTED_UNIX + 10 * 365 * 86_400,
        "voice_slots_used": 1,
        "professional_voice_slots_used": 0,
        "professional_voice_slots_used_in_workspace": 0,
        "voice_limit": 160,
        "max_voice_add_edits": 460,
        "voice_add_edit_counter": 0,
        "professional_voice_limit": 1,
        "can_extend_voice_limit": False,
        "can_use_instant_voice_cloning": True,
        "can_use_professional_voice_cloning": True,
        "currency": "usd",
        "current_overage": {"amount": "0", "currency": "usd"},
        "status": "active",
        "billing_period": "monthly_period",
        "character_refresh_period": "monthly_period",
    }


def stand_in() -> StandIn:
    """A fresh ElevenLabs: no workspace has generated anything."""
    ours = ElevenLabs()
    return StandIn(
        routes=(
            Route("POST", "/v1/text-to-speech/{voice_id}", ours.speak),
            Route("POST", "/v1/text-to-speech/{voice_id}/stream", ours.speak),
            Route("GET", "/v1/history", ours.history),
            Route("GET", "/v1/history/{history_item_id}", ours.history_item),
            Route("DELETE", "/v1/history/{history_item_id}", ours.delete_history_item),
            Route("GET", "/v1/history/{history_item_id}/audio", ours.history_audio),
            Route("GET", "/v1/models", ours.models),
            Route("GET", "/v1/voices", ours.voices),
            Route("GET", "/v1/voices/{voice_id}", ours.voice),
            Route("GET", "/v2/voices", ours.voices_page),
            Route("GET", "/v1/user", ours.user),
            Route("GET", "/v1/user/subscription", ours.subscription),
        ),
        bill=ours.bill,
    )
