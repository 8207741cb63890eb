"""The Meta stand-in against the provider's published description of its API: names of parameters, fields and values."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest

from sandbox.meta_ads import ad_sets, ads, campaigns, copies, creatives, insights, nodes, oauth
from sandbox.meta_ads.call import Call
from sandbox.meta_ads.doors import DOORS
from sandbox.meta_ads.figures import Figures
from sandbox.meta_ads.rows import row_json
from sandbox.meta_ads.state import Meta
from sandbox.process import ROOT, start
from tests.sandbox.meta import FIRST, PIXEL, USD, Graph, issue_token

SPECS = ROOT.parent / "shared" / "specs" / "ads" / "meta"
pytestmark = pytest.mark.skipif(not SPECS.exists(), reason=f"NAMES NOT CHECKED: {SPECS.name} descriptions are absent")

NODES = {
    "account": "AdAccount",
    "ad": "Ad",
    "adset": "AdSet",
    "app": "Application",
    "campaign": "Campaign",
    "creative": "AdCreative",
    "person": "User",
    "pixel": "AdsPixel",
    "run": "AdReportRun",
}
# Beyond the description: documented for reports, known to work on this edge.
EXTRA = {
    ("GET", parent, edge): {"filtering"}
    for parent, edge in (
        ("account", "campaigns"),
        ("account", "adsets"),
        ("campaign", "adsets"),
        ("account", "ads"),
        ("campaign", "ads"),
        ("adset", "ads"),
    )
}
UNDESCRIBED = {"lead", "video"}  # nodes that the copied descriptions lack
# Legacy objectives are listed there, and no longer taken for new campaigns.
ENUMS = {
    "adaccountcampaigns_bid_strategy_enum_param": campaigns.BID_STRATEGIES,
    "adaccountcampaigns_effective_status_enum_param": nodes.EFFECTIVE_ASKED,
    "adaccountcampaigns_execution_options_enum_param": nodes.EXECUTION,
    "adaccountcampaigns_objective_enum_param": campaigns.OBJECTIVES,
    "adaccountcampaigns_special_ad_categories_enum_param": campaigns.CATEGORIES,
    "adaccountcampaigns_status_enum_param": nodes.STATUSES,
    "adcampaigngroup_status": nodes.STATUSES,
    "Campaign_effective_status": campaigns.EFFECTIVE,
    "adaccountinsights_action_attribution_windows_enum_param": insights.WINDOWS,
    "adaccountinsights_action_report_time_enum_param": insights.REPORT_TIMES,
    "adaccountinsights_date_preset_enum_param": frozenset(insights.PRESETS),
    "adaccountinsights_level_enum_param": insights.LEVELS,
    "adaccountinsights_breakdowns_enum_param": frozenset(insights.BREAKDOWNS),
    "AdCreative_call_to_action_type": creatives.BUTTONS,
    "AdPromotedObject_custom_event_type": ad_sets.CONVERSIONS,
    "adaccountadsets_billing_event_enum_param": ad_sets.BILLED,
    "adaccountadsets_effective_status_enum_param": nodes.EFFECTIVE_ASKED,
    "adaccountadsets_optimization_goal_enum_param": frozenset(ad_sets.GOALS),
    "adaccountads_status_enum_param": nodes.STATUSES,
    "adcampaigngroupcopies_status_option_enum_param": copies.STATUS_OPTIONS,
    "userpermissions_status_enum_param": frozenset({"granted", "declined"}),
}


@pytest.fixture(scope="module")
def graph() -> Iterator[Graph]:
    with start() as running:
        yield Graph(running.url, issue_token(running))


def spec(node: str) -> Any:
    return json.loads((SPECS / f"{node}.json").read_text())


def fields(node: str) -> dict[str, str]:
    return {one["name"]: one["type"] for one in spec(node)["fields"]}


def operation(method: str, kind: str, edge: str) -> Any:
    found = [one for one in spec(NODES[kind])["apis"] if (one["method"], one.get("endpoint", "")) == (method, edge)]
    assert found, f"{method} {kind}/{edge} is not described"
    return found[0]


@pytest.mark.parametrize("key", [key for key in DOORS if key[1] in NODES], ids="-".join)
def test_every_parameter_is_described(key: tuple[str, Any, str]) -> None:
    described = {one["name"] for one in operation(*key)["params"]}
    assert set(DOORS[key].parameters) - described == EXTRA.get(key, set())


def test_every_node_is_described() -> None:
    assert {key[1] for key in DOORS} - {""} == NODES.keys() | UNDESCRIBED


def test_every_required_parameter_is_taken() -> None:
    for key, door in DOORS.items():
        if key[1] in NODES:
            required = {one["name"] for one in operation(*key)["params"] if one["required"]}
            assert required <= door.parameters, key


@pytest.mark.parametrize("name", ENUMS)
def test_every_value_is_described(name: str) -> None:
    (enum,) = [one for one in spec("enum_types") if one["name"] == name]
    assert set(ENUMS[name]) <= set(enum["values"])


def assert_described(answer: dict[str, Any], node: str) -> None:
    known = fields(node)
    assert set(answer) <= set(known), node
    for name, value in answer.items():
        kind = known[name]
        if kind in ("string", "datetime", "Campaign_status", "Campaign_effective_status", "Campaign_configured_status"):
            assert isinstance(value, str), name
        elif kind in ("bool", "int", "unsigned int", "float"):
            assert isinstance(value, bool if kind == "bool" else (int, float)), name
        elif kind.startswith("list"):
            assert isinstance(value, list), name


def known_here(graph: Graph, path: str, node: str) -> str:
    """The described fields that the stand-in knows, one by one."""
    return ",".join(name for name in fields(node) if graph.get(path, fields=name).status == 200)


def test_answered_campaigns_accounts_and_people_are_described(graph: Graph) -> None:
    asked = known_here(graph, FIRST, "Campaign")
    assert len(asked.split(",")) >= 20
    for campaign in graph.all(f"act_{USD}/campaigns", fields=asked, effective_status=list(campaigns.EFFECTIVE)):
        assert_described(campaign, "Campaign")
        for issue in campaign.get("issues_info", ()):
            assert_described(issue, "AdCampaignIssuesInfo")
    account = known_here(graph, f"act_{USD}", "AdAccount")
    assert_described(graph.get(f"act_{USD}", fields=account).json, "AdAccount")
    assert_described(graph.get("me", fields=known_here(graph, "me", "User")).json, "User")
    assert_described(graph.get(PIXEL, fields="name").json, "AdsPixel")


def test_answered_reports_are_described(graph: Graph) -> None:
    edge = f"act_{USD}/insights"
    asked = known_here(graph, edge, "AdsInsights")
    assert {"campaign_id", "spend", "actions", "purchase_roas"} <= set(asked.split(","))
    windows = sorted(insights.WINDOWS)
    rows = graph.all(edge, fields=asked, level="campaign", time_increment=1, action_attribution_windows=windows)
    for row in rows:
        assert_described(row, "AdsInsights")
        for name in ("actions", "action_values", "cost_per_action_type", "purchase_roas"):
            for one in row.get(name, ()):
                assert_described(one, "AdsActionStats")
    run = graph.post(edge).json["report_run_id"]
    assert_described(graph.get(run, fields=known_here(graph, run, "AdReportRun")).json, "AdReportRun")


def test_nothing_is_known_here_that_is_not_described() -> None:
    meta = Meta()
    campaign = meta.campaigns[FIRST]
    call = Call(meta, "GET", "v25.0", (), {}, "http://127.0.0.1", meta.started_at)
    day, ad = date(2026, 10, 1), next(iter(meta.ads.values()))
    row = row_json(ad, (day, day), [Figures(10, 5, 4, 8, 300, 1, 2000)], ())
    assert set(campaigns.campaign_json(call, campaign, True)) <= set(fields("Campaign"))
    assert set(oauth.account_json(call, campaign.account)) <= set(fields("AdAccount"))
    assert set(row) <= set(fields("AdsInsights"))
    assert set(ad_sets.ad_set_json(ad.ad_set)) <= set(fields("AdSet"))
    assert set(ads.ad_json(ad)) <= set(fields("Ad"))
    assert set(creatives.creative_json(ad.creative)) <= set(fields("AdCreative"))
    assert None not in row.values()
