"""TikTok's stand-in: reports, at once and in the background."""

from __future__ import annotations

import csv
import json
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from sandbox.tiktok_ads.metrics import COUNTED, OF_CAMPAIGNS
from tests.sandbox.tiktok import ALL, EU, JAPAN, US, Api

DELETED = "1801000000000000012"
ACCOUNT = {"data_level": "AUCTION_ADVERTISER", "dimensions": ["advertiser_id", "stat_time_day"]}


@pytest.fixture
def api() -> Api:
    return Api()


def rows(api: Api, **others: Any) -> list[dict[str, Any]]:
    code, data = api.report(**others)
    assert code == 0, others
    found: list[dict[str, Any]] = data["list"]
    return found


def total(found: list[dict[str, Any]], metric: str) -> Decimal:
    values = [row["metrics"][metric] for row in found]
    return sum((Decimal(value) for value in values if value != "-"), start=Decimal(0))


@pytest.mark.parametrize("advertiser_id", [EU, US, JAPAN])
@pytest.mark.parametrize("level", [{}, ACCOUNT])
def test_a_report_is_what_the_platform_counted(api: Api, advertiser_id: str, level: dict[str, Any]) -> None:
    found = rows(api, advertiser_id=advertiser_id, **level)
    said = api.do("totals", advertiser=advertiser_id, since="2026-11-01", until="2026-11-20")
    assert level or len(found) == said["rows"] > 100
    assert total(found, "impressions") == said["impressions"]
    assert total(found, "clicks") == said["clicks"]
    assert total(found, "conversion") == said["conversions"]
    assert total(found, "spend") == Decimal(said["spend"])


def test_values_are_strings_and_some_are_missing(api: Api) -> None:
    found = rows(api, metrics=[*COUNTED, *OF_CAMPAIGNS])
    assert {type(value) for row in found for value in row["metrics"].values()} == {str}
    without = {row["metrics"]["objective_type"] for row in found if row["metrics"]["conversion"] == "-"}
    assert without == {"REACH", "VIDEO_VIEWS"}
    assert all(row["metrics"]["vta_conversion"] == "-" for row in found)
    some = next(row["metrics"] for row in found if row["metrics"]["conversion"] not in ("-", "0"))
    assert Decimal(some["cpc"]) == round(Decimal(some["spend"]) / int(some["clicks"]), 2)
    assert Decimal(some["ctr"]) == round(Decimal(100 * int(some["clicks"])) / int(some["impressions"]), 2)


def test_yen_have_no_decimals(api: Api) -> None:
    (first, *_) = rows(api, advertiser_id=JAPAN, metrics=["spend", "currency"])
    assert first["metrics"]["currency"] == "JPY"
    assert first["metrics"]["spend"].isdigit()


def test_deleted_campaigns_are_missing_unless_asked_for(api: Api) -> None:
    everything, usual = rows(api), rows(api, filtering=[])
    hidden = [row for row in everything if row["dimensions"]["campaign_id"] == DELETED]
    assert hidden
    assert [row for row in everything if row not in hidden] == usual
    assert max(row["dimensions"]["stat_time_day"] for row in hidden) <= "2026-11-10 00:00:00"
    only = {**ALL, "filter_value": '["STATUS_DELETE"]'}
    assert rows(api, filtering=[only]) == hidden
    assert total(rows(api, **ACCOUNT, filtering=[]), "spend") == total(usual, "spend")


def test_rows_can_be_of_some_campaigns(api: Api) -> None:
    ids = ["1801000000000000001", "1801000000000000003"]
    some = {"field_name": "campaign_ids", "filter_type": "IN", "filter_value": json.dumps(ids)}
    assert {row["dimensions"]["campaign_id"] for row in rows(api, filtering=[some])} == set(ids)


