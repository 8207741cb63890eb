"""Reports of the Meta stand-in: days, sums, restatements, limits, and reports that are polled for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from sandbox.control import SandboxRefused
from sandbox.process import Sandbox, start
from tests.sandbox.meta import FIRST, GBP, JPY, USD, Graph, issue_token

FIELDS = "campaign_id,impressions,clicks,spend,reach,actions"
INSIGHTS = f"act_{USD}/insights"
PAUSED_LAST_MONTH, DRAFT, DELETED = "120210000000000008", "120210000000000009", "120210000000000012"


@pytest.fixture(scope="module")
def process() -> Iterator[Sandbox]:
    with start() as running:
        yield running


@pytest.fixture
def sandbox(process: Sandbox) -> Sandbox:
    process.control.reset()
    return process


@pytest.fixture
def graph(sandbox: Sandbox) -> Graph:
    return Graph(sandbox.url, issue_token(sandbox))


def today(zone: str = "America/Los_Angeles") -> date:
    return datetime.now(ZoneInfo(zone)).date()


def span(first: int, last: int) -> dict[str, str]:
    """From so many days ago until so many days ago."""
    return {"since": str(today() - timedelta(days=first)), "until": str(today() - timedelta(days=last))}


def rows(graph: Graph, edge: str = INSIGHTS, **params: Any) -> list[Any]:
    return graph.all(edge, **{"fields": FIELDS, "time_increment": 1, "level": "campaign", "limit": 500, **params})


def test_figures_are_the_same_whenever_they_are_asked_for(sandbox: Sandbox, graph: Graph) -> None:
    first = rows(graph, time_range=span(30, 1))
    sandbox.control.reset()
    again = Graph(sandbox.url, issue_token(sandbox))
    assert rows(again, time_range=span(30, 1), limit=50) == first
    assert all(isinstance(row[name], str) for row in first for name in ("impressions", "clicks", "spend", "reach"))


def test_there_is_no_row_where_nothing_was_delivered(graph: Graph) -> None:
    def of(campaign: str, first: int, last: int) -> list[str]:
        return [one["date_start"] for one in rows(graph, f"{campaign}/insights", time_range=span(first, last))]

    idle = set(map(str, (today() - timedelta(days=n) for n in range(1, 91)))) - set(of(FIRST, 90, 1))
    assert 1 <= len(idle) <= 30
    assert of(FIRST, 400, 122) == []
    assert of(DRAFT, 118, 0) == []
    assert of(PAUSED_LAST_MONTH, 29, 0) == []
    assert of(PAUSED_LAST_MONTH, 60, 31) != []
    assert of(DELETED, 89, 0) == []
    assert rows(graph, f"{FIRST}/insights", time_range=span(-1, -9)) == []


def test_a_new_campaign_has_no_past_and_a_paused_one_no_future(sandbox: Sandbox, graph: Graph) -> None:
    made = sandbox.control.do("meta_ads", "create_campaign", account=USD, name="New")
    assert {one["date_start"] for one in rows(graph, f"{made}/insights", date_preset="last_30d")} == set()
    later = {"start_time": 4_000_000_000}
    graph.post(made, **later)
    assert rows(graph, f"{made}/insights", date_preset="today") == []


def test_periods_and_the_account_level_are_sums(graph: Graph) -> None:
    days = rows(graph, time_range=span(14, 1))
    weeks = rows(graph, time_range=span(14, 1), time_increment=7, level="account")
    assert [(one["date_start"], one["date_stop"]) for one in weeks] == [
        tuple(span(14, 8).values()),
        tuple(span(7, 1).values()),
    ]
    assert "campaign_id" not in weeks[0]
    for name in ("impressions", "clicks", "spend"):
        assert sum(Decimal(one[name]) for one in days) == sum(Decimal(one[name]) for one in weeks)
    (whole,) = rows(graph, time_range=span(14, 1), time_increment="all_days", level="account")
    assert int(whole["reach"]) < sum(int(one["reach"]) for one in days)
    chosen = [{"field": "campaign.id", "operator": "IN", "value": [FIRST]}]
    assert {one["campaign_id"] for one in rows(graph, time_range=span(14, 1), filtering=chosen)} == {FIRST}


def test_money_has_no_cents_in_yen(sandbox: Sandbox, graph: Graph) -> None:
    assert all("." not in one["spend"] for one in rows(graph, f"act_{JPY}/insights"))
    assert all(one["spend"][-3] == "." for one in rows(graph))
    yen = sandbox.control.do("meta_ads", "totals", account=JPY, **span(5, 1))
    assert yen["spend"].isdigit()


def test_actions_name_the_same_purchases_thrice(graph: Graph) -> None:
    windows = ["1d_click", "7d_click", "1d_view", "28d_view"]
    found = rows(graph, time_range=span(28, 1), action_attribution_windows=windows)
    actions = [one for row in found for one in row.get("actions", ()) if "purchase" in one["action_type"]]
    by_name = {name: [one["value"] for one in actions if one["action_type"] == name] for name in names(actions)}
    assert set(by_name) == {"purchase", "omni_purchase", "offsite_conversion.fb_pixel_purchase"}
    assert len(set(map(tuple, by_name.values()))) == 1
    for one in actions:
        assert int(one["7d_click"]) + int(one.get("1d_view", 0)) == int(one["value"])
        assert "28d_view" not in one


def names(actions: list[Any]) -> set[str]:
    return {one["action_type"] for one in actions}


def test_ratios_fit_their_parts(graph: Graph) -> None:
    asked = "impressions,clicks,spend,reach,ctr,cpc,cpm,frequency,action_values,purchase_roas,cost_per_action_type"
    row = next(one for one in rows(graph, fields=asked, date_preset="last_28d") if "purchase_roas" in one)
    number = {name: Decimal(row[name]) for name in ("impressions", "clicks", "spend", "reach", "ctr", "cpc", "cpm")}
    assert number["ctr"] == pytest.approx(100 * number["clicks"] / number["impressions"], abs=Decimal("0.00001"))
    assert number["cpc"] * number["clicks"] == pytest.approx(number["spend"], abs=Decimal("0.001"))
    assert number["cpm"] * number["impressions"] / 1000 == pytest.approx(number["spend"], abs=Decimal("0.1"))
    assert Decimal(row["frequency"]) == pytest.approx(number["impressions"] / number["reach"], abs=Decimal("0.00001"))
    roas = Decimal(row["purchase_roas"][0]["value"])
    assert roas * number["spend"] == pytest.approx(Decimal(row["action_values"][0]["value"]), abs=Decimal("0.01"))


def test_the_last_weeks_are_restated(sandbox: Sandbox, graph: Graph) -> None:
    whole = span(40, 0)
    before, totals = rows(graph, time_range=whole), sandbox.control.do("meta_ads", "totals", account=USD, **whole)
    changed = span(10, 3)
    assert sandbox.control.do("meta_ads", "restate", account=USD, **changed) == 8
    after = rows(graph, time_range=whole)
    differ = {one["date_start"] for one, other in zip(before, after, strict=True) if one != other}
    assert min(differ) >= changed["since"]
    assert max(differ) <= changed["until"]
    later = sandbox.control.do("meta_ads", "totals", account=USD, **whole)
    assert (later["rows"], later["impressions"]) == (totals["rows"], totals["impressions"])
    assert later["conversions"] > totals["conversions"]
    assert later["spend"] != totals["spend"]
    assert sum(Decimal(one["spend"]) for one in after) == Decimal(later["spend"])
    with pytest.raises(SandboxRefused, match="restated"):
        sandbox.control.do("meta_ads", "restate", account=USD, **span(29, 3))
    assert sandbox.control.do("meta_ads", "restate", account=USD) == 28


def test_too_much_data(sandbox: Sandbox, graph: Graph) -> None:
    sandbox.control.do("meta_ads", "set_limits", response_rows=20)
    asked = {"fields": FIELDS, "level": "campaign", "time_increment": 1, "time_range": span(9, 1)}
    answer = graph.get(INSIGHTS, **asked, limit=40)
    assert answer.codes == (500, 1, None)
    assert "reduce the amount of data" in answer.json["error"]["message"]
    everything = graph.all(INSIGHTS, **asked, limit=20)
    sandbox.control.do("meta_ads", "set_limits", query_rows=20)
    assert graph.get(INSIGHTS, **asked, limit=5).codes == (400, 100, 1487534)
    assert graph.get(INSIGHTS, **{**asked, "time_range": span(2, 1)}).status == 200
    run = graph.post(INSIGHTS, **asked).json["report_run_id"]
    assert [graph.get(run).json["async_status"] for _ in range(3)][-1] == "Job Completed"
    assert graph.all(f"{run}/insights", limit=7) == everything


def test_a_report_goes_through_its_states(sandbox: Sandbox, graph: Graph) -> None:
    sandbox.control.do("meta_ads", "set_reports", polls=4)
    run = graph.post(f"{FIRST}/insights", fields=["spend"], date_preset="last_7d").json["report_run_id"]
    assert graph.get(f"{run}/insights").codes == (400, 2601, None)
    seen = [graph.get(run).json for _ in range(6)]
    assert [(one["async_status"], one["async_percent_completion"], one["is_running"]) for one in seen] == [
        ("Job Not Started", 0, True),
        ("Job Running", 25, True),
        ("Job Running", 50, True),
        ("Job Completed", 99, True),
        ("Job Completed", 100, False),
        ("Job Completed", 100, False),
    ]
    assert set(graph.get(f"{run}/insights").json["data"][0]) == {"spend", "date_start", "date_stop"}
    jonas = Graph(sandbox.url, issue_token(sandbox, "10002"))
    assert jonas.get(run).codes == (400, 100, 33)
    assert jonas.get(f"act_{GBP}/insights").status == 200


def test_reports_are_not_kept_for_ever(sandbox: Sandbox, graph: Graph) -> None:
    first = graph.post(INSIGHTS).json["report_run_id"]
    assert sandbox.control.do("meta_ads", "forget_reports") == 1
    assert graph.get(first).codes == (400, 100, 33)
    assert graph.get(f"{first}/insights").codes == (400, 100, 33)
    assert graph.post(INSIGHTS).json["report_run_id"] > first


@pytest.mark.parametrize("outcome", ["Job Failed", "Job Skipped"])
def test_a_report_that_comes_to_nothing(sandbox: Sandbox, graph: Graph, outcome: str) -> None:
    sandbox.control.do("meta_ads", "set_reports", polls=1, outcome=outcome)
    run = graph.post(INSIGHTS).json["report_run_id"]
    graph.get(run)
    answer = graph.get(run, fields="async_status,error_code,error_message,is_running").json
    assert (answer["async_status"], answer["error_code"], answer["is_running"]) == (outcome, 2, False)
    assert answer["error_message"]
    assert graph.get(f"{run}/insights").codes == (400, 2601, None)
    with pytest.raises(SandboxRefused, match="ends as one of"):
        sandbox.control.do("meta_ads", "set_reports", outcome="Job Lost")


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"level": "hour"}, 100),
        ({"breakdowns": ["mood"]}, 100),
        ({"time_increment": 0}, 100),
        ({"date_preset": "last_1d"}, 100),
        ({"time_range": {"since": "2026-10-02"}}, 100),
        ({"time_range": {"since": "2026-10-02", "until": "2026-10-01"}}, 100),
        ({"time_range": {"since": "2020-01-01", "until": "2026-10-01"}}, 3018),
        ({"action_attribution_windows": ["3d_click"]}, 100),
        ({"fields": "clickz"}, 100),
        ({"filtering": [{"field": "spend", "operator": "IN", "value": []}]}, 100),
    ],
)
def test_what_a_report_cannot_be(graph: Graph, params: dict[str, Any], code: int) -> None:
    assert graph.get(INSIGHTS, **params).codes == (400, code, None)
