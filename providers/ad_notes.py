"""What is known of a campaign's ad sets and ads, kept in the campaign's link: the id there, by the product's key.

Each stands under a name of its own (`ad_set:<key>`, `ad:<key>`), with when the last change of its state happened in the
product: links are merged by name, so that none overwrites another.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from model import Campaign, Link, Records
from providers.contract import Call


def campaign_link(call: Call) -> Link | None:
    """The campaign that an event names, as it is known here."""
    key = call.event.data.get("campaign_id")
    return call.known.link(key) if key else None


def noted(campaign: Link | None, kind: str, key: str) -> Mapping[str, Any]:
    """What the campaign's link remembers of one; empty where that is nothing."""
    note = campaign.details.get(f"{kind}:{key}") if campaign is not None else None
    return note if isinstance(note, dict) else {}


def there(campaign: Link | None, kind: str, key: str) -> str | None:
    """The id of one that was made and not deleted, as far as the campaign's link remembers."""
    note = noted(campaign, kind, key)
    return None if note.get("deleted") else note.get("id")


def noting(
    campaign: Link | None, kind: str, key: str, external_id: str, at: datetime, *, deleted: bool = False
) -> Records | None:
    """The same, to be stored. Nothing else of the link changes."""
    if campaign is None:
        return None
    details = {f"{kind}:{key}": {"id": external_id, "at": at.isoformat(), "deleted": deleted}}
    link = Link(campaign.external_id, campaign.key, details=details, deleted=campaign.deleted)
    # The campaign's own event may not have been settled yet; it says more, and what it says stays.
    return Records(campaigns=(Campaign(campaign.key),) if campaign.key else (), links=(link,))


def superseded_by(note: Mapping[str, Any], at: datetime) -> bool:
    """Whether a later change was applied before one that happened at this time."""
    return bool(note.get("at")) and at < datetime.fromisoformat(note["at"])
