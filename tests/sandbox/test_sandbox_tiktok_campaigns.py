"""TikTok's stand-in: which campaigns it takes, shows, changes and deletes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from sandbox.tiktok_ads.campaigns import BUDGET_MIN
from tests.sandbox.tiktok import EU, JAPAN, NOW, US, Api


@pytest.fixture
def api() -> Api:
    return Api()


def listed(api: Api, **filtering: Any) -> list[dict[str, Any]]:
    code, data = api.get("campaign/get/", advertiser_id=EU, filtering=filtering, page_size=1000)
    assert code == 0
    found: list[dict[str, Any]] = data["list"]
    return found


@pytest.mark.parametrize(
    ("others", "code"),
    [
        ({}, 0),
        ({"budget_mode": "BUDGET_MODE_TOTAL"}, 0),
        ({"budget_mode": "BUDGET_MODE_INFINITE", "budget": None}, 0),
        ({"budget_mode": "BUDGET_MODE_INFINITE"}, 40002),
        ({"budget": None}, 40002),
        ({"budget": BUDGET_MIN["EUR"]}, 0),
        ({"budget": BUDGET_MIN["EUR"] - 0.01}, 40002),
        ({"advertiser_id": JAPAN}, 40002),
        ({"advertiser_id": JAPAN, "budget": BUDGET_MIN["JPY"]}, 0),
        ({"budget": "75"}, 40002),
        ({"budget": float("inf")}, 40002),
        ({"budget": 10**400}, 40002),
        ({"budget_mode": None}, 40002),
        ({"budget_mode": "BUDGET_MODE_DYNAMIC_DAILY_BUDGET"}, 40002),
        ({"budget_mode": "BUDGET_MODE_DYNAMIC_DAILY_BUDGET", "budget_optimize_on": True}, 0),
        ({"budget_mode": "BUDGET_MODE_INFINITE", "budget": None, "budget_optimize_on": True}, 40002),
        ({"objective_type": "RF_REACH", "budget_mode": None, "budget": None}, 0),
        ({"objective_type": "OUTCOME_TRAFFIC"}, 40002),
        ({"objective_type": None}, 40002),
        ({"objective_type": "APP_PROMOTION"}, 40002),
        ({"objective_type": "APP_PROMOTION", "app_promotion_type": "APP_INSTALL"}, 0),
        ({"campaign_name": "x" * 512}, 0),
        ({"campaign_name": "x" * 513}, 40002),
        ({"campaign_name": "広" * 256}, 0),
        ({"campaign_name": "広" * 257}, 40002),
        ({"campaign_name": "Röst & Co. – 50 % ®"}, 0),
        ({"campaign_name": "Hot ☕ deal"}, 40002),
        ({"campaign_name": "Rocket 🚀"}, 40002),
        ({"campaign_name": "  "}, 40002),
        ({"special_industries": ["HOUSING"]}, 0),
        ({"special_industries": ["COFFEE"]}, 40002),
        ({"operation_status": "DELETE"}, 40002),
        ({"request_id": "abc"}, 40002),
        ({"request_id": str(2**63)}, 40002),
        ({"request_id": 7}, 40002),
        ({"campagin_type": "REGULAR_CAMPAIGN"}, 40002),
        ({"advertiser_id": int(EU)}, 40002),
        ({"advertiser_id": "7"}, 40300),
    ],
)
def test_what_a_new_campaign_needs(api: Api, others: dict[str, Any], code: int) -> None:
    assert api.create(**others)[0] == code
    assert api.platform.campaigns.created == (code == 0)


def test_a_new_campaign_is_enabled_unless_it_is_told_otherwise(api: Api) -> None:
    _, spends = api.create("spends")
    _, draft = api.create("draft", operation_status="DISABLE")
    assert (spends["operation_status"], spends["secondary_status"]) == ("ENABLE", "CAMPAIGN_STATUS_ENABLE")
    assert (draft["operation_status"], draft["secondary_status"]) == ("DISABLE", "CAMPAIGN_STATUS_DISABLE")
    assert draft["create_time"] == draft["modify_time"] == datetime.fromtimestamp(NOW, UTC).strftime("%F %T")


def test_a_repeated_request_is_noticed_for_ten_seconds(api: Api) -> None:
    """Then it is a second campaign, or a name that is taken."""
    assert api.create(request_id="77")[0] == 0
    api.now += 9.9
    assert api.create(request_id="77")[0] == 40050
    assert api.create(advertiser_id=US, request_id="77")[0] == 0
    api.now += 0.1
    assert api.create(request_id="77")[0] == 40002
    assert api.create("Another blend", request_id="77")[0] == 0
    assert api.platform.campaigns.created == 3


def test_a_name_is_taken_unless_a_request_id_tells_them_apart(api: Api) -> None:
    _, first = api.create(request_id="1")
    assert api.create()[0] == 40002
    assert api.create(request_id="2")[0] == 0
    assert api.create(advertiser_id=US)[0] == 0
    api.do("delete_campaign", advertiser=EU, campaign_id=first["campaign_id"])
    assert [one["campaign_name"] for one in listed(api, campaign_name="winter")] == ["Winter blend"]


def test_an_account_holds_999_campaigns(api: Api) -> None:
    for number in range(999 - 11):
        api.do("create_campaign", advertiser=EU, name=f"c{number}", operation_status="DISABLE")
    assert api.create()[0] == 40002
    assert api.create(advertiser_id=US)[0] == 0
    api.do("delete_campaign", advertiser=EU, campaign_id=listed(api)[0]["campaign_id"])
    assert api.create()[0] == 0
    assert len(list(api.pages("campaign/get/", 1000, advertiser_id=EU))) == 999


def test_every_account_begins_with_a_dozen_campaigns(api: Api) -> None:
    for advertiser_id in (EU, US, JAPAN):
        everything = {"primary_status": "STATUS_ALL"}
        found = list(api.pages("campaign/get/", 5, advertiser_id=advertiser_id, filtering=everything))
        statuses = [one["secondary_status"] for one in found]
        assert [statuses.count(f"CAMPAIGN_STATUS_{name}") for name in ("ENABLE", "DISABLE", "DELETE")] == [8, 3, 1]
        assert all(int(one["campaign_id"]) > 2**53 for one in found)


@pytest.mark.parametrize(
    ("filtering", "count"),
    [
        ({}, 11),
        ({"primary_status": "STATUS_ALL"}, 12),
        ({"primary_status": "STATUS_NOT_DELETE"}, 11),
        ({"primary_status": "STATUS_DELETE"}, 1),
        ({"primary_status": "STATUS_DISABLE"}, 3),
        ({"primary_status": "STATUS_DELIVERY_OK"}, 8),
        ({"primary_status": "STATUS_TIME_DONE"}, 0),
        ({"secondary_status": "CAMPAIGN_STATUS_ALL"}, 12),
        ({"secondary_status": "CAMPAIGN_STATUS_DELETE"}, 1),
        ({"primary_status": "STATUS_ALL", "secondary_status": "CAMPAIGN_STATUS_ENABLE"}, 8),
        ({"objective_type": "WEB_CONVERSIONS"}, 3),
        ({"campaign_name": "COLD brew"}, 1),
        ({"campaign_name": "Cold  brew"}, 0),
        ({"campaign_ids": ["1801000000000000001", "1801000000000000002", "5"]}, 2),
        ({"campaign_ids": ["1801000000000001001"]}, 0),  # of another account
        ({"campaign_ids": []}, 0),
        ({"buying_types": ["RESERVATION_RF"]}, 0),
        ({"campaign_system_origins": ["PROMOTE"]}, 0),
        ({"campaign_automation_type": "MANUAL"}, 11),
        ({"is_smart_performance_campaign": True}, 0),
        ({"creation_filter_start_time": "2026-07-23 12:00:00"}, 11),
        ({"creation_filter_start_time": "2026-07-23 12:00:01"}, 0),
        ({"creation_filter_end_time": "2026-07-23 12:00:00"}, 11),
        ({"creation_filter_end_time": "2026-07-23 11:59:59"}, 0),
    ],
)
def test_filters(api: Api, filtering: dict[str, Any], count: int) -> None:
    assert len(listed(api, **filtering)) == count


@pytest.mark.parametrize(
    ("args", "code"),
    [
        ({"filtering": {"primary_status": "ARCHIVED"}}, 40002),
        ({"filtering": {"modified_since": "2026-01-01"}}, 40002),
        ({"filtering": ["campaign_ids"]}, 40002),
        ({"filtering": "campaign_ids"}, 40002),
        ({"filtering": {"campaign_ids": [str(n) for n in range(101)]}}, 40011),
        ({"filtering": {"creation_filter_start_time": "yesterday"}}, 40002),
        (
            {
                "filtering": {
                    "creation_filter_start_time": "2026-01-01 00:00:00",
                    "creation_filter_end_time": "2026-11-01 00:00:00",
                }
            },
            40002,
        ),
        ({"page_size": 1001}, 40002),
        ({"page_size": 0}, 40002),
        ({"page_size": 1000}, 0),
        ({"page": 0}, 40002),
        ({"page": 999}, 0),
        ({"page": "one"}, 40002),
        ({"fields": ["campaign_id", "nickname"]}, 40002),
        ({"fields": "campaign_id"}, 40002),
        ({"cursor": "x"}, 40002),
        ({"advertiser_id": "7"}, 40300),
        ({"advertiser_id": ""}, 40002),
    ],
)
def test_what_a_list_may_be_asked(api: Api, args: dict[str, Any], code: int) -> None:
    assert api.get("campaign/get/", **{"advertiser_id": EU, **args})[0] == code


def test_pages_are_positional_and_newest_first(api: Api) -> None:
    """A campaign that is made meanwhile shifts the rows."""
    _, first = api.get("campaign/get/", advertiser_id=EU)
    assert first["page_info"] == {"page": 1, "page_size": 10, "total_number": 11, "total_page": 2}
    api.create()
    _, second = api.get("campaign/get/", advertiser_id=EU, page=2)
    assert second["list"][0] == first["list"][-1]
    assert [int(one["campaign_id"]) for one in first["list"]] == list(
        range(1801000000000000011, 1801000000000000001, -1)
    )


def test_fields_and_nulls_can_be_left_out(api: Api) -> None:
    _, data = api.get("campaign/get/", advertiser_id=EU, fields=["budget", "campaign_id"], page_size=1)
    assert data["list"] == [{"budget": 150.0, "campaign_id": "1801000000000000011"}]
    _, data = api.get("campaign/get/", advertiser_id=EU, exclude_field_types_in_response=["NULL_FIELD"], page_size=1)
    assert None not in data["list"][0].values()
    _, data = api.get("campaign/get/", advertiser_id=EU, page_size=1)
    assert data["list"][0]["po_number"] is None


def test_updates_change_what_they_name(api: Api) -> None:
    _, made = api.create(special_industries=["HOUSING", "CREDIT"])
    which = {"advertiser_id": EU, "campaign_id": made["campaign_id"]}
    api.now += 60
    code, changed = api.post("campaign/update/", **which, campaign_name="Spring", special_industries=["CREDIT"])
    assert (code, changed["campaign_name"], changed["special_industries"]) == (0, "Spring", ["CREDIT"])
    assert changed["create_time"] == made["create_time"] < changed["modify_time"]
    assert listed(api, campaign_ids=[made["campaign_id"]]) == [changed]


@pytest.mark.parametrize(
    ("others", "code"),
    [
        ({}, 40012),
        ({"campaign_name": "Winter blend", "budget": 75}, 40012),
        ({"budget": 80.5}, 0),
        ({"budget": 1.0}, 40002),
        ({"campaign_name": "Autumn roast launch"}, 40002),
        ({"campaign_name": "🚀"}, 40002),
        ({"special_industries": ["CREDIT"]}, 40002),
        ({"po_number": "PO-1"}, 0),
        ({"objective_type": "REACH"}, 40002),
        ({"budget_mode": "BUDGET_MODE_TOTAL"}, 40002),
        ({"campaign_id": "1"}, 40007),
        ({"campaign_id": "1801000000000001001"}, 40007),  # of another account
        ({"campaign_id": "1801000000000000012", "campaign_name": "x"}, 40002),  # deleted
    ],
)
def test_what_an_update_may_say(api: Api, others: dict[str, Any], code: int) -> None:
    _, made = api.create()
    assert (
        api.post("campaign/update/", **{"advertiser_id": EU, "campaign_id": made["campaign_id"], **others})[0] == code
    )


def test_a_budget_stays_above_what_is_spent(api: Api) -> None:
    """A total budget counts the whole life, a daily one today."""
    _, total = api.create(budget_mode="BUDGET_MODE_TOTAL", budget=5000)
    _, infinite = api.create("no budget", budget_mode="BUDGET_MODE_INFINITE", budget=None)
    api.now += 20 * 86_400
    days = {"since": "2026-11-20", "until": "2026-12-31", "advertiser": EU}
    before = float(api.do("totals", **days)["spend"])
    api.do("delete_campaign", advertiser=EU, campaign_id=total["campaign_id"])
    assert float(api.do("totals", **days)["spend"]) == before  # deleting takes nothing away
    _, other = api.create("another", budget_mode="BUDGET_MODE_TOTAL", budget=5000)
    api.now += 20 * 86_400
    spent = sum(
        float(row["metrics"]["spend"])
        for row in api.report(start_date="2026-12-01", end_date="2026-12-30")[1]["list"]
        if row["dimensions"]["campaign_id"] == other["campaign_id"]
    )
    assert spent > 60
    which = {"advertiser_id": EU, "campaign_id": other["campaign_id"]}
    assert api.post("campaign/update/", **which, budget=round(spent * 1.05 - 0.01, 2))[0] == 40002
    assert api.post("campaign/update/", **which, budget=round(spent * 1.05 + 0.01, 2))[0] == 0
    assert api.post("campaign/update/", advertiser_id=EU, campaign_id=infinite["campaign_id"], budget=75)[0] == 40002


def test_status_changes_are_for_all_or_none(api: Api) -> None:
    ids = [one["campaign_id"] for one in listed(api, primary_status="STATUS_DELIVERY_OK")]
    code, said = api.post("campaign/status/update/", advertiser_id=EU, campaign_ids=ids, operation_status="DISABLE")
    shown = [{"campaign_id": one, "status": "DISABLE"} for one in ids]
    assert (code, said) == (0, {"campaign_ids": ids, "status": "DISABLE", "campaign_list": shown})
    mixed = [ids[0], "1801000000000000012"]  # the second one is deleted
    assert (
        api.post("campaign/status/update/", advertiser_id=EU, campaign_ids=mixed, operation_status="ENABLE")[0] == 40002
    )
    assert listed(api, primary_status="STATUS_DELIVERY_OK") == []


def test_delete_is_final(api: Api) -> None:
    _, made = api.create()
    change = {"advertiser_id": EU, "campaign_ids": [made["campaign_id"]]}
    assert api.post("campaign/status/update/", **change, operation_status="DELETE")[0] == 0
    for status in ("ENABLE", "DISABLE", "DELETE"):
        assert api.post("campaign/status/update/", **change, operation_status=status)[0] == 40002
    assert listed(api, campaign_ids=[made["campaign_id"]]) == []
    (gone,) = listed(api, campaign_ids=[made["campaign_id"]], primary_status="STATUS_DELETE")
    assert gone["secondary_status"] == "CAMPAIGN_STATUS_DELETE"


@pytest.mark.parametrize(
    ("ids", "status", "code"),
    [
        ([], "ENABLE", 40002),
        ([str(n) for n in range(21)], "ENABLE", 40011),
        (["1801000000000000001"], "ARCHIVE", 40002),
        (["1"], "ENABLE", 40007),
        ([1801000000000000001], "ENABLE", 40002),
        ("1801000000000000001", "ENABLE", 40002),
    ],
)
def test_what_a_status_change_may_say(api: Api, ids: Any, status: str, code: int) -> None:
    said = api.post("campaign/status/update/", advertiser_id=EU, campaign_ids=ids, operation_status=status)
    assert said[0] == code


def test_the_platforms_own_screens_change_campaigns_too(api: Api) -> None:
    made = api.do("create_campaign", advertiser=EU, name="By hand", objective_type="REACH")
    assert listed(api, campaign_ids=[made["campaign_id"]]) == [made]
    api.do("set_status", advertiser=EU, campaign_id=made["campaign_id"], operation_status="DISABLE")
    assert listed(api, campaign_ids=[made["campaign_id"]])[0]["operation_status"] == "DISABLE"
    api.do("delete_campaign", advertiser=EU, campaign_id=made["campaign_id"])
    assert listed(api, campaign_ids=[made["campaign_id"]]) == []
    with pytest.raises(ValueError, match="final"):
        api.do("set_status", advertiser=EU, campaign_id=made["campaign_id"], operation_status="ENABLE")
    assert api.stand_in.bill() == {}
