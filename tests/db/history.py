"""Rows as time leaves them: events of some days ago, whose deliveries stand as they are told."""

from __future__ import annotations

import json
from uuid import UUID

from db.engine import Rows
from tests.mesh import TENANT, Mesh

_FIELDS = {
    "pending": "due_at = now()",
    "retrying": "due_at = now()",
    "waiting": "due_at = 'infinity'",
    "running": "attempt_id = mesh_uuid(), lease_until = now() + interval '1 hour'",
    "succeeded": "settled_at = %(settled)s",
    "failed": "settled_at = %(settled)s, error_code = 'x'",
    "cancelled": "settled_at = %(settled)s",
}
_THEN = "now() - %(days)s * interval '1 day'"
_ID = f"overlay(mesh_uuid()::text placing (overlay(lpad(to_hex((extract(epoch from {_THEN}) * 1000)::bigint), 12, '0')\
 placing '-' from 9 for 0)) from 1 for 13)::uuid"


def event(mesh: Mesh, days: float, *states: str, settled_days: float | None = None) -> UUID:
    """An event of so many days ago with a delivery in each of these states, those that ended settled then too."""
    if not mesh.count("webhooks"):
        mesh.hook()
    event_id: UUID = mesh.one(
        "insert into events (id, tenant_id, type, data, occurred_at, accepted_at, routed_at)"
        f" values ({_ID}, %(tenant)s, 'user.signup', %(data)s::jsonb, {_THEN}, {_THEN}, {_THEN}) returning id",
        days=days,
        tenant=TENANT,
        data=json.dumps({"user_id": "u"}),
    )
    for state in states:
        delivery(mesh, event_id, days, state, days if settled_days is None else settled_days)
    return event_id


def delivery(mesh: Mesh, event_id: UUID, days: float, state: str, settled_days: float) -> None:
    """One delivery of an event."""
    names, values = zip(*(part.split(" = ") for part in _FIELDS[state].split(", ")), strict=True)
    mesh.sql(
        "insert into deliveries (id, event_id, tenant_id, provider, integration_id, webhook_id, event_type, state,"
        f" created_at, {', '.join(names)}) select {_ID}, %(event)s, w.tenant_id, 'zapier', w.integration_id, w.id,"
        f" 'user.signup', %(state)s, {_THEN}, {', '.join(values)} from webhooks w".replace(
            "%(settled)s", "now() - %(settled)s * interval '1 day'"
        ),
        event=event_id,
        days=days,
        state=state,
        settled=settled_days,
    )


def attempt(mesh: Mesh, days: float, state: str = "succeeded") -> UUID:
    """A row of the attempt log of so many days ago."""
    attempt_id: UUID = mesh.one(
        "insert into integration_sync_logs (id, delivery_id, event_id, tenant_id, provider, integration_id, event_type,"
        " attempt_number, started_at, worker, state, finished_at) values (mesh_uuid(), mesh_uuid(), mesh_uuid(),"
        f" 'acme', 'zapier', mesh_uuid(), 'user.signup', 1, {_THEN}, 'w', %(state)s,"
        " case when %(state)s <> 'started' then now() end) returning id",
        days=days,
        state=state,
    )
    return attempt_id


def rejected(mesh: Mesh, days: float, *, resolved: bool = True, event_id: UUID | None = None) -> UUID:
    """A rejected event, dealt with so many days ago, or still open."""
    rejected_id: UUID = mesh.one(
        "insert into rejected_events (door, reason, body, body_size, event_id, received_at, resolved_at)"
        f" values ('sql', 'x', '', 0, %(event)s, {_THEN}, case when %(resolved)s then {_THEN} end) returning id",
        days=days,
        event=event_id,
        resolved=resolved,
    )
    return rejected_id


def partition(mesh: Mesh, weeks: int) -> str:
    """A partition of the attempt log for the week so many weeks ago; its name. It ends with `drop_partitions`."""
    (row,) = mesh.sql(
        "select 'integration_sync_logs_' || to_char(week at time zone 'UTC', 'YYYYMMDD') as name, week::text as first,"
        " (week + interval '7 days')::text as next from (select date_trunc('week', now() at time zone 'UTC')"
        " at time zone 'UTC' - %(weeks)s * interval '7 days' as week) w",
        weeks=weeks,
    )
    mesh.sql(
        f"create table {row.name} partition of integration_sync_logs for values from ('{row.first}') to ('{row.next}')"
    )
    return str(row.name)


def partitions(mesh: Mesh) -> set[str]:
    """The names of the attempt log's partitions."""
    rows: Rows = mesh.sql(
        "select inhrelid::regclass::text as name from pg_inherits where inhparent = 'integration_sync_logs'::regclass"
    )
    return {row.name for row in rows}
