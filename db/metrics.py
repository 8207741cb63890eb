"""ad_metrics: one row for each day of each object of an ad account."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from db.engine import columns, run
from model import Metric

CHUNK = 5_000  # rows of one statement

_COLUMNS = (
    "integration_id", "level", "external_id", "day", "impressions", "clicks", "spend", "currency", "conversions",
    "details",
)  # fmt: skip

# Rows are written in the order of their keys, so that two batches with the same days never wait in a ring.
_UPSERT = """
insert into ad_metrics (integration_id, level, external_id, day, impressions, clicks, spend, currency, conversions,
                        details)
select * from unnest(%(integration_id)s::uuid[], %(level)s::text[], %(external_id)s::text[], %(day)s::date[],
    %(impressions)s::bigint[], %(clicks)s::bigint[], %(spend)s::numeric[], %(currency)s::text[],
    %(conversions)s::numeric[], %(details)s::jsonb[])
    as n(integration_id, level, external_id, day, impressions, clicks, spend, currency, conversions, details)
order by integration_id, level, external_id, day
on conflict (integration_id, level, external_id, day) do update set
    impressions = excluded.impressions, clicks = excluded.clicks, spend = excluded.spend,
    currency = excluded.currency, conversions = excluded.conversions, details = excluded.details,
    fetched_at = excluded.fetched_at
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One metric of an account; `details` as JSON text."""

    integration_id: UUID
    metric: Metric
    details: str

    @property
    def key(self) -> tuple[UUID, str, str, Any]:
        """What there is one row of."""
        return self.integration_id, self.metric.level, self.metric.external_id, self.metric.day


def upsert(connection: Connection, rows: Sequence[Row]) -> None:
    """Store days as they were read last, None as null; each key once. Later chunks hold later keys."""
    ordered = sorted(rows, key=lambda row: row.key)
    for start in range(0, len(ordered), CHUNK):
        run(connection, _UPSERT, **columns([_values(row) for row in ordered[start : start + CHUNK]], _COLUMNS))


def _values(row: Row) -> tuple[Any, ...]:
    m = row.metric
    return (
        str(row.integration_id),
        m.level,
        m.external_id,
        m.day,
        m.impressions,
        m.clicks,
        m.spend,
        m.currency,
        m.conversions,
        row.details,
    )


@dataclass(frozen=True, slots=True)
class Fetched:
    """How much of an account was read."""

    rows: int
    days: int


def fetched_since(connection: Connection, integration_id: UUID, moment: datetime) -> Fetched:
    """The rows of an account that were stored since then, and how many days they are of."""
    row = run(
        connection,
        "select count(*), count(distinct day) from ad_metrics"
        " where integration_id = %(id)s and fetched_at >= %(moment)s",
        id=integration_id,
        moment=moment,
    )[0]
    return Fetched(int(row[0]), int(row[1]))
