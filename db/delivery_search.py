"""Looking deliveries up by what people filter by: pages, and how many dead letters there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from db.deliveries import WAITING_STATES
from db.engine import Rows, run
from model import DeliveryState

# A condition for each filter that is given. What nobody filters by must not stand in the statement: its plan would
# have to fit everybody.
_FILTERS: Mapping[str, str] = {
    "tenant_id": "tenant_id = %(tenant_id)s",
    "provider": "provider = %(provider)s and exists (select from integrations where provider = %(provider)s)",
    "webhook_id": "webhook_id = %(webhook_id)s"
    " and tenant_id = (select tenant_id from webhooks where id = %(webhook_id)s)",
    "error": "error_code is not null and"
    " to_tsvector('simple', error_code || ' ' || coalesce(error_message, ''))"
    " @@ websearch_to_tsquery('simple', %(error)s)",
    "before": "id < %(before)s",
    "cursor": "id > %(cursor)s",
    "since": "settled_at >= %(since)s",
    "until": "settled_at <= %(until)s",
}


def where(filters: Mapping[str, Any], state: str | None = None) -> str:
    """The conditions of the filters that are given, and of a state."""
    parts = [_FILTERS[name] for name, value in filters.items() if value is not None]
    if state is not None:
        named = f"state = '{DeliveryState(state)}'"  # written out, so that partial indexes fit
        waits = state in WAITING_STATES  # each half has an index of its own
        parts.append(
            f"({named} and dispatched_at is null or {named} and dispatched_at is not null)" if waits else named
        )
    return " and ".join(parts) or "true"


def page(
    connection: Connection,
    *,
    tenant_id: str | None = None,
    state: str | None = None,
    provider: str | None = None,
    webhook_id: UUID | None = None,
    error: str | None = None,
    before: UUID | None = None,
    limit: int = 50,
) -> Rows:
    """The newest deliveries first, by any of the filters, older than `before`; `error`: words of it, as in a search."""
    filters = {"tenant_id": tenant_id, "provider": provider, "webhook_id": webhook_id, "error": error, "before": before}
    return run(
        connection,
        f"""
        with found as materialized (
            select id from deliveries where {where(filters, state)} order by id desc limit %(limit)s
        )
        select d.id, event_id, tenant_id, provider, event_type, webhook_id, integration_id, state, attempt_count,
               nullif(due_at, 'infinity') as due_at, error_code, error_message, created_at, settled_at
        from found join deliveries d on d.id = found.id order by d.id desc
        """,
        limit=limit,
        **filters,
    )


def count_dead(connection: Connection, **filters: Any) -> int:
    """How many dead letters a bulk redelivery with these filters would make due."""
    given = {name: filters.get(name) for name in ("tenant_id", "webhook_id", "provider", "since")}
    rows = run(connection, f"select count(*) from deliveries where {where(given, 'failed')}", **given)
    return int(rows[0][0])
