"""What campaigns, ad sets and ads share: parameters read by a table, states that end, times as they are shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sandbox.meta_ads import values
from sandbox.meta_ads.call import Call
from sandbox.meta_ads.errors import refusal
from sandbox.meta_ads.filters import read_filters
from sandbox.meta_ads.people import Account
from sandbox.meta_ads.shape import fields_asked, page
from sandbox.meta_ads.state import ENDED

NAME_MAX: Final = 400  # characters [K]
NEW_STATUSES: Final = frozenset({"ACTIVE", "PAUSED"})
STATUSES: Final = NEW_STATUSES | ENDED
# What a list's `effective_status` takes, whatever is in it.
EFFECTIVE_ASKED: Final = STATUSES | {
    "ADSET_PAUSED",
    "CAMPAIGN_PAUSED",
    "DISAPPROVED",
    "IN_PROCESS",
    "PENDING_BILLING_INFO",
    "PENDING_REVIEW",
    "PREAPPROVED",
    "WITH_ISSUES",
}
EXECUTION: Final = frozenset({"include_recommendations", "validate_only"})
DEFAULT_STATUS: Final = "ACTIVE"  # unconfirmed what the provider takes when none is given
LIST: Final = frozenset({"effective_status", "filtering"})


def require(call: Call, names: Sequence[str]) -> None:
    """The parameters that must be there; raises Refusal."""
    for name in names:
        if name not in call.params:
            raise refusal("invalid_parameter", f"(#100) The parameter {name} is required.", name)


def read_all(call: Call, readers: Mapping[str, values.Reader]) -> dict[str, Any]:
    """The parameters that are there, through their readers."""
    return {name: call.read(name, reader) for name, reader in readers.items() if name in call.params}


def check_not_ended(kind: str, before: str, changes: Mapping[str, Any]) -> None:
    """Archived and deleted have had their end, but for archived -> deleted; raises Refusal."""
    if before == "DELETED" or (before == "ARCHIVED" and dict(changes) != {"status": "DELETED"}):
        raise refusal("ended_object", f"{kind} that is {before.lower()} cannot be edited.")


def listed(
    call: Call,
    kind: str,
    found: Sequence[Any],
    shown: Callable[[Any, Mapping[str, str]], dict[str, Any]],
    statuses: frozenset[str] = EFFECTIVE_ASKED,
) -> dict[str, Any]:
    """A page of objects, newest first; archived and deleted ones only when asked for."""
    asked = fields_asked(call, ())
    wanted = call.read("effective_status", values.some_of(statuses)) or statuses - ENDED
    conditions = read_filters(call, kind)
    kept = [one for one in reversed(found) if one.effective_status in wanted and all(keep(one) for keep in conditions)]
    return page(call, [(-int(one.id), shown(one, asked)) for one in kept])


def local(account: Account, at: float | None) -> str | None:
    """A moment as the provider writes it: in the account's time zone, the offset without a colon."""
    return None if at is None else datetime.fromtimestamp(at, account.zone).strftime("%Y-%m-%dT%H:%M:%S%z")


def amount(minor: int | None) -> str | None:
    """A budget in minor units, as the text it is sent as."""
    return None if minor is None else str(minor)
