"""How AutoDS says no. There is no public list of codes: statuses decide, texts are for people.

Which of five names holds the text, its own MCP server tries in this order (src/autods_mcp_server/errors.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from providers.errors import InvalidPayload, Refused, Unavailable
from providers.http import Answer, Fault, Refusals

NAMES = ("error_description", "detail", "message", "error", "title")


def read_error(answer: Answer) -> tuple[str, str]:
    """(no code, the message)."""
    body = answer.json_or_none()
    if not isinstance(body, dict):
        return "", answer.excerpt()
    return "", next((said for name in NAMES if (said := _said(body.get(name)))), "")


def _said(value: Any) -> str:
    """A text, or a list of what is wrong with which field (422)."""
    if isinstance(value, list):
        return "; ".join(_violation(each) for each in value if isinstance(each, dict))
    return value if isinstance(value, str) else ""


def _violation(item: Mapping[str, Any]) -> str:
    place = item.get("loc")
    where = ".".join(str(piece) for piece in place if piece != "body") if isinstance(place, list) else ""
    return f"{where}: {item.get('msg', '')}" if where else str(item.get("msg", ""))


def _addon_missing(said: str) -> Refused:
    """A redirect is an answer here: it is no way to follow, and would carry the token elsewhere."""
    return Refused(f"{said} The account's plan lacks an add-on for this.", code="addon_missing")


STATUSES: Mapping[int, Fault] = {
    307: _addon_missing,
    403: lambda said: Refused(said, code="not_allowed"),
    409: lambda said: InvalidPayload(said, code="already_exists"),
    500: Unavailable,
    502: lambda said: Unavailable(said, transient=True),
    503: lambda said: Unavailable(said, transient=True),
    504: Unavailable,
}
REFUSALS = Refusals(statuses=STATUSES, read=read_error)
