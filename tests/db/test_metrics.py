"""Days of ad accounts: many at once, null as null, in any order from anybody."""

from __future__ import annotations

import random
import threading
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event

import db.metrics
from db.metrics import CHUNK, Row
from model import Metric
from tests.mesh import Mesh

DAY = date(2026, 9, 1)
BEFORE = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def account(mesh: Mesh) -> UUID:
    return mesh.account()


def stored(mesh: Mesh, *rows: Row) -> None:
    with mesh.engine.begin() as connection:
        db.metrics.upsert(connection, rows)


def days(account: UUID, count: int, *, impressions: int = 1) -> list[Row]:
    """So many rows, fifty objects a day."""
    return [
        Row(account, Metric("ad", f"ad{n % 50}", DAY + timedelta(days=n // 50), impressions=impressions), "{}")
        for n in range(count)
    ]


def test_what_is_none_is_null_and_what_is_a_number_is_exact(mesh: Mesh, account: UUID) -> None:
    full = Metric("campaign", "c1", DAY, 7, 3, Decimal("0.1"), "EUR", Decimal("2.5"))
    stored(mesh, Row(account, full, '{"reach": 5}'), Row(account, Metric("campaign", "c2", DAY), "{}"))
    columns = "impressions, clicks, spend, currency, conversions, details"
    rows = mesh.sql(f"select {columns} from ad_metrics order by external_id")
    assert tuple(rows[0]) == (7, 3, Decimal("0.1"), "EUR", Decimal("2.5"), {"reach": 5})
    assert tuple(rows[1]) == (None, None, None, None, None, {})


def test_the_last_word_of_the_platform_stands_even_where_it_is_no_value(mesh: Mesh, account: UUID) -> None:
    stored(mesh, Row(account, Metric("ad", "a", DAY, 7, 3, Decimal(1)), '{"x": 1}'))
    mesh.sql("update ad_metrics set fetched_at = now() - interval '1 day'")
    stored(mesh, Row(account, Metric("ad", "a", DAY, 8, None, Decimal(2)), "{}"))
    (row,) = mesh.sql("select *, fetched_at > now() - interval '1 hour' as fresh from ad_metrics")
    assert (row.impressions, row.clicks, row.spend, row.details, row.fresh) == (8, None, 2, {}, True)


def test_thousands_of_rows_are_a_few_statements(mesh: Mesh, account: UUID) -> None:
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    event.listen(mesh.engine, "before_cursor_execute", note)
    stored(mesh, *days(account, 2 * CHUNK + 1))
    assert len(statements) == 3
    assert mesh.count("ad_metrics") == 2 * CHUNK + 1


def test_a_row_that_is_wrong_leaves_none_of_its_commit(mesh: Mesh, account: UUID) -> None:
    good, bad = days(account, 1)[0], Row(account, Metric("ad", "b", DAY, impressions=-1), "{}")
    with pytest.raises(Exception, match="ad_metrics_impressions_check"):
        stored(mesh, good, bad)
    assert mesh.count("ad_metrics") == 0


def test_the_same_rows_from_two_sides_in_any_order_never_block_each_other_for_good(mesh: Mesh, account: UUID) -> None:
    failed: list[Exception] = []

    def write(seed: int) -> None:
        shuffled = random.Random(seed)
        try:
            for _ in range(15):
                rows = days(account, 400, impressions=seed)
                shuffled.shuffle(rows)
                stored(mesh, *rows)
        except Exception as error:  # noqa: BLE001 - looked at below
            failed.append(error)

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert mesh.count("ad_metrics") == 400


def test_what_was_fetched_since(mesh: Mesh, account: UUID) -> None:
    stored(mesh, *days(account, 120))
    other = mesh.account(tenant="other")
    stored(mesh, *days(other, 1))
    mesh.sql("update ad_metrics set fetched_at = %(before)s where external_id = 'ad1'", before=BEFORE)
    with mesh.engine.begin() as connection:
        found = db.metrics.fetched_since(connection, account, BEFORE + timedelta(days=1))
    assert (found.rows, found.days) == (117, 3)
