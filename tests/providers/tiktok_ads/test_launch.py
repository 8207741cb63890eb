"""From a campaign to an ad that runs, at the stand-in: made once, found again, changed, read and deleted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import pytest

from model import Done, MediaAsset, Wait
from providers.errors import InvalidPayload, OutcomeUnknown, Refused, Retryable
from providers.tiktok_ads import ad_groups, ads, subscriptions
from providers.tiktok_ads.children import AD, AD_GROUP
from tests.providers.doubles import Memory as Files
from tests.providers.doubles import Scripted
from tests.providers.tiktok_ads.platform import CONFIG, Account, body_of, calling, page_of, query_of, run, said
from worker.catalog import event_types

CAMPAIGN = {"campaign_id": "cmp_1", "name": "Spring", "objective": "traffic"}
GROUP: Mapping[str, Any] = {
    "ad_set_id": "set_1",
    "campaign_id": "cmp_1",
    "name": "Germany, 25 to 54",
    "optimization_goal": "clicks",
    "budget": 40,
    "currency": "EUR",
    "targeting": {"countries": ["DE", "FR"], "age_min": 25, "age_max": 54, "genders": ["female"]},
}
IDENTITY = {**CONFIG, "identity_id": "idn_1"}


def ad(account: Account, **creative: Any) -> dict[str, Any]:
    """An ad with a picture of the stand-in's."""
    picture = f"{account.sandbox.url}/tiktok_ads/portal/cover.jpg"
    given = {"link": "https://shop.example/shoes?a=1", "message": "Dry feet.", "image_url": picture, **creative}
    given = {name: value for name, value in given.items() if value is not None}
    return {"ad_id": "ad_1", "ad_set_id": "set_1", "campaign_id": "cmp_1", "name": "Shoes", "creative": given}


def bill(account: Account) -> dict[str, int]:
    return dict(account.sandbox.control.bill()["tiktok_ads"])


@pytest.fixture
def launched(account: Account) -> Account:
    """A campaign and an ad group in it."""
    account.publish("campaign.created", CAMPAIGN)
    account.publish("ad_set.create_requested", GROUP)
    return account


# --------------------------------------------------------------------------------------------------------- ad groups


def test_an_ad_group_is_made_once_and_told(account: Account) -> None:
    account.publish("campaign.created", CAMPAIGN)
    first = account.publish("ad_set.create_requested", GROUP)
    (event,) = first.events
    assert event_types()[event.type].problem(event.data) is None
    assert (event.type, event.data["state"]) == ("ad_set.created", "paused")
    again = account.publish("ad_set.create_requested", GROUP)
    assert (again.result["skipped"], again.external_id) == ("The ad group is there already.", first.external_id)
    account.known.links.clear()
    assert account.publish("ad_set.create_requested", GROUP).external_id == first.external_id, "by its name"
    assert bill(account)["ad_groups_created"] == 1


