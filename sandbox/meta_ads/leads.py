"""Leads: what people wrote in the forms of a page."""

from __future__ import annotations

from typing import Any

from sandbox.meta_ads.call import Call
from sandbox.meta_ads.nodes import local
from sandbox.meta_ads.people import ACCOUNTS
from sandbox.meta_ads.shape import fields_asked, project
from sandbox.meta_ads.state import Lead


def read(call: Call, lead: Lead) -> dict[str, Any]:
    """One lead."""
    return project(lead_json(lead), fields_asked(call, ("created_time", "field_data")), "RetailerItem")


def lead_json(lead: Lead) -> dict[str, Any]:
    """All fields that this stand-in knows; without an ad, a lead is organic."""
    ad = lead.ad
    account = ad.account if ad is not None else next(one for one in ACCOUNTS.values() if one.page == lead.page)
    return {
        "id": lead.id,
        "created_time": local(account, lead.created_at),
        "field_data": [{"name": name, "values": values} for name, values in lead.fields.items()],
        "form_id": lead.form,
        "is_organic": ad is None,
        "ad_id": ad and ad.id,
        "ad_name": ad and ad.name,
        "adset_id": ad and ad.ad_set.id,
        "adset_name": ad and ad.ad_set.name,
        "campaign_id": ad and ad.ad_set.campaign.id,
        "campaign_name": ad and ad.ad_set.campaign.name,
        "platform": "fb",
    }
