"""A worker that dies in the middle of a paged sync: another one goes on, and nothing is lost, doubled or read twice.

Where it dies is ordered by what the platform is asked for (`worker.faults`), so every run dies at the same step.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import pytest

from tests.mesh import Mesh, eventually
from tests.paged import LAST_DAY, PAGES, Pages, all_rows, connected, serving_pages, stored
from tests.servers import Servers
from tests.tasks.workers import START_S, Worker, running_worker
from worker.syncs import sync_now

HALFWAY = 2  # the page that is asked for when the order is given
NEXT = HALFWAY + 1


@pytest.fixture
def pages() -> Iterator[Pages]:
    with serving_pages() as pages:
        yield pages


@pytest.fixture
def account(pages: Pages, mesh: Mesh) -> UUID:
    found: UUID = connected(mesh)
    return found


@contextmanager
def worker_of(servers: Servers, mesh: Mesh, pages: Pages, home: Path) -> Iterator[Worker]:
    """A worker that knows the platform and obeys the order in its home."""
    home.mkdir()
    settings = {"PAGED_URL": pages.server.base_url, "MESH_STOP_AT": str(home / "order")}
    with running_worker(servers, mesh.sandbox, home, app="tests.tasks.paged_app", **settings) as worker:
        yield worker


def begin(mesh: Mesh, account: UUID) -> UUID:
    """Begin to read the numbers; the delivery."""
    with mesh.engine.begin() as connection:
        (sync,) = sync_now(connection, account, streams=["numbers"])
    found: UUID = mesh.one("select id from deliveries where event_id = %(id)s", id=sync.event_id)
    return found


# The order, how many pages are stored when it dies, and which one is asked for again: the one in the air, if any.
@pytest.mark.parametrize(
    ("where", "done", "twice"),
    [
        ("claim", NEXT, None),
        ("send", NEXT, None),
        (f"sent GET /numbers/{NEXT} ", NEXT, NEXT),
        ("answer", HALFWAY, HALFWAY),
        ("settle", NEXT, None),
    ],
    ids=["claim", "send", "sent", "answer", "settle"],
)
def test_killed_in_the_middle_another_worker_goes_on(
    servers: Servers, mesh: Mesh, pages: Pages, account: UUID, tmp_path: Path, where: str, done: int, twice: int | None
) -> None:
    home = tmp_path / "first"

    def order(path: str, times: int) -> None:
        if (path, times) == (f"/numbers/{HALFWAY}", 1):
            (home / "order").write_text(where)

    pages.on_request = order
    with worker_of(servers, mesh, pages, home) as worker:
        delivery_id = begin(mesh, account)
        assert worker.ended() == -signal.SIGKILL, worker.log[-3000:]
    assert stored(mesh) == all_rows()[: 10 * done], "whole pages, and no more than the progress says"
    assert mesh.delivery(delivery_id).progress == {"done": done, "of": PAGES}
    assert mesh.one("select cursor->>'through' from sync_cursors") == all_rows()[10 * done - 1][1]

    mesh.lease_over()
    with worker_of(servers, mesh, pages, tmp_path / "second"):
        mesh.reconcile()
        eventually(lambda: mesh.delivery(delivery_id).settled_at, "the other worker ends it", START_S)
    assert mesh.delivery(delivery_id).state == "succeeded"
    assert stored(mesh) == all_rows()
    (cursor,) = mesh.sql("select * from sync_cursors")
    assert (cursor.cursor, cursor.synced_at is not None) == ({"through": LAST_DAY}, True)
    again = {path: times for path, times in pages.asked.items() if times > 1}
    assert again == ({f"/numbers/{twice}": 2} if twice is not None else {})
    lost = mesh.count("integration_sync_logs", "state = 'lost'")
    assert (lost, mesh.count("integration_sync_logs")) == (0 if where == "settle" else 1, PAGES + lost)


def test_killed_again_and_again(servers: Servers, mesh: Mesh, pages: Pages, account: UUID, tmp_path: Path) -> None:
    """A worker that dies with each page, once it is answered, still gets through: each step forgets the losses."""
    homes: list[Path] = []

    def order(path: str, times: int) -> None:
        if times == 1:
            (homes[-1] / "order").write_text("answer")

    pages.on_request = order
    for number in range(PAGES):
        homes.append(tmp_path / f"worker{number}")
        with worker_of(servers, mesh, pages, homes[-1]) as worker:
            delivery_id = begin(mesh, account)  # the same one, as long as it is under way
            mesh.reconcile()
            assert worker.ended() == -signal.SIGKILL, worker.log[-3000:]
        mesh.lease_over()
    with worker_of(servers, mesh, pages, tmp_path / "last"):
        mesh.reconcile()
        eventually(lambda: mesh.delivery(delivery_id).settled_at, "the last one ends it", START_S)
    assert mesh.count("deliveries") == 1
    assert stored(mesh) == all_rows()
    assert set(pages.asked.values()) == {2}
