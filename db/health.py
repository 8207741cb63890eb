"""What `mesh doctor` asks of PostgreSQL."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from db.engine import run


@dataclass(frozen=True, slots=True)
class Server:
    """The server itself."""

    version: int  # 180001
    now: datetime


def server(connection: Connection) -> Server:
    """Its version and its clock."""
    row = run(connection, "select current_setting('server_version_num')::int as version, clock_timestamp() as now")[0]
    return Server(row.version, row.now)


def log_partitions_until(connection: Connection) -> datetime | None:
    """The moment from which attempt rows have no partition of their own."""
    row = run(
        connection,
        "select max((regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \\(''([^'']+)''\\)'))[1]::timestamptz)"
        " from pg_inherits i join pg_class c on c.oid = i.inhrelid"
        " where i.inhparent = to_regclass('integration_sync_logs')",
    )[0]
    found: datetime | None = row[0]
    return found


def oldest_due_s(connection: Connection) -> float:
    """For how many seconds the oldest delivery that is due has waited; 0 without one."""
    row = run(
        connection,
        "select coalesce(extract(epoch from now() - min(due_at)), 0) from deliveries"
        " where state in ('pending', 'retrying', 'waiting') and due_at <= now()",
    )[0]
    return float(row[0])


def dead_letters(connection: Connection) -> int:
    """How many deliveries were given up."""
    return int(run(connection, "select count(*) from deliveries where state = 'failed'")[0][0])
