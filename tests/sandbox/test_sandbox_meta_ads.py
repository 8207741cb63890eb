"""Ad sets, creatives, ads, copies and leads of the Meta stand-in: the official client, then the rules over HTTP."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.control import SandboxRefused
from sandbox.process import Sandbox, start
from tests.sandbox.meta import APP_ID, APP_SECRET, EUR, FIRST, MIRA, PIXEL, USD, Graph, a_file, callback, issue_token

ACCOUNT = f"act_{USD}"
PAGE, OTHER_PAGE = "10500001", "10500002"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)
UNBUDGETED = "120210000000000006"  # its ad sets have the budgets
TARGETING = {
    "geo_locations": {"countries": ["US"]},
    "age_min": 25,
    "age_max": 54,
    "genders": [2],
    "targeting_automation": {"advantage_audience": 0},
}
SET = {
    "name": "Women",
    "campaign_id": FIRST,
    "optimization_goal": "LINK_CLICKS",
    "billing_event": "IMPRESSIONS",
    "targeting": TARGETING,
    "status": "PAUSED",
}
OWN = {**SET, "campaign_id": UNBUDGETED, "daily_budget": 4000}
LINK = {"link": "https://shop.example/", "message": "Dry feet."}
STORY = {"page_id": PAGE, "link_data": LINK}


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


# -------------------------------------------------------------------------------------------------- the official client


def test_an_ad_is_made_by_the_official_client(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("facebook_business", reason="the official facebook-business client is not installed")
    from facebook_business.adobjects.ad import Ad
    from facebook_business.adobjects.adaccount import AdAccount
    from facebook_business.adobjects.adset import AdSet
    from facebook_business.adobjects.campaign import Campaign
    from facebook_business.api import FacebookAdsApi
    from facebook_business.session import FacebookSession

    monkeypatch.setattr(FacebookSession, "GRAPH", sandbox.url)
    api = FacebookAdsApi.init(APP_ID, APP_SECRET, issue_token(sandbox), api_version="v25.0", crash_log=False)
    account = AdAccount(ACCOUNT, api=api)
    ad_set = account.create_ad_set(params=SET)
    image = account.create_ad_image(params={"bytes": base64.b64encode(PNG).decode()})
    story = {**STORY, "link_data": {**LINK, "image_hash": image["hash"]}}
    creative = account.create_ad_creative(params={"name": "Feet", "object_story_spec": story, "url_tags": "a=b"})
    shows = {"creative_id": creative["id"]}
    ad = account.create_ad(params={"name": "Ad", "adset_id": ad_set["id"], "creative": shows, "status": "PAUSED"})
    AdSet(ad_set["id"]).api_update(params={"status": "ACTIVE"})
    read = Ad(ad["id"]).api_get(fields=["name", "effective_status", "adset_id", "campaign_id", "creative"])
    assert (read["effective_status"], read["adset_id"], read["campaign_id"]) == ("PAUSED", ad_set["id"], FIRST)
    assert read["creative"]["id"] == creative["id"]
    shown = AdSet(ad_set["id"]).api_get(fields=["targeting", "effective_status", "bid_strategy"])
    assert shown["effective_status"] == "ACTIVE"
    assert shown["targeting"]["geo_locations"]["countries"] == ["US"]
    assert ad["id"] in [each["id"] for each in AdSet(ad_set["id"]).get_ads(fields=["name"])]
    assert ad_set["id"] in [each["id"] for each in Campaign(FIRST).get_ad_sets(fields=["name"])]
    copied = Campaign(FIRST).create_copy(params={"deep_copy": True, "status_option": "PAUSED"})
    assert Campaign(copied["copied_campaign_id"]).api_get(fields=["name"])["name"] == "Spring launch - Copy"
    first = Campaign(FIRST).get_ad_sets(fields=["name"], params={"limit": 50})[-1]
    rows = list(first.get_insights(fields=["adset_id", "spend"], params={"date_preset": "last_28d"}))
    assert [row["adset_id"] for row in rows] == [first["id"]]
    Ad(ad["id"]).api_delete()
    assert Ad(ad["id"]).api_get(fields=["status"])["status"] == "DELETED"
    assert sandbox.control.bill()["meta_ads"]["ads_created"] == 1


# ------------------------------------------------------------------------------------------------------------- ad sets


@pytest.mark.parametrize(
    ("base", "changes", "subcode", "words"),
    [
        *[(SET, {name: None}, None, f"{name} is required") for name in ("name", "campaign_id", "targeting")],
        (SET, {"campaign_id": "120220000000000001"}, None, "a campaign of this ad account"),
        (SET, {"daily_budget": 4000}, None, "an ad set of it has none"),
        (SET, {"bid_strategy": "COST_CAP"}, None, "an ad set of it has none"),
        (OWN, {"daily_budget": None}, None, "Exactly one of daily_budget and lifetime_budget"),
        (OWN, {"lifetime_budget": 9000}, None, "Exactly one of daily_budget and lifetime_budget"),
        (OWN, {"daily_budget": 99}, 1885272, "Invalid parameter"),
        (OWN, {"daily_budget": None, "lifetime_budget": 9000}, None, "needs end_time"),
        (OWN, {"bid_amount": 100}, 1815857, "Invalid parameter"),
        (OWN, {"bid_strategy": "LOWEST_COST_WITH_BID_CAP"}, 1815857, "Invalid parameter"),
        (SET, {"optimization_goal": "HAPPINESS"}, None, "optimization_goal must be one of"),
        (SET, {"billing_event": "THRUPLAY"}, None, "one that goes with LINK_CLICKS"),
        (SET, {"optimization_goal": "OFFSITE_CONVERSIONS"}, None, "custom_event_type, pixel_id"),
        (
            SET,
            {"optimization_goal": "LEAD_GENERATION", "promoted_object": {"page_id": OTHER_PAGE}},
            None,
            "page of this",
        ),
        (SET, {"promoted_object": {"pixel_id": "1", "custom_event_type": "LEAD"}}, None, "a pixel of this ad account"),
        (SET, {"targeting": {**TARGETING, "geo_locations": {"countries": ["DE"]}}}, 3858081, "Invalid parameter"),
        (SET, {"targeting": {**TARGETING, "geo_locations": {"countries": ["Germany"]}}}, None, "two-letter codes"),
        (SET, {"targeting": {**TARGETING, "geo_locations": {}}}, None, "an object with countries"),
        (SET, {"targeting": {**TARGETING, "age_min": 60, "age_max": 20}}, None, "not above age_max"),
        (SET, {"targeting": {**TARGETING, "age_min": "25"}}, None, "not above age_max"),
        (SET, {"targeting": {**TARGETING, "genders": ["male"]}}, None, "an array of 1 (men) and 2 (women)"),
        (SET, {"targeting": {**TARGETING, "gender": 1}}, None, "without gender"),
        (SET, {"targeting": {**TARGETING, "targeting_automation": {}}}, None, "advantage_audience"),
        (SET, {"targeting": {**TARGETING, "publisher_platforms": ["telegram"]}}, None, "publisher_platforms"),
        (SET, {"targeting": {**TARGETING, "facebook_positions": ["feed"]}}, None, "that publisher_platforms names"),
        (SET, {"start_time": 1800000000, "end_time": 1700000000}, None, "after start_time"),
        (SET, {"name": "x" * 401}, None, "1 to 400 characters"),
    ],
)
def test_an_ad_set_that_breaks_a_rule(
    sandbox: Sandbox, graph: Graph, base: dict[str, Any], changes: dict[str, Any], subcode: int | None, words: str
) -> None:
    given = {name: value for name, value in {**base, **changes}.items() if value is not None}
    refused = graph.post(f"{ACCOUNT}/adsets", **given)
    assert refused.codes == (400, 100, subcode)
    assert words in refused.json["error"]["message"]
    assert sandbox.control.bill() == {}


def test_ad_sets_that_keep_the_rules(graph: Graph) -> None:
    promoted = {"pixel_id": PIXEL, "custom_event_type": "PURCHASE"}
    union = {**TARGETING, "geo_locations": {"countries": ["DE", "US"]}}
    kept: list[dict[str, Any]] = [
        OWN,
        {**OWN, "bid_strategy": "COST_CAP", "bid_amount": 150},
        {**SET, "optimization_goal": "OFFSITE_CONVERSIONS", "promoted_object": promoted},
        {**SET, "targeting": union, "dsa_beneficiary": "Acme", "dsa_payor": "Acme"},
        {**SET, "execution_options": ["validate_only"]},
    ]
    said = [graph.post(f"{ACCOUNT}/adsets", **each).json for each in kept]
    assert said[-1] == {"success": True}
    assert len({each["id"] for each in said[:-1]}) == 4
    fields = "daily_budget,bid_amount,campaign_id,targeting"
    assert graph.get(said[1]["id"], fields=fields).json == {
        "id": said[1]["id"],
        "daily_budget": "4000",
        "bid_amount": 150,
        "campaign_id": UNBUDGETED,
        "targeting": TARGETING,
    }


def test_a_budget_of_an_ad_set_changes_four_times_an_hour(graph: Graph) -> None:
    made = graph.post(f"{ACCOUNT}/adsets", **OWN).json["id"]
    for budget in (4100, 4200, 4300, 4300, 4400):
        assert graph.post(made, daily_budget=budget).json == {"success": True}
    assert graph.post(made, daily_budget=4500).codes == (400, 613, 1487632)
    assert graph.post(made, name="Other").json == {"success": True}


# ------------------------------------------------------------------------------------------------------ creatives, ads


def story(kind: str = "link_data", **changes: Any) -> dict[str, Any]:
    base = LINK if kind == "link_data" else {}
    return {"page_id": PAGE, kind: {name: value for name, value in {**base, **changes}.items() if value is not None}}


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({**STORY, "page_id": OTHER_PAGE}, "a page of this ad account"),
        ({"page_id": PAGE}, "one of link_data and video_data"),
        ({**STORY, "video_data": {"video_id": "1"}}, "one of link_data and video_data"),
        (story(link=None), "[link_data][link] must be a URL"),
        (story(image_hash="0" * 32), "the hash of a picture of this ad account"),
        (story(picture="shoes.jpg"), "[picture] must be a URL"),
        (story(headline="x"), "without headline"),
        (story(call_to_action={"type": "GO", "value": {"link": "https://a.example"}}), "[call_to_action][type]"),
        (story(call_to_action={"type": "SHOP_NOW"}), "[call_to_action][value][link]"),
        (story("video_data", video_id="1"), "a video of this ad account"),
    ],
)
def test_a_creative_that_breaks_a_rule(graph: Graph, spec: dict[str, Any], words: str) -> None:
    refused = graph.post(f"{ACCOUNT}/adcreatives", name="x", object_story_spec=spec)
    assert refused.codes == (400, 100, None)
    assert words in refused.json["error"]["message"]


def test_a_picture_is_known_by_its_hash(graph: Graph) -> None:
    sent = [graph.post(f"{ACCOUNT}/adimages", bytes=base64.b64encode(PNG).decode()).json for _ in range(2)]
    assert sent[0] == sent[1]
    digest = sent[0]["images"]["bytes"]["hash"]
    made = graph.post(f"{ACCOUNT}/adcreatives", name="x", object_story_spec=story(image_hash=digest))
    assert made.status == 200
    elsewhere = graph.post(f"act_{EUR}/adcreatives", name="x", object_story_spec=story(image_hash=digest))
    assert elsewhere.codes == (400, 100, None)
    assert graph.post(f"{ACCOUNT}/adimages", bytes="%%%").codes == (400, 100, None)
    assert graph.post(f"{ACCOUNT}/adimages", bytes=base64.b64encode(b"hello").decode()).codes == (400, 100, None)


def test_a_video_is_fetched_and_encoded_before_it_is_shown(sandbox: Sandbox, graph: Graph) -> None:
    sandbox.control.do("meta_ads", "set_videos", looks=2)
    with a_file(b"mp4") as url:
        video = graph.post(f"{ACCOUNT}/advideos", file_url=url, name="Feet").json["id"]
        lost = graph.post(f"{ACCOUNT}/advideos", file_url=f"{url}.gone").json["id"]
    button = {"type": "SHOP_NOW", "value": {"link": "https://shop.example/"}}
    spec = story("video_data", video_id=video, image_url="https://shop.example/cover.jpg", call_to_action=button)
    early = graph.post(f"{ACCOUNT}/adcreatives", name="x", object_story_spec=spec)
    assert early.codes == (400, 100, 1885252)
    seen = [graph.get(video, fields="status,picture").json for _ in range(3)]
    assert [each["status"]["video_status"] for each in seen] == ["processing", "processing", "ready"]
    assert [bool(each.get("picture")) for each in seen] == [False, False, True]
    bare = story("video_data", video_id=video, call_to_action=button)
    assert graph.post(f"{ACCOUNT}/adcreatives", name="x", object_story_spec=bare).codes == (400, 100, 1443226)
    assert graph.post(f"{ACCOUNT}/adcreatives", name="x", object_story_spec=spec).status == 200
    assert graph.get(lost, fields="status").json["status"]["video_status"] == "error"


def an_ad(graph: Graph, ad_set: str, **more: Any) -> Any:
    creative = graph.post(f"{ACCOUNT}/adcreatives", name="x", object_story_spec=STORY).json["id"]
    shows = {"creative_id": creative}
    return graph.post(f"{ACCOUNT}/ads", **{"name": "Ad", "adset_id": ad_set, "creative": shows, **more})


def test_an_ad_that_breaks_a_rule(sandbox: Sandbox, graph: Graph) -> None:
    ad_set = sandbox.control.do("meta_ads", "ad_sets", campaign=FIRST)[0]["id"]
    for changes in (
        {"creative": {"object_story_spec": STORY}},
        {"creative": {"creative_id": "1"}},
        {"adset_id": FIRST},
    ):
        assert an_ad(graph, ad_set, **changes).codes == (400, 100, None)
    ended = sandbox.control.do("meta_ads", "ad_sets", campaign="120210000000000011")[0]["id"]
    assert an_ad(graph, ended).codes == (400, 100, 1487056)
    assert an_ad(graph, ad_set, execution_options=["validate_only"]).json == {"success": True}


def test_ads_pause_and_end_with_what_they_are_in(sandbox: Sandbox, graph: Graph) -> None:
    ad_set = sandbox.control.do("meta_ads", "ad_sets", campaign=FIRST)[0]["id"]
    ad = an_ad(graph, ad_set, status="ACTIVE").json["id"]

    def states() -> tuple[str, ...]:
        return tuple(graph.get(one, fields="effective_status").json["effective_status"] for one in (ad_set, ad))

    assert states() == ("ACTIVE", "ACTIVE")
    graph.post(ad_set, status="PAUSED")
    assert states() == ("PAUSED", "ADSET_PAUSED")
    graph.post(ad_set, status="ACTIVE")
    graph.post(FIRST, status="PAUSED")
    assert states() == ("CAMPAIGN_PAUSED", "CAMPAIGN_PAUSED")
    graph.post(ad, status="PAUSED")
    assert states() == ("CAMPAIGN_PAUSED", "PAUSED")
    graph.post(ad_set, status="DELETED")
    assert states() == ("DELETED", "DELETED")
    assert graph.post(ad, status="ACTIVE").codes == (400, 100, 1487056)
    assert ad not in [each["id"] for each in graph.all(f"{FIRST}/ads")]
    assert ad in [each["id"] for each in graph.all(f"{ACCOUNT}/ads", effective_status=["DELETED"])]
    assert graph.delete(ad).json == {"success": True}


def test_ads_and_ad_sets_are_found_by_their_names(graph: Graph) -> None:
    def found(edge: str, field: str) -> list[str]:
        filtering = [{"field": field, "operator": "CONTAIN", "value": "group 2"}]
        return [each["name"] for each in graph.all(edge, fields="name", filtering=filtering)]

    assert found(f"{FIRST}/adsets", "adset.name") == ["Spring launch, group 2"]
    assert len(found(f"{FIRST}/ads", "ad.name")) == 2
    refused = graph.get(f"{FIRST}/ads", filtering=[{"field": "adset.name", "operator": "CONTAIN", "value": "x"}])
    assert refused.codes == (400, 100, None)


# -------------------------------------------------------------------------------------------------------------- copies


def test_a_copy_takes_its_ad_sets_and_ads_along(sandbox: Sandbox, graph: Graph) -> None:
    rename = {"rename_strategy": "ONLY_TOP_LEVEL_RENAME", "rename_suffix": " [cmp_2]"}
    copied = graph.post(f"{FIRST}/copies", deep_copy=True, rename_options=rename).json["copied_campaign_id"]
    assert graph.get(copied, fields="name,status,daily_budget").json == {
        "id": copied,
        "name": "Spring launch [cmp_2]",
        "status": "PAUSED",
        "daily_budget": "7500",
    }
    first, second = (sandbox.control.do("meta_ads", "ad_sets", campaign=each) for each in (FIRST, copied))
    assert [each["name"] for each in first] == [each["name"] for each in second]
    assert {each["effective_status"] for each in second} == {"PAUSED"}
    assert len(sandbox.control.do("meta_ads", "ads", ad_set=second[0]["id"])) == 2
    flat = graph.post(f"{FIRST}/copies").json["copied_campaign_id"]
    assert sandbox.control.do("meta_ads", "ad_sets", campaign=flat) == []
    assert graph.get(flat, fields="name").json["name"] == "Spring launch - Copy"
    assert sandbox.control.bill()["meta_ads"]["campaigns_copied"] == 2
    assert graph.post("120210000000000012/copies").codes == (400, 100, 1487056)
    for options in ({"rename_strategy": "SHOUT"}, {"suffix": "x"}, {"rename_suffix": "x" * 400}):
        assert graph.post(f"{FIRST}/copies", rename_options=options).codes == (400, 100, None)


def test_a_copy_of_too_much_is_refused(sandbox: Sandbox, graph: Graph) -> None:
    ad_set = sandbox.control.do("meta_ads", "ad_sets", campaign=FIRST)[0]["id"]
    for _ in range(46):
        an_ad(graph, ad_set)
    assert graph.post(f"{FIRST}/copies", deep_copy=True).codes == (400, 100, 1885194)
    assert graph.post(f"{FIRST}/copies", deep_copy=False).status == 200


# --------------------------------------------------------------------------------------------------------------- leads


def test_a_lead_needs_its_permission_and_its_page(sandbox: Sandbox, graph: Graph) -> None:
    ad_set = sandbox.control.do("meta_ads", "ad_sets", campaign=FIRST)[0]["id"]
    ad = sandbox.control.do("meta_ads", "ads", ad_set=ad_set)[0]["id"]
    written = {"email": ["ann.lee@example.com"], "size": ["38", "39"]}
    lead = sandbox.control.do("meta_ads", "create_lead", page=PAGE, fields=written, ad=ad)
    fields = "field_data,campaign_id,campaign_name,adset_id,ad_id,form_id,is_organic"
    assert graph.get(lead, fields=fields).codes == (403, 200, None)
    reader = Graph(sandbox.url, issue_token(sandbox, scopes=["leads_retrieval"]))
    assert reader.get(lead, fields=fields).json == {
        "id": lead,
        "field_data": [{"name": "email", "values": ["ann.lee@example.com"]}, {"name": "size", "values": ["38", "39"]}],
        "campaign_id": FIRST,
        "campaign_name": "Spring launch",
        "adset_id": ad_set,
        "ad_id": ad,
        "form_id": "888000000000001",
        "is_organic": False,
    }
    organic = sandbox.control.do("meta_ads", "create_lead", page=PAGE, fields=written)
    assert reader.get(organic, fields="is_organic,ad_id").json == {"id": organic, "is_organic": True}
    other = sandbox.control.do("meta_ads", "create_lead", page=OTHER_PAGE, fields=written)
    assert reader.get(other).codes == (400, 100, 33)
    with pytest.raises(SandboxRefused, match="no page"):
        sandbox.control.do("meta_ads", "create_lead", page="1", fields={})


# ------------------------------------------------------------------------------------------------------------- reports


def test_the_rows_of_all_levels_add_up(graph: Graph) -> None:
    whole: dict[str, Counter[tuple[str, str]]] = {}
    for level in ("account", "campaign", "adset", "ad"):
        sums: Counter[tuple[str, str]] = Counter()
        asked = {"level": level, "time_increment": 1, "date_preset": "last_7d", "fields": "campaign_id,clicks"}
        for row in graph.all(f"{ACCOUNT}/insights", **asked):
            sums[row["date_start"], "" if level == "account" else row["campaign_id"]] += int(row["clicks"])
        whole[level] = sums
    assert whole["campaign"] == whole["adset"] == whole["ad"]
    assert sum(whole["account"].values()) == sum(whole["ad"].values()) > 0


def test_the_rows_of_breakdowns_add_up(graph: Graph) -> None:
    asked = {"fields": "impressions,clicks", "date_preset": "last_7d"}
    (whole,) = graph.get(f"{FIRST}/insights", **asked).json["data"]
    rows = graph.all(f"{FIRST}/insights", **asked, breakdowns=["age", "gender"])
    assert len({(row["age"], row["gender"]) for row in rows}) == len(rows) == 18
    assert sum(int(row["impressions"]) for row in rows) == int(whole["impressions"])
    assert sum(int(row["clicks"]) for row in rows) == int(whole["clicks"])


def test_a_report_is_on_what_it_is_asked_of(sandbox: Sandbox, graph: Graph) -> None:
    ad_set = sandbox.control.do("meta_ads", "ad_sets", campaign=FIRST)[1]["id"]
    ads = [each["id"] for each in sandbox.control.do("meta_ads", "ads", ad_set=ad_set)]
    fields = "campaign_id,adset_id,adset_name,ad_id,ad_name,clicks"
    (row,) = graph.get(f"{ad_set}/insights", fields=fields).json["data"]
    assert (row["adset_id"], row["adset_name"], row["campaign_id"]) == (ad_set, "Spring launch, group 2", FIRST)
    assert "ad_id" not in row
    rows = graph.get(f"{ad_set}/insights", fields=fields, level="ad").json["data"]
    assert sorted(each["ad_id"] for each in rows) == sorted(ads)
    assert sum(int(each["clicks"]) for each in rows) == int(row["clicks"])
    (one,) = graph.get(f"{ads[0]}/insights", fields=fields).json["data"]
    assert one["ad_name"] == "Spring launch, group 2, ad 1"
    condition = [{"field": "ad.id", "operator": "IN", "value": [ads[0]]}]
    (of_campaign,) = graph.get(f"{FIRST}/insights", fields=fields, filtering=condition).json["data"]
    assert of_campaign["clicks"] == one["clicks"]


def test_a_lead_is_told_to_the_app(sandbox: Sandbox) -> None:
    app = Graph(sandbox.url, f"{APP_ID}|{APP_SECRET}")
    value = {"leadgen_id": 777000000000001, "page_id": int(PAGE), "form_id": 1, "created_time": 1791450000}
    with callback() as heard:
        asked = {"object": "page", "callback_url": heard.url, "fields": "leadgen", "verify_token": "vt"}
        assert app.post(f"{APP_ID}/subscriptions", **asked).status == 200
        told = {"app_id": APP_ID, "field": "leadgen", "value": value, "entry_id": PAGE, "object": "page"}
        sent = sandbox.control.do("meta_ads", "send_webhook", **told)
    assert sent["status"] == 200
    assert b'"leadgen_id":777000000000001' in heard.posted[0][1]
    assert MIRA not in sent["body"]