def test_what_an_ad_group_asks_for() -> None:
    link = page_of({"campaign_id": "18", "campaign_name": "Spring [cmp_1]", "objective_type": "WEB_CONVERSIONS"})
    data = {
        **GROUP,
        "optimization_goal": "conversions",
        "promoted": {"pixel_id": "77", "event": "purchase"},
        "bid_amount": 5,
        "start_time": "2026-03-01T12:00:00+01:00",
        "end_time": "2026-04-01T00:00:00Z",
        "budget_kind": "lifetime",
        "state": "active",
        "extra": {"tiktok_ads": {"pacing": "PACING_MODE_FAST"}},
    }
    scripted = Scripted(link, said({"adgroup_id": "19"}))
    run(calling(scripted, "ad_set.create_requested", data, progress={"location_ids": ["2921044"]}))
    body = body_of(scripted.requests[1])
    wanted = {
        "campaign_id": "18",
        "adgroup_name": "Germany, 25 to 54 [set_1]",
        "promotion_type": "WEBSITE",
        "location_ids": ["2921044"],
        "age_groups": ["AGE_25_34", "AGE_35_44", "AGE_45_54"],
        "gender": "GENDER_FEMALE",
        "placement_type": "PLACEMENT_TYPE_AUTOMATIC",
        "optimization_goal": "CONVERT",
        "billing_event": "OCPM",
        "pacing": "PACING_MODE_FAST",
        "budget_mode": "BUDGET_MODE_TOTAL",
        "budget": 40.0,
        "bid_type": "BID_TYPE_CUSTOM",
        "conversion_bid_price": 5.0,
        "schedule_type": "SCHEDULE_START_END",
        "schedule_start_time": "2026-03-01 11:00:00",
        "schedule_end_time": "2026-04-01 00:00:00",
        "pixel_id": "77",
        "optimization_event": "SHOPPING",
        "operation_status": "ENABLE",
    }
    assert {name: body.get(name) for name in wanted} == wanted
    assert set(body) - set(wanted) == {"advertiser_id", "request_id"}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"budget": None}, "missing_budget"),
        ({"budget_kind": "lifetime"}, "missing_field"),
        ({"currency": "USD"}, "currency_mismatch"),
        ({"optimization_goal": "conversions"}, "missing_field"),
        ({"promoted": {"event": "page_view"}}, "unsupported_event"),
        ({"targeting": {"countries": ["DE", "ZZ"]}}, "unknown_country"),
    ],
)
def test_what_tiktok_would_not_take_is_refused_before(account: Account, change: dict[str, Any], code: str) -> None:
    account.publish("campaign.created", CAMPAIGN)
    data = {name: value for name, value in {**GROUP, **change}.items() if value is not None}
    with pytest.raises(InvalidPayload) as refused:
        account.publish("ad_set.create_requested", data)
    assert refused.value.code == code
    assert bill(account)["ad_groups_created"] == 0


@pytest.mark.parametrize("fault", [{"drop": "after"}, {"truncate": True}])
def test_a_lost_answer_is_found_by_our_key(account: Account, fault: Any) -> None:
    account.publish("campaign.created", CAMPAIGN)
    call = account.call("ad_set.create_requested", GROUP)
    regions = run(call)
    assert isinstance(regions, Wait)
    call.progress = regions.progress
    assert ad_groups.repeat(call.progress).value == "lookup"
    account.sandbox.control.add_rule("/tiktok_ads/open_api/v1.3/adgroup/create/", fault, times=1)
    with pytest.raises(OutcomeUnknown):
        run(call)
    found = ad_groups.find(call)
    assert isinstance(found, Done)
    assert found.result["recovered"]
    assert bill(account)["ad_groups_created"] == 1


def test_an_ad_group_is_changed_turned_and_deleted(launched: Account) -> None:
    named = {"ad_set_id": "set_1", "campaign_id": "cmp_1"}
    changed = launched.publish("ad_set.update_requested", {**named, "budget": 60, "currency": "EUR"})
    assert changed.result["changed"] == ["budget"]
    launched.publish("ad_set.state_change_requested", {**named, "state": "active"})
    launched.publish("ad_set.state_change_requested", {**named, "state": "active"})
    launched.publish("ad_set.state_change_requested", {**named, "state": "deleted"})
    launched.known.links.clear()
    with pytest.raises(Retryable, match="not there yet"):
        launched.publish("ad_set.state_change_requested", {**named, "state": "active"})


def test_an_older_change_does_not_undo_a_later_one(launched: Account) -> None:
    named = {"ad_set_id": "set_1", "campaign_id": "cmp_1"}
    before = launched.call("ad_set.state_change_requested", {**named, "state": "active"})
    launched.publish("ad_set.state_change_requested", {**named, "state": "paused"})
    outcome = run(before)
    assert isinstance(outcome, Done)
    assert outcome.result["skipped"] == "A later change was applied before."


