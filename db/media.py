"""media_assets: files that deliveries produced."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
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
    """Record files. One whose place is known already (a repeated step has replaced it) keeps its id."""
    for asset in assets:
        run(
            connection,
            "insert into media_assets (id, tenant_id, event_id, delivery_id, provider, uri, mime, size_bytes, sha256,"
            " details) values (%(id)s, %(tenant)s, %(event)s, %(delivery)s, %(provider)s, %(uri)s, %(mime)s, %(size)s,"
            " %(sha256)s, %(details)s::jsonb) on conflict (uri) do update set mime = excluded.mime,"
            " size_bytes = excluded.size_bytes, sha256 = excluded.sha256, details = excluded.details",
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


def id_at(connection: Connection, uri: str) -> UUID | None:
    """The id of the file at a place; None where none was recorded."""
    rows = run(connection, "select id from media_assets where uri = %(uri)s", uri=uri)
    return rows[0][0] if rows else None


def get(connection: Connection, asset_id: UUID, *, tenant_id: str | None = None) -> MediaAsset | None:
    """One file, of this tenant where one is named; None where there is none."""
    rows = run(
        connection,
        "select id, uri, mime, size_bytes, sha256, details from media_assets where id = %(id)s"
        " and (%(tenant)s::text is null or tenant_id = %(tenant)s)",
        id=asset_id,
        tenant=tenant_id,
    )
    return MediaAsset(*rows[0]) if rows else None


def row(connection: Connection, asset_id: UUID) -> Any | None:
    """One file with everything, or None."""
    rows = run(connection, "select * from media_assets where id = %(id)s", id=asset_id)
    return rows[0] if rows else None


def page(connection: Connection, *, tenant_id: str | None = None, before: UUID | None = None, limit: int = 50) -> Rows:
    """The newest files first, older than `before`."""
    return run(
        connection,
        "select * from media_assets where (%(tenant)s::text is null or tenant_id = %(tenant)s)"
        " and (%(before)s::uuid is null or id < %(before)s) order by id desc limit %(limit)s",
        tenant=tenant_id,
        before=before,
        limit=limit,
    )
