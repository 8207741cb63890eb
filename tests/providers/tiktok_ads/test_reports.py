"""The stream `insights`: all days there are, none twice, whatever the window's length and whatever fails."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from model import Cursor, Done, Metric, Records, Wait
from providers.errors import InvalidPayload, OutcomeUnknown, Refused, Retryable, Unavailable
from providers.http import Answer
from tests.providers.doubles import NOW, Scripted, answer
from tests.providers.tiktok_ads.platform import (
    CONFIG,
    EU,
    Account,
    Memory,
    body_of,
    calling,
    page_of,
    query_of,
    run,
    said,
)

SYNC = {"integration_id": "0192f0c1-7b1a-7c3e-9d55-3f1a2b4c5d6e", "stream": "insights"}
TODAY = NOW.date()
CAMPAIGN = 1801234567890123457


def row(day: str = "2026-11-20", metrics: Mapping[str, Any] | None = None, campaign: Any = CAMPAIGN) -> dict[str, Any]:
    counted = {"spend": "42.17", "impressions": "9120", "clicks": "133", "conversion": "-"}
    return {
        "dimensions": {"campaign_id": campaign, "stat_time_day": f"{day} 00:00:00"},
        "metrics": counted if metrics is None else metrics,
    }


def walked(scripted: Scripted, data: Mapping[str, Any], known: Memory | None = None) -> tuple[Done, list[Wait], Memory]:
    """All steps, each with what the one before left as JSON; cursors are stored between them."""
    known = known or Memory()
    waits: list[Wait] = []
    while True:
        progress = json.loads(json.dumps(waits[-1].progress)) if waits else {}
        outcome = run(calling(scripted, "sync.due", {**SYNC, **data}, progress=progress, known=known))
        known.store(outcome.records)
        if isinstance(outcome, Done):
            return outcome, waits, known
        waits.append(outcome)


def metrics_of(records: list[Records]) -> list[Metric]:
    return [metric for one in records for metric in one.metrics]


def since(days_ago: int) -> dict[str, str]:
    return {"since": (TODAY - timedelta(days_ago)).isoformat()}


def spans(scripted: Scripted) -> list[tuple[str, str]]:
    """First and last day of each report that was asked for at once."""
    queries = [query_of(one) for one in scripted.requests if "integrated" in one.url]
    return [(query["start_date"], query["end_date"]) for query in queries]


# ------------------------------------------------------------------------------------------------- against the stand-in


def check_totals(account: Account, first: date) -> None:
    """Every row of the stand-in's, once, with its numbers; deleted campaigns too."""
    last = account.now.astimezone(ZoneInfo("Europe/Berlin")).date()
    truth = account.do("totals", advertiser=EU, since=first.isoformat(), until=last.isoformat())
    metrics = metrics_of(account.records)
    assert len(metrics) == len({(one.external_id, one.day) for one in metrics}) == truth["rows"] > 0
    assert sum(one.impressions or 0 for one in metrics) == truth["impressions"]
    assert sum(one.clicks or 0 for one in metrics) == truth["clicks"]
    assert sum((one.spend or Decimal(0) for one in metrics), Decimal(0)) == Decimal(truth["spend"])
    assert sum((one.conversions or Decimal(0) for one in metrics), Decimal(0)) == truth["conversions"]
    assert {one.day for one in metrics} <= {first + timedelta(n) for n in range((last - first).days + 1)}
    assert any(one.conversions is None for one in metrics), "no value is not 0"


def berlin(account: Account) -> date:
    return account.now.astimezone(ZoneInfo("Europe/Berlin")).date()


def test_the_first_walk_reads_ninety_days(account: Account) -> None:
    outcome = account.publish("sync.due", SYNC)
    assert outcome.result["days"] == 90
    check_totals(account, berlin(account) - timedelta(89))
    assert account.requests("report/task/create/") >= 1
    assert account.known.cursors["insights"] == {
        "through": berlin(account).isoformat(),
        "late_at": berlin(account).isoformat(),
    }


