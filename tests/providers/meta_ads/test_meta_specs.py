"""What we send and ask for exists: held against Meta's own machine-readable specification."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from model import Link
from providers.http import Request
from providers.meta_ads import ad_sets, ads, campaigns, children, insights, oauth
from tests.providers.doubles import Scripted, answer
from tests.providers.meta_ads.calls import KEY, META_ID, TOO_MUCH, Stored, calling, page, params, run, walked

SPECS = Path(__file__).parents[4] / "shared" / "specs" / "ads" / "meta"
# Of every list and node, so not in the specification of one: https://developers.facebook.com/docs/graph-api/overview
COMMON = {"fields", "limit", "after", "summary", "filtering"}
WORDS = {"string": str, "unsigned int": int, "bool": bool, "datetime": int}  # of plain values, how they read as JSON

pytestmark = pytest.mark.skipif(
    not SPECS.exists(), reason="NOT CHECKED against Meta's specification: the shared specs folder is not here"
)


def spec(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SPECS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def parameters(node: str, method: str, edge: str | None) -> dict[str, str]:
    """The types of an edge's parameters by their names."""
    api = next(each for each in spec(node)["apis"] if (each["method"], each.get("endpoint")) == (method, edge))
    return {each["name"]: each["type"] for each in api["params"]}


def enums() -> dict[str, list[str]]:
    listed = json.loads((SPECS / "enum_types.json").read_text(encoding="utf-8"))
    return {each["name"]: each["values"] for each in listed}


def fields_of(node: str) -> set[str]:
    return {each["name"] for each in spec(node)["fields"]}


def wrong_with(kind: str, value: str) -> str:
    """What is wrong with a parameter's value; empty when nothing is."""
    inner = kind.removeprefix("list<").removesuffix(">")
    if inner != kind:
        items = json.loads(value)
        return "" if isinstance(items, list) and not any(wrong_with(inner, _text(each)) for each in items) else value
    if kind in WORDS:
        return "" if WORDS[kind] is str or type(json.loads(value)) is WORDS[kind] else value
    if kind == "map":
        return "" if isinstance(json.loads(value), dict) else value
    known = enums().get(kind)
    return "" if known is None or value in known else f"{value} is not in {kind}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def wrong(request: Request, node: str, method: str, edge: str | None) -> dict[str, str]:
    """Every parameter of a request that the specification does not know, or not so."""
    known = parameters(node, method, edge)
    sent = {name: value for name, value in params(request).items() if name not in COMMON}
    assert sent
    return {
        name: known.get(name, "no such parameter")
        for name, value in sent.items()
        if name not in known or wrong_with(known[name], value)
    }


@pytest.mark.parametrize("objective", campaigns.OBJECTIVES)
@pytest.mark.parametrize("kind", ["daily", "lifetime", None])
@pytest.mark.parametrize("state", ["active", "paused"])
def test_a_new_campaign(objective: str, kind: str | None, state: str) -> None:
    scripted = Scripted(answer(200, {"id": META_ID}))
    data = {"campaign_id": KEY, "name": "x", "objective": objective, "state": state, "ends_at": "2027-01-01T00:00:00Z"}
    money = {"budget": 10, "budget_kind": kind} if kind else {}
    run(calling(scripted, "campaign.created", {**data, **money, "starts_at": "2026-12-01T00:00:00Z"}))
    assert wrong(scripted.requests[0], "AdAccount", "POST", "campaigns") == {}


@pytest.mark.parametrize("state", campaigns.STATUSES)
@pytest.mark.parametrize("kind", ["daily", "lifetime"])
def test_a_changed_campaign(state: str, kind: str) -> None:
    scripted = Scripted(answer(200, {"success": True}))
    data = {"campaign_id": KEY, "name": "x", "state": state, "budget": 10, "budget_kind": kind}
    known = Stored({KEY: Link(META_ID, KEY, "PAUSED")})
    run(calling(scripted, "campaign.updated", {**data, "ends_at": "2027-01-01T00:00:00Z"}, known=known))
    assert wrong(scripted.requests[0], "Campaign", "POST", None) == {}


def test_the_list_of_campaigns() -> None:
    scripted = Scripted(page([]))
    run(calling(scripted, "sync.due", {"stream": "campaigns"}))
    assert wrong(scripted.requests[0], "AdAccount", "GET", "campaigns") == {}
    assert set(campaigns.FIELDS.split(",")) - fields_of("Campaign") == set()
    assert set(campaigns.LISTED) - set(enums()["Campaign_effective_status"]) == set()


