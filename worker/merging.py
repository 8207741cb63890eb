"""Two records of the same row put together: what the later one does not know stays."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TypeVar

from model import Campaign, Link, Order, Product

Noun = TypeVar("Noun", Campaign, Link, Product, Order)
Traded = TypeVar("Traded", Product, Order)


def over(before: Noun | None, now: Noun) -> Noun:
    """A record over an earlier one of the same row: what it does not know stays."""
    if before is None:
        return now
    known = {each.name: value for each in fields(now) if (value := getattr(now, each.name)) is not None}
    return replace(before, **known)


def over_with_details(before: Traded | None, now: Traded) -> Traded:
    """The same, their details put together too."""
    if before is None:
        return now
    return replace(over(before, now), details={**before.details, **now.details})