def test_several_with_one_key_are_told_apart_by_a_person() -> None:
    rows = [{"adgroup_id": str(n), "adgroup_name": "Germany [set_1]"} for n in (1, 2)]
    call = calling(Scripted(page_of(*rows)), "ad_set.state_change_requested", {"ad_set_id": "set_1", "state": "paused"})
    with pytest.raises(InvalidPayload, match="there 2 times"):
        run(call)


# --------------------------------------------------------------------------------------------------------------- ads


def test_an_ad_with_a_picture_is_made_once_and_told(launched: Account) -> None:
    first = launched.publish("ad.create_requested", ad(launched, url_tags="utm_id=__CID__"), config=IDENTITY)
    (event,) = first.events
    assert event_types()[event.type].problem(event.data) is None
    assert (event.type, event.data["state"]) == ("ad.created", "paused")
    again = launched.publish("ad.create_requested", ad(launched), config=IDENTITY)
    assert (again.external_id, "skipped" in again.result) == (first.external_id, True)
    assert (bill(launched)["ads_created"], bill(launched)["images_uploaded"]) == (1, 1)
    launched.publish("ad.state_change_requested", {"ad_id": "ad_1", "campaign_id": "cmp_1", "state": "active"})
    launched.publish("ad.state_change_requested", {"ad_id": "ad_1", "campaign_id": "cmp_1", "state": "deleted"})


def test_an_ad_s_text_is_changed_and_its_review_read(launched: Account) -> None:
    made = launched.publish("ad.create_requested", ad(launched), config=IDENTITY)
    named = {"ad_id": "ad_1", "campaign_id": "cmp_1"}
    change = {**named, "creative": {"message": "Dry feet, all summer."}}
    assert launched.publish("ad.update_requested", change).result["changed"] == ["ad_text"]
    assert launched.publish("ad.update_requested", change).external_id == made.external_id, "as it was is no failure"
    checked = launched.publish("ad.check_requested", named)
    (event,) = checked.events
    assert event_types()[event.type].problem(event.data) is None
    assert (event.data["external_id"], event.data["status"]) == (made.external_id, "AD_STATUS_DISABLE")
    of_group = launched.publish("ad.check_requested", {"ad_set_id": "set_1", "campaign_id": "cmp_1"})
    assert of_group.result["status"] == "ADGROUP_STATUS_DISABLE"


def test_the_account_s_pixels_are_there_to_choose_from(account: Account) -> None:
    account.publish("sync.due", {"integration_id": "x", "stream": "pixels"})
    assert account.known.cursors["pixels"]["pixels"][0]["pixel_code"] == CONFIG["pixel_code"]


def test_a_video_waits_for_its_cover(launched: Account) -> None:
    files = Files()
    asset = files.stored("0192f0c1-7b1a-7c3e-9d55-3f1a2b4c5d6e", b"\x00\x00\x00 ftypisom", "video/mp4")
    files.link = lambda asset, lasts_s: f"{launched.sandbox.url}/tiktok_ads/portal/cover.jpg"  # type: ignore[method-assign]
    data = ad(launched, asset_id=str(asset.id), image_url=None)
    done = launched.publish("ad.create_requested", data, config=IDENTITY, media=files)
    assert done.external_id
    assert (bill(launched)["videos_uploaded"], bill(launched)["images_uploaded"]) == (1, 1)
    assert any(wait.wait_s for wait in launched.waits), "it was waited for"


@pytest.mark.parametrize("fault", [{"drop": "after"}, {"truncate": True}])
def test_an_ad_whose_answer_was_lost_is_not_made_twice(launched: Account, fault: Any) -> None:
    call = launched.call("ad.create_requested", ad(launched), config=IDENTITY)
    uploaded = run(call)
    assert isinstance(uploaded, Wait)
    call.progress, call.spent_s = uploaded.progress, 0.0
    assert ads.repeat(call.progress).value == "lookup"
    launched.sandbox.control.add_rule("/tiktok_ads/open_api/v1.3/ad/create/", fault, times=1)
    with pytest.raises(OutcomeUnknown):
        run(call)
    found = ads.find(call)
    assert isinstance(found, Done)
    assert (found.result["recovered"], bill(launched)["ads_created"]) == (True, 1)


