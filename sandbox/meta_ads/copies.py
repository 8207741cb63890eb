"""Copies of campaigns, with their ad sets and ads if that is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from sandbox.meta_ads import values
from sandbox.meta_ads.call import Call
from sandbox.meta_ads.errors import invalid, refusal
from sandbox.meta_ads.nodes import NAME_MAX
from sandbox.meta_ads.state import Ad, AdSet, Campaign

CHILDREN_MAX: Final = 51  # ad sets and ads that one call copies [K]
STATUS_OPTIONS: Final = frozenset({"ACTIVE", "INHERITED_FROM_SOURCE", "PAUSED"})
DEFAULT_OPTION: Final = "PAUSED"
STRATEGIES: Final = frozenset({"DEEP_RENAME", "NO_RENAME", "ONLY_TOP_LEVEL_RENAME"})
RENAMES: Final = frozenset({"rename_strategy", "rename_prefix", "rename_suffix"})
DEFAULT_SUFFIX: Final = " - Copy"
PARAMETERS: Final = frozenset({"deep_copy", "rename_options", "status_option"})

Rename = Callable[[str], str]


def copy(call: Call, campaign: Campaign) -> dict[str, Any]:
    """A copy of a campaign; there is no idempotency key, a repeat is another one."""
    if campaign.status == "DELETED":
        raise refusal("ended_object", "A campaign that is deleted cannot be copied.")
    option = call.read("status_option", values.one_of(STATUS_OPTIONS)) or DEFAULT_OPTION
    strategy, rename = renaming(call.read("rename_options", values.record) or {})
    inner = rename if strategy == "DEEP_RENAME" else str
    sets = call.meta.sets_of(campaign) if call.read("deep_copy", values.boolean) else []
    ads = [ad for ad_set in sets for ad in call.meta.ads_of(ad_set)]
    if len(sets) + len(ads) > CHILDREN_MAX:
        raise refusal("copy_too_large")
    name = campaign.name if strategy == "NO_RENAME" else rename(campaign.name)
    if len(name) > NAME_MAX:
        raise invalid("rename_options", f"such that a name has at most {NAME_MAX} characters")
    made = copied_campaign(call, campaign, name, option)
    for ad_set in sets:
        copied_ad_set(call, ad_set, made, inner, option)
    call.meta.campaigns_copied += 1
    return {"copied_campaign_id": made.id, "ad_object_ids": []}


def renaming(options: Mapping[str, Any]) -> tuple[str, Rename]:
    """The strategy, and what becomes of a name; raises Refusal."""
    unknown = sorted(set(options) - RENAMES)
    if unknown:
        raise invalid("rename_options", f"an object without {unknown[0]}")
    strategy = values.one_of(STRATEGIES)("rename_strategy", options.get("rename_strategy", "DEEP_RENAME"))
    before, after = options.get("rename_prefix", ""), options.get("rename_suffix", "" if options else DEFAULT_SUFFIX)
    return strategy, lambda name: f"{before}{name}{after}"


def status_of(option: str, source: str) -> str:
    """The status of a copy."""
    return source if option == "INHERITED_FROM_SOURCE" else option


def copied_campaign(call: Call, source: Campaign, name: str, option: str) -> Campaign:
    """The campaign itself, which begins its life now."""
    at, account = call.now, source.account
    made = replace(source, id=call.meta.next_id(account), name=name, status="PAUSED", created_at=at, updated_at=at)
    made.trouble, made.active = None, []
    made.turn(status_of(option, source.status), at)
    call.meta.campaigns[made.id] = made
    return made


def copied_ad_set(call: Call, source: AdSet, campaign: Campaign, rename: Rename, option: str) -> None:
    """An ad set with its ads; they show the creatives that the first ones show."""
    at, account = call.now, source.account
    made = replace(
        source,
        id=call.meta.next_child_id(account),
        campaign=campaign,
        name=rename(source.name),
        status=status_of(option, source.status),
        created_at=at,
        updated_at=at,
        budget_changes=[],
    )
    call.meta.ad_sets[made.id] = made
    for ad in call.meta.ads_of(source):
        copied: Ad = replace(
            ad,
            id=call.meta.next_child_id(account),
            ad_set=made,
            name=rename(ad.name),
            status=status_of(option, ad.status),
            created_at=at,
            updated_at=at,
        )
        call.meta.ads[copied.id] = copied
