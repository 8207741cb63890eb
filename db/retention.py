"""Deleting what has been kept long enough: few rows in each short transaction, and whole partitions of the attempt log.

Only what is settled goes, an event with all its deliveries at once. With an event's row goes what recognises a repeated
`(tenant_id, id)`: the same id published later than that makes a new event. What is derived from an event stays: media
files, what the platforms hold, and the ids in them.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from db.engine import Rows, count, run

_LOCK_NOT_AVAILABLE = "55P03"


@dataclass(frozen=True, slots=True)
class Step:
    """What one short transaction did."""

    deleted: int
    more: bool  # old rows may be left that this pass has not looked at


def lock_turn(connection: Connection) -> bool:
    """Become the one who deletes, until this transaction ends. False when somebody else is."""
    return bool(run(connection, "select pg_try_advisory_xact_lock(hashtext('mesh retention'), 0)")[0][0])


# Ids are in time order, so the oldest events stand at the beginning of the primary key: no index on a time is needed.
# A pass goes through them once, its cursor kept: what has to stay is not looked at again before the next pass, and
# neither are the index entries of what was just deleted. Deliveries are locked and their states read under the lock,
# so that none goes that somebody makes due again; the foreign key deletes them with their event.
_EVENTS = """
with kept as (
    select now() - %(days)s * interval '1 day' as since
), looked as materialized (
    select id from events
    where id > coalesce((select cursor from retention where kind = 'events'), '00000000-0000-0000-0000-000000000000')
      and id < (select (lpad(to_hex((extract(epoch from since) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
                from kept)
    order by id limit %(limit)s
), settled as materialized (
    select d.event_id from looked join deliveries d on d.event_id = looked.id
    where d.settled_at < (select since from kept) for update of d skip locked
), old as materialized (
    select e.id from looked join events e on e.id = looked.id
    left join (select event_id, count(*) as many from settled group by event_id) s on s.event_id = e.id
    where e.routed_at is not null and e.accepted_at < (select since from kept)
      and coalesce(s.many, 0) = (select count(*) from deliveries d where d.event_id = e.id)
      and not exists (select from rejected_events r where r.event_id = e.id and r.resolved_at is null)
    for update of e skip locked
), deleted as (
    delete from events e using old where e.id = old.id
), seen as (
    select count(*) = %(limit)s as more, (select id from looked order by id desc limit 1) as last from looked
), advanced as (
    insert into retention (kind, cursor) select 'events', case when more then last end from seen
    on conflict (kind) do update set cursor = excluded.cursor
)
select (select count(*) from old) as deleted, more from seen
"""


def delete_events(connection: Connection, *, days: float, limit: int) -> Step:
    """Look at the next `limit` events older than this; those go whose deliveries were all settled before that too."""
    row = run(connection, _EVENTS, days=days, limit=limit)[0]
    return Step(int(row.deleted), bool(row.more))


def delete_rejected(connection: Connection, *, days: float, limit: int) -> Step:
    """Delete rejected events that a person dealt with so long ago; what nobody dealt with stays."""
    return _all_deleted(
        limit,
        count(
            connection,
            "with step as materialized (select id from rejected_events"  # else it may be looked up for each row anew
            " where resolved_at < now() - %(days)s * interval '1 day' order by resolved_at limit %(limit)s"
            " for update skip locked) delete from rejected_events where id in (select id from step)",
            days=days,
            limit=limit,
        ),
    )


def delete_inbox(connection: Connection, *, days: float, limit: int) -> Step:
    """Delete what providers sent so long ago, taken or refused."""
    return _all_deleted(
        limit,
        count(
            connection,
            "with step as materialized (select id from inbox where received_at < now() - %(days)s * interval '1 day'"
            " order by received_at limit %(limit)s for update skip locked)"
            " delete from inbox where id in (select id from step)",
            days=days,
            limit=limit,
        ),
    )


def delete_chain_steps(connection: Connection, *, days: float, limit: int) -> Step:
    """Delete steps that were replaced or removed so long ago that nothing goes on by them any more."""
    return _all_deleted(
        limit,
        count(
            connection,
            "with step as materialized (select id from chain_steps where state in ('replaced', 'removed')"
            " and updated_at < now() - %(days)s * interval '1 day' limit %(limit)s for update skip locked)"
            " delete from chain_steps where id in (select id from step)",
            days=days,
            limit=limit,
        ),
    )


def delete_stray_attempts(connection: Connection, *, days: float, limit: int) -> Step:
    """Delete old attempts from the default partition, where rows are for which no partition was made in time."""
    return _all_deleted(
        limit,
        count(
            connection,
            "delete from integration_sync_logs_default where id in (select id from integration_sync_logs_default"
            " where started_at < now() - %(days)s * interval '1 day' and state <> 'started' limit %(limit)s"
            " for update skip locked)",
            days=days,
            limit=limit,
        ),
    )


def _all_deleted(limit: int, deleted: int) -> Step:
    return Step(deleted, more=deleted == limit)


def old_log_partitions(connection: Connection, *, days: float) -> Rows:
    """(name, rows by the last count) of the attempt log's partitions that end before that, oldest first."""
    return run(
        connection,
        "select name, rows from (select c.oid::regclass::text as name, greatest(c.reltuples, 0)::bigint as rows,"
        " (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \\(''([^'']+)''\\)'))[1]::timestamptz as ends"
        " from pg_inherits i join pg_class c on c.oid = i.inhrelid"
        " where i.inhparent = 'integration_sync_logs'::regclass) p"
        " where ends <= now() - %(days)s * interval '1 day' order by ends",
        days=days,
    )


def drop_log_partition(connection: Connection, name: str, *, wait_ms: int) -> bool:
    """Drop one partition. False when somebody reads it, or it holds a call in the air.

    For a moment that locks the whole log. Whoever comes meanwhile waits behind us, so we wait `wait_ms` at the most.
    (`detach concurrently` would not lock, but is not to be had beside a default partition.)
    """
    held = f"select exists (select from deliveries d join {name} l on l.id = d.attempt_id where d.state = 'running')"
    if run(connection, held)[0][0]:
        return False
    try:
        with connection.begin_nested():
            run(connection, f"set local lock_timeout = {wait_ms}")
            run(connection, f"drop table if exists {name}")
    except OperationalError as error:
        if getattr(error.orig, "pgcode", None) != _LOCK_NOT_AVAILABLE:
            raise
        return False
    return True