@pytest.mark.parametrize(
    ("creative", "config", "code"),
    [
        ({"message": None}, IDENTITY, "missing_field"),
        ({}, CONFIG, "missing_identity"),
        ({"image_url": None}, IDENTITY, "no_media"),
        ({"asset_id": "0192f0c1-7b1a-7c3e-9d55-3f1a2b4c5d6e"}, IDENTITY, "asset_missing"),
    ],
)
def test_an_ad_that_cannot_be_shown_uploads_nothing(
    launched: Account, creative: dict[str, Any], config: Any, code: str
) -> None:
    with pytest.raises(InvalidPayload) as refused:
        launched.publish("ad.create_requested", ad(launched, **creative), config=config)
    assert refused.value.code == code
    assert bill(launched)["images_uploaded"] == 0


def test_the_address_of_a_file_is_not_shown(launched: Account) -> None:
    secret = f"{launched.sandbox.url}/tiktok_ads/portal/cover.jpg?token=PLANTED"
    call = launched.call("ad.create_requested", ad(launched, image_url=secret), config=IDENTITY)
    launched.sandbox.control.add_rule("/tiktok_ads/open_api/v1.3/file/image/ad/upload/", "tiktok_ads:media_rejected")
    with pytest.raises(InvalidPayload) as refused:
        run(call)
    assert "PLANTED" not in f"{call.exchange!r} {refused.value}"


# ------------------------------------------------------------------------------------------- campaigns, reports, days


def test_a_campaign_is_deleted_for_good(launched: Account) -> None:
    gone = launched.publish("campaign.delete_requested", {"campaign_id": "cmp_1"})
    assert gone.records is not None
    assert gone.records.links[0].deleted
    assert launched.publish("campaign.delete_requested", {"campaign_id": "cmp_1"}).result["status"] == "DELETE"


def test_a_campaign_that_tiktok_runs_by_itself_has_doors_of_its_own(account: Account) -> None:
    smart = {**CAMPAIGN, "extra": {"tiktok_ads": {"smart_plus": True}}}
    account.publish("campaign.created", smart)
    account.sandbox.control.record_bodies(True)
    account.publish("campaign.paused", {"campaign_id": "cmp_1"})
    paths = [one["path"] for one in account.sandbox.control.received()]
    assert any("smart_plus/campaign/create/" in path for path in paths)
    assert any("smart_plus/campaign/status/update/" in path for path in paths)


def test_days_are_read_on_every_level_and_add_up(launched: Account) -> None:
    launched.publish("ad_set.create_requested", {**GROUP, "ad_set_id": "set_2", "name": "France"})
    launched.publish("ad.create_requested", ad(launched), config=IDENTITY)
    today = date.today()  # noqa: DTZ011 - the window is wide
    since = (today - timedelta(days=6)).isoformat()
    levels = {**IDENTITY, "levels": "account, campaign, ad_set, ad"}
    launched.records.clear()
    launched.publish("sync.due", {"integration_id": "x", "stream": "insights", "since": since}, config=levels)
    metrics = [metric for records in launched.records for metric in records.metrics]
    assert {metric.level for metric in metrics} >= {"account", "campaign"}
    by_level = {level: sum(m.clicks or 0 for m in metrics if m.level == level) for level in ("account", "campaign")}
    assert by_level["account"] == by_level["campaign"] > 0
    cursors = [records.cursor for records in launched.records if records.cursor]
    assert len(cursors) == 1, "the cursor passes a slice with its last level"


def test_a_level_that_is_none_is_said(account: Account) -> None:
    data = {"integration_id": "x", "stream": "insights"}
    with pytest.raises(InvalidPayload, match="levels are of account, campaign, ad_set, ad, not creative"):
        account.publish("sync.due", data, config={**CONFIG, "levels": "creative"})


