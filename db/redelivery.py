"""Redelivery: dead letters made due again by a person, one or many in durable steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from db.delivery_search import where
from db.engine import run

_REDELIVER = (
    "update deliveries set state = 'pending', due_at = now(), settled_at = null, dispatched_at = null,"
    " retry_count = 0, error_code = null, error_message = null,"
)
# Who asks for one has looked at it: what may have been done is done again, even where that is never safe, or where the
# last answer was that nobody can tell. Who asks for many has not: such ones are dead letters again.
_CANNOT_BE_TOLD = (
    "(select l.state from integration_sync_logs l where l.delivery_id = deliveries.id"
    " order by l.started_at desc limit 1) = 'refused'"
)
_ONE = f"{_REDELIVER} lost_count = 0, unknown_since = case when {_CANNOT_BE_TOLD} then null else unknown_since end"
_MANY = f"{_REDELIVER} lost_count = (unknown_since is not null)::int"


def redeliver(connection: Connection, delivery_id: UUID) -> bool:
    """Make one dead letter (or cancelled delivery) due again, with a fresh budget. False when it is neither."""
    return bool(
        run(
            connection,
            _ONE + " where id = %(id)s and state in ('failed', 'cancelled') returning id",
            id=delivery_id,
        )
    )


def redeliver_step(connection: Connection, replay: Mapping[str, Any], *, limit: int) -> tuple[int, UUID | None]:
    """One step of a bulk redelivery: how many dead letters became due, and the last id looked at (None = the end)."""
    filters = {name: replay[name] for name in ("cursor", "tenant_id", "webhook_id", "provider", "since", "until")}
    rows = run(
        connection,
        f"""
        with looked as materialized (
            select id from deliveries where {where(filters, "failed")} order by id limit %(limit)s
        ), step as materialized (
            select d.id from looked join deliveries d on d.id = looked.id where d.state = 'failed'
            order by d.id for update of d
        ), moved as ({_MANY} where id in (select id from step) returning id)
        select (select count(*) from moved), (select id from looked order by id desc limit 1)
        """,
        limit=limit,
        **filters,
    )
    return int(rows[0][0]), rows[0][1]
