"""What MindStudio says when it says no: in which places of a body, with which words.

There is no public list of codes, so statuses decide; words only tell credits, keys and time-outs apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import jsontext
from providers.errors import AccountBlocked, CredentialsRejected, Unavailable
from providers.http import Answer, Fault, Refusals

PLACES = ("error", "message", "details")
NO_CREDITS = re.compile(r"insufficient[_ ]credit|out of credits|no credits|credits? (?:are |is )?exhausted", re.I)
KEY_REJECTED = re.compile(
    r"api key|invalid key|unauthori[sz]ed|unauthenticated|token (?:is |has )?(?:expired|revoked)", re.I
)
TIMED_OUT = re.compile(r"time[- ]?out|timed out|in time\b|deadline exceeded", re.I)
_TITLE = re.compile(r"<title>([^<]*)</title>", re.I)
_REFUSES = (400, 402, 403, 429)  # where a refusal may be about credits


class FailedThere(Unavailable):
    """They answered 500: it failed there. What only looks is tried again; what was to be begun is not."""

    code = "failed_there"


def words(body: Mapping[str, Any]) -> str:
    """What an error's body says, in whichever of its places; empty where it says nothing."""
    return next((said for place in PLACES if (said := _text(body.get(place)))), "")


def _text(value: Any) -> str:
    """A text, or what an object in its place says."""
    if isinstance(value, dict):
        return words(value) or jsontext.text(value)
    if isinstance(value, list) and value:
        return "; ".join(filter(None, map(_text, value)))
    return value.strip() if isinstance(value, str) else ""


def may_pass(said: str) -> bool:
    """Whether the words of a run that failed tell of something that may be gone: a time-out, or credits that were used
    up, which the next call will say by itself.
    """
    return bool(TIMED_OUT.search(said) or NO_CREDITS.search(said))


def read_error(answer: Answer) -> tuple[str, str]:
    """(code, message) of a refusal: their code, or ours where the words say more than the status."""
    body = answer.json_or_none()
    if not isinstance(body, dict):
        page = _TITLE.search(answer.content[:2048].decode("utf-8", "replace"))
        return "", page[1] if page else answer.excerpt()
    given = body.get("code")
    code, said = given if isinstance(given, str) else "", words(body) or answer.excerpt()
    if answer.status in _REFUSES and NO_CREDITS.search(f"{code} {said}"):
        return "no_credits", said
    if answer.status == 403 and KEY_REJECTED.search(f"{code} {said}"):
        return "key_rejected", said
    return code, said


CODES: Mapping[str, Fault] = {"no_credits": AccountBlocked, "key_rejected": CredentialsRejected}
REFUSALS = Refusals(CODES, {500: FailedThere}, read_error)
