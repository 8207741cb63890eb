"""campaign_links: the product's campaigns as they stand at the platforms."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from db.engine import run


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
