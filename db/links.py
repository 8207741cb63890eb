"""campaign_links: the product's campaigns as they stand at the platforms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from db.engine import Rows, columns, run
from model import Link

_COLUMNS = (
    "integration_id", "tenant_id", "external_id", "key", "external_state", "details", "applied_at", "deleted",
)  # fmt: skip


def of_campaign(connection: Connection, integration_id: UUID, tenant_id: str, key: str) -> Any | None:
    """The newest link of a campaign of the product at one account, or None."""
    rows = run(
        connection,
        "select l.external_id, c.external_key as key, l.external_state, l.details, l.applied_at, l.deleted_at"
        " from campaigns c join campaign_links l on l.campaign_id = c.id"
        " where c.tenant_id = %(tenant)s and c.external_key = %(key)s and l.integration_id = %(id)s"
        " order by l.deleted_at is null desc, l.seen_at desc limit 1",
        tenant=tenant_id,
        key=key,
        id=integration_id,
    )
    return rows[0] if rows else None


def forget(connection: Connection, integration_id: UUID) -> None:
    """Forget an integration's links: another account is behind it from now on."""
    run(connection, "delete from campaign_links where integration_id = %(id)s", id=integration_id)


@dataclass(frozen=True, slots=True)
class Row:
    """One link of a tenant's account; `details` as JSON text."""

    integration_id: UUID
    tenant_id: str
    link: Link
    details: str


_UPSERT = """
insert into campaign_links as l (campaign_id, integration_id, external_id, external_state, details, applied_at,
                                 deleted_at)
select c.id, n.integration_id, n.external_id, n.external_state, n.details, n.applied_at,
       case when n.deleted then now() end
from unnest(%(integration_id)s::uuid[], %(tenant_id)s::text[], %(external_id)s::text[], %(key)s::text[],
            %(external_state)s::text[], %(details)s::jsonb[], %(applied_at)s::timestamptz[], %(deleted)s::bool[])
    as n(integration_id, tenant_id, external_id, key, external_state, details, applied_at, deleted)
left join campaigns c on c.tenant_id = n.tenant_id and c.external_key = n.key
order by n.integration_id, n.external_id
on conflict (integration_id, external_id) do update set
    campaign_id = coalesce(excluded.campaign_id, l.campaign_id),
    external_state = coalesce(excluded.external_state, l.external_state),
    details = l.details || excluded.details,
    applied_at = greatest(l.applied_at, excluded.applied_at),
    seen_at = greatest(l.seen_at, excluded.seen_at),
    deleted_at = case when excluded.deleted_at is not null then coalesce(l.deleted_at, excluded.deleted_at) end
returning l.id, l.integration_id, l.external_id, coalesce(l.deleted_at = now(), false) as gone,
          (select c.external_key from campaigns c where c.id = l.campaign_id) as key
"""


def upsert(connection: Connection, rows: Sequence[Row]) -> Rows:
    """Store links as they were just seen, each (account, external id) once. (id, integration_id, external_id, gone,
    key): `gone` where it was not deleted before, `key` where it is a campaign of the product.
    """
    values = [
        (
            str(row.integration_id),
            row.tenant_id,
            row.link.external_id,
            row.link.key,
            row.link.external_state,
            row.details,
            row.link.applied_at,
            row.link.deleted,
        )
        for row in rows
    ]
    return run(connection, _UPSERT, **columns(values, _COLUMNS))


_MARK_UNSEEN = """
with gone as (
    select l.id from unnest(%(ids)s::uuid[], %(since)s::timestamptz[]) as n(integration_id, since)
    join campaign_links l on l.integration_id = n.integration_id
    where l.seen_at < n.since and l.deleted_at is null
    order by l.integration_id, l.external_id for no key update of l
)
update campaign_links l set deleted_at = now(), external_state = 'deleted' from gone where l.id = gone.id
returning l.id, l.integration_id, l.external_id, true as gone,
          (select c.external_key from campaigns c where c.id = l.campaign_id) as key
"""


def mark_unseen(connection: Connection, listed_since: Mapping[UUID, datetime]) -> Rows:
    """Mark as deleted what whole listings of accounts, begun then, did not show. The links that changed."""
    return run(
        connection,
        _MARK_UNSEEN,
        ids=[str(integration_id) for integration_id in listed_since],
        since=list(listed_since.values()),
    )


@dataclass(frozen=True, slots=True)
class Seen:
    """What a listing of an account's campaigns found."""

    present: int
    deleted: int


def seen_since(connection: Connection, integration_id: UUID, moment: datetime) -> Seen:
    """How many campaigns of an account were seen since then, and how many found to be deleted."""
    row = run(
        connection,
        "select count(*) filter (where seen_at >= %(moment)s and deleted_at is null),"
        " count(*) filter (where deleted_at >= %(moment)s)"
        " from campaign_links where integration_id = %(id)s",
        id=integration_id,
        moment=moment,
    )[0]
    return Seen(int(row[0]), int(row[1]))
