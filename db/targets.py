"""How the targets of deliveries (webhooks, integrations) fare: failures in a row, holds, probes, and what follows.

held       held_until is ahead: nothing is claimed for it
suspect    hold_reason is set, or it failed too often: one call at a time, its probe, which holds it meanwhile
answering  a probe succeeded: hold_reason is null again, and held_until says since when; the gate lets more through
           from second to second
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection

from db.engine import run

_TABLES = ("webhooks", "integrations")

PROBE_AFTER = 5  # failures in a row after which a target is called once at a time until it answers again
PROBING = "One call finds out whether it answers again."
PROBE_LOOK_S = 0.5  # when to look again whether a probe that is under way has succeeded
RAMP_S = 10.0  # for so long a target that answers again is not given everything at once


def suspect(alias: str) -> str:
    """SQL: whether nobody knows that this target answers again."""
    return f"({alias}.hold_reason is not null or {alias}.consecutive_failures >= {PROBE_AFTER})"


def probing() -> str:
    """SQL: hold a target for its probe, until `lease_s` is over if that never ends."""
    return f"held_until = now() + %(lease_s)s::float8 * interval '1 second', hold_reason = '{PROBING}'"


def answers_since(alias: str) -> str:
    """SQL: seconds since this target answers again; null when that is long ago."""
    return (
        f"(case when {alias}.hold_reason is null and {alias}.held_until > now() - interval '{RAMP_S} seconds'"
        f" then extract(epoch from now() - {alias}.held_until)::float8 end)"
    )


def well(alias: str) -> str:
    """SQL: whether this target has neither failed, nor been held, nor begun to answer again a short while ago."""
    return (
        f"({alias}.consecutive_failures = 0 and {alias}.hold_reason is null"
        f" and coalesce({alias}.held_until <= now() - interval '{RAMP_S} seconds', true))"
    )


@dataclass(frozen=True, slots=True)
class Strain:
    """What one batch of outcomes says about one target."""

    failures: int
    hold_s: float = 0  # no call before this many seconds have passed
    reason: str = ""


def strained(connection: Connection, table: str, strains: Mapping[UUID, Strain]) -> None:
    """Count failures and set holds; a hold only grows. Rows are locked in id order.

    Calls that were in flight together tell one story: they make a target suspect (`PROBE_AFTER`), no more. From there
    on each failed probe counts one, and what fails while the target is held anyway counts nothing. A failed probe
    ends its own hold.
    """
    ordered = sorted(strains.items())
    run(
        connection,
        f"""
        with n as (
            select * from unnest(%(ids)s::uuid[], %(failures)s::int[], %(holds)s::float8[], %(reasons)s::text[])
            as n(id, failures, hold_s, reason)
        ), locked as (
            select t.id from {_known(table)} t join n on n.id = t.id order by t.id for no key update of t
        )
        update {_known(table)} t set
            consecutive_failures = counted.failures,
            failing_since = case when counted.failures > 0 then coalesce(t.failing_since, now()) end,
            held_until = case
                when n.hold_s > 0 then greatest(counted.held_until, now() + n.hold_s * interval '1 second')
                else coalesce(counted.held_until, case when t.hold_reason = '{PROBING}' then now() end) end,
            hold_reason = case when n.hold_s > 0 then n.reason else t.hold_reason end
        from n join locked on locked.id = n.id
        cross join lateral (
            select case when n.failures = 0 or (o.held_until > now() and o.consecutive_failures >= {PROBE_AFTER})
                        then o.consecutive_failures
                        else least(o.consecutive_failures + n.failures,
                                   greatest(o.consecutive_failures + 1, {PROBE_AFTER})) end as failures,
                   o.held_until
            from (select consecutive_failures,
                         case when hold_reason is distinct from '{PROBING}' then held_until end as held_until
                  from {_known(table)} where id = n.id) o
        ) counted
        where t.id = n.id
        """,
        ids=[str(key) for key, _ in ordered],
        failures=[s.failures for _, s in ordered],
        holds=[s.hold_s for _, s in ordered],
        reasons=[s.reason for _, s in ordered],
    )


def recovered(connection: Connection, table: str, ids: Collection[UUID]) -> None:
    """These targets answered again. Who was suspect answers from now on."""
    run(
        connection,
        f"with locked as (select t.id from {_known(table)} t where t.id = any(%(ids)s::uuid[])"
        f" and (t.consecutive_failures > 0 or {suspect('t')}) order by t.id for no key update)"
        f" update {_known(table)} t set consecutive_failures = 0, failing_since = null, hold_reason = null,"
        f" held_until = case when {suspect('t')} then now() else t.held_until end from locked where t.id = locked.id",
        ids=[str(key) for key in ids],
    )


def _known(table: str) -> str:
    if table not in _TABLES:
        raise ValueError(f"no such target table: {table}")
    return table
