"""How the targets of deliveries (webhooks, integrations) fare: failures in a row, and holds."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection

from db.engine import run

_TABLES = ("webhooks", "integrations")

PROBE_AFTER = 5  # failures in a row after which a target is called once at a time until it answers again


@dataclass(frozen=True, slots=True)
class Strain:
    """What one batch of outcomes says about one target."""

    failures: int
    hold_s: float = 0  # no call before this many seconds have passed
    reason: str = ""


def strained(connection: Connection, table: str, strains: Mapping[UUID, Strain]) -> None:
    """Count failures and set holds; a hold only grows. Rows are locked in id order.

    Calls that were in flight together tell one story: they make a target suspect (`PROBE_AFTER`), no more. From there
    on each failed probe counts one, and what fails while the target is held anyway counts nothing.
    """
    ordered = sorted(strains.items())
    run(
        connection,
        f"""
        with n as (
            select * from unnest(%(ids)s::uuid[], %(failures)s::int[], %(holds)s::float8[], %(reasons)s::text[])
            as n(id, failures, hold_s, reason)
        ), locked as (
            select t.id from {_known(table)} t join n on n.id = t.id order by t.id for update of t
        )
        update {_known(table)} t set
            consecutive_failures = counted.failures,
            failing_since = case when counted.failures > 0 then coalesce(t.failing_since, now()) end,
            held_until = case when n.hold_s > 0
                then greatest(t.held_until, now() + n.hold_s * interval '1 second') else t.held_until end,
            hold_reason = case when n.hold_s > 0 then n.reason else t.hold_reason end
        from n join locked on locked.id = n.id
        cross join lateral (
            select case when n.failures = 0 or (o.held_until > now() and o.consecutive_failures >= {PROBE_AFTER})
                        then o.consecutive_failures
                        else least(o.consecutive_failures + n.failures,
                                   greatest(o.consecutive_failures + 1, {PROBE_AFTER})) end as failures
            from {_known(table)} o where o.id = n.id
        ) counted
        where t.id = n.id
        """,
        ids=[str(key) for key, _ in ordered],
        failures=[s.failures for _, s in ordered],
        holds=[s.hold_s for _, s in ordered],
        reasons=[s.reason for _, s in ordered],
    )


def recovered(connection: Connection, table: str, ids: Collection[UUID]) -> None:
    """These targets answered again."""
    run(
        connection,
        f"with locked as (select id from {_known(table)} where id = any(%(ids)s::uuid[])"
        " and consecutive_failures > 0 order by id for update)"
        f" update {_known(table)} t set consecutive_failures = 0, failing_since = null, held_until = null,"
        " hold_reason = null from locked where t.id = locked.id",
        ids=[str(key) for key in ids],
    )


def _known(table: str) -> str:
    if table not in _TABLES:
        raise ValueError(f"no such target table: {table}")
    return table
