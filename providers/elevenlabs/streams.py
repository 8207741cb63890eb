"""What is read of an account again and again, and kept as the stream's value: voices, models, allowance and usage.

https://elevenlabs.io/docs/api-reference/voices/search
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from model import Cursor, Done, Outcome, Records, Wait
from providers.contract import Action, Call, Stream
from providers.elevenlabs import api, cast, hooks, models
from providers.errors import OutcomeUnknown
from providers.streams import Walk, walk

DAY_S = 24 * 3600.0
HOUR_S = 3600.0
PAGE = 100
MAX_VOICES = 1_000  # that are kept, so that the value stays small: no workspace has slots for more of its own
STALE_S = HOUR_S  # so long the place in a listing is believed
MAX_PAGES = 50  # in case a listing never ends
LABELS = ("language", "accent", "gender", "age", "use_case", "descriptive")
NAME_CHARACTERS, LABEL_CHARACTERS = 100, 40
ACCOUNT, USAGE = "account", "usage"
USAGE_DAYS = 30
SUBSCRIPTION = (
    "tier",
    "status",
    "character_count",
    "character_limit",
    "can_extend_character_limit",
    "next_character_count_reset_unix",
    "voice_slots_used",
    "voice_limit",
    "professional_voice_slots_used",
    "professional_voice_limit",
    "can_use_instant_voice_cloning",
    "can_use_professional_voice_cloning",
    "voice_add_edit_counter",
    "max_voice_add_edits",
)


def read_voices(call: Call) -> Outcome:
    """A page of voices; the list is kept whole with the last one. A listing that lay for long begins anew."""
    walk = dict(call.progress) if call.now.timestamp() - call.progress.get("at", 0) < STALE_S else {}
    query = {"page_size": str(PAGE), **({"next_page_token": walk["after"]} if walk else {})}
    page = api.object_in(call.send(api.get(call, api.path(call, "voices"), query)).json(), "page of voices")
    rows = page.get("voices")
    if not isinstance(rows, list):
        raise OutcomeUnknown("The voices that came back are no list.", code="answer_unreadable")
    voices = _merged(walk.get("voices", []), [voice for row in rows if (voice := _voice(row)) is not None])
    pages, after = walk.get("pages", 0) + 1, page.get("next_page_token")
    if page.get("has_more") and after and pages < MAX_PAGES and len(voices) < MAX_VOICES:
        at = int(call.now.timestamp())
        return Wait(0, {"voices": voices, "after": str(after), "pages": pages, "done": len(voices), "at": at})
    return _ended(cast.STREAM, {"voices": voices}, {"voices": len(voices)})


def _merged(before: list[Any], more: list[dict[str, Any]]) -> list[Any]:
    """Each voice once: a page may come with voices that were on another, while the list moves."""
    by_id = {voice["id"]: voice for voice in [*before, *more]}
    return list(by_id.values())[:MAX_VOICES]


def _voice(row: Any) -> dict[str, Any] | None:
    if not isinstance(row, dict) or not isinstance(row.get("voice_id"), str):
        return None
    labels = row.get("labels")
    given = labels if isinstance(labels, dict) else {}
    return {
        "id": row["voice_id"],
        "name": str(row.get("name") or "")[:NAME_CHARACTERS],
        "category": row.get("category"),
        "labels": {name: str(given[name])[:LABEL_CHARACTERS] for name in LABELS if given.get(name)},
    }


def read_models(call: Call) -> Outcome:
    """All models, which come as a bare list."""
    rows = call.send(api.get(call, api.path(call, "models"))).json()
    if not isinstance(rows, list):
        raise OutcomeUnknown("The models that came back are no list.", code="answer_unreadable")
    known = [row for row in rows if isinstance(row, dict) and isinstance(row.get("model_id"), str)]
    found = {row["model_id"]: _model(row) for row in known}
    return _ended(models.STREAM, {"models": found}, {"models": len(found)})


def _model(row: Mapping[str, Any]) -> dict[str, Any]:
    rates = row.get("model_rates")
    return {
        "name": row.get("name"),
        "limit": row.get("maximum_text_length_per_request"),
        "group": row.get("concurrency_group"),
        "cost": rates.get("character_cost_multiplier") if isinstance(rates, dict) else None,
        "speaks": row.get("can_do_text_to_speech"),
        "converts": row.get("can_do_voice_conversion"),
    }


def read_account(call: Call) -> Outcome:
    """The plan, and what is left of it."""
    plan = api.object_in(call.send(api.get(call, api.path(call, "subscription"))).json(), "subscription")
    found = {name: plan.get(name) for name in SUBSCRIPTION}
    left = _left(found)
    known = {**found, "characters_left": left, "at": call.now.isoformat()}
    return _ended(ACCOUNT, known, {name: known[name] for name in ("tier", "status", "characters_left")})


def _left(plan: Mapping[str, Any]) -> int | None:
    """Characters of the plan that were not used; what may be bought beyond it does not count."""
    limit, used = plan["character_limit"], plan["character_count"]
    return max(0, limit - used) if isinstance(limit, int) and isinstance(used, int) else None


def read_usage(call: Call) -> Outcome:
    """The characters of each of the last days, by its date in UTC."""
    now = call.now.timestamp()
    since, until = (str(int(at * 1000)) for at in (now - USAGE_DAYS * DAY_S, now))  # milliseconds, here only
    query = {"start_unix": since, "end_unix": until}
    body = api.object_in(call.send(api.get(call, api.path(call, "usage"), query)).json(), "usage")
    times, used = body.get("time"), body.get("usage")
    if not isinstance(times, list) or not isinstance(used, dict):
        raise OutcomeUnknown("The usage that came back has no days.", code="answer_unreadable")
    series = [each for each in used.values() if isinstance(each, list) and len(each) == len(times)]
    days = {_day(at): sum(numbers) for at, *numbers in zip(times, *series, strict=True)}
    return _ended(USAGE, {"days": days}, {"characters": sum(days.values())})


def _day(at_ms: float) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).date().isoformat()


def _ended(stream: str, value: Mapping[str, Any], said: Mapping[str, Any]) -> Done:
    return Done(result=dict(said), records=Records(cursor=Cursor(stream, value, finished=True)))


_READERS: Mapping[str, Walk] = {
    cast.STREAM: read_voices,
    models.STREAM: read_models,
    ACCOUNT: read_account,
    USAGE: read_usage,
    hooks.STREAM: hooks.read,
}
STREAMS = (
    Stream(cast.STREAM, DAY_S),
    Stream(models.STREAM, DAY_S),
    Stream(ACCOUNT, HOUR_S),
    Stream(USAGE, DAY_S),
    Stream(hooks.STREAM, DAY_S),
)
read_stream = walk(_READERS)
ACTIONS: Mapping[str, Action] = {"sync.due": Action(read_stream)}
