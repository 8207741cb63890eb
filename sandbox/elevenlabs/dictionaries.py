"""Pronunciation dictionaries, made of rules.

https://elevenlabs.io/docs/api-reference/pronunciation-dictionaries
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sandbox.elevenlabs.errors import Invalid, Refusal
from sandbox.elevenlabs.fields import TEXT, Kinds, json_body, page_size
from sandbox.elevenlabs.workspace import Call
from sandbox.wire import Answer, json_answer

PAGE: Final = (30, 100)  # default and greatest page size
BODY: Final[Kinds] = {"name": (str,), "rules": (list,), "description": TEXT, "workspace_access": TEXT}
RULES: Final[Mapping[str, tuple[str, ...]]] = {  # by type: what a rule needs
    "alias": ("string_to_replace", "alias"),
    "phoneme": ("string_to_replace", "phoneme", "alphabet"),
}


def add_from_rules(call: Call) -> Answer:
    """A new dictionary."""
    body = json_body(call.request, BODY, ("name", "rules"))
    for number, rule in enumerate(body["rules"]):
        check_rule(rule, number)
    number = len(call.workspace.dictionaries) + 1
    made = {
        "id": f"dict{number:016d}",
        "name": body["name"],
        "created_by": "u_sandbox",
        "creation_time_unix": int(call.now),
        "version_id": f"dictv{number:015d}",
        "version_rules_num": len(body["rules"]),
        "description": body.get("description"),
        "permission_on_resource": "admin",
    }
    call.workspace.dictionaries[made["id"]] = made
    return json_answer(made)


def listing(call: Call) -> Answer:
    """One page of them."""
    size, cursor = page_size(call.args, PAGE), call.args.get("cursor", "0")
    if not cursor.isdecimal():
        raise Refusal("invalid_cursor", "Unknown cursor.", "cursor")
    found, end = list(call.workspace.dictionaries.values()), int(cursor) + size
    more = end < len(found)
    page = [listed(one) for one in found[int(cursor) : end]]
    return json_answer(
        {"pronunciation_dictionaries": page, "next_cursor": str(end) if more else None, "has_more": more}
    )


def listed(made: Mapping[str, Any]) -> dict[str, Any]:
    """A dictionary as the list shows it: its version is the latest."""
    latest = {"version_id": "latest_version_id", "version_rules_num": "latest_version_rules_num"}
    return {latest.get(name, name): value for name, value in made.items()} | {"archived_time_unix": None}


def check_rule(rule: Any, number: int) -> None:
    """Raise Invalid for a rule of another shape."""
    needed = RULES.get(str(rule.get("type"))) if isinstance(rule, dict) else None
    if needed is None:
        raise Invalid("body", f"rules.{number}", "Input should be an alias or a phoneme rule", "union_tag_invalid")
    for name in needed:
        if not isinstance(rule.get(name), str):
            raise Invalid("body", f"rules.{number}.{name}", "Field required", "missing")
