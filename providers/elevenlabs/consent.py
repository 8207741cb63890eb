"""The speaker's permission, without which no voice is cloned.

https://elevenlabs.io/terms-of-use
Their API has no field for it: it is asked for here, and kept in the result and in what is published.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from providers.errors import InvalidPayload

KEPT = ("given", "by", "at", "reference")


def consent_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """The record of it that an event brings. InvalidPayload without one."""
    given = data.get("consent")
    record = given if isinstance(given, dict) else {}
    if record.get("given") is not True or not record.get("by") or not record.get("at"):
        raise InvalidPayload(
            "A voice is only cloned with its speaker's permission: `consent` must say `given` (true), `by` (who gave"
            " it) and `at` (when).",
            code="consent_missing",
        )
    return {name: record[name] for name in KEPT if record.get(name) is not None}