def test_a_report_is_a_file_of_lines(account: Account) -> None:
    files = Files()
    asked = {"report_id": "rep_1", "level": "campaign", "date_preset": "last_7d", "by_days": 1, "fields": ["clicks"]}
    done = account.publish("ad.report_requested", asked, media=files)
    (event,) = done.events
    assert event_types()[event.type].problem(event.data) is None
    asset: MediaAsset = done.assets[0]
    content = files.load(asset)
    assert content is not None
    lines = [json.loads(line) for line in content.splitlines()]
    assert len(lines) == done.result["rows"] > 0
    assert {"campaign_id", "stat_time_day", "clicks"} == set(lines[0])
    with pytest.raises(InvalidPayload, match="no preset 'forever'"):
        account.publish("ad.report_requested", {"report_id": "r", "level": "ad", "date_preset": "forever"})


def test_a_report_that_fails_there_says_so(account: Account) -> None:
    account.sandbox.control.do("tiktok_ads", "set_polls", polls=0, end="FAILED")
    with pytest.raises(Refused, match="fewer days"):
        account.publish("ad.report_requested", {"report_id": "rep_1", "level": "account"})


# ---------------------------------------------------------------------------------------------------- subscriptions


def test_a_subscription_is_made_once_and_ended(account: Account) -> None:
    asked = {"entity": "leads", "detail": {"lead_source": "INSTANT_FORM"}}
    first = account.publish("subscription.create_requested", asked)
    (event,) = first.events
    assert event_types()[event.type].problem(event.data) is None
    again = account.publish("subscription.create_requested", asked)
    assert again.external_id != first.external_id, "the older one may be of a token that has ended"
    other = account.publish("subscription.create_requested", {**asked, "detail": {"lead_source": "DIRECT_MESSAGE"}})
    assert account.publish("subscription.remove_requested", {"entity": "leads"}).result["removed"] == 2
    assert other.external_id not in (first.external_id, again.external_id)
    assert subscriptions.find(account.call("subscription.create_requested", asked)) is None


def test_a_subscription_whose_answer_was_lost_is_found(account: Account) -> None:
    call = account.call("subscription.create_requested", {"entity": "leads"}, progress={"cleared": True})
    account.sandbox.control.add_rule("/tiktok_ads/open_api/v1.3/subscription/subscribe/", {"drop": "after"}, times=1)
    with pytest.raises(OutcomeUnknown):
        run(call)
    assert subscriptions.repeat(call.progress).value == "lookup"
    found = subscriptions.find(call)
    assert found is not None
    assert found.result["recovered"]


def test_a_subscription_shows_no_secret(account: Account) -> None:
    call = account.call("subscription.create_requested", {"entity": "AD"})
    run(call)
    assert call.secrets["secret"] not in repr(call.exchange)
    assert account.token not in repr(call.exchange)


def test_without_our_app_s_secret_it_is_said() -> None:
    call = calling(Scripted(), "subscription.create_requested", {"entity": "leads"}, secrets={"access_token": "x"})
    with pytest.raises(Refused, match="TIKTOK_ADS_API_KEY is not set"):
        run(call)


def test_lists_are_searched_to_their_end() -> None:
    rows = [{"ad_id": str(n), "ad_name": f"Other [ad_{n}]"} for n in range(2)]
    wanted = {"ad_id": "9", "ad_name": "Shoes [ad_1x]"}
    scripted = Scripted(page_of(*rows, page=1, pages=2, total=3), page_of(wanted, page=2, pages=2, total=3), said({}))
    run(calling(scripted, "ad.state_change_requested", {"ad_id": "ad_1x", "state": "paused"}))
    assert query_of(scripted.requests[1])["page"] == "2"
    assert body_of(scripted.requests[2])["ad_ids"] == ["9"]
    assert (AD.parents, AD_GROUP.parents) == ("adgroup_ids", "campaign_ids")