def test_there_is_no_row_before_the_start_after_the_end_or_tomorrow(api: Api) -> None:
    _, made = api.create()
    days = {"start_date": "2026-11-01", "end_date": "2026-11-30"}
    later = {"start_date": "2026-11-15", "end_date": "2026-12-10"}

    def of_it(**span: str) -> set[str]:
        mine = (row for row in rows(api, **span) if row["dimensions"]["campaign_id"] == made["campaign_id"])
        return {row["dimensions"]["stat_time_day"][:10] for row in mine}

    assert of_it(**days) <= {"2026-11-20"}
    assert max(row["dimensions"]["stat_time_day"] for row in rows(api, **days)) == "2026-11-20 00:00:00"
    api.now += 7 * 86_400
    running = of_it(**later)
    assert len(running) > 3
    assert running <= {f"2026-11-{day}" for day in range(20, 28)}
    which = {"advertiser": EU, "campaign_id": made["campaign_id"]}
    api.do("set_status", **which, operation_status="DISABLE")
    api.now += 5 * 86_400
    assert of_it(**later) == running
    api.do("set_status", **which, operation_status="ENABLE")
    api.now += 5 * 86_400
    assert running < of_it(**later)
    assert not of_it(**later) & {f"2026-11-{day}" for day in (28, 29, 30)}


def test_today_is_the_day_of_the_account(api: Api) -> None:
    """20 November, 16:00 UTC is the 21st in Tokyo and the 20th elsewhere."""
    api.now += 4 * 3600
    last = {
        advertiser_id: max(
            row["dimensions"]["stat_time_day"][:10]
            for row in rows(api, advertiser_id=advertiser_id, start_date="2026-11-15", end_date="2026-11-25")
        )
        for advertiser_id in (EU, US, JAPAN)
    }
    assert last == {EU: "2026-11-20", US: "2026-11-20", JAPAN: "2026-11-21"}


def test_numbers_stay_until_they_are_restated(api: Api) -> None:
    before = rows(api)
    assert rows(Api()) == before
    said = api.do("restate", advertiser=EU, since="2026-11-10", until="2026-11-12")
    after = rows(api)
    changed = [new for old, new in zip(before, after, strict=True) if old != new]
    assert len(changed) == said["restated"] > 20
    assert {row["dimensions"]["stat_time_day"][8:10] for row in changed} == {"10", "11", "12"}
    assert total(after, "conversion") > total(before, "conversion")
    again = api.do("restate", advertiser=EU, since="2026-11-10", until="2026-11-12", campaign_id=DELETED)
    assert again["restated"] < said["restated"]
    assert total(rows(api), "impressions") == total(after, "impressions") + 11 * again["restated"]


@pytest.mark.parametrize(
    ("others", "code"),
    [
        ({"start_date": "2026-10-22"}, 0),  # 30 days
        ({"start_date": "2026-10-21"}, 40002),
        ({"start_date": "2025-11-21", "dimensions": ["campaign_id"]}, 0),  # 365 days
        ({"start_date": "2025-11-20", "dimensions": ["campaign_id"]}, 40002),
        ({"start_date": "2026-11-21"}, 40002),
        ({"start_date": "20261101"}, 40002),
        ({"start_date": "2026-11-31"}, 40002),
        ({"report_type": "AUDIENCE"}, 40002),
        ({"data_level": "AUCTION_AD", "dimensions": ["ad_id"]}, 0),
        ({"data_level": "AUCTION_AD", "dimensions": ["campaign_id"]}, 40002),
        ({"data_level": "RESERVATION_AD", "dimensions": ["ad_id"]}, 40002),
        ({"data_level": "AUCTION_ADVERTISER"}, 40002),
        ({"dimensions": ["stat_time_day"]}, 40002),
        ({"dimensions": ["campaign_id", "stat_time_hour"]}, 40002),
        ({"dimensions": "campaign_id"}, 40002),
        ({"metrics": ["spend", "happiness"]}, 40002),
        ({**ACCOUNT, "metrics": ["campaign_name"]}, 40002),
        ({"query_lifetime": True}, 40002),
        ({"query_lifetime": True, "dimensions": ["campaign_id"]}, 0),
        ({"filtering": [{**ALL, "filter_value": ["STATUS_ALL"]}]}, 40002),
        ({"filtering": [{**ALL, "filter_value": "STATUS_ALL"}]}, 40002),
        ({"filtering": [{**ALL, "filter_value": '["ALL"]'}]}, 40002),
        ({"filtering": [{**ALL, "field_name": "happiness_status"}]}, 40002),
        ({"page_size": 1001}, 40002),
        ({"order_field": "spend"}, 0),
        ({"order_field": "reach"}, 40002),
        ({"advertiser_ids": [EU, US, JAPAN]}, 0),
        ({"advertiser_ids": [EU] * 6}, 40002),
        ({"advertiser_ids": ["7"]}, 40300),
    ],
)
def test_what_a_report_may_be_asked(api: Api, others: dict[str, Any], code: int) -> None:
    assert api.report(**others)[0] == code


