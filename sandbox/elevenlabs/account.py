"""The account: who it is, what its plan allows, what it has used.

https://elevenlabs.io/docs/api-reference/user
"""

from __future__ import annotations

from typing import Any, Final

from sandbox.elevenlabs.errors import Refusal
from sandbox.elevenlabs.fields import whole_number
from sandbox.elevenlabs.models import MODELS, model_json
from sandbox.elevenlabs.voice import STARTED_UNIX
from sandbox.elevenlabs.voices import slots_used
from sandbox.elevenlabs.workspace import Call, Workspace
from sandbox.wire import Answer, json_answer

DAY_MS: Final = 86_400_000
DAYS_MAX: Final = 366
PROFESSIONAL_LIMIT: Final = 1


def models(call: Call) -> Answer:
    """All models, as a bare list."""
    return json_answer([model_json(model_id, model) for model_id, model in MODELS.items()])


def user(call: Call) -> Answer:
    """The account."""
    return json_answer(
        {
            "user_id": "u_sandbox",
            "workspace_id": "w_sandbox",
            "subscription": subscription_json(call.workspace),
            "is_new_user": False,
            "can_use_delayed_payment_methods": False,
            "is_onboarding_completed": True,
            "is_onboarding_checklist_completed": True,
            "created_at": STARTED_UNIX,
            "seat_type": "workspace_admin",
            "first_name": "Sandbox",
        }
    )


def subscription(call: Call) -> Answer:
    """What the account may use and has used."""
    invoices = {
        "open_invoices": [],
        "has_open_invoices": False,
        "next_invoice": None,
        "pending_change": None,
    }
    return json_answer(subscription_json(call.workspace) | invoices)


def character_stats(call: Call) -> Answer:
    """Characters by day between two times, which are milliseconds here."""
    start = whole_number(call.args, "start_unix", 0)
    end = whole_number(call.args, "end_unix", 0)
    days = range(start // DAY_MS * DAY_MS, end + 1, DAY_MS)
    if not 0 < len(days) <= DAYS_MAX:
        raise Refusal("invalid_parameters", f"start_unix to end_unix is 1 to {DAYS_MAX} days.", "start_unix")
    used = dict.fromkeys(days, 0)
    for made in call.workspace.made.values():
        day = int(made.made_at * 1000) // DAY_MS * DAY_MS
        if day in used:
            used[day] += made.cost
    return json_answer({"time": list(used), "usage": {"All": list(used.values())}})


def subscription_json(workspace: Workspace) -> dict[str, Any]:
    """The plan of a workspace and what is left of it."""
    trained = sum(one.training is not None for one in workspace.voices.values())
    return {
        "tier": "pro",
        "character_count": workspace.characters,
        "character_limit": workspace.plan.character_limit,
        "max_credit_limit_extension": 0,
        "can_extend_character_limit": False,
        "allowed_to_extend_character_limit": False,
        "next_character_count_reset_unix": STARTED_UNIX + 10 * 365 * 86_400,
        "voice_slots_used": slots_used(workspace),
        "professional_voice_slots_used": trained,
        "professional_voice_slots_used_in_workspace": trained,
        "voice_limit": workspace.plan.voice_limit,
        "max_voice_add_edits": 460,
        "voice_add_edit_counter": workspace.extras.get("clones", 0),
        "professional_voice_limit": PROFESSIONAL_LIMIT,
        "can_extend_voice_limit": False,
        "can_use_instant_voice_cloning": workspace.plan.cloning,
        "can_use_professional_voice_cloning": workspace.plan.professional,
        "currency": "usd",
        "current_overage": {"amount": "0", "currency": "usd"},
        "status": "active",
        "billing_period": "monthly_period",
        "character_refresh_period": "monthly_period",
    }
