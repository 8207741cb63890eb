"""media_assets: files that deliveries produced."""

from __future__ import annotations

import json
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection

from db.engine import Rows, run
from model import MediaAsset


def insert(
    connection: Connection,
    assets: Sequence[MediaAsset],
    *,
    tenant_id: str,
    event_id: UUID,
    delivery_id: UUID,
    provider: str,
) -> None:
    """Record files; one whose place is known already (a repeated step) keeps its first record."""
    for asset in assets:
        run(
            connection,
            "insert into media_assets (id, tenant_id, event_id, delivery_id, provider, uri, mime, size_bytes, sha256,"
            " details) values (%(id)s, %(tenant)s, %(event)s, %(delivery)s, %(provider)s, %(uri)s, %(mime)s, %(size)s,"
            " %(sha256)s, %(details)s::jsonb) on conflict (uri) do nothing",
            id=asset.id,
            tenant=tenant_id,
            event=event_id,
            delivery=delivery_id,
            provider=provider,
            uri=asset.uri,
            mime=asset.mime,
            size=asset.size_bytes,
            sha256=asset.sha256,
            details=json.dumps(asset.details),
        )


def page(connection: Connection, *, tenant_id: str | None = None, limit: int = 50) -> Rows:
    """The newest files first."""
    return run(
        connection,
        "select * from media_assets where (%(tenant)s::text is null or tenant_id = %(tenant)s)"
        " order by id desc limit %(limit)s",
        tenant=tenant_id,
        limit=limit,
    )
