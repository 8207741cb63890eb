"""What ad sets and ads have in common: they are found by our key, and they run, pause and end alike.

The link of their campaign remembers what is known of them, each under a name of its own (`ad_set:<key>`, `ad:<key>`):
the id there, and when the last change of its state happened in the product.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from model import Campaign, Done, Link, Records
from providers.contract import Call
from providers.errors import InvalidPayload
from providers.meta_ads.api import Params, account, confirmed, graph, node
from providers.meta_ads.errors import OBJECT_MISSING
from providers.meta_ads.lookup import Listed, carrying, not_there

STATUSES: Mapping[str, str] = {"active": "ACTIVE", "paused": "PAUSED", "deleted": "DELETED"}


@dataclass(frozen=True, slots=True)
class Kind:
    """Ad sets, or ads."""

    name: str  # ours
    title: str
    listed: Listed

    @property
    def key_field(self) -> str:
        """The field of events that names one."""
        return f"{self.name}_id"


def new_status(data: Mapping[str, Any]) -> str:
    """The status of what is made: it stands still unless the event says otherwise."""
    return STATUSES[data.get("state") or "paused"]


def found(call: Call, kind: Kind, parent: str, key: str) -> str | None:
    """The id of the one that carries a key, among a parent's."""
    return next((str(row["id"]) for row in carrying(call, kind.listed, parent, key)), None)


def looked_for(call: Call, kind: Kind, campaign: Link | None, key: str) -> str | None:
    """The same where the parent is not known: in the campaign, or in the whole account.

    InvalidPayload where several carry the key: a copy has the names of what was copied.
    """
    parent = campaign.external_id if campaign is not None else account(call)
    ids = {str(row["id"]) for row in carrying(call, kind.listed, parent, key)}
    if len(ids) > 1:
        said = f"{kind.title} {key} is there {len(ids)} times: name its `campaign_id`, or its id at Meta."
        raise InvalidPayload(said, code="ambiguous")
    return next(iter(ids), None)


def noted(campaign: Link | None, kind: Kind, key: str) -> Mapping[str, Any]:
    """What the campaign's link remembers of one; empty where that is nothing."""
    note = campaign.details.get(f"{kind.name}:{key}") if campaign is not None else None
    return note if isinstance(note, dict) else {}


def there(campaign: Link | None, kind: Kind, key: str) -> str | None:
    """The id of one that was made and not deleted, as far as the campaign's link remembers."""
    note = noted(campaign, kind, key)
    return None if note.get("deleted") else note.get("id")


def noting(
    campaign: Link | None, kind: Kind, key: str, external_id: str, at: datetime, *, deleted: bool = False
) -> Records | None:
    """The same, to be stored. Nothing else of the link changes."""
    if campaign is None:
        return None
    details = {f"{kind.name}:{key}": {"id": external_id, "at": at.isoformat(), "deleted": deleted}}
    link = Link(campaign.external_id, campaign.key, details=details, deleted=campaign.deleted)
    # The campaign's own event may not have been settled yet; it says more, and what it says stays.
    return Records(campaigns=(Campaign(campaign.key),) if campaign.key else (), links=(link,))


def campaign_link(call: Call) -> Link | None:
    """The campaign that an event names, as it is known here."""
    key = call.event.data.get("campaign_id")
    return call.known.link(key) if key else None


def turn(kind: Kind) -> Callable[[Call], Done]:
    """The action for `….state_change_requested`: it runs, pauses, or is deleted, which is final."""
    return lambda call: change(call, kind, {"status": STATUSES[call.event.data["state"]]})


def change(call: Call, kind: Kind, changes: Params) -> Done:
    """Change the one that an event names, unless a later event of it was applied before."""
    data, campaign = call.event.data, campaign_link(call)
    key = data[kind.key_field]
    note = noted(campaign, kind, key)
    external_id = data.get("external_id") or note.get("id") or looked_for(call, kind, campaign, key)
    if external_id is None:
        raise not_there(call, f"{kind.title} {key}")
    facts = {kind.key_field: key, "external_id": external_id}
    if note.get("at") and call.event.occurred_at < datetime.fromisoformat(note["at"]):
        return Done(result={**facts, "skipped": "A later change was applied before."}, external_id=external_id)
    if not changes:
        return Done(result={**facts, "skipped": "The event holds no change."}, external_id=external_id)
    _send(call, external_id, changes)
    gone = changes.get("status") == "DELETED"
    records = noting(campaign, kind, key, external_id, call.event.occurred_at, deleted=gone)
    return Done(result={**facts, "changed": sorted(changes)}, external_id=external_id, records=records)


def _send(call: Call, external_id: str, changes: Params) -> None:
    """Ask for the changes. What is to be deleted may be gone already."""
    try:
        confirmed(call.send(graph(call).post(node(external_id), changes)))
    except InvalidPayload as error:
        if (changes.get("status"), error.code) != ("DELETED", OBJECT_MISSING):
            raise
