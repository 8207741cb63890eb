"""Group commit: what waits while one batch is written goes into the next, group by group."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import wait

import pytest

from worker.batching import GroupCommit

PATIENCE_S = 10


class Writer:
    """Handles batches; each waits until the test lets it go."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.begun = threading.Semaphore(0)
        self.go = threading.Semaphore(0)

    def __call__(self, batch: Sequence[int]) -> list[int]:
        self.batches.append(list(batch))
        self.begun.release()
        assert self.go.acquire(timeout=PATIENCE_S)
        if 13 in batch:
            raise ValueError("thirteen")
        return [item * 10 for item in batch]


@pytest.fixture
def writer() -> Writer:
    return Writer()


@pytest.fixture
def group(writer: Writer) -> Iterator[GroupCommit[int, int]]:
    group = GroupCommit[int, int]("test", writer, limit=4)
    yield group
    for _ in range(20):
        writer.go.release()
    group.close(PATIENCE_S)


def begun(writer: Writer) -> None:
    assert writer.begun.acquire(timeout=PATIENCE_S)


def test_what_comes_while_one_is_written_is_written_together(writer: Writer, group: GroupCommit[int, int]) -> None:
    first = group.submit([1])
    begun(writer)
    others = [group.submit([n]) for n in (2, 3, 4)]
    assert not first.done()
    writer.go.release(2)
    assert [f.result(PATIENCE_S) for f in (first, *others)] == [[10], [20], [30], [40]]
    assert writer.batches == [[1], [2, 3, 4]]


def test_a_group_is_one_future_and_stays_together(writer: Writer, group: GroupCommit[int, int]) -> None:
    first = group.submit([1])
    begun(writer)
    pair, three, one = (group.submit(items) for items in ([2, 3], [4, 5, 6], [7]))
    writer.go.release(3)
    assert [f.result(PATIENCE_S) for f in (first, pair, three, one)] == [[10], [20, 30], [40, 50, 60], [70]]
    assert writer.batches == [[1], [2, 3], [4, 5, 6, 7]], "three more would have been one too many"


def test_a_group_larger_than_the_limit_is_a_batch_of_its_own(writer: Writer, group: GroupCommit[int, int]) -> None:
    first = group.submit([1])
    begun(writer)
    large, after = group.submit(range(2, 12)), group.submit([12])
    writer.go.release(3)
    assert large.result(PATIENCE_S) == [n * 10 for n in range(2, 12)]
    assert after.result(PATIENCE_S) == [120]
    assert first.result(PATIENCE_S) == [10]
    assert writer.batches == [[1], list(range(2, 12)), [12]]


def test_an_empty_group_ends_with_nothing(writer: Writer, group: GroupCommit[int, int]) -> None:
    first = group.submit([1])
    begun(writer)
    nothing, something = group.submit([]), group.submit([2])
    writer.go.release(2)
    assert [f.result(PATIENCE_S) for f in (first, nothing, something)] == [[10], [], [20]]


def test_a_batch_has_at_most_its_limit(writer: Writer, group: GroupCommit[int, int]) -> None:
    first = group.submit([1])
    begun(writer)
    others = [group.submit([n]) for n in range(2, 12)]
    writer.go.release(10)
    wait([first, *others], PATIENCE_S)
    assert [len(batch) for batch in writer.batches] == [1, 4, 4, 2]
    assert [item for batch in writer.batches for item in batch] == list(range(1, 12)), "in order"


def test_an_exception_reaches_everybody_in_its_batch_and_nobody_else(
    writer: Writer, group: GroupCommit[int, int]
) -> None:
    before = group.submit([1])
    begun(writer)
    unlucky = [group.submit([n]) for n in (13, 14)]
    writer.go.release()
    begun(writer)
    after = group.submit([2])
    writer.go.release(2)
    assert before.result(PATIENCE_S) == [10]
    for each in unlucky:
        with pytest.raises(ValueError, match="thirteen"):
            each.result(PATIENCE_S)
    assert after.result(PATIENCE_S) == [20]


def test_closing_writes_what_waits_and_takes_nothing_more(writer: Writer, group: GroupCommit[int, int]) -> None:
    first = group.submit([1])
    begun(writer)
    waiting = [group.submit([n]) for n in range(2, 8)]
    closing = threading.Thread(target=group.close, args=(PATIENCE_S,))
    closing.start()
    writer.go.release(10)
    closing.join(PATIENCE_S)
    assert not closing.is_alive()
    assert [f.result(0) for f in (first, *waiting)] == [[10 * n] for n in range(1, 8)]
    with pytest.raises(RuntimeError, match="shutting down"):
        group.submit([9])


def test_many_threads_each_get_their_own_answer() -> None:
    group = GroupCommit[int, int]("test", lambda batch: [item + 1 for item in batch], limit=7)
    wrong: list[int] = []

    def submit(start: int) -> None:
        wrong.extend(n for n in range(start, start + 200) if group.submit([n]).result(PATIENCE_S) != [n + 1])

    threads = [threading.Thread(target=submit, args=(n * 1000,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    group.close(PATIENCE_S)
    assert wrong == []


def test_a_handler_that_answers_too_few_fails_its_batch_and_no_other() -> None:
    answers = iter([[], [2]])
    batches: GroupCommit[int, int] = GroupCommit("odd", lambda batch: next(answers), limit=1)
    first, second = batches.submit([1]), batches.submit([2])
    with pytest.raises(ValueError, match="0 results for 1 items"):
        first.result(PATIENCE_S)
    assert second.result(PATIENCE_S) == [2]
    batches.close(PATIENCE_S)
