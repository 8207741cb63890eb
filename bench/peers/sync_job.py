"""The job for peers that work in threads or child processes: urllib3 and psycopg2, one connection of each per caller.

Tried: `requests.Session` in place of urllib3, which costs more than twice the CPU per call.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import psycopg2
import urllib3

from bench.peers.job import COLUMNS, Place, row, signed

INSERT = f"insert into bench_rows ({', '.join(COLUMNS)}) values ({', '.join(['%s'] * len(COLUMNS))})"
TIMEOUT_S = 30.0


class Caller:
    """What one thread or child process keeps open."""

    def __init__(self, place: Place, name: str) -> None:
        target = urlsplit(place.target_url)
        self._secret = place.secret
        self._path = target.path
        self._http = urllib3.HTTPConnectionPool(target.hostname or "", target.port, maxsize=1, timeout=TIMEOUT_S)
        self._connection = psycopg2.connect(place.database_url, application_name=name)
        self._connection.autocommit = True

    def deliver(self, event: Mapping[str, Any]) -> None:
        """One POST, one committed row."""
        body, headers = signed(event, self._secret)
        started_at = datetime.now(UTC)
        answer = self._http.urlopen("POST", self._path + event["tenant_id"], body, headers, retries=False)
        with self._connection.cursor() as cursor:
            cursor.execute(INSERT, row(event, answer.status, started_at))
