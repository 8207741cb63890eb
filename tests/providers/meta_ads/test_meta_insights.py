"""Insights: which days are read, in which pieces, and what becomes of too much data and slow reports."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from model import Cursor, Metric
from providers.errors import CredentialsRejected, InvalidPayload, Retryable
from providers.http import Answer
from providers.meta_ads.errors import TooMuchData
from tests.providers.doubles import NOW, Scripted, answer
from tests.providers.meta_ads.calls import (
    ACCOUNT,
    META_ID,
    TOO_MUCH,
    Stored,
    calling,
    error,
    page,
    params,
    path,
    run,
    waiting,
    walked,
)

TODAY = date(2026, 11, 23)  # 04:00 in Los Angeles
SYNC = {"integration_id": "x", "stream": "insights"}
ALL_READ = {"through": "2026-11-23", "late_at": "2026-11-23"}
RUN = "602300000000001"


def row(day: str = "2026-11-20", **more: Any) -> dict[str, Any]:
    return {"campaign_id": META_ID, "date_start": day, "date_stop": day, "impressions": "10", "spend": "1.50", **more}


def read_before(**cursor: str) -> Stored:
    return Stored(cursors={"insights": {**ALL_READ, **cursor}})


def since(days_ago: int) -> dict[str, str]:
    return {**SYNC, "since": (TODAY - timedelta(days=days_ago)).isoformat()}


def asked_days(scripted: Scripted) -> list[tuple[str, str]]:
    """The time ranges of the requests that had one."""
    ranges = [json.loads(given["time_range"]) for each in scripted.requests if "time_range" in (given := params(each))]
    return [(each["since"], each["until"]) for each in ranges]


def asked_for(run_id: str = RUN) -> Answer:
    return answer(200, {"report_run_id": run_id})


def polled(status: str, percent: int = 0, **more: Any) -> Answer:
    return answer(200, {"async_status": status, "async_percent_completion": percent, **more})


# --------------------------------------------------------------------------------------------------------------- rows


def test_a_row_is_a_day_of_a_campaign() -> None:
    given = row(
        clicks="181",
        impressions="10422",
        spend="63.08",
        reach="9001",
        account_currency="EUR",
        campaign_name="Spring",
        actions=[
            {"action_type": "link_click", "value": "150"},
            {"action_type": "purchase", "value": "3", "7d_click": "2"},
            {"action_type": "omni_purchase", "value": "4"},
        ],
        action_values=[{"action_type": "omni_purchase", "value": "120.50"}],
    )
    _, last = walked(Scripted(page([given])), "sync.due", SYNC, read_before())
    assert last.records is not None
    assert last.records.metrics == (
        Metric(
            level="campaign",
            external_id=META_ID,
            day=date(2026, 11, 20),
            impressions=10422,
            clicks=181,
            spend=Decimal("63.08"),
            currency="EUR",
            conversions=Decimal(4),
            details={
                "campaign_name": "Spring",
                "reach": "9001",
                "actions": {"link_click": "150", "purchase": "3", "omni_purchase": "4"},
                "purchase_action": "omni_purchase",
                "purchase_value": "120.50",
            },
        ),
    )


@pytest.mark.parametrize(
    ("wanted", "actions", "count"),
    [
        (None, {"purchase": "3", "offsite_conversion.fb_pixel_purchase": "2"}, Decimal(3)),
        (None, {"offsite_conversion.fb_pixel_purchase": "2"}, Decimal(2)),
        (None, {"link_click": "9"}, None),
        ("lead", {"lead": "5", "purchase": "3"}, Decimal(5)),
        ("lead", {"purchase": "3"}, None),
    ],
)
def test_one_kind_of_purchase_counts_and_they_are_never_summed(
    wanted: str | None, actions: Mapping[str, str], count: Decimal | None
) -> None:
    given = row(actions=[{"action_type": name, "value": value} for name, value in actions.items()])
    config = {**ACCOUNT, "purchase_action": wanted}
    _, last = walked(Scripted(page([given])), "sync.due", SYNC, read_before(), config=config)
    assert last.records is not None
    assert last.records.metrics[0].conversions == count


def test_what_is_no_number_is_no_value_and_what_is_no_row_is_left_out() -> None:
    rows = [
        row(impressions=None, clicks="", spend="-"),
        {"campaign_id": META_ID},
        row("soon"),
        {"date_start": "2026-11-20"},
    ]
    _, last = walked(Scripted(page(rows)), "sync.due", SYNC, read_before())
    assert last.records is not None
    (only,) = last.records.metrics
    assert (only.impressions, only.clicks, only.spend, only.conversions, only.currency) == (
        None,
        None,
        None,
        None,
        "USD",
    )


# ------------------------------------------------------------------------------------------------------------- levels

LEVELS = {"account": "account", "campaign": "campaign", "ad_set": "adset", "ad": "ad"}
SET_ID, AD_ID = "120215000000000001", "120215000000000003"
WHOLE_ROW = {**row(), "account_id": "1234567890", "adset_id": SET_ID, "adset_name": "Women", "ad_id": AD_ID}


@pytest.mark.parametrize(
    ("level", "external_id", "kept"),
    [
        ("account", "1234567890", set()),
        ("ad_set", SET_ID, {"adset_name", "campaign_id"}),
        ("ad", AD_ID, {"adset_id", "adset_name", "campaign_id"}),
    ],
)
def test_days_of_a_level_name_what_they_are_of_and_what_that_is_in(
    level: str, external_id: str, kept: set[str]
) -> None:
    scripted = Scripted(page([WHOLE_ROW]))
    config = {**ACCOUNT, "levels": level}
    _, last = walked(scripted, "sync.due", SYNC, read_before(), config=config)
    assert params(scripted.requests[0])["level"] == LEVELS[level]
    assert last.records is not None
    (metric,) = last.records.metrics
    assert (metric.level, metric.external_id, metric.impressions) == (level, external_id, 10)
    assert kept == metric.details.keys()


def test_each_slice_is_read_by_all_levels_before_the_cursor_moves() -> None:
    scripted = Scripted(*[page([WHOLE_ROW], after="p2"), page([WHOLE_ROW]), page([WHOLE_ROW])] * 2)
    known = read_before(late_at="2026-11-22", through="2026-11-09")
    config = {**ACCOUNT, "levels": "campaign, ad"}
    steps, last = walked(scripted, "sync.due", since(13), known, config=config)
    asked = [params(each) for each in scripted.requests]
    assert [(each["level"], each.get("after")) for each in asked] == [
        ("campaign", None),
        ("campaign", "p2"),
        ("ad", None),
    ] * 2
    assert asked_days(scripted) == [("2026-11-10", "2026-11-16")] * 3 + [("2026-11-17", "2026-11-23")] * 3
    moved = [step.records is not None and step.records.cursor is not None for step in steps]
    assert moved == [False, False, True, False, False]
    assert last.result["rows"] == 6
    found = [metric.level for step in steps if step.records for metric in step.records.metrics]
    assert found == ["campaign", "campaign", "ad", "campaign", "campaign"]


def test_each_level_of_a_long_window_has_its_report() -> None:
    ready = (polled("Job Completed", 100), page([WHOLE_ROW]))
    scripted = Scripted(asked_for("1"), *ready, asked_for("2"), *ready)
    days = {**since(31), "since": "2026-10-23"}
    first = run(calling(scripted, "sync.due", days, known=read_before(), config={**ACCOUNT, "levels": "ad_set ad"}))
    progress = waiting(first).progress
    for _ in range(5):
        step = waiting(run(calling(scripted, "sync.due", days, known=read_before(), progress=progress)))
        progress = step.progress
    posted = [params(each) for each in scripted.requests if each.method == "POST"]
    assert [each["level"] for each in posted] == ["adset", "ad"]
    assert json.loads(posted[1]["fields"])[0] == "ad_id"
    assert step.records is not None
    assert step.records.cursor is not None
    assert progress["level"] == 0


def test_too_much_data_begins_the_slice_with_its_first_level_again() -> None:
    scripted = Scripted(page([WHOLE_ROW]), TOO_MUCH, *[page([])] * 6)
    steps, _ = walked(scripted, "sync.due", SYNC, read_before(), config={**ACCOUNT, "levels": "campaign,ad"})
    assert [params(each)["level"] for each in scripted.requests][:4] == ["campaign", "ad", "campaign", "ad"]
    assert (steps[1].progress["days"], steps[1].progress["level"], steps[1].progress["read"]) == (3, 0, 0)


def test_a_level_that_nobody_knows_is_told_before_anything_is_read() -> None:
    with pytest.raises(InvalidPayload, match="`levels` names adset: there are account, campaign, ad_set, ad") as wrong:
        run(calling(Scripted(), "sync.due", SYNC, config={**ACCOUNT, "levels": "campaign adset"}))
    assert wrong.value.code == "invalid_config"


def test_a_walk_that_began_before_there_were_levels_goes_on() -> None:
    first = waiting(run(calling(Scripted(page([row()], after="p2")), "sync.due", SYNC, known=read_before())))
    older = {name: value for name, value in first.progress.items() if name not in ("level", "levels")}
    scripted = Scripted(page([row()]))
    last = run(calling(scripted, "sync.due", SYNC, known=read_before(), progress=older))
    assert params(scripted.requests[0])["level"] == "campaign"
    assert last.records is not None
    assert last.records.metrics[0].level == "campaign"


# --------------------------------------------------------------------------------------------------------------- days


def test_a_week_is_read_at_once_in_the_accounts_own_days() -> None:
    scripted = Scripted(page([row()]))
    steps, last = walked(scripted, "sync.due", SYNC, read_before())
    (request,) = scripted.requests
    given = params(request)
    assert steps == []
    assert path(request) == "GET /v25.0/act_1234567890/insights"
    assert asked_days(scripted) == [("2026-11-17", "2026-11-23")]
    assert (given["level"], given["time_increment"], given["limit"]) == ("campaign", "1", "100")
    assert json.loads(given["action_attribution_windows"]) == ["7d_click", "1d_view"]
    assert given["fields"].split(",")[:3] == ["campaign_id", "campaign_name", "objective"]
    assert last.result == {"since": "2026-11-17", "until": "2026-11-23", "rows": 1}
    assert last.records is not None
    assert last.records.cursor == Cursor("insights", ALL_READ, finished=True)


def test_four_weeks_are_read_in_slices_once_a_day_and_the_cursor_moves_with_each() -> None:
    scripted = Scripted(page([row()], after="p2"), page([row()]), page([]), page([row()]), page([row()]))
    known = read_before(late_at="2026-11-22", through="2026-11-22")
    steps, last = walked(scripted, "sync.due", SYNC, known)
    assert asked_days(scripted) == [
        ("2026-10-27", "2026-11-02"),
        ("2026-10-27", "2026-11-02"),
        ("2026-11-03", "2026-11-09"),
        ("2026-11-10", "2026-11-16"),
        ("2026-11-17", "2026-11-23"),
    ]
    assert [params(each).get("after") for each in scripted.requests] == [None, "p2", None, None, None]
    assert [step.progress["done"] for step in steps] == [0, 7, 14, 21]
    assert {step.progress["of"] for step in steps} == {28}
    cursors = [step.records.cursor for step in steps if step.records is not None]
    assert cursors[0] is None  # the slice has another page
    assert [each.value["through"] for each in cursors[1:] if each] == ["2026-11-22"] * 3  # it never goes back
    assert known.cursors["insights"] == ALL_READ
    assert last.result["rows"] == 4


def test_a_crash_goes_on_where_the_last_step_was_committed() -> None:
    known = read_before(late_at="2026-11-22")
    first = waiting(run(calling(Scripted(page([row()], after="p2")), "sync.due", SYNC, known=known)))
    for _ in range(2):  # the step after it is done twice
        scripted = Scripted(page([row("2026-10-28")]))
        second = waiting(run(calling(scripted, "sync.due", SYNC, known=known, progress=first.progress)))
        assert params(scripted.requests[0])["after"] == "p2"
        assert second.progress["from"] == "2026-11-03"
        assert second.progress["rows"] == 2


def test_rows_that_are_read_again_count_once() -> None:
    scripted = Scripted(page([row()], after="p2"), TOO_MUCH, *[page([row()])] * 3)
    _, last = walked(scripted, "sync.due", SYNC, read_before())
    assert last.result["rows"] == 3


def test_a_slice_whose_page_is_too_old_is_read_anew() -> None:
    first = waiting(run(calling(Scripted(page([row()], after="p2")), "sync.due", SYNC, known=read_before())))
    scripted = Scripted(page([row()]))
    run(calling(scripted, "sync.due", SYNC, progress=first.progress, now=NOW + timedelta(hours=13)))
    assert "after" not in params(scripted.requests[0])


# ------------------------------------------------------------------------------------------------------ too much data


def test_too_much_data_halves_the_slice_and_then_the_page() -> None:
    refused = [TOO_MUCH, error(100, 1487534), TOO_MUCH, TOO_MUCH]
    pages = [page([row()], after="p2"), *[page([row()]) for _ in range(5)]]
    scripted = Scripted(*refused[:3], *pages[:1], refused[3], *[page([row()]) for _ in range(5)])
    _, last = walked(scripted, "sync.due", since(4), read_before())
    asked = [params(each) for each in scripted.requests]
    days = [(date.fromisoformat(b) - date.fromisoformat(a)).days + 1 for a, b in asked_days(scripted)]
    assert days == [5, 2, 1, 1, 1, 1, 1, 1, 1, 1]
    assert [each["limit"] for each in asked] == ["100", "100", "100", "50", "50", *["25"] * 5]
    assert [each.get("after") for each in asked[3:6]] == [None, "p2", "p2"]
    assert last.result["rows"] == 6


def test_one_row_of_one_day_that_is_too_much_is_an_error() -> None:
    with pytest.raises(TooMuchData) as failed:
        walked(Scripted(*[TOO_MUCH] * 20), "sync.due", since(3), read_before())
    assert not failed.value.holds


# ------------------------------------------------------------------------------------------------------------ reports


def test_a_long_window_is_read_from_reports() -> None:
    report = [asked_for(), polled("Job Not Started"), polled("Job Running", 40), polled("Job Completed", 99),
              polled("Job Completed", 100)]  # fmt: skip
    rest = [asked_for("602300000000002"), polled("Job Completed", 100), page([row()]), asked_for("602300000000003"),
            polled("Job Completed", 100), page([])]  # fmt: skip
    scripted = Scripted(*report, page([row("2026-08-26")], after="p2"), page([row("2026-08-27")]), *rest)
    known = Stored()
    steps, last = walked(scripted, "sync.due", SYNC, known)
    assert [path(each) for each in scripted.requests] == [
        "POST /v25.0/act_1234567890/insights",
        *[f"GET /v25.0/{RUN}"] * 4,
        *[f"GET /v25.0/{RUN}/insights"] * 2,
        "POST /v25.0/act_1234567890/insights",
        "GET /v25.0/602300000000002",
        "GET /v25.0/602300000000002/insights",
        "POST /v25.0/act_1234567890/insights",
        "GET /v25.0/602300000000003",
        "GET /v25.0/602300000000003/insights",
    ]
    assert asked_days(scripted) == [
        ("2026-08-26", "2026-09-25"),
        ("2026-09-26", "2026-10-26"),
        ("2026-10-27", "2026-11-23"),
    ]
    assert json.loads(params(scripted.requests[0])["fields"])[0] == "campaign_id"
    assert params(scripted.requests[5]) == {"limit": "500"}
    assert params(scripted.requests[6]) == {"limit": "500", "after": "p2"}
    assert [step.wait_s for step in steps[:5]] == [2, 3, 4.5, 6.75, 0]
    assert steps[0].external_id == RUN
    throughs = [step.records.cursor.value["through"] for step in steps if step.records and step.records.cursor]
    assert throughs == ["2026-09-25", "2026-10-26"]
    assert [steps[6].progress[name] for name in ("done", "of")] == [31, 90]
    assert known.cursors["insights"] == ALL_READ
    assert last.result == {"since": "2026-08-26", "until": "2026-11-23", "rows": 3}


def test_the_polls_come_no_further_apart_than_a_minute() -> None:
    scripted = Scripted(asked_for(), *[polled("Job Running", 5)] * 11, error(190, 463))
    waits: list[float] = []
    progress: Mapping[str, Any] = {}
    for _ in range(12):
        step = waiting(run(calling(scripted, "sync.due", SYNC, progress=progress)))
        waits, progress = [*waits, step.wait_s], step.progress
    assert waits[-3:] == [60, 60, 60]
    with pytest.raises(CredentialsRejected):
        run(calling(scripted, "sync.due", SYNC, progress=progress))


@pytest.mark.parametrize("status", ["Job Failed", "Job Skipped"])
def test_a_report_that_failed_is_asked_for_in_halves(status: str) -> None:
    failed = polled(status, error_message="Ask for less.")
    scripted = Scripted(asked_for(), failed, asked_for(), failed, asked_for())
    progress: Mapping[str, Any] = {}
    for _ in range(5):
        progress = waiting(run(calling(scripted, "sync.due", SYNC, progress=progress))).progress
    assert [until for _, until in asked_days(scripted)] == ["2026-09-25", "2026-09-09", "2026-09-01"]


def test_a_day_whose_report_fails_is_read_without_one() -> None:
    failed = polled("Job Failed", error_message="It broke.")
    scripted = Scripted(*[asked_for(), failed] * 5, page([row("2026-08-26")]), error(190, 463))
    with pytest.raises(CredentialsRejected):
        walked(scripted, "sync.due", SYNC)
    *_, day, following = scripted.requests
    assert path(day) == path(following) == "GET /v25.0/act_1234567890/insights"
    assert asked_days(scripted)[-3:] == [("2026-08-26", "2026-08-26")] * 2 + [("2026-08-27", "2026-08-27")]
    assert params(day)["limit"] == "100"


def test_a_report_that_takes_more_than_an_hour_is_given_up() -> None:
    asked = waiting(run(calling(Scripted(asked_for()), "sync.due", SYNC)))
    later = NOW + timedelta(minutes=61)
    step = waiting(
        run(calling(Scripted(polled("Job Running", 90)), "sync.due", SYNC, progress=asked.progress, now=later))
    )
    assert (step.progress["run"], step.progress["days"]) == (None, 15)


def test_a_window_that_is_too_much_for_a_report_is_halved() -> None:
    scripted = Scripted(TOO_MUCH, asked_for())
    first = waiting(run(calling(scripted, "sync.due", SYNC)))
    run(calling(scripted, "sync.due", SYNC, progress=first.progress))
    assert [until for _, until in asked_days(scripted)] == ["2026-09-25", "2026-09-09"]


def test_a_page_of_a_report_that_is_too_much_is_halved_and_the_report_stays() -> None:
    scripted = Scripted(asked_for(), polled("Job Completed", 100), TOO_MUCH, page([row()], after="p2"))
    progress: Mapping[str, Any] = {}
    for _ in range(4):
        progress = waiting(run(calling(scripted, "sync.due", SYNC, progress=progress))).progress
    assert [params(each).get("limit") for each in scripted.requests[2:]] == ["500", "250"]
    assert (progress["run"], progress["days"]) == (RUN, 31)


def test_a_report_that_is_gone_is_asked_for_again() -> None:
    scripted = Scripted(asked_for(), polled("Job Completed", 100), error(100, 33), asked_for())
    progress: Mapping[str, Any] = {}
    for _ in range(3):
        progress = waiting(run(calling(scripted, "sync.due", SYNC, progress=progress))).progress
    assert progress["run"] is None
    with pytest.raises(InvalidPayload):  # an account that is gone is no report
        run(calling(Scripted(error(100, 33)), "sync.due", SYNC, known=read_before()))


# ------------------------------------------------------------------------------------------------------ being patient


def test_the_account_is_left_alone_as_the_headers_say() -> None:
    def used(percent: int) -> dict[str, str]:
        return {"x-fb-ads-insights-throttle": json.dumps({"app_id_util_pct": 10, "acc_id_util_pct": percent})}

    pages = [page([row()], after=f"p{percent}", headers=used(percent)) for percent in (75, 76, 91)]
    steps, _ = walked(Scripted(*pages, page([])), "sync.due", SYNC, read_before())
    assert [step.wait_s for step in steps] == [0, 5, 60]


def test_a_limit_holds_up_this_walk_only() -> None:
    with pytest.raises(Retryable) as limited:
        walked(Scripted(error(80000, 2446079)), "sync.due", SYNC, read_before())
    assert not limited.value.holds


def test_another_version_is_told() -> None:
    served = page([], headers={"facebook-api-version": "v26.0"})
    _, last = walked(Scripted(served), "sync.due", SYNC, read_before())
    assert last.result["served_version"] == "v26.0"