@pytest.fixture
def short_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks of a span that is surely allowed; that of longer ones is unconfirmed."""
    monkeypatch.setattr("providers.tiktok_ads.reports.TASK_DAYS", 30)


@pytest.mark.usefixtures("short_tasks")
def test_a_long_window_is_read_by_tasks(account: Account) -> None:
    account.publish("sync.due", SYNC)
    check_totals(account, berlin(account) - timedelta(89))
    assert account.requests("report/task/create/") == 3
    assert account.requests("report/integrated/get/") == 0
    one_task = [2.0, 3.0, 5.0, 0]
    assert [wait.wait_s for wait in account.waits] == [*one_task, 0, *one_task, 0, *one_task]


def test_the_next_one_reads_a_week_at_once(account: Account) -> None:
    account.publish("sync.due", SYNC)
    account.records.clear()
    before = account.requests("report/integrated/get/")
    outcome = account.publish("sync.due", SYNC)
    assert outcome.result["days"] == 7
    check_totals(account, berlin(account) - timedelta(6))
    assert account.requests("report/integrated/get/") - before == 1


def test_forty_days_are_two_slices(account: Account) -> None:
    first = berlin(account) - timedelta(39)
    account.publish("sync.due", {**SYNC, "since": first.isoformat()})
    check_totals(account, first)
    assert account.requests("report/integrated/get/") == 2


def test_numbers_that_are_restated_are_read_again(account: Account) -> None:
    first = berlin(account) - timedelta(6)
    account.publish("sync.due", {**SYNC, "since": first.isoformat()})
    changed = account.do("restate", advertiser=EU, since=first.isoformat(), until=berlin(account).isoformat())
    assert changed["restated"] > 0
    account.records.clear()
    account.publish("sync.due", {**SYNC, "since": first.isoformat()})
    check_totals(account, first)


@pytest.mark.usefixtures("short_tasks")
def test_a_task_that_fails_is_made_once_more_and_then_read_in_slices(account: Account) -> None:
    account.do("set_polls", polls=1, end="FAILED")
    account.publish("sync.due", SYNC)
    check_totals(account, berlin(account) - timedelta(89))
    assert account.requests("report/task/create/") == 2
    assert account.requests("report/integrated/get/") == 3


def test_a_query_that_is_too_large_is_halved(account: Account) -> None:
    account.do("set_limits", report_rows=60)
    first = berlin(account) - timedelta(29)
    account.publish("sync.due", {**SYNC, "since": first.isoformat()})
    check_totals(account, first)
    assert account.requests("report/integrated/get/") > 4


@pytest.mark.usefixtures("short_tasks")
@pytest.mark.parametrize("path", ["report/task/create/", "report/task/check/", "report/task/download/"])
def test_a_task_that_is_lost_at_any_step_loses_no_day(account: Account, path: str) -> None:
    rule = {"path": f"/tiktok_ads/open_api/v1.3/{path}", "fault": "tiktok_ads:task_error", "times": 1}
    account.sandbox.control.rules([rule])
    account.publish("sync.due", SYNC)
    check_totals(account, berlin(account) - timedelta(89))
    assert account.requests("report/task/create/") == 4


# --------------------------------------------------------------------------------------------------------- in slices


def test_the_request() -> None:
    scripted = Scripted(page_of(row()))
    walked(scripted, since(6))
    query = query_of(scripted.requests[0])
    assert scripted.requests[0].shown_url.endswith("/open_api/v1.3/report/integrated/get/")
    assert {name: query[name] for name in ("advertiser_id", "report_type", "data_level", "page", "page_size")} == {
        "advertiser_id": EU,
        "report_type": "BASIC",
        "data_level": "AUCTION_CAMPAIGN",
        "page": "1",
        "page_size": "1000",
    }
    assert json.loads(query["dimensions"]) == ["campaign_id", "stat_time_day"]
    assert json.loads(query["metrics"])[:4] == ["spend", "impressions", "clicks", "conversion"]
    (filtering,) = json.loads(query["filtering"])
    assert filtering == {"field_name": "campaign_status", "filter_type": "IN", "filter_value": '["STATUS_ALL"]'}
    assert (query["start_date"], query["end_date"]) == ("2026-11-17", "2026-11-23")


def test_a_row_becomes_a_day_of_a_campaign() -> None:
    told = {"spend": "42.17", "impressions": "9120", "clicks": "133", "conversion": "4", "reach": "7000", "result": "-"}
    outcome, _, _ = walked(Scripted(page_of(row(metrics=told))), since(6))
    assert outcome.records is not None
    assert outcome.records.metrics == (
        Metric(
            "campaign",
            str(CAMPAIGN),
            date(2026, 11, 20),
            impressions=9120,
            clicks=133,
            spend=Decimal("42.17"),
            currency="EUR",
            conversions=Decimal(4),
            details={"reach": "7000"},
        ),
    )


@pytest.mark.parametrize(
    ("told", "read"),
    [
        ({"spend": "-", "impressions": "-", "clicks": "-", "conversion": "-"}, (None, None, None, None)),
        ({"spend": "", "impressions": None, "clicks": ""}, (None, None, None, None)),
        ({"spend": "0.00", "impressions": "0", "clicks": 0, "conversion": 0}, (Decimal("0.00"), 0, 0, Decimal(0))),
        (
            {"spend": 42.5, "impressions": 10, "clicks": 3.0, "conversion": "1.5"},
            (Decimal("42.5"), 10, 3, Decimal("1.5")),
        ),
    ],
)
def test_values_come_as_text_or_numbers_and_none_is_not_zero(told: dict[str, Any], read: tuple[Any, ...]) -> None:
    outcome, _, _ = walked(Scripted(page_of(row(metrics=told))), since(6))
    assert outcome.records is not None
    (metric,) = outcome.records.metrics
    assert (metric.spend, metric.impressions, metric.clicks, metric.conversions) == read


def test_today_is_provisional() -> None:
    outcome, _, _ = walked(Scripted(page_of(row("2026-11-22"), row("2026-11-23"))), since(6))
    assert outcome.records is not None
    assert [one.details.get("provisional") for one in outcome.records.metrics] == [None, True]


def test_the_day_is_that_of_the_account() -> None:
    scripted = Scripted(page_of())
    config = {**CONFIG, "timezone": "Asia/Tokyo"}
    late = NOW.replace(hour=20)
    run(calling(scripted, "sync.due", {**SYNC, **since(0)}, config=config, now=late))
    assert spans(scripted) == [("2026-11-23", "2026-11-24")]


def test_the_cursor_passes_a_slice_with_its_last_rows() -> None:
    scripted = Scripted(
        page_of(row("2026-10-20"), page=1, pages=2),
        page_of(row("2026-10-21"), page=2, pages=2),
        page_of(row("2026-11-20")),
    )
    outcome, waits, known = walked(scripted, since(39), Memory(cursors={"insights": {"through": "2026-11-10"}}))
    assert spans(scripted) == [("2026-10-15", "2026-11-13")] * 2 + [("2026-11-14", "2026-11-23")]
    assert [query_of(request)["page"] for request in scripted.requests] == ["1", "2", "1"]
    kept = [wait.records for wait in waits]
    assert [one is not None and one.cursor for one in kept] == [
        None,
        Cursor("insights", {"through": "2026-11-13"}, finished=False),
    ]
    assert [(wait.progress["done"], wait.progress["of"]) for wait in waits] == [(0, 40), (30, 40)]
    assert outcome.records is not None
    assert outcome.records.cursor is not None
    assert outcome.records.cursor.finished is True
    assert known.cursors["insights"] == {"through": "2026-11-23", "late_at": "2026-11-23"}


def test_too_large_is_halved_down_to_a_day_and_then_said() -> None:
    scripted = Scripted(*[said(code=40067)] * 6)
    with pytest.raises(InvalidPayload) as refused:
        walked(scripted, since(29))
    assert refused.value.code == "report_too_large"
    assert [end for _, end in spans(scripted)] == [
        (TODAY - timedelta(29 - days + 1)).isoformat() for days in (30, 15, 7, 3, 1)
    ]


@pytest.mark.parametrize(
    "rows",
    [
        [{"dimensions": {}}],
        [{"metrics": {}}],
        [row("yesterday")],
        [{"dimensions": None, "metrics": {}}],
        [row(campaign=None)],
    ],
)
def test_a_row_that_is_none_is_not_skipped(rows: list[Any]) -> None:
    with pytest.raises(Unavailable):
        walked(Scripted(page_of(*rows)), since(6))


# ----------------------------------------------------------------------------------------------------------- by tasks


HEADER = "campaign_id,stat_time_day,spend,impressions,clicks,conversion,reach"


def csv(*lines: str, bom: bool = False) -> Answer:
    return answer(200, (("\ufeff" if bom else "") + "\n".join((HEADER, *lines)) + "\n").encode())


def test_the_task() -> None:
    scripted = Scripted(
        said({"task_id": 7423456789012345678}),
        said({"status": "QUEUING"}),
        said({"status": "PROCESSING"}),
        said({"status": "SUCCESS"}),
        csv(f"{CAMPAIGN},2026-11-20 00:00:00,42.17,9120,133,-,7000", "Total,-,42.17,9120,133,-,-", bom=True),
    )
    outcome, waits, known = walked(scripted, {"full": True})
    created, *others = scripted.requests
    assert created.method == "POST"
    body = body_of(created)
    assert (body["output_format"], body["enable_report_title_translation"]) == ("CSV_STRING", False)
    assert (body["start_date"], body["end_date"], body["data_level"]) == (
        "2026-08-26",
        "2026-11-23",
        "AUCTION_CAMPAIGN",
    )
    assert body["filtering"][0]["filter_value"] == '["STATUS_ALL"]'
    assert [query_of(one)["task_id"] for one in others] == ["7423456789012345678"] * 4
    assert [one.shown_url.split("/")[-2] for one in others] == ["check", "check", "check", "download"]
    assert [wait.wait_s for wait in waits] == [2.0, 3.0, 5.0, 0]
    assert outcome.records is not None
    (metric,) = outcome.records.metrics
    assert (metric.external_id, metric.day, metric.spend) == (str(CAMPAIGN), date(2026, 11, 20), Decimal("42.17"))
    assert (metric.impressions, metric.clicks, metric.conversions) == (9120, 133, None)
    assert known.cursors["insights"]["through"] == "2026-11-23"


def test_two_years_are_several_tasks() -> None:
    one_task = [said({"task_id": "1"}), said({"status": "SUCCESS"}), csv()]
    scripted = Scripted(*one_task * 3)
    outcome, _, _ = walked(scripted, since(199))
    assert outcome.result["days"] == 200
    bodies = [body_of(one) for one in scripted.requests if one.method == "POST"]
    assert [(body["start_date"], body["end_date"]) for body in bodies] == [
        ("2026-05-08", "2026-08-05"),
        ("2026-08-06", "2026-11-03"),
        ("2026-11-04", "2026-11-23"),
    ]


def test_a_large_file_is_stored_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("providers.tiktok_ads.reports.ROWS_A_STEP", 2)
    file = csv(*(f"{CAMPAIGN + n},2026-11-20,1,2,3,4,5" for n in range(5)))
    scripted = Scripted(said({"task_id": "1"}), said({"status": "SUCCESS"}), file, file, file)
    outcome, waits, _ = walked(scripted, {"full": True})
    parts = [wait.records for wait in waits[2:]] + [outcome.records]
    assert [[int(one.external_id) - CAMPAIGN for one in part.metrics] for part in parts if part] == [
        [0, 1],
        [2, 3],
        [4],
    ]
    assert [part.cursor is not None for part in parts if part] == [False, False, True]


@pytest.mark.parametrize(
    "given",
    [
        [said({"status": "FAILED"})],
        [said({"status": "CANCELED"})],
        [said(code=40200)],
        [said(code=40007)],
        [said({"status": "SUCCESS"}), said(code=40200)],
        [said({"status": "SUCCESS"}), answer(200, b"<html>not a file</html>")],
        [said({"status": "SUCCESS"}), answer(200, b"Campaign ID,Date,Cost\n")],
        [said({"status": "SUCCESS"}), said({"download_url": "https://elsewhere.example/file.csv"})],
    ],
)
def test_a_task_that_fails_is_made_anew_once_and_its_days_are_read_in_slices(given: list[Answer]) -> None:
    task = [said({"task_id": "1"}), *given]
    scripted = Scripted(*task, *task, page_of(), page_of(), page_of())
    outcome, _, known = walked(scripted, {"full": True})
    assert outcome.result["days"] == 90
    assert sum(request.method == "POST" for request in scripted.requests) == 2
    assert len(spans(scripted)) == 3
    assert known.cursors["insights"]["through"] == "2026-11-23"


@pytest.mark.parametrize("code", [40002, 40067])
def test_a_task_that_is_not_taken_is_read_in_slices(code: int) -> None:
    scripted = Scripted(said(code=code), page_of(), page_of(), page_of())
    outcome, _, _ = walked(scripted, {"full": True})
    assert outcome.result["days"] == 90


def test_a_file_that_is_too_long_is_read_in_slices() -> None:
    ready = [said({"task_id": "1"}), said({"status": "SUCCESS"})]
    too_long = OutcomeUnknown("too long", code="answer_truncated")
    outcome, _, _ = walked(Scripted(*ready, too_long, page_of(), page_of(), page_of()), {"full": True})
    assert outcome.result["days"] == 90
    with pytest.raises(OutcomeUnknown):
        walked(Scripted(*ready, OutcomeUnknown("lost")), {"full": True})


def test_what_says_nothing_of_the_task_itself_does_not_end_it() -> None:
    for given in (said(code=40100), said(code=40001), said(code=50000)):
        with pytest.raises((Retryable, Refused)):
            walked(Scripted(said({"task_id": "1"}), given), {"full": True})


def test_waiting_grows_to_a_minute_and_ends_after_an_hour() -> None:
    task = [said({"task_id": "1"}), *[said({"status": "PROCESSING"})] * 30, said(code=40201)]
    waiting = [said({"status": "PROCESSING"})] * 30
    scripted = Scripted(*task, *waiting, said({"task_id": "2"}), said({"status": "SUCCESS"}), csv())
    _, waits, _ = walked(scripted, {"full": True})
    assert [wait.wait_s for wait in waits[:8]] == [2.0, 3.0, 5.0, 10.0, 20.0, 40.0, 60.0, 60.0]
    assert max(wait.wait_s for wait in waits) == 60.0
    assert sum(request.method == "POST" for request in scripted.requests) == 2
    assert sum(wait.wait_s for wait in waits) < 3700
