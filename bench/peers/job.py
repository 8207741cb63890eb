"""What every peer does with an event; only how it is queued, sent and stored differs between them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from providers.messages import compact_json
from providers.signatures import sign

QUEUE = "bench"  # the peers share a Redis: each appends its own name
TABLE = """
create table if not exists bench_rows (
    id          uuid primary key,
    tenant_id   text not null,
    event_type  text not null,
    state       text not null,
    http_status integer not null,
    duration_ms integer not null,
    started_at  timestamptz not null,
    finished_at timestamptz not null default clock_timestamp(),
    worker      text not null
)
"""
COLUMNS = ("id", "tenant_id", "event_type", "state", "http_status", "duration_ms", "started_at", "worker")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a peer finds everything. Handed over in one variable: a peer is a program of its own."""

    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    target_url: str  # a tenant's path is appended
    secret: str = field(repr=False)

    def environment(self) -> dict[str, str]:
        """As a peer's process gets it."""
        said = {name: getattr(self, name) for name in ("database_url", "redis_url", "target_url", "secret")}
        return {"BENCH_PEER": json.dumps(said)}


def place() -> Place:
    """Read what this process was given."""
    return Place(**json.loads(os.environ["BENCH_PEER"]))


def signed(event: Mapping[str, Any], secret: str) -> tuple[bytes, dict[str, str]]:
    """Body and headers, the same as the mesh sends."""
    body = compact_json({name: event[name] for name in ("id", "type", "occurred_at", "tenant_id", "data")})
    headers = {
        "User-Agent": "bench",
        "Content-Type": "application/json",
        "X-Event-Id": event["id"],
        "X-Event-Type": event["type"],
        **sign((secret,), event["id"], int(time.time()), body),
    }
    return body, headers


def row(event: Mapping[str, Any], status: int, started_at: datetime) -> tuple[Any, ...]:
    """An attempt's row, in the order of COLUMNS; the attempt ends now."""
    duration_ms = int((datetime.now(UTC) - started_at).total_seconds() * 1000)
    state = "succeeded" if 200 <= status < 300 else "failed"
    return (event["id"], event["tenant_id"], event["type"], state, status, duration_ms, started_at, str(os.getpid()))