def test_dates_are_needed_unless_it_is_a_whole_life(api: Api) -> None:
    args = {
        "advertiser_id": EU,
        "report_type": "BASIC",
        "data_level": "AUCTION_CAMPAIGN",
        "dimensions": ["campaign_id"],
    }
    assert api.get("report/integrated/get/", **args)[0] == 40002
    code, data = api.get("report/integrated/get/", **args, query_lifetime=True, filtering=[ALL])
    assert (code, len(data["list"])) == (0, 10)
    assert data["page_info"]["total_number"] == 12
    assert set(data["list"][0]["metrics"]) == {"spend", "impressions"}
    everything = api.do("totals", advertiser=EU, since="2026-01-01", until="2026-11-20")
    _, data = api.get("report/integrated/get/", **args, query_lifetime=True, filtering=[ALL], page_size=100)
    assert total(data["list"], "spend") == Decimal(everything["spend"])


def test_pages_add_up_to_the_whole(api: Api) -> None:
    whole = rows(api)
    args = {
        "advertiser_id": EU,
        "report_type": "BASIC",
        "data_level": "AUCTION_CAMPAIGN",
        "dimensions": ["campaign_id", "stat_time_day"],
        "metrics": ["spend", "impressions", "clicks", "conversion"],
        "start_date": "2026-11-01",
        "end_date": "2026-11-20",
        "filtering": [ALL],
    }
    assert list(api.pages("report/integrated/get/", 37, **args)) == whole


def test_rows_are_in_the_order_asked_for(api: Api) -> None:
    spends = [Decimal(row["metrics"]["spend"]) for row in rows(api, order_field="spend")]
    assert spends == sorted(spends, reverse=True)
    conversions = [row["metrics"]["conversion"] for row in rows(api, order_field="conversion", order_type="ASC")]
    assert conversions[0] == "-"
    assert [int(one) for one in conversions if one != "-"] == sorted(int(one) for one in conversions if one != "-")
    days = [row["dimensions"]["stat_time_day"] for row in rows(api, order_field="stat_time_day")]
    assert days == sorted(days, reverse=True)


def test_totals_can_be_had_with_a_report(api: Api) -> None:
    _, data = api.report(enable_total_metrics=True, page_size=1)
    assert Decimal(data["total_metrics"]["spend"]) == total(rows(api), "spend")


def test_a_report_can_be_too_large(api: Api) -> None:
    size = len(rows(api))
    api.do("set_limits", report_rows=size - 1)
    assert api.report()[0] == 40067
    assert api.report(start_date="2026-11-11")[0] == 0
    api.do("set_limits", report_rows=size)
    assert api.report()[0] == 0
    api.do("set_limits")
    assert api.report(start_date="2026-10-25")[0] == 0


