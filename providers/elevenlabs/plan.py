"""Whether an account's plan allows another clone. Looked at before one is asked for, so that a person is told why not.

https://elevenlabs.io/docs/api-reference/user/subscription/get
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from providers.contract import Call
from providers.elevenlabs import api
from providers.errors import AccountBlocked


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of clone: its name for people, and the fields of a subscription that speak of it."""

    title: str
    allowed: str
    used: str
    limit: str


INSTANT = Kind("instant", "can_use_instant_voice_cloning", "voice_slots_used", "voice_limit")
PROFESSIONAL = Kind(
    "professional",
    "can_use_professional_voice_cloning",
    "professional_voice_slots_used",
    "professional_voice_limit",
)


def check(call: Call, kind: Kind) -> None:
    """AccountBlocked, with a sentence that says what to do, when there is no room for another voice.

    What a subscription does not tell is not held against it: the request itself says no then.
    """
    plan = api.object_in(call.send(api.get(call, api.path(call, "subscription"))).json(), "subscription")
    named = f"The plan {plan['tier']}" if plan.get("tier") else "The plan"
    if plan.get(kind.allowed) is False:
        raise AccountBlocked(
            f"{named} of this ElevenLabs account has no {kind.title} voice cloning: a higher one has.",
            code="cloning_not_in_plan",
        )
    if (most := _reached(plan, kind.used, kind.limit)) is not None:
        raise AccountBlocked(
            f"All {most} places for {kind.title} voices of this ElevenLabs account are taken: remove a voice, or choose"
            " a higher plan.",
            code="voice_slots_full",
        )
    if (most := _reached(plan, "voice_add_edit_counter", "max_voice_add_edits")) is not None:
        raise AccountBlocked(
            f"{named} of this ElevenLabs account allows {most} additions and edits of voices, and all were made: wait"
            " for its next period, or choose a higher one.",
            code="voice_edits_used",
        )


def _reached(plan: Mapping[str, Any], used: str, limit: str) -> int | None:
    """The limit, when it is reached."""
    count, most = plan.get(used), plan.get(limit)
    return most if isinstance(count, int) and isinstance(most, int) and count >= most else None
