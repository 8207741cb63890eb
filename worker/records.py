"""What outcomes found out (`Done.records`, `Wait.records`), stored in the transaction that settles them.

The rows of all outcomes of a commit are put together, so each table gets one statement. Who writes records of an
account holds its lock until the commit: two workers that settle the same rows wait for each other, never in a ring.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

import db.campaigns
import db.cursors
import db.links
import db.metrics
from model import Campaign, Cursor, Link, Metric, NewEvent, Records
from worker.merging import over
from worker.outcomes import Claim, as_json
from worker.shop_records import ShopRows
from worker.syncs import SYNC_DUE


def size(records: Records) -> int:
    """How many rows they are."""
    return sum(map(len, (records.campaigns, records.links, records.metrics, records.products, records.orders)))


def store(connection: Connection, found: Sequence[tuple[Claim, Records]]) -> list[list[NewEvent]]:
    """Store what calls found out, and for each of them the events to publish: campaigns of the product that are gone,
    orders that have got on, products that have changed.

    Where two say something of the same row, the later one has the last word.
    """
    rows = _Rows()
    for position, (claim, records) in enumerate(found):
        rows.add(position, claim, records)
    db.cursors.lock_accounts(connection, {claim.integration_id for claim, _ in found})
    if rows.campaigns:
        db.campaigns.upsert(connection, [(tenant_id, each) for (tenant_id, _), each in rows.campaigns.items()])
    claims = [claim for claim, _ in found]
    events = _store_links(connection, rows, claims)
    for position, event in rows.shop.store(connection, claims):
        events[position].append(event)
    if rows.metrics:
        db.metrics.upsert(
            connection, [db.metrics.Row(key[0], each, as_json(each.details)) for key, each in rows.metrics.items()]
        )
    if rows.cursors:
        db.cursors.move(
            connection,
            [
                db.cursors.Move(account, each.stream, as_json(each.value), each.finished)
                for (account, _), each in rows.cursors.items()
            ],
        )
    return events


@dataclass
class _Rows:
    """The rows of a commit by their keys, so that each stands once in its statement."""

    campaigns: dict[tuple[str, str], Campaign] = field(default_factory=dict)  # by tenant and key
    links: dict[tuple[UUID, str], tuple[int, Link]] = field(default_factory=dict)  # with whose they are
    metrics: dict[tuple[UUID, str, str, date], Metric] = field(default_factory=dict)
    cursors: dict[tuple[UUID, str], Cursor] = field(default_factory=dict)
    listed: dict[UUID, tuple[int, datetime]] = field(default_factory=dict)
    shop: ShopRows = field(default_factory=ShopRows)

    def add(self, position: int, claim: Claim, records: Records) -> None:
        """One outcome's rows."""
        account, tenant_id = claim.integration_id, claim.event.tenant_id
        for campaign in records.campaigns:
            place = (tenant_id, campaign.key)
            self.campaigns[place] = over(self.campaigns.get(place), campaign)
        for link in records.links:
            _, before = self.links.get((account, link.external_id), (0, None))
            self.links[account, link.external_id] = position, _seen_again(before, link)
        for metric in records.metrics:
            self.metrics[account, metric.level, metric.external_id, metric.day] = metric
        if records.cursor is not None:
            self.cursors[account, records.cursor.stream] = records.cursor
        if records.listed_since is not None:
            self.listed[account] = position, records.listed_since
        self.shop.add(position, account, records)


def _seen_again(before: Link | None, now: Link) -> Link:
    if before is None:
        return now
    applied = [at for at in (before.applied_at, now.applied_at) if at is not None]
    return replace(over(before, now), details={**before.details, **now.details}, applied_at=max(applied, default=None))


def _store_links(connection: Connection, rows: _Rows, claims: Sequence[Claim]) -> list[list[NewEvent]]:
    """Store the links, then mark what whole listings did not show. The events of each claim."""
    events: list[list[NewEvent]] = [[] for _ in claims]
    if rows.links:
        given = [
            db.links.Row(account, claims[position].event.tenant_id, link, as_json(link.details))
            for (account, _), (position, link) in rows.links.items()
        ]
        for row in db.links.upsert(connection, given):
            position, _ = rows.links[row.integration_id, row.external_id]
            # What the product itself asked to be deleted is no news to it.
            if row.gone and claims[position].event.type == SYNC_DUE:
                events[position] += _deleted(claims[position], row)
    if rows.listed:
        since = {account: began for account, (_, began) in rows.listed.items()}
        for row in db.links.mark_unseen(connection, since):
            position, _ = rows.listed[row.integration_id]
            events[position] += _deleted(claims[position], row)
    return events


def _deleted(claim: Claim, row: Any) -> Collection[NewEvent]:
    """The event that says a campaign of the product is gone; none for one that was made at the platform."""
    if row.key is None:
        return ()
    return (
        NewEvent(
            tenant_id=claim.event.tenant_id,
            type="campaign.deleted",
            data={
                "campaign_id": row.key,
                "provider": claim.provider.name,
                "integration_id": str(row.integration_id),
                "external_id": row.external_id,
            },
            key=f"campaign.deleted:{row.id}:{claim.event.id}",
        ),
    )
