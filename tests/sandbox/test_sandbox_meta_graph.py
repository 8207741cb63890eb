"""Conventions of the Meta stand-in over plain HTTP: fields, pages, errors, campaigns' rules, named faults."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.control import SandboxRefused
from sandbox.meta_ads.actions import NAMES
from sandbox.meta_ads.errors import FAULTS, PROBLEMS
from sandbox.meta_ads.people import ACCOUNTS, PEOPLE
from sandbox.process import ROOT, Sandbox, start
from tests.sandbox.meta import EUR, FIRST, JPY, USD, Graph, issue_token

NEW = {
    "name": "Spring",
    "objective": "OUTCOME_TRAFFIC",
    "status": "PAUSED",
    "special_ad_categories": [],
    "daily_budget": 7500,
}
CAMPAIGNS = f"act_{USD}/campaigns"


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


def test_only_the_named_fields_come_and_the_id(graph: Graph) -> None:
    assert graph.get(FIRST).json == {"id": FIRST}
    assert graph.get(FIRST, fields="name,daily_budget,lifetime_budget").json == {
        "id": FIRST,
        "name": "Spring launch",
        "daily_budget": "7500",
    }
    assert graph.get(FIRST, fields=["name"]).json == graph.get(f"{FIRST}/", fields="name").json
    assert graph.get("me/adaccounts", fields="business{id}", limit=1).json["data"][0]["business"] == {
        "id": "700000000000001"
    }
    answer = graph.get(FIRST, fields="name,nonsense")
    assert answer.codes == (400, 100, None)
    assert "nonexisting field (nonsense)" in answer.json["error"]["message"]


def test_headers_of_every_answer(graph: Graph) -> None:
    good, bad = graph.get("me"), graph.get("/v26.0/nonsense")
    assert good.headers["facebook-api-version"] == "v25.0"
    assert bad.headers["facebook-api-version"] == "v26.0"
    assert bad.headers["x-fb-trace-id"] == bad.json["error"]["fbtrace_id"]
    assert good.headers["x-fb-trace-id"]
    assert good.headers["content-type"] == "application/json; charset=UTF-8"


def test_pages_end_where_next_is_absent(graph: Graph) -> None:
    seen: list[str] = []
    answer = graph.get(CAMPAIGNS, limit=4, fields="id", summary="true")
    while True:
        assert answer.json["summary"]["total_count"] == 10
        seen += [one["id"] for one in answer.json["data"]]
        assert answer.json["paging"]["cursors"]["after"]
        if "next" not in answer.json["paging"]:
            break
        assert str(graph.token) in answer.json["paging"]["next"]
        answer = Graph(graph.url, None).get(answer.json["paging"]["next"])
    assert seen == sorted(seen, reverse=True)
    assert len(seen) == 10
    back = graph.get(CAMPAIGNS, limit=3, before=answer.json["paging"]["cursors"]["before"]).json
    assert [one["id"] for one in back["data"]] == seen[5:8]
    assert "summary" not in graph.get(CAMPAIGNS).json


def test_cursors_outlive_campaigns_that_end_meanwhile(graph: Graph) -> None:
    first = graph.get(CAMPAIGNS, limit=2).json
    graph.delete(first["data"][-1]["id"])
    rest = graph.get(CAMPAIGNS, limit=100, after=first["paging"]["cursors"]["after"]).json["data"]
    assert len(rest) == 8


def test_a_page_may_be_shorter_than_asked_for(sandbox: Sandbox, graph: Graph) -> None:
    sandbox.control.do("meta_ads", "set_limits", page_rows=3)
    assert len(graph.get(CAMPAIGNS, limit=100).json["data"]) == 3
    assert len(graph.all(CAMPAIGNS, limit=100)) == 10
    assert graph.get(CAMPAIGNS, limit=0).codes == (400, 100, None)
    assert graph.get(CAMPAIGNS, after="%%%").codes == (400, 100, None)


def test_json_bodies_are_read_as_forms_are(graph: Graph) -> None:
    ids = [graph.post(CAMPAIGNS, **NEW).json["id"], graph.post_json(CAMPAIGNS, NEW).json["id"]]
    first, second = (graph.get(one, fields="name,objective,daily_budget,special_ad_categories").json for one in ids)
    assert {**first, "id": ""} == {**second, "id": ""}
    assert graph.post_json(CAMPAIGNS, []).codes == (400, 100, None)


@pytest.mark.parametrize(
    ("changes", "subcode", "words"),
    [
        ({"special_ad_categories": None}, None, "special_ad_categories is required"),
        ({"name": None}, None, "name is required"),
        ({"objective": "LINK_CLICKS"}, None, "objective must be one of"),
        ({"status": "DELETED"}, None, "status must be one of"),
        ({"special_ad_categories": ["MOON"]}, None, "special_ad_categories"),
        ({"daily_budget": "75.00"}, None, "daily_budget must be an unsigned integer"),
        ({"daily_budget": 99}, 1885272, "Invalid parameter"),
        ({"lifetime_budget": 99_000}, None, "Only one of daily_budget and lifetime_budget"),
        ({"daily_budget": None, "lifetime_budget": 99_000}, None, "needs stop_time"),
        ({"daily_budget": None}, 4834011, "Invalid parameter"),
        ({"bid_strategy": "CHEAPEST"}, None, "bid_strategy"),
        ({"start_time": "tomorrow"}, None, "valid timestamp"),
        ({"start_time": "2026-12-02T00:00:00-0700", "stop_time": 1791450000}, None, "after start_time"),
        ({"daily_bugdet": 1}, None, "Unknown parameter: daily_bugdet"),
        ({"name": "x" * 401}, None, "1 to 400 characters"),
    ],
)
def test_a_campaign_that_breaks_a_rule(
    sandbox: Sandbox, graph: Graph, changes: dict[str, Any], subcode: int | None, words: str
) -> None:
    given = {name: value for name, value in {**NEW, **changes}.items() if value is not None}
    answer = graph.post(CAMPAIGNS, **given)
    assert answer.codes == (400, 100, subcode)
    assert words in answer.json["error"]["message"]
    assert sandbox.control.bill() == {}


def test_validate_only_makes_nothing(graph: Graph) -> None:
    assert graph.post(CAMPAIGNS, **NEW, execution_options=["validate_only"]).json == {"success": True}
    assert len(graph.all(CAMPAIGNS)) == 10
    only = {"status": "ACTIVE", "execution_options": ["validate_only"]}
    assert graph.post(FIRST, **{**only, "name": "Other"}).json == {"success": True}
    assert graph.get(FIRST, fields="name").json["name"] == "Spring launch"


def test_a_campaign_without_a_budget_of_its_own(graph: Graph) -> None:
    given = {name: value for name, value in NEW.items() if name != "daily_budget"}
    made = graph.post(CAMPAIGNS, **given, is_adset_budget_sharing_enabled=False).json["id"]
    assert graph.get(made, fields="daily_budget,lifetime_budget,is_adset_budget_sharing_enabled").json == {
        "id": made,
        "is_adset_budget_sharing_enabled": False,
    }
    lifetime = {**given, "lifetime_budget": 90_000, "stop_time": "2027-03-01T00:00:00+0000"}
    made = graph.post(CAMPAIGNS, **lifetime).json["id"]
    assert graph.get(made, fields="stop_time").json["stop_time"] == "2027-02-28T16:00:00-0800"


def test_archived_and_deleted_are_an_end(graph: Graph) -> None:
    assert graph.post(FIRST, status="ARCHIVED").json == {"success": True}
    assert FIRST not in [one["id"] for one in graph.all(CAMPAIGNS)]
    assert FIRST in [one["id"] for one in graph.all(CAMPAIGNS, effective_status=["ARCHIVED"])]
    assert graph.post(FIRST, status="ACTIVE").codes == (400, 100, 1487056)
    assert graph.post(FIRST, status="DELETED").json == {"success": True}
    assert graph.post(FIRST, name="x").codes == (400, 100, 1487056)
    assert graph.delete(FIRST).json == {"success": True}
    assert graph.get(FIRST, fields="effective_status").json["effective_status"] == "DELETED"
    assert graph.get(CAMPAIGNS, effective_status=["GONE"]).codes == (400, 100, None)


def test_filters_of_the_list(graph: Graph) -> None:
    def found(field: str, operator: str, value: Any) -> Any:
        conditions = [{"field": field, "operator": operator, "value": value}]
        answer = graph.get(CAMPAIGNS, fields="name,updated_time", filtering=conditions)
        return answer.codes if answer.status != 200 else [one["id"] for one in answer.json["data"]]

    assert found("campaign.name", "CONTAIN", "spring") == [FIRST]
    assert found("campaign.id", "IN", [FIRST, "120210000000000002"]) == ["120210000000000002", FIRST]
    assert found("campaign.updated_time", "GREATER_THAN", 4_000_000_000) == []
    changed = graph.post(FIRST, name="New").json
    assert changed == {"success": True}
    assert FIRST in found("campaign.updated_time", "GREATER_THAN", 1_000_000_000)
    assert found("campaign.spend", "GREATER_THAN", 1) == (400, 100, None)
    assert found("campaign.id", "IN", FIRST) == (400, 100, None)


def test_troubled_campaigns_say_so(sandbox: Sandbox, graph: Graph) -> None:
    (troubled,) = graph.all(CAMPAIGNS, effective_status=["WITH_ISSUES"], fields="name,status,issues_info")
    assert (troubled["name"], troubled["status"]) == ("Card declined", "ACTIVE")
    assert troubled["issues_info"][0]["level"] == "CAMPAIGN"
    sandbox.control.do("meta_ads", "update_campaign", campaign=FIRST, effective_status="IN_PROCESS", name="Renamed")
    assert graph.get(FIRST, fields="name,status,effective_status").json == {
        "id": FIRST,
        "name": "Renamed",
        "status": "ACTIVE",
        "effective_status": "IN_PROCESS",
    }


def test_campaigns_of_the_platforms_own_pages(sandbox: Sandbox, graph: Graph) -> None:
    made = sandbox.control.do("meta_ads", "create_campaign", account=EUR, name="By hand")
    assert made.startswith("12022")
    assert graph.get(made, fields="name,created_time").json["created_time"][-5:] in ("+0100", "+0200")
    sandbox.control.do("meta_ads", "delete_campaign", campaign=made)
    assert graph.get(made, fields="status").json["status"] == "DELETED"
    listed = {one["id"]: one["status"] for one in sandbox.control.do("meta_ads", "campaigns", account=EUR)}
    assert (len(listed), listed[made]) == (13, "DELETED")
    assert sandbox.control.bill() == {}
    with pytest.raises(SandboxRefused, match="no campaign"):
        sandbox.control.do("meta_ads", "delete_campaign", campaign="1")


def test_accounts_have_currencies_and_zones(graph: Graph) -> None:
    fields = "currency,timezone_name,timezone_offset_hours_utc,account_status,min_daily_budget,name"
    tokyo = graph.get(f"act_{JPY}", fields=fields).json
    assert (tokyo["currency"], tokyo["timezone_name"], tokyo["timezone_offset_hours_utc"]) == ("JPY", "Asia/Tokyo", 9)
    assert graph.get(JPY, fields=fields).codes == (400, 100, 33)


@pytest.mark.parametrize("path", ["nonsense", "act_1", f"act_{USD}/nonsense", f"{FIRST}/insights/more"])
def test_what_is_not_there(graph: Graph, path: str) -> None:
    status, code, _ = graph.get(path).codes
    assert (status, code) in ((400, 100), (400, 2500))


@pytest.mark.parametrize(
    "params",
    [
        {"filtering": [5]},
        {"filtering": {"field": "campaign.id"}},
        {"filtering": [{"field": ["x"], "operator": None, "value": 1}]},
        {"fields": [5]},
        {"effective_status": 5},
        {"limit": "many"},
        {"after": "é"},
        {"before": "AAAA"},
    ],
)
def test_a_list_that_is_asked_for_in_nonsense(graph: Graph, params: dict[str, Any]) -> None:
    assert graph.get(CAMPAIGNS, **params).codes == (400, 100, None)


@pytest.mark.parametrize("path", ["/v%C2%B25.0/me", "/v%D9%A2%D9%A5.0/me", "/v999999.0/me", "/vx.0/me"])
def test_a_version_that_is_none(graph: Graph, path: str) -> None:
    assert graph.get(path).codes == (400, 2500, None)


@pytest.mark.parametrize("at", ["9" * 30, "0001-01-01T00:00:00+0000", "2026-12-02T00:00:00", "2101-01-01T00:00:00Z"])
def test_a_time_that_no_calendar_holds(graph: Graph, at: str) -> None:
    assert graph.post(FIRST, start_time=at).codes == (400, 100, None)


def test_a_scope_for_reading_does_not_write(sandbox: Sandbox) -> None:
    reader = Graph(sandbox.url, issue_token(sandbox, scopes=["ads_read"]))
    assert reader.get(CAMPAIGNS).status == 200
    assert reader.post(CAMPAIGNS, **NEW).codes == (403, 200, None)
    assert reader.delete(FIRST).codes == (403, 200, None)


def test_a_batch_holds_up_to_fifty(graph: Graph) -> None:
    part = {"method": "GET", "relative_url": f"v25.0/{FIRST}?fields=name"}
    answer = graph.post("/", batch=[part, {"method": "POST", "relative_url": FIRST, "body": "name=Other"}, "nonsense"])
    assert [one["code"] for one in answer.json] == [200, 200, 400]
    assert json.loads(answer.json[0]["body"])["name"] == "Spring launch"
    assert {"name": "facebook-api-version", "value": "v25.0"} in answer.json[0]["headers"]
    assert graph.get(FIRST, fields="name").json["name"] == "Other"
    assert graph.post("/", batch=[part] * 51).codes == (400, 100, None)


def test_usage_headers_are_settable(sandbox: Sandbox, graph: Graph) -> None:
    use = {USD: [{"type": "ads_insights", "call_count": 96, "estimated_time_to_regain_access": 2}]}
    sandbox.control.do("meta_ads", "set_usage", app_usage={"call_count": 28})
    sandbox.control.do("meta_ads", "set_usage", account=USD, business_use_case_usage=use, insights_throttle={"a": 1})
    about = graph.get(f"act_{USD}/insights")
    assert json.loads(about.headers["x-business-use-case-usage"]) == use
    assert json.loads(about.headers["x-fb-ads-insights-throttle"]) == {"a": 1}
    assert json.loads(about.headers["x-app-usage"]) == {"call_count": 28}
    assert "x-business-use-case-usage" in graph.get(FIRST).headers
    assert "x-business-use-case-usage" not in graph.get(f"act_{EUR}").headers
    with pytest.raises(SandboxRefused, match="no usage is named"):
        sandbox.control.do("meta_ads", "set_usage", app_usages={})


@pytest.mark.parametrize("name", sorted(PROBLEMS))
def test_every_error_is_a_fault_by_name(sandbox: Sandbox, graph: Graph, name: str) -> None:
    sandbox.control.add_rule("/v25.0/*", f"meta_ads:{name}", times=1)
    answer = graph.post(CAMPAIGNS, **NEW)
    problem = PROBLEMS[name]
    assert answer.codes == (problem.status, problem.code, problem.subcode)
    assert answer.json["error"].get("is_transient", False) is problem.transient
    assert ("usage" in str(answer.headers)) is (problem.limit is not None)
    assert sandbox.control.bill() == {}


def test_the_other_faults_by_name(sandbox: Sandbox, graph: Graph) -> None:
    assert set(FAULTS) - set(PROBLEMS) == {"unknown_after", "temporary_after", "not_json"}
    for name, made in (("temporary_after", 1), ("unknown_after", 2)):
        sandbox.control.add_rule("/v25.0/*", f"meta_ads:{name}", times=1)
        assert graph.post(CAMPAIGNS, **NEW).status == 500
        assert sandbox.control.bill()["meta_ads"]["campaigns_created"] == made
    assert graph.get(f"/fault/meta_ads:token_expired/v25.0/{FIRST}").codes == (400, 190, 463)
    sandbox.control.add_rule("/v25.0/*", "meta_ads:not_json", times=1)
    with pytest.raises(ValueError, match="Expecting value"):
        graph.get("me")


def test_limits_say_how_long_in_their_own_units(sandbox: Sandbox, graph: Graph) -> None:
    sandbox.control.add_rule("/v25.0/*", "meta_ads:rate_limited_insights", times=1)
    (entry,) = json.loads(graph.get("me").headers["x-business-use-case-usage"])[USD]
    assert (entry["type"], entry["estimated_time_to_regain_access"]) == ("ads_insights", 9)
    sandbox.control.add_rule("/v25.0/*", "meta_ads:rate_limited_user", times=1)
    assert json.loads(graph.get("me").headers["x-ad-account-usage"])["reset_time_duration"] == 300


def test_it_answers_under_its_name_too(graph: Graph) -> None:
    assert graph.get(f"/meta_ads/v25.0/{FIRST}").json == {"id": FIRST}


def test_the_readme_names_the_actions_the_people_and_the_accounts() -> None:
    readme = (ROOT / "sandbox" / "README.md").read_text()
    section = readme.partition("## Meta Ads")[2].partition("\n## ")[0]
    known = [f"`{name}(" for name in NAMES] + [one.pixel for one in ACCOUNTS.values()] + [*ACCOUNTS, *PEOPLE]
    assert [one for one in known if one not in section] == []
