"""What is at Meta already, found by the key that its name carries.

There is no idempotency key, and no id of ours, but the name: " [our key]" at its end. Lists are filtered by it; whether
Meta filters them all is unconfirmed, so every row is looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from providers.ads import NOT_YET_S, marked
from providers.contract import Call
from providers.errors import InvalidPayload, OutcomeUnknown, ProviderError, Retryable
from providers.meta_ads.api import Page, graph, node, page_of, read

NAME_CHARS = 400  # unconfirmed
PAGE_ROWS = 100
FIND_PAGES = 10  # where the filter does nothing, a list is searched so far


@dataclass(frozen=True, slots=True)
class Listed:
    """A list of objects: its edge, what a filter calls its name, the fields and states that are asked for."""

    edge: str
    name: str
    fields: str
    states: tuple[str, ...]  # not asked for, the ended ones lack
    title: str  # for people

    def asked(self, rows: int, after: str | None) -> dict[str, Any]:
        """The parameters of one page."""
        return {"fields": self.fields, "effective_status": self.states, "limit": str(rows), "after": after}


def mark_of(key: str) -> str:
    """What the name of the object with this key ends in."""
    return marked("", key, NAME_CHARS)


def carrying(call: Call, listed: Listed, parent: str, key: str) -> Iterator[Mapping[str, Any]]:
    """The rows of a parent's list that carry a key.

    OutcomeUnknown where the list is too long to say that there is none.
    """
    mark = mark_of(key)
    for page in _pages(call, listed, parent, mark):
        yield from (row for row in page.rows if row.get("id") and str(row.get("name") or "").endswith(mark))


def _pages(call: Call, listed: Listed, parent: str, mark: str) -> Iterator[Page]:
    filtering = [{"field": listed.name, "operator": "CONTAIN", "value": mark.strip()}]
    after = None
    for _ in range(FIND_PAGES):
        params = {**listed.asked(PAGE_ROWS, after), "filtering": filtering}
        page = read(call, graph(call).get(f"{node(parent)}/{listed.edge}", params), page_of)[1]
        yield page
        after = page.after
        if after is None:
            return
    raise OutcomeUnknown(
        f"No {listed.title} among the last thousand carries{mark}: look for it by hand.", code="listing_too_long"
    )


def not_there(call: Call, what: str) -> ProviderError:
    """What to raise for an object that an event builds on: its creation may be on its way for a quarter of an hour."""
    if (call.now - call.first_attempt_at).total_seconds() < NOT_YET_S:
        return Retryable(f"{what} is not there yet: it is looked for again.", code="not_linked_yet")
    return InvalidPayload(f"{what} is not at this account: have it made first.", code="not_linked")
