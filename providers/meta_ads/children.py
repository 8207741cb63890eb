"""What ad sets and ads have in common: they are found by our key, and they run, pause and end alike.

What is known of them stands in the link of their campaign (`providers.ad_notes`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from model import Done, Link
from providers.ad_notes import campaign_link, noted, noting, superseded_by
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


def turn(kind: Kind) -> Callable[[Call], Done]:
    """The action for `….state_change_requested`: it runs, pauses, or is deleted, which is final."""
    return lambda call: change(call, kind, {"status": STATUSES[call.event.data["state"]]})


def change(call: Call, kind: Kind, changes: Params) -> Done:
    """Change the one that an event names, unless a later event of it was applied before."""
    data, campaign = call.event.data, campaign_link(call)
    key = data[kind.key_field]
    note = noted(campaign, kind.name, key)
    external_id = data.get("external_id") or note.get("id") or looked_for(call, kind, campaign, key)
    if external_id is None:
        raise not_there(call, f"{kind.title} {key}")
    facts = {kind.key_field: key, "external_id": external_id}
    if superseded_by(note, call.event.occurred_at):
        return Done(result={**facts, "skipped": "A later change was applied before."}, external_id=external_id)
    if not changes:
        return Done(result={**facts, "skipped": "The event holds no change."}, external_id=external_id)
    _send(call, external_id, changes)
    gone = changes.get("status") == "DELETED"
    records = noting(campaign, kind.name, key, external_id, call.event.occurred_at, deleted=gone)
    return Done(result={**facts, "changed": sorted(changes)}, external_id=external_id, records=records)


def _send(call: Call, external_id: str, changes: Params) -> None:
    """Ask for the changes. What is to be deleted may be gone already."""
    try:
        confirmed(call.send(graph(call).post(node(external_id), changes)))
    except InvalidPayload as error:
        if (changes.get("status"), error.code) != ("DELETED", OBJECT_MISSING):
            raise
