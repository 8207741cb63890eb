"""What faults act on, and what every kind of fault needs: who ran, who died, and what was in its hands."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import psycopg2

from bench.ground import WORKERS, Ground, query
from cli.stack import Stack

Answer = TypeVar("Answer")

DEATH_S = 5.0  # how long a killed process may take to be gone
BIRTH_S = 10.0  # how long we wait for a process that is to be killed, while its supervisor starts it again
WORKER_NAMES = tuple(f"worker-{number}" for number in range(1, WORKERS + 1))

# A dead worker's open attempts: claimed and not settled. Read after its death, when nothing moves them until their
# leases end, so the set is exact. The receiver's gauge would miss what it has answered and nobody has settled yet,
# which is repeated too; and it cannot tell whose a request is.
HELD = "select delivery_id::text from integration_sync_logs where state = 'started' and worker = %(worker)s"


class NotStruck(RuntimeError):
    """A fault could not be done; the text says why. `published` are events that it brought along all the same."""

    def __init__(self, why: str, published: Sequence[str] = ()) -> None:
        super().__init__(why)
        self.published = published


@dataclass(frozen=True, slots=True)
class Target:
    """A running mesh, the servers below it, and the tenant whose events flow."""

    ground: Ground
    stack: Stack
    database_url: str
    tenant_id: str
    rng: random.Random
    order: Path  # the file of MESH_STOP_AT
    clocks: Mapping[str, Path] = field(default_factory=dict)  # by process: the file of its offset in seconds

    @contextmanager
    def ordered(self, text: str) -> Iterator[None]:
        """Tell the workers where to die, for the time of the block."""
        draft = self.order.with_suffix(".new")
        draft.write_text(text)
        draft.replace(self.order)
        try:
            yield
        finally:
            self.order.unlink(missing_ok=True)

    def running(self) -> dict[str, int]:
        """The workers' process ids by name, once all run."""
        _, pids = until(lambda: self._pids(), lambda pids: len(pids) == WORKERS, BIRTH_S)
        return pids

    def _pids(self) -> dict[str, int]:
        found = {name: self.stack.supervisor.pid(name) for name in WORKER_NAMES}
        return {name: pid for name, pid in found.items() if pid is not None}

    def gone(self, before: Mapping[str, int]) -> list[int]:
        """Which of these processes are gone."""
        return [pid for name, pid in before.items() if self.stack.supervisor.pid(name) != pid]

    def held(self, pids: Sequence[int]) -> list[str]:
        """The deliveries that these dead workers had claimed and not settled."""
        workers = [f"{socket.gethostname()}:{pid}" for pid in pids]  # as `worker.resources` names itself
        return [row[0] for worker in workers for row in query(self.database_url, HELD, {"worker": worker})]

    def execute(self, *statements: str) -> None:
        """Each statement in a transaction of its own."""
        with closing(psycopg2.connect(self.database_url)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)


@dataclass(frozen=True, slots=True)
class Effect:
    """What a fault explains: repeats of what dead workers held, dead letters of what kills workers."""

    held: Sequence[str] = ()  # delivery ids, one for each death
    published: Sequence[str] = ()  # producers' ids of events that the fault brought along
    poison: Sequence[str] = ()  # producers' ids of events that must end as dead letters


def until(
    ask: Callable[[], Answer], good: Callable[[Answer], bool], seconds: float, pause_s: float = 0.01
) -> tuple[bool, Answer]:
    """Ask until the answer is good; whether it became so, and the last one."""
    deadline = time.monotonic() + seconds
    while not good(answer := ask()) and time.monotonic() < deadline:
        time.sleep(pause_s)
    return good(answer), answer
