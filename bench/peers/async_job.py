"""The job for peers that run on asyncio: aiohttp and asyncpg, one client of each per process.

Tried: httpx in place of aiohttp, which costs more than ten times the CPU per call.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Self

import aiohttp
import asyncpg

from bench.peers.job import COLUMNS, Place, row, signed

INSERT = (
    f"insert into bench_rows ({', '.join(COLUMNS)}) values ({', '.join(f'${n}' for n in range(1, len(COLUMNS) + 1))})"
)
TIMEOUT_S = 30.0
CONNECTIONS = 8  # to PostgreSQL, per process


class Caller:
    """What one process keeps open."""

    def __init__(self, place: Place, session: aiohttp.ClientSession, pool: asyncpg.Pool) -> None:
        self._place = place
        self._session = session
        self._pool = pool

    @classmethod
    async def open(cls, place: Place, name: str) -> Self:
        """Connect; call it on the loop that will do the jobs."""
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
        )
        pool = await asyncpg.create_pool(
            place.database_url,
            min_size=CONNECTIONS,
            max_size=CONNECTIONS,
            server_settings={"application_name": name},
        )
        return cls(place, session, pool)

    async def deliver(self, event: Mapping[str, Any]) -> None:
        """One POST, one committed row."""
        body, headers = signed(event, self._place.secret)
        started_at = datetime.now(UTC)
        url = self._place.target_url + event["tenant_id"]
        async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
            await answer.read()
        await self._pool.execute(INSERT, *row(event, answer.status, started_at))