def test_insights_read_at_once_and_asked_for_as_a_report() -> None:
    scripted = Scripted(page([]), answer(200, {"report_run_id": "1"}))
    known = Stored(cursors={"insights": {"through": "2026-11-23", "late_at": "2026-11-23"}})
    run(calling(scripted, "sync.due", {"stream": "insights"}, known=known))
    run(calling(scripted, "sync.due", {"stream": "insights"}))
    at_once, report = scripted.requests
    assert wrong(at_once, "AdAccount", "GET", "insights") == {}
    assert wrong(report, "AdAccount", "POST", "insights") == {}
    assert wrong_with(parameters("AdAccount", "POST", "insights")["fields"], params(report)["fields"]) == ""
    whose = {name for names in insights.WHOSE.values() for name in names}
    read = {*insights.FIELDS, *insights.KEPT, *whose, "date_start"}
    assert set(insights.LEVELS.values()) <= set(enums()["adaccountinsights_level_enum_param"])
    assert read - fields_of("AdsInsights") == set()
    assert set(insights.STATUS_FIELDS.split(",")) - fields_of("AdReportRun") == set()
    assert set(insights.WINDOWS) <= {each["name"] for each in spec("AdsActionStats")["fields"]}


@pytest.mark.parametrize("goal", ad_sets.GOALS)
@pytest.mark.parametrize("billed", [None, *ad_sets.BILLED])
def test_a_new_ad_set(goal: str, billed: str | None) -> None:
    scripted = Scripted(page([]), answer(200, {"id": "1"}))
    data = {
        "ad_set_id": "set_1",
        "campaign_id": KEY,
        "name": "x",
        "optimization_goal": goal,
        "targeting": {"countries": ["DE"]},
        "promoted": {"pixel_id": "1", "event": "purchase", "page_id": "2"},
        "budget": 10,
        "budget_kind": "lifetime",
        "bid_amount": 1,
        "start_time": "2026-12-01T00:00:00Z",
        "end_time": "2027-01-01T00:00:00Z",
        "dsa_beneficiary": "a",
        "dsa_payor": "b",
        **({"billing_event": billed} if billed else {}),
    }
    run(calling(scripted, "ad_set.create_requested", data, known=Stored({KEY: Link(META_ID, KEY, "PAUSED")})))
    looked, asked = scripted.requests
    assert wrong(looked, "Campaign", "GET", "adsets") == {}
    assert wrong(asked, "AdAccount", "POST", "adsets") == {}


def test_a_new_ad() -> None:
    scripted = Scripted(page([]), *[answer(200, {"id": "1"})] * 2)
    creative = {"link": "https://a.example", "page_id": "1", "url_tags": "a=b"}
    data = {"ad_id": "a", "ad_set_id": "s", "ad_set_external_id": "5", "name": "x", "creative": creative}
    walked(scripted, "ad.create_requested", data)
    looked, made, asked = scripted.requests
    assert wrong(looked, "AdSet", "GET", "ads") == {}
    assert wrong(made, "AdAccount", "POST", "adcreatives") == {}
    assert wrong(asked, "AdAccount", "POST", "ads") == {}


@pytest.mark.parametrize("state", children.STATUSES)
@pytest.mark.parametrize(("kind", "node"), [("ad_set", "AdSet"), ("ad", "Ad")])
def test_the_state_of_an_ad_set_and_an_ad(state: str, kind: str, node: str) -> None:
    scripted = Scripted(answer(200, {"success": True}))
    data = {f"{kind}_id": "x", "external_id": "5", "state": state}
    run(calling(scripted, f"{kind}.state_change_requested", data))
    assert wrong(scripted.requests[0], node, "POST", None) == {}


def test_what_ad_sets_and_ads_are_found_by() -> None:
    assert set(ad_sets.AD_SET.listed.fields.split(",")) <= fields_of("AdSet")
    assert set(ads.AD.listed.fields.split(",")) <= fields_of("Ad")
    assert set(ad_sets.STATES) | {"DELETED"} == set(enums()["AdSet_effective_status"])
    assert set(ads.STATES) | {"DELETED"} == set(enums()["Ad_effective_status"])
    assert set(ad_sets.COUNTED.values()) <= set(enums()["AdPromotedObject_custom_event_type"])


def test_a_copy() -> None:
    scripted = Scripted(answer(200, {"copied_campaign_id": "9"}))
    data = {"campaign_id": "cmp_2", "source_campaign_id": KEY, "deep": True}
    run(calling(scripted, "campaign.copy_requested", data, known=Stored({KEY: Link(META_ID, KEY, "PAUSED")})))
    assert wrong(scripted.requests[0], "Campaign", "POST", "copies") == {}


def test_conversions() -> None:
    scripted = Scripted(answer(200, {"events_received": 1}))
    conversion = {"attribution_id": "a", "name": "lead", "channel": "crm", "user": {"lead_id": "1"}}
    run(calling(scripted, "attribution.event", conversion))
    assert wrong(scripted.requests[0], "AdsPixel", "POST", "events") == {}


def test_the_fields_of_ad_accounts() -> None:
    assert set(oauth.ACCOUNT_FIELDS.split(",")) - fields_of("AdAccount") == set()


def test_this_test_can_fail() -> None:
    scripted = Scripted(TOO_MUCH)
    run(calling(scripted, "sync.due", {"stream": "campaigns"}))
    assert set(wrong(scripted.requests[0], "AdAccount", "GET", "insights")) == {"effective_status"}
    assert wrong_with("unsigned int", '"7500"')
    assert wrong_with("list<adaccountcampaigns_effective_status_enum_param>", '["ACTIVE","NEW"]')
    assert wrong_with("adaccountcampaigns_status_enum_param", "RUNNING")
