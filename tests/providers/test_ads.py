"""What the ad platforms share: names that carry our key, the days that are due, and people's data."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from model import Cursor, Done, Link
from providers import ads, streams
from providers.ads import FIRST_DAYS, Window
from providers.contract import Call, Provider
from providers.errors import InvalidPayload, RateLimited, Refused, Retryable, Unsupported
from tests.providers.doubles import NOW, Scripted, a_call

PROVIDER = Provider("a_platform", "A Platform", "https://api.example", "https://docs.example", "v1", "oauth2", {})
TODAY = date(2026, 11, 23)
STREAM = "insights"


class Stored:
    """One link and one cursor."""

    def __init__(self, link: Link | None = None, cursor: Mapping[str, Any] | None = None) -> None:
        self._link, self._cursor = link, cursor or {}

    def link(self, key: str) -> Link | None:
        return self._link

    def cursor(self, stream: str) -> Mapping[str, Any]:
        assert stream == STREAM
        return self._cursor


def calling(data: Mapping[str, Any], cursor: Mapping[str, Any] | None = None, **more: Any) -> Call:
    return a_call(PROVIDER, Scripted(), "sync.due", data, **{"known": Stored(cursor=cursor), **more})


# ---------------------------------------------------------------------------------------------------------- campaigns


@pytest.mark.parametrize("name", ["Spring", "Spring [draft]", "[x]", "", "Spring  ", "ü" * 300])
@pytest.mark.parametrize("key", ["cmp_1", "c" * 255, "a/b:c d", "ключ"])
def test_a_name_carries_its_key(name: str, key: str) -> None:
    marked = ads.marked(name, key, 400)
    assert len(marked) <= 400
    assert ads.key_in(marked) == key
    assert ads.marked(marked[: -len(f" [{key}]")], key, 400) == marked


@pytest.mark.parametrize(
    "name", ["Spring", "Spring [cmp_1] sale", "Spring[cmp_1]", "Spring []", "Spring [a]b]", "[cmp_1]"]
)
def test_a_name_that_carries_no_key(name: str) -> None:
    assert ads.key_in(name) is None


def test_a_long_name_is_cut_and_its_key_is_not() -> None:
    assert ads.marked("A long name", "cmp_1", 15) == "A long [cmp_1]"


@pytest.mark.parametrize("key", ["cmp[1]", "]", "a]b"])
def test_a_key_that_a_name_cannot_carry_is_refused_before_it_costs_anything(key: str) -> None:
    with pytest.raises(InvalidPayload, match="bracket"):
        ads.marked("Spring", key, 400)


LINK = Link("120", "cmp_1", "ACTIVE")
PAUSED = {"campaign_id": "cmp_1"}


def test_a_known_campaign_is_not_looked_for() -> None:
    def never(call: Call) -> Link | None:
        raise AssertionError("It is known.")

    assert ads.link_of(calling(PAUSED, known=Stored(LINK)), never) == LINK


def test_an_unknown_campaign_is_looked_for() -> None:
    assert ads.link_of(calling(PAUSED), lambda call: LINK) == LINK


def test_a_deleted_campaign_is_told() -> None:
    gone = Stored(replace(LINK, deleted=True))
    with pytest.raises(InvalidPayload) as refused:
        ads.link_of(calling(PAUSED, known=gone), lambda call: None)
    assert refused.value.code == "campaign_deleted"


@pytest.mark.parametrize(
    ("age_s", "kind", "code"), [(899, Retryable, "not_linked_yet"), (900, InvalidPayload, "not_linked")]
)
def test_a_campaign_that_is_nowhere_is_waited_for_a_while(age_s: int, kind: type[Exception], code: str) -> None:
    call = calling(PAUSED, first_attempt_at=NOW - timedelta(seconds=age_s))
    with pytest.raises(kind) as failed:
        ads.link_of(call, lambda call: None)
    assert getattr(failed.value, "code", None) == code


@pytest.mark.parametrize(("applied_s", "late"), [(None, False), (-1, False), (0, False), (1, True)])
def test_an_event_that_is_older_than_what_was_applied_changes_nothing(applied_s: int | None, late: bool) -> None:
    applied_at = None if applied_s is None else NOW + timedelta(seconds=applied_s)
    outcome = ads.superseded(calling(PAUSED), replace(LINK, applied_at=applied_at))
    assert (outcome is not None) == late


# --------------------------------------------------------------------------------------------------------------- days


def test_a_window_is_cut_and_halved_without_losing_a_day() -> None:
    window = Window(date(2026, 1, 30), date(2026, 2, 12))
    assert window.days == 14
    for days in range(1, 20):
        pieces = list(window.cut(days))
        assert sum(piece.days for piece in pieces) == 14
        assert max(piece.days for piece in pieces) <= days
        assert (pieces[0].since, pieces[-1].until) == (window.since, window.until)
    for length in range(2, 9):
        first, second = next(window.cut(length)).halves()
        assert first.days + second.days == length
        assert second.since == first.until + timedelta(days=1)


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("America/Los_Angeles", 23),
        ("Pacific/Kiritimati", 24),
        ("Nowhere/At_All", 23),
        (None, 23),
        ("", 23),
        ("../x", 23),
    ],
)
def test_the_day_it_is_at_the_account(zone: str | None, day: int) -> None:
    assert ads.today(calling({}, config={"timezone": zone})) == date(2026, 11, day)


def days_ago(days: int) -> str:
    return (TODAY - timedelta(days=days)).isoformat()


@pytest.mark.parametrize(
    ("data", "cursor", "first"),
    [
        ({}, {}, 89),  # the first walk
        ({"full": True}, {"through": days_ago(0), "late_at": days_ago(0)}, 89),
        ({}, {"through": days_ago(0), "late_at": days_ago(0)}, 6),
        ({}, {"through": days_ago(0), "late_at": days_ago(1)}, 27),  # the first of today
        ({}, {"through": days_ago(0)}, 27),
        ({}, {"through": days_ago(20), "late_at": days_ago(0)}, 20),
        ({}, {"through": days_ago(40), "late_at": days_ago(40)}, 40),
        ({}, {"through": days_ago(400), "late_at": days_ago(400)}, 89),  # no further back on its own
        ({"since": days_ago(200)}, {"through": days_ago(0)}, 200),
        ({"since": days_ago(2)}, {}, 2),
        ({"since": days_ago(-5)}, {}, 0),  # a day to come
    ],
)
def test_the_days_that_are_due(data: dict[str, Any], cursor: dict[str, Any], first: int) -> None:
    window = ads.window_due(calling(data, cursor), STREAM)
    assert (window.since.isoformat(), window.until) == (days_ago(first), TODAY)


def test_a_day_that_is_none_is_told() -> None:
    with pytest.raises(InvalidPayload, match="'last week' is no day: write it as 2026-03-31"):
        ads.window_due(calling({"since": "last week"}), STREAM)


def moved(data: dict[str, Any], cursor: dict[str, Any], done: int, *, finished: bool = False) -> Cursor:
    call = calling(data, cursor)
    window = ads.window_due(call, STREAM)
    return ads.cursor_through(call, STREAM, window, date.fromisoformat(days_ago(done)), finished=finished)


def test_the_cursor_moves_with_the_days_that_are_stored() -> None:
    assert moved({}, {}, 80) == Cursor(STREAM, {"through": days_ago(80)})
    assert moved({}, {"through": days_ago(80)}, 0, finished=True) == Cursor(
        STREAM, {"through": days_ago(0), "late_at": days_ago(0)}, finished=True
    )


def test_the_cursor_never_goes_back() -> None:
    before = {"through": days_ago(0), "late_at": days_ago(1)}
    assert moved({}, before, 20).value == before
    assert moved({"full": True}, before, 60).value == before


def test_a_short_walk_does_not_count_as_the_days_long_one() -> None:
    before = {"through": days_ago(1), "late_at": days_ago(0)}
    assert moved({}, before, 0, finished=True).value == {"through": days_ago(0), "late_at": days_ago(0)}
    late = {"through": days_ago(3), "late_at": days_ago(3)}
    assert moved({"since": days_ago(3)}, late, 0, finished=True).value == {
        "through": days_ago(0),
        "late_at": days_ago(3),
    }


@pytest.mark.parametrize("cursor", [{}, {"through": days_ago(30), "late_at": days_ago(30)}])
def test_a_walk_that_was_asked_for_later_days_leaves_those_before_to_be_read(cursor: dict[str, Any]) -> None:
    asked = moved({"since": days_ago(5)}, cursor, 0, finished=True)
    assert asked.value == cursor
    after = ads.window_due(calling({}, asked.value), STREAM)
    assert after.since <= TODAY - timedelta(days=30)


@pytest.mark.parametrize("through", [0, 1, 30, 89, 90, 400, None])
def test_a_walk_of_its_own_always_moves_the_cursor(through: int | None) -> None:
    cursor = {} if through is None else {"through": days_ago(through), "late_at": days_ago(through)}
    assert moved({}, cursor, 0, finished=True).value["through"] == days_ago(0)


def test_a_walk_that_was_asked_for_more_than_the_first_one_counts_as_it() -> None:
    assert moved({"since": days_ago(FIRST_DAYS + 100)}, {}, 0).value == {"through": days_ago(0)}


# -------------------------------------------------------------------------------------------------------------- syncs


def test_a_walk_takes_the_stream_that_is_named() -> None:
    walk = streams.walk({"campaigns": lambda call: Done({"read": "campaigns"}), "insights": lambda call: Done()})
    assert walk(calling({"stream": "campaigns"})) == Done({"read": "campaigns"})
    with pytest.raises(Unsupported, match="A Platform has no stream ads: there are campaigns, insights"):
        walk(calling({"stream": "ads"}))


def test_what_holds_up_a_walk_holds_up_nothing_else() -> None:
    def limited(call: Call) -> Done:
        raise RateLimited(wait_s=60)

    def refused(call: Call) -> Done:
        raise Refused("No.")

    walk = streams.walk({"a": limited, "b": refused})
    with pytest.raises(RateLimited) as held_up:
        walk(calling({"stream": "a"}))
    assert not held_up.value.holds
    with pytest.raises(Refused):
        walk(calling({"stream": "b"}))


# -------------------------------------------------------------------------------------------------- values and people


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("63.08", Decimal("63.08")),
        (" 7 ", Decimal(7)),
        (0, Decimal(0)),
        (250.1, Decimal("250.1")),
        ("-", None),
        ("", None),
        (None, None),
        (True, None),
        ("NaN", None),
        ("Infinity", None),
        ("1,000", None),
        ([], None),
    ],
)
def test_numbers_as_platforms_write_them(value: Any, number: Decimal | None) -> None:
    assert ads.decimal(value) == number
    assert ads.whole(value) == (None if number is None else int(number))


def test_moments() -> None:
    assert ads.moment(None, NOW) == NOW
    assert ads.moment("2026-11-23T10:00:00", NOW) == datetime(2026, 11, 23, 10, tzinfo=UTC)
    assert ads.unix_s("2026-11-23T11:00:00.900+01:00", NOW) == 1795428000
    assert ads.unix_s("", NOW) == int(NOW.timestamp())


def test_people_are_hashed_once() -> None:
    digest = hashlib.sha256(b"ann.lee@example.com").hexdigest()
    assert digest == "b7e0d8372a47f54bbefeb251ab9ac1e9e6b2d1983263de10196101be3961ed23"
    assert ads.hashed(" Ann.Lee@Example.com ", ads.email) == digest
    assert ads.hashed(digest.upper(), ads.email) == digest
    assert ads.hashed("nobody", ads.email) is None
    assert ads.hashed(None, ads.trimmed) is None
    assert ads.hashed("  ", ads.trimmed) is None
    assert ads.each_hashed(["Ann.Lee@example.com", "", "nobody"], ads.email) == [digest]
    assert ads.each_hashed(None, ads.email) == []
    assert ads.each_hashed("X", ads.trimmed) == [hashlib.sha256(b"x").hexdigest()]
