"""Ads: made in an ad set with a creative, read, changed, ended and listed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sandbox.meta_ads import values
from sandbox.meta_ads.call import Call
from sandbox.meta_ads.errors import invalid, refusal
from sandbox.meta_ads.nodes import (
    DEFAULT_STATUS,
    EXECUTION,
    NAME_MAX,
    NEW_STATUSES,
    STATUSES,
    check_not_ended,
    listed,
    local,
    read_all,
    require,
)
from sandbox.meta_ads.people import Account
from sandbox.meta_ads.shape import fields_asked, project
from sandbox.meta_ads.state import ENDED, Ad, AdSet, Campaign, Creative

UPDATABLE: Final[Mapping[str, values.Reader]] = {
    "name": values.text(NAME_MAX),
    "status": values.one_of(STATUSES),
    "creative": values.record,
    "tracking_specs": values.array,
    "conversion_domain": values.text(255),
    "execution_options": values.some_of(EXECUTION),
}
CREATABLE: Final[Mapping[str, values.Reader]] = {
    **UPDATABLE,
    "status": values.one_of(NEW_STATUSES),
    "adset_id": values.text(30),
}
REQUIRED: Final = ("name", "adset_id", "creative")


def create(call: Call, account: Account) -> dict[str, Any]:
    """A new ad; there is no idempotency key, a repeat is another one."""
    require(call, REQUIRED)
    given = read_all(call, CREATABLE)
    ad_set = ad_set_of(call, account, given.pop("adset_id"))
    creative = creative_of(call, account, given.pop("creative"))
    only_validate = "validate_only" in given.pop("execution_options", ())
    status = given.pop("status", DEFAULT_STATUS)
    if only_validate:
        return {"success": True}
    ad = Ad(
        id=call.meta.next_child_id(account),
        ad_set=ad_set,
        creative=creative,
        status=status,
        created_at=call.now,
        updated_at=call.now,
        **given,
    )
    call.meta.ads[ad.id] = ad
    call.meta.ads_created += 1
    return {"id": ad.id}


def ad_set_of(call: Call, account: Account, name: str) -> AdSet:
    """The ad set that an ad is made in; raises Refusal."""
    ad_set = call.meta.ad_sets.get(name)
    if ad_set is None or ad_set.account is not account:
        raise invalid("adset_id", "an ad set of this ad account")
    if ad_set.effective_status in ENDED:
        raise refusal("ended_object", f"An ad set that is {ad_set.effective_status.lower()} takes no ads.")
    return ad_set


def creative_of(call: Call, account: Account, given: Mapping[str, Any]) -> Creative:
    """The creative that an ad shows; only those that were made before. Raises Refusal."""
    creative = call.meta.creatives.get(str(given.get("creative_id")))
    if set(given) != {"creative_id"} or creative is None or creative.account is not account:
        raise invalid("creative", '{"creative_id": "a creative of this ad account"}')
    return creative


def update(call: Call, ad: Ad) -> dict[str, Any]:
    """Change what is given."""
    given = read_all(call, UPDATABLE)
    only_validate = "validate_only" in given.pop("execution_options", ())
    check_not_ended("An ad", ad.effective_status, {"status": ad.status, **given})
    if "creative" in given:
        given["creative"] = creative_of(call, ad.account, given["creative"])
    if not only_validate:
        for name, value in given.items():
            setattr(ad, name, value)
        ad.updated_at = call.now
    return {"success": True}


def delete(call: Call, ad: Ad) -> dict[str, Any]:
    """The end of an ad; to repeat it is harmless."""
    if ad.status != "DELETED":
        ad.status, ad.updated_at = "DELETED", call.now
    return {"success": True}


def read(call: Call, ad: Ad) -> dict[str, Any]:
    """One ad, deleted ones too."""
    return shown(ad, fields_asked(call, ()))


def of_account(call: Call, account: Account) -> dict[str, Any]:
    """The ads of an account."""
    return listed(call, "ad", [one for one in call.meta.ads.values() if one.account is account], shown)


def of_campaign(call: Call, campaign: Campaign) -> dict[str, Any]:
    """The ads of a campaign."""
    return listed(call, "ad", [one for one in call.meta.ads.values() if one.ad_set.campaign is campaign], shown)


def of_ad_set(call: Call, ad_set: AdSet) -> dict[str, Any]:
    """The ads of an ad set."""
    return listed(call, "ad", call.meta.ads_of(ad_set), shown)


def shown(ad: Ad, asked: Mapping[str, str]) -> dict[str, Any]:
    """The asked-for fields of an ad."""
    return project(ad_json(ad), asked, "AdGroup")


def ad_json(ad: Ad) -> dict[str, Any]:
    """All fields that this stand-in knows."""
    account = ad.account
    return {
        "id": ad.id,
        "account_id": account.id,
        "campaign_id": ad.ad_set.campaign.id,
        "adset_id": ad.ad_set.id,
        "name": ad.name,
        "status": ad.status,
        "configured_status": ad.status,
        "effective_status": ad.effective_status,
        "creative": {"id": ad.creative.id},
        "tracking_specs": ad.tracking_specs,
        "conversion_domain": ad.conversion_domain,
        "created_time": local(account, ad.created_at),
        "updated_time": local(account, ad.updated_at),
    }
