"""What VectCut says when it says no: words in an answer with status 200, and pages of its web framework.

There are no error codes. Words become codes of ours by `WORDS`, codes become errors by `CODES`. The words for keys,
credits and limits are assumed; all others were seen.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from providers.errors import (
    AccountBlocked,
    CredentialsRejected,
    InvalidPayload,
    ProviderError,
    RateLimited,
    Refused,
    Retryable,
    Unavailable,
)
from providers.http import Answer, Fault, Refusals

DRAFT_LOST = "draft_lost"
TASK_GONE = "task_gone"
FETCH_FAILED = "fetch_failed"
REFUSED = "refused_there"
NOT_OFFERED = "not_offered"

TIMEOUT_WORDS = ("timeout", "timed out", "time out", "time-out", "超时")
WORDS: tuple[tuple[str, tuple[str, ...]], ...] = (  # the first line that matches decides
    (DRAFT_LOST, ("does not exist in cache",)),
    (TASK_GONE, ("task with id",)),
    ("key_rejected", ("api key", "api_key", "apikey", "unauthorized", "license")),
    ("no_credits", ("credits", "insufficient", "balance", "quota", "余额", "积分")),
    ("too_many", ("too many requests", "rate limit")),
    ("wrong_payload", ("missing", "unsupported", "unknown", "overlap", "does not exist", "不存在")),
    (FETCH_FAILED, ("download", "network", "connection", "unreachable", "下载", "网络", *TIMEOUT_WORDS)),
)
_URL = re.compile(r"https?://\S+")
_TITLE = re.compile(r"<title>([^<]*)</title>", re.IGNORECASE)
_HELP = re.compile(r"\s*You can click the link below for help:\s*", re.IGNORECASE)


class DraftLost(Retryable):
    """The service no longer has the draft: it keeps the last ones in memory. It is made again."""

    code = DRAFT_LOST
    holds = False


def _not_offered(said: str) -> Refused:
    return Refused(
        f"{said} This server has no such operation: rendering, presets, workflows and agents need VectCut's cloud"
        " (CAPCUT_BASE_URL), or another path (CAPCUT_PATHS).",
        code=NOT_OFFERED,
    )


def _not_fetched(said: str) -> Unavailable:
    """Of one event's media: the account's other deliveries go on."""
    error = Unavailable(said, code=FETCH_FAILED)
    error.holds = False
    return error


CODES: Mapping[str, Fault] = {
    DRAFT_LOST: DraftLost,
    TASK_GONE: lambda said: Refused(said, code=TASK_GONE),
    "key_rejected": CredentialsRejected,
    "no_credits": AccountBlocked,
    "too_many": RateLimited,
    "wrong_payload": InvalidPayload,
    FETCH_FAILED: _not_fetched,
    REFUSED: lambda said: InvalidPayload(said, code=REFUSED),
}


def code_of(text: str, *, otherwise: str = "") -> str:
    """Our code for what is said; addresses in it say nothing."""
    said = _URL.sub("", text).lower()
    return next((code for code, words in WORDS if any(word in said for word in words)), otherwise)


def read_error(answer: Answer) -> tuple[str, str]:
    """(code, message) of a refusal. A success that is none always has a code, another status only where words tell."""
    body = answer.json_or_none()
    if not isinstance(body, dict):
        page = _TITLE.search(answer.content[:2048].decode("utf-8", "replace"))
        return "", page[1] if page else answer.excerpt()
    said = _HELP.sub("", text_of(body.get("error")) or text_of(body.get("message")) or answer.excerpt())
    return code_of(said, otherwise=REFUSED if answer.status < 300 else ""), said


def text_of(value: Any) -> str:
    """A text; empty for anything else."""
    return value if isinstance(value, str) else ""


def in_success(answer: Answer) -> bool:
    """Whether an answer with status 200 is a refusal: `success` is false, unless it tells the state of an agent's task.

    What was fetched from elsewhere (media, a finished video) is never one.
    """
    if answer.request is not None and not answer.request.trusted:
        return False
    body = answer.json_or_none() if b'"success"' in answer.content else None
    return isinstance(body, dict) and body.get("success") is False and "status" not in body


def told(answer: Answer, said: str) -> ProviderError:
    """The error that words further inside an answer mean."""
    shown = answer.shown(_HELP.sub("", said)).rstrip(".") or "no reason was given"
    return CODES[code_of(said, otherwise=REFUSED)](f"VectCut said: {shown}.")


REFUSALS = Refusals(
    CODES,
    {403: CredentialsRejected, 404: _not_offered},
    read_error,
    in_success,
)
