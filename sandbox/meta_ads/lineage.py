"""What is above an object: its ad set, its campaign, its account, by the level that reports call them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import singledispatch
from typing import Any, Final

from sandbox.meta_ads.people import Account
from sandbox.meta_ads.state import Ad, AdSet, Campaign

Node = Account | Campaign | AdSet | Ad
LEVELS: Final = ("account", "campaign", "adset", "ad")  # from coarse to fine
LEVEL_OF: Final[Mapping[type, str]] = {Account: "account", Campaign: "campaign", AdSet: "adset", Ad: "ad"}


@singledispatch
def lineage(node: Any) -> dict[str, Node]:
    """The object and all above it, by level."""
    raise TypeError(node)


@lineage.register
def of_account(node: Account) -> dict[str, Node]:
    """Nothing is above."""
    return {"account": node}


@lineage.register
def of_campaign(node: Campaign) -> dict[str, Node]:
    """Its account."""
    return {**lineage(node.account), "campaign": node}


@lineage.register
def of_ad_set(node: AdSet) -> dict[str, Node]:
    """Its campaign, and so on."""
    return {**lineage(node.campaign), "adset": node}


@lineage.register
def of_ad(node: Ad) -> dict[str, Node]:
    """Its ad set, and so on."""
    return {**lineage(node.ad_set), "ad": node}


def finest(*levels: str) -> str:
    """The level of these that shows most."""
    return max(levels, key=LEVELS.index)
