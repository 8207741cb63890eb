"""What ad groups and ads have in common: found by our key in their names, enabled, disabled and deleted alike.

https://business-api.tiktok.com/portal/docs?id=1739314558673922
What is known of them stands in the link of their campaign (`providers.ad_notes`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from model import Done, Link
from providers.ad_notes import campaign_link, noted, noting, superseded_by
from providers.ads import NOT_YET_S, key_in
from providers.contract import Call
from providers.errors import InvalidPayload, OutcomeUnknown, ProviderError, Retryable
from providers.tiktok_ads.api import Data, page, write
from providers.tiktok_ads.campaigns import DELETE, DISABLE, ENABLE
from providers.tiktok_ads.errors import NOT_THERE, NOTHING_TO_UPDATE, text_of

STATUSES: Mapping[str, str] = {"active": ENABLE, "paused": DISABLE, "deleted": DELETE}
FIND_PAGES = 10  # of a thousand each: so far a list is searched


@dataclass(frozen=True, slots=True)
class Kind:
    """Ad groups, or ads."""

    name: str  # ours
    title: str
    noun: str  # TikTok's
    parents: str  # the filter by what they are in

    @property
    def key_field(self) -> str:
        """The field of events that names one."""
        return f"{self.name}_id"

    @property
    def id_field(self) -> str:
        """TikTok's field for the id."""
        return f"{self.noun}_id"


AD_GROUP = Kind("ad_set", "Ad group", "adgroup", "campaign_ids")
AD = Kind("ad", "Ad", "ad", "adgroup_ids")


def new_status(data: Mapping[str, Any]) -> str:
    """The status of what is made: it stands still unless the event says otherwise."""
    return STATUSES[data.get("state") or "paused"]


def found(call: Call, kind: Kind, parent: str, key: str) -> str | None:
    """The id of the one that carries a key, in its campaign or its ad group: the oldest, if it was made twice."""
    return min(_carrying(call, kind, {kind.parents: [parent]}, key), key=int, default=None)


def looked_for(call: Call, kind: Kind, campaign: Link | None, key: str) -> str | None:
    """The same where what it is in is not known: in the campaign, or in the whole account.

    InvalidPayload where several carry the key: a copy has the names of what was copied.
    """
    where = {"campaign_ids": [campaign.external_id]} if campaign is not None else {}
    ids = set(_carrying(call, kind, where, key))
    if len(ids) > 1:
        said = f"{kind.title} {key} is there {len(ids)} times: name its `campaign_id`, or its id at TikTok."
        raise InvalidPayload(said, code="ambiguous")
    return next(iter(ids), None)


def _carrying(call: Call, kind: Kind, where: Data, key: str) -> Iterator[str]:
    """The ids of those whose name carries a key; deleted ones are not listed."""
    query = {"fields": [kind.id_field, f"{kind.noun}_name"], "filtering": {**where, f"{kind.noun}_name": key}}
    for number in range(1, FIND_PAGES + 1):
        got = page(call, f"{kind.noun}/get/", query, number)  # the filter finds parts of names
        for row in got.rows:
            if key_in(text_of(row.get(f"{kind.noun}_name"))) == key and text_of(row.get(kind.id_field)).isdigit():
                yield text_of(row[kind.id_field])
        if got.is_last:
            return
    raise OutcomeUnknown(
        f"More than {FIND_PAGES} pages have {key} in a name: look for the {kind.title.lower()} by hand.",
        code="listing_too_long",
    )


def not_there(call: Call, what: str) -> ProviderError:
    """What to raise for an object that an event builds on: its creation may be on its way for a quarter of an hour."""
    if (call.now - call.first_attempt_at).total_seconds() < NOT_YET_S:
        return Retryable(f"{what} is not there yet: it is looked for again.", code="not_linked_yet")
    return InvalidPayload(f"{what} is not at this account: have it made first.", code="not_linked")


def own_parameters(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """What an event holds for TikTok alone, in TikTok's own words."""
    extra = data.get("extra")
    own = extra.get("tiktok_ads") if isinstance(extra, dict) else None
    return own if isinstance(own, dict) else {}


def turn(kind: Kind) -> Callable[[Call], Done]:
    """The action for `….state_change_requested`: it runs, stands still, or is deleted, which is final."""
    return lambda call: change(call, kind, status=STATUSES[call.event.data["state"]])


def change(call: Call, kind: Kind, changes: Mapping[str, Any] | None = None, status: str | None = None) -> Done:
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
    if not changes and status is None:
        return Done(result={**facts, "skipped": "The event holds no change."}, external_id=external_id)
    _send(call, kind, external_id, changes, status)
    records = noting(campaign, kind.name, key, external_id, call.event.occurred_at, deleted=status == DELETE)
    changed = sorted(changes) if changes else ["operation_status"]
    return Done(result={**facts, "changed": changed}, external_id=external_id, records=records)


def _send(call: Call, kind: Kind, external_id: str, changes: Mapping[str, Any] | None, status: str | None) -> None:
    """Ask for the change. What is to be so may be so already, and what is to be deleted may be gone."""
    try:
        if status is None:
            write(call, f"{kind.noun}/update/", {kind.id_field: external_id, **(changes or {})})
        else:
            write(call, f"{kind.noun}/status/update/", {f"{kind.noun}_ids": [external_id], "operation_status": status})
    except InvalidPayload as error:
        if error.code != NOTHING_TO_UPDATE and (status, error.code) != (DELETE, NOT_THERE):
            raise