def task(api: Api, **others: Any) -> dict[str, str]:
    body = {
        "advertiser_id": EU,
        "report_type": "BASIC",
        "data_level": "AUCTION_CAMPAIGN",
        "dimensions": ["campaign_id", "stat_time_day"],
        "metrics": ["spend", "conversion"],
        "start_date": "2026-11-01",
        "end_date": "2026-11-20",
        "filtering": [ALL],
        "enable_report_title_translation": False,
        **others,
    }
    code, data = api.post("report/task/create/", **body)
    assert code == 0
    return {"advertiser_id": EU, "task_id": data["task_id"]}


def looked(api: Api, asked: dict[str, str]) -> str:
    code, data = api.get("report/task/check/", **asked)
    assert code == 0
    status: str = data["status"]
    return status


@pytest.mark.parametrize(
    ("polls", "seen"),
    [(0, ["SUCCESS"] * 3), (1, ["QUEUING", "SUCCESS", "SUCCESS"]), (3, ["QUEUING", "PROCESSING", "PROCESSING"])],
)
def test_a_task_takes_so_many_looks(api: Api, polls: int, seen: list[str]) -> None:
    api.do("set_polls", polls=polls)
    asked = task(api)
    assert [looked(api, asked) for _ in range(3)] == seen


def test_a_finished_task_is_the_same_report_as_csv(api: Api) -> None:
    api.do("set_polls", polls=0)
    asked = task(api)
    assert api.get("report/task/download/", **asked)[0] == 40201
    assert looked(api, asked) == "SUCCESS"
    query = f"advertiser_id={EU}&task_id={asked['task_id']}"
    answer = api.send("GET", "/open_api/v1.3/report/task/download/", query)
    assert answer.headers["Content-Type"].startswith("text/csv")
    lines = list(csv.DictReader(answer.body.decode().splitlines()))
    flat = [{**row["dimensions"], **row["metrics"]} for row in rows(api, metrics=["spend", "conversion"])]
    assert lines == flat


def test_a_finished_task_can_be_a_link(api: Api) -> None:
    api.do("set_polls", polls=0)
    asked = task(api, output_format="CSV_DOWNLOAD", enable_report_title_translation=True)
    looked(api, asked)
    _, data = api.get("report/task/download/", **asked)
    host, path = data["download_url"].removeprefix("http://").split("/", 1)
    api.token = None
    answer = api.send("GET", "/" + path)
    assert (host, answer.status) == ("sandbox.test", 200)
    assert answer.body.splitlines()[0] == b"Campaign id,Stat time day,Spend,Conversion"
    assert api.send("GET", "/portal/report/unknown.csv").status == 404


def test_a_task_can_fail_or_be_cancelled(api: Api) -> None:
    api.do("set_polls", polls=1, end="FAILED")
    failing, cancelled = task(api), task(api)
    assert [looked(api, failing) for _ in range(3)] == ["QUEUING", "FAILED", "FAILED"]
    assert api.get("report/task/download/", **failing)[0] == 40200
    assert api.post("report/task/cancel/", **cancelled) == (0, {})
    assert looked(api, cancelled) == "CANCELED"
    assert api.get("report/task/download/", **cancelled)[0] == 40200
    assert api.post("report/task/cancel/", **cancelled)[0] == 40200


def test_tasks_belong_to_an_account(api: Api) -> None:
    asked = task(api)
    assert api.get("report/task/check/", **{**asked, "advertiser_id": US})[0] == 40007
    assert api.get("report/task/check/", **{**asked, "task_id": "1"})[0] == 40007
    assert api.post("report/task/create/", advertiser_id=EU, report_type="BASIC")[0] == 40002


def test_a_day_of_spend_is_below_the_least_daily_budget(api: Api) -> None:
    days = [date(2026, 7, 23) + timedelta(30 * n) for n in range(4)]
    spans = [{"start_date": str(day), "end_date": str(day + timedelta(29))} for day in days]
    assert max(Decimal(row["metrics"]["spend"]) for span in spans for row in rows(api, **span)) < 50
