"""Pronunciation dictionaries: how words are to be spoken, named by their id and version in requests for speech.

https://elevenlabs.io/docs/api-reference/pronunciation-dictionaries/create-from-rules
A second one of the same name is no harm but clutter; after a lost answer the list is looked through all the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from model import Done
from providers.contract import Action, Call, Repeat
from providers.elevenlabs import api
from providers.errors import InvalidPayload, OutcomeUnknown

ADDED = "dictionary.added"
PAGES = 20  # of 100 dictionaries
CLOCKS_APART_S = 60


def add(call: Call) -> Done:
    """dictionary.add_requested {name, rules} -> a dictionary, and dictionary.added."""
    data = call.event.data
    body = {
        "name": api.required("name", data.get("name")),
        "rules": _rules(data.get("rules")),
        **api.optional(data, ("description",)),
    }
    made = api.object_in(call.send(api.post(call, api.path(call, "dictionary_add"), body)).json())
    return _done(call, made.get("id"), made.get("version_id"))


def _rules(given: Any) -> list[Any]:
    if not isinstance(given, list) or not given:
        raise InvalidPayload("`rules` must hold one rule or more.", code="missing_field")
    return given


def find(call: Call) -> Done | None:
    """The dictionary of a lost answer: of that name, with as many rules, made since then."""
    row = api.reading(lambda: next((row for row in _listed(call) if _is_it(call, row)), None))
    return None if row is None else _done(call, row.get("id"), row.get("latest_version_id"), recovered=True)


def _is_it(call: Call, row: Mapping[str, Any]) -> bool:
    made = row.get("creation_time_unix")
    return (
        row.get("name") == call.event.data["name"]
        and row.get("latest_version_rules_num") == len(call.event.data["rules"])
        and isinstance(made, (int, float))
        and made >= call.first_attempt_at.timestamp() - CLOCKS_APART_S
    )


def _listed(call: Call) -> Iterator[Mapping[str, Any]]:
    asked = {"page_size": "100"}
    for _ in range(PAGES):
        page = api.object_in(call.send(api.get(call, api.path(call, "dictionaries"), asked)).json(), "page")
        rows = page.get("pronunciation_dictionaries")
        if not isinstance(rows, list):
            raise OutcomeUnknown("The dictionaries that came back are no list.", code="answer_unreadable")
        yield from (row for row in rows if isinstance(row, dict))
        if not page.get("has_more") or not page.get("next_cursor"):
            return
        asked["cursor"] = str(page["next_cursor"])
    raise OutcomeUnknown("The account has more dictionaries than are looked through.", code="dictionaries_too_many")


def _done(call: Call, dictionary_id: Any, version_id: Any, *, recovered: bool = False) -> Done:
    if not isinstance(dictionary_id, str) or not isinstance(version_id, str):
        raise OutcomeUnknown("The answer names no dictionary.", code="answer_unreadable")
    facts = {
        "dictionary_id": dictionary_id,
        "version_id": version_id,
        "name": call.event.data["name"],
        **({"recovered": True} if recovered else {}),
    }
    return Done(result=facts, external_id=dictionary_id, events=(api.published(call, ADDED, facts),))


ACTIONS: Mapping[str, Action] = {
    "dictionary.add_requested": Action(add, Repeat.LOOKUP, find, publishes=(ADDED,)),
}
