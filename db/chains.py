"""chain_steps: what is done when an event happens, as rows that a tenant's people write."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from db.engine import Rows, run

_STEP = (
    "select c.id, c.tenant_id, c.chain, c.position, c.after_id, c.event_type, c.filters, c.integration_id, c.action,"
    " c.mapping, c.state, c.version, i.provider, i.name as integration_name, i.state as integration_state"
    " from chain_steps c join integrations i on i.id = c.integration_id"
)


@dataclass(frozen=True, slots=True)
class NewStep:
    """One step to store."""

    id: UUID
    position: int
    after_id: UUID | None
    event_type: str
    filters: Mapping[str, Any]
    integration_id: UUID
    action: str
    mapping: Mapping[str, Any]


def following(
    connection: Connection, tenant_ids: Collection[str], event_types: Collection[str], before: UUID | None
) -> Rows:
    """The steps of these tenants that events of these types may start, in order.

    `before`: the step that the events came of, whose chain goes on, replaced or not.
    """
    return run(
        connection,
        f"{_STEP} where c.tenant_id = any(%(tenants)s) and c.event_type = any(%(types)s)"
        " and c.state in ('active', 'replaced')"
        " and (c.state = 'active' and c.after_id is null or c.after_id = %(before)s::uuid)"
        " order by c.tenant_id, c.chain, c.position",
        tenants=list(tenant_ids),
        types=list(event_types),
        before=before,
    )


def of_tenant(connection: Connection, tenant_id: str | None, *, chain: str | None = None) -> Rows:
    """The steps that stand, of one tenant or of all, of one chain or of all, in order."""
    return run(
        connection,
        f"{_STEP} where (%(tenant)s::text is null or c.tenant_id = %(tenant)s)"
        " and (%(chain)s::text is null or c.chain = %(chain)s) and c.state in ('active', 'disabled')"
        " order by c.tenant_id, c.chain, c.position",
        tenant=tenant_id,
        chain=chain,
    )


def get(connection: Connection, step_id: UUID) -> Any | None:
    """One step, whatever its state; None when there never was one."""
    rows = run(connection, f"{_STEP} where c.id = %(id)s", id=step_id)
    return rows[0] if rows else None


def standing(connection: Connection, step_id: UUID) -> Any | None:
    """The step that stands in the place of one: itself, or where its chain was replaced what is there now.

    None where the chain was removed, or has no such place any more.
    """
    rows = run(
        connection,
        f"{_STEP} join chain_steps was on was.tenant_id = c.tenant_id and was.chain = c.chain"
        " and was.position = c.position and was.event_type = c.event_type"
        " where was.id = %(id)s and c.state in ('active', 'disabled')",
        id=step_id,
    )
    return rows[0] if rows else None


def lock_tenant(connection: Connection, tenant_id: str) -> None:
    """Become the one who changes a tenant's chains, until this transaction ends. Waits."""
    run(connection, "select pg_advisory_xact_lock(hashtext('mesh chains'), hashtext(%(id)s))", id=tenant_id)


def insert(connection: Connection, tenant_id: str, chain: str, steps: Collection[NewStep]) -> None:
    """Store the steps of a chain, in order."""
    for step in steps:
        run(
            connection,
            "insert into chain_steps (id, tenant_id, chain, position, after_id, event_type, filters, integration_id,"
            " action, mapping) values (%(id)s, %(tenant)s, %(chain)s, %(position)s, %(after)s, %(event_type)s,"
            " %(filters)s::jsonb, %(account)s, %(action)s, %(mapping)s::jsonb)",
            id=step.id,
            tenant=tenant_id,
            chain=chain,
            position=step.position,
            after=step.after_id,
            event_type=step.event_type,
            filters=json.dumps(step.filters),
            account=step.integration_id,
            action=step.action,
            mapping=json.dumps(step.mapping),
        )


def set_state(connection: Connection, tenant_id: str, chain: str, state: str) -> int:
    """Enable, disable or remove a chain that stands. How many steps it has.

    Unless it is enabled, what earlier definitions of it have begun stops too.
    """
    rows = run(
        connection,
        "with was as (select id, state from chain_steps where tenant_id = %(tenant)s and chain = %(chain)s"
        " and (state in ('active', 'disabled') or (state = 'replaced' and %(state)s <> 'active')) for update)"
        " update chain_steps c set state = case when was.state = 'replaced' then 'removed' else %(state)s end,"
        " updated_at = now(), version = version + 1 from was where c.id = was.id"
        " returning was.state = 'replaced' as replaced",
        tenant=tenant_id,
        chain=chain,
        state=state,
    )
    return sum(not row.replaced for row in rows)


def replace(connection: Connection, tenant_id: str, chain: str) -> bool:
    """Make room for another definition of a chain: what it has begun goes on, unless it was disabled.

    Whether there was one.
    """
    return bool(
        run(
            connection,
            "update chain_steps set state = case state when 'disabled' then 'removed' else 'replaced' end,"
            " updated_at = now(), version = version + 1"
            " where tenant_id = %(tenant)s and chain = %(chain)s and state in ('active', 'disabled') returning id",
            tenant=tenant_id,
            chain=chain,
        )
    )
