"""Ad sets and ads: made once, found again by our key, and turned on, off and away."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest

from model import Campaign, Done, Link, MediaAsset, NewEvent, Records, Wait
from providers.contract import Repeat
from providers.errors import InvalidPayload, OutcomeUnknown, Refused, Retryable
from providers.meta_ads import PROVIDER
from providers.meta_ads.ad_sets import BILLED, COUNTED, GOALS, targeting
from providers.meta_ads.creatives import MAX_PICTURE_BYTES
from tests.providers.doubles import DELIVERY_ID, EVENT_ID, INTEGRATION_ID, NOW, Memory, Scripted, answer
from tests.providers.meta_ads.calls import (
    ACCOUNT,
    KEY,
    META_ID,
    Stored,
    calling,
    done,
    error,
    page,
    params,
    path,
    run,
    waiting,
    walked,
)
from worker.catalog import event_types

SET_ID, AD_ID, CREATIVE_ID, VIDEO_ID = (
    "120215000000000001",
    "120215000000000003",
    "120215000000000002",
    "990100000000001",
)
ASSET = "01930000-0000-7000-8000-00000000a55e"
EMPTY = page([])
YES = answer(200, {"success": True})
SET = {
    "ad_set_id": "set_1",
    "campaign_id": KEY,
    "name": "Women",
    "optimization_goal": "clicks",
    "targeting": {"countries": ["US", "CA"]},
}
CREATIVE = {"link": "https://shop.example/shoes", "message": "Dry feet.", "page_id": "10500001"}
AD = {"ad_id": "ad_1", "ad_set_id": "set_1", "campaign_id": KEY, "name": "Rain", "creative": CREATIVE}


def known(**details: Any) -> Stored:
    return Stored({KEY: Link(META_ID, KEY, "PAUSED", details)})


def noted(external_id: str = SET_ID, at: Any = NOW, deleted: bool = False) -> dict[str, Any]:
    return {"id": external_id, "at": at.isoformat(), "deleted": deleted}


def remembered(name: str, note: dict[str, Any]) -> Records:
    """What is stored with the campaign's link."""
    return Records(campaigns=(Campaign(KEY),), links=(Link(META_ID, KEY, details={name: note}),))


def made(number: str) -> Any:
    return answer(200, {"id": number})


def create_set(using: Any, known_here: Stored | None = None, **changes: Any) -> Done:
    return done(run(calling(using, "ad_set.create_requested", {**SET, **changes}, known=known_here or known())))


# ------------------------------------------------------------------------------------------------------------- ad sets


def test_an_ad_set_is_made_paused_carries_our_key_and_is_told() -> None:
    scripted = Scripted(EMPTY, made(SET_ID))
    outcome = create_set(scripted)
    looked, asked = scripted.requests
    assert path(looked) == f"GET /v25.0/{META_ID}/adsets"
    assert json.loads(params(looked)["filtering"]) == [
        {"field": "adset.name", "operator": "CONTAIN", "value": "[set_1]"}
    ]
    assert path(asked) == "POST /v25.0/act_1234567890/adsets"
    sent = params(asked)
    assert json.loads(sent.pop("targeting")) == {
        "geo_locations": {"countries": ["US", "CA"]},
        "targeting_automation": {"advantage_audience": 0},
    }
    assert sent == {
        "name": "Women [set_1]",
        "campaign_id": META_ID,
        "status": "PAUSED",
        "optimization_goal": "LINK_CLICKS",
        "billing_event": "IMPRESSIONS",
    }
    said = {
        "ad_set_id": "set_1",
        "campaign_id": KEY,
        "provider": "meta_ads",
        "integration_id": str(INTEGRATION_ID),
        "external_id": SET_ID,
        "external_campaign_id": META_ID,
        "source_event_id": str(EVENT_ID),
        "state": "paused",
    }
    assert event_types()["ad_set.created"].problem(said) is None
    assert outcome == Done(
        result={"ad_set_id": "set_1", "external_id": SET_ID},
        external_id=SET_ID,
        records=remembered("ad_set:set_1", noted()),
        events=(NewEvent("t_42", "ad_set.created", said, f"ad_set.created:{DELIVERY_ID}"),),
    )


def test_money_dates_and_who_is_behind_it() -> None:
    scripted = Scripted(EMPTY, made(SET_ID))
    create_set(
        scripted,
        state="active",
        budget=500,
        budget_kind="lifetime",
        currency="USD",
        bid_amount=1.25,
        start_time="2026-12-01T00:00:00Z",
        end_time="2026-12-24T00:00:00Z",
        dsa_beneficiary="Acme",
        dsa_payor="Acme Holding",
    )
    sent = params(scripted.requests[1])
    expected = {
        "status": "ACTIVE",
        "lifetime_budget": "50000",
        "bid_amount": "125",
        "bid_strategy": "LOWEST_COST_WITH_BID_CAP",
        "start_time": "1796083200",
        "end_time": "1798070400",
        "dsa_beneficiary": "Acme",
        "dsa_payor": "Acme Holding",
    }
    assert {name: sent[name] for name in expected} == expected


def test_a_bid_in_a_campaign_with_the_budget_leaves_the_strategy_to_it() -> None:
    scripted = Scripted(EMPTY, made(SET_ID), EMPTY, made(SET_ID))
    create_set(scripted, bid_amount=1)
    create_set(scripted, budget=40)
    bid, budget = (params(request) for request in scripted.requests[1::2])
    assert (bid["bid_amount"], bid.get("bid_strategy")) == ("100", None)
    assert (budget["daily_budget"], budget["bid_strategy"]) == ("4000", "LOWEST_COST_WITHOUT_CAP")


@pytest.mark.parametrize(("ours", "theirs"), [*GOALS.items(), ("QUALITY_LEAD", "QUALITY_LEAD")])
def test_each_goal_is_metas_and_its_own_words_pass(ours: str, theirs: str) -> None:
    scripted = Scripted(EMPTY, made(SET_ID))
    create_set(scripted, optimization_goal=ours, promoted={"page_id": "1", "event": "purchase"})
    assert params(scripted.requests[1])["optimization_goal"] == theirs


@pytest.mark.parametrize(
    ("goal", "promoted", "config", "sent"),
    [
        ("conversions", {"event": "purchase"}, {}, {"pixel_id": "987654321098765", "custom_event_type": "PURCHASE"}),
        ("value", {"pixel_id": "5", "event": "lead"}, {}, {"pixel_id": "5", "custom_event_type": "LEAD"}),
        ("leads", None, {"page_id": "10500001"}, {"page_id": "10500001"}),
        ("leads", {"page_id": "7"}, {"page_id": "10500001"}, {"page_id": "7"}),
        ("clicks", None, {"page_id": "10500001"}, None),
        (
            "app_installs",
            {"app_id": "3", "store_url": "https://apps.example/3"},
            {},
            {"application_id": "3", "object_store_url": "https://apps.example/3"},
        ),
    ],
)
def test_what_results_are_counted_of(goal: str, promoted: Any, config: dict[str, str], sent: Any) -> None:
    scripted = Scripted(EMPTY, made(SET_ID))
    data = {**SET, "optimization_goal": goal, **({"promoted": promoted} if promoted else {})}
    run(calling(scripted, "ad_set.create_requested", data, known=known(), config={**ACCOUNT, **config}))
    found = params(scripted.requests[1]).get("promoted_object")
    assert (json.loads(found) if found else None) == sent


@pytest.mark.parametrize(
    ("changes", "config", "code", "said"),
    [
        ({"optimization_goal": "leads"}, {}, "missing_field", "LEAD_GENERATION needs `promoted.page_id`"),
        ({"optimization_goal": "conversions"}, {"pixel_id": ""}, "missing_field", "needs `promoted.pixel_id`"),
        ({"promoted": {"event": "page_view"}}, {}, "unsupported_event", "Meta optimizes for no page_view"),
        ({"budget": 5, "budget_kind": "lifetime"}, {}, "missing_field", "A lifetime budget needs `end_time`"),
        ({"budget": 5, "currency": "EUR"}, {}, "currency_mismatch", "the ad account is kept in USD"),
        ({"ad_set_id": "a]b"}, {}, "invalid_id", "bracket"),
    ],
)
def test_what_cannot_work_is_refused_before_it_is_sent(
    changes: dict[str, Any], config: dict[str, str], code: str, said: str
) -> None:
    scripted = Scripted(EMPTY)
    data = {**SET, **changes}
    call = calling(scripted, "ad_set.create_requested", data, known=known(), config={**ACCOUNT, **config})
    with pytest.raises(InvalidPayload, match=said) as refused:
        run(call)
    assert refused.value.code == code
    assert all(request.method == "GET" for request in scripted.requests)


def test_people_and_places() -> None:
    found = targeting(
        {
            "countries": ["US"],
            "age_min": 25,
            "age_max": 54,
            "genders": ["male", "female"],
            "placements": ["facebook:feed", "facebook:story", "instagram", "instagram"],
            "extra": {
                "meta_ads": {"locales": [6], "geo_locations": {"regions": [{"key": "3847"}]}},
                "tiktok_ads": {"x": 1},
            },
        }
    )
    assert found == {
        "geo_locations": {"countries": ["US"], "regions": [{"key": "3847"}]},
        "age_min": 25,
        "age_max": 54,
        "genders": [1, 2],
        "targeting_automation": {"advantage_audience": 0},
        "publisher_platforms": ["facebook", "instagram"],
        "facebook_positions": ["feed", "story"],
        "locales": [6],
    }


def test_metas_own_parameters_are_over_ours_and_may_ask_for_a_check_only() -> None:
    scripted = Scripted(EMPTY, made(SET_ID), EMPTY, YES)
    own = {"attribution_spec": [{"event_type": "CLICK_THROUGH", "window_days": 7}], "billing_event": "LINK_CLICKS"}
    create_set(scripted, extra={"meta_ads": own})
    sent = params(scripted.requests[1])
    assert (json.loads(sent["attribution_spec"]), sent["billing_event"]) == (own["attribution_spec"], "LINK_CLICKS")
    checked = create_set(scripted, extra={"meta_ads": {"execution_options": ["validate_only"]}})
    assert checked == Done(result={"ad_set_id": "set_1", "only_checked": True})


@pytest.mark.parametrize("from_where", ["note", "meta"])
def test_an_ad_set_that_is_there_is_not_made_again_but_told_again(from_where: str) -> None:
    row = {"id": SET_ID, "name": "Renamed [set_1]"}
    scripted = Scripted() if from_where == "note" else Scripted(page([row]))
    outcome = create_set(scripted, known(**{"ad_set:set_1": noted()}) if from_where == "note" else None)
    assert outcome.result == {"ad_set_id": "set_1", "external_id": SET_ID, "skipped": "The ad set is there already."}
    assert outcome.events[0].data["external_id"] == SET_ID
    assert "state" not in outcome.events[0].data
    assert event_types()["ad_set.created"].problem(outcome.events[0].data) is None


def test_an_ad_set_that_was_deleted_can_be_made_again() -> None:
    scripted = Scripted(EMPTY, made("120215000000000009"))
    outcome = create_set(scripted, known(**{"ad_set:set_1": noted(deleted=True)}))
    assert outcome.external_id == "120215000000000009"
    assert "DELETED" not in params(scripted.requests[0])["effective_status"]


def test_after_a_lost_answer_the_ad_set_is_found_by_our_key() -> None:
    action = PROVIDER.actions["ad_set.create_requested"]
    assert action.repeat is Repeat.LOOKUP
    assert action.find is not None
    rows = [{"id": "1", "name": "Women [set_12]"}, {"id": SET_ID, "name": "Women [set_1]"}]
    found = action.find(calling(Scripted(page(rows)), "ad_set.create_requested", SET, known=known()))
    assert isinstance(found, Done)
    assert found.result == {"ad_set_id": "set_1", "external_id": SET_ID, "recovered": True}
    assert found.events[0].type == "ad_set.created"
    assert action.find(calling(Scripted(EMPTY), "ad_set.create_requested", SET, known=known())) is None


def test_an_ad_set_waits_for_its_campaign() -> None:
    with pytest.raises(Retryable) as early:
        run(calling(Scripted(EMPTY), "ad_set.create_requested", SET))
    assert early.value.code == "not_linked_yet"


def test_every_word_of_ours_is_translated() -> None:
    properties = event_types()["ad_set.create_requested"].schema["properties"]
    assert set(properties["optimization_goal"]["anyOf"][0]["enum"]) == GOALS.keys()
    assert set(properties["billing_event"]["anyOf"][0]["enum"]) == BILLED.keys()
    assert set(properties["promoted"]["properties"]["event"]["enum"]) == {*COUNTED, "page_view"}


# ----------------------------------------------------------------------------------------------------------------- ads


def test_an_ad_is_made_in_two_steps_and_told() -> None:
    scripted = Scripted(EMPTY, made(CREATIVE_ID), made(AD_ID))
    changes = {"title": "Rain shoes", "image_url": "https://shop.example/1.jpg", "call_to_action": "shop_now"}
    creative = {**CREATIVE, **changes, "url_tags": "utm_id={{campaign.id}}"}
    stored = known(**{"ad_set:set_1": noted()})
    (step,), outcome = walked(scripted, "ad.create_requested", {**AD, "creative": creative}, stored)
    assert step.progress == {"ad_set_id": SET_ID, "creative_id": CREATIVE_ID}
    looked, shown, asked = scripted.requests
    assert path(looked) == f"GET /v25.0/{SET_ID}/ads"
    assert path(shown) == "POST /v25.0/act_1234567890/adcreatives"
    sent = params(shown)
    assert json.loads(sent["object_story_spec"]) == {
        "page_id": "10500001",
        "link_data": {
            "link": "https://shop.example/shoes",
            "message": "Dry feet.",
            "name": "Rain shoes",
            "picture": "https://shop.example/1.jpg",
            "call_to_action": {"type": "SHOP_NOW", "value": {"link": "https://shop.example/shoes"}},
        },
    }
    assert (sent["name"], sent["url_tags"]) == ("Rain [ad_1]", "utm_id={{campaign.id}}")
    assert path(asked) == "POST /v25.0/act_1234567890/ads"
    assert params(asked) == {
        "name": "Rain [ad_1]",
        "adset_id": SET_ID,
        "creative": f'{{"creative_id":"{CREATIVE_ID}"}}',
        "status": "PAUSED",
    }
    said = outcome.events[0].data
    assert event_types()["ad.created"].problem(said) is None
    assert (said["external_id"], said["external_creative_id"], said["state"]) == (AD_ID, CREATIVE_ID, "paused")
    assert outcome.records == remembered("ad:ad_1", noted(AD_ID))


def test_only_the_ad_itself_is_looked_for_after_a_lost_answer() -> None:
    action = PROVIDER.actions["ad.create_requested"]
    assert action.repeat_after({}) is Repeat.SAFE
    assert action.repeat_after({"ad_set_id": SET_ID, "image_hash": "x"}) is Repeat.SAFE
    progress = {"ad_set_id": SET_ID, "creative_id": CREATIVE_ID}
    assert action.repeat_after(progress) is Repeat.LOOKUP
    assert action.find is not None
    scripted = Scripted(page([{"id": AD_ID, "name": "Rain [ad_1]"}]), EMPTY)
    found = action.find(calling(scripted, "ad.create_requested", AD, progress=progress))
    assert isinstance(found, Done)
    assert found.result == {"ad_id": "ad_1", "external_id": AD_ID, "recovered": True}
    assert found.events[0].data["external_creative_id"] == CREATIVE_ID
    assert action.find(calling(scripted, "ad.create_requested", AD, progress=progress)) is None


def test_the_ad_set_is_looked_for_where_nothing_says_its_id() -> None:
    bare = {name: value for name, value in AD.items() if name != "campaign_id"}
    scripted = Scripted(page([{"id": SET_ID, "name": "x [set_1]"}]), EMPTY, made(CREATIVE_ID))
    step = waiting(run(calling(scripted, "ad.create_requested", bare)))
    assert step.progress["ad_set_id"] == SET_ID
    assert [path(each) for each in scripted.requests[:2]] == [
        "GET /v25.0/act_1234567890/adsets",
        f"GET /v25.0/{SET_ID}/ads",
    ]
    with pytest.raises(Retryable) as early:
        run(calling(Scripted(EMPTY), "ad.create_requested", bare))
    assert early.value.code == "not_linked_yet"
    long_ago = NOW - timedelta(hours=1)
    with pytest.raises(InvalidPayload, match="Ad set set_1 is not at this account"):
        run(calling(Scripted(EMPTY), "ad.create_requested", bare, first_attempt_at=long_ago))


def test_an_ad_that_is_there_is_not_made_again() -> None:
    scripted = Scripted(page([{"id": AD_ID, "name": "Rain [ad_1]"}]))
    outcome = done(run(calling(scripted, "ad.create_requested", {**AD, "ad_set_external_id": SET_ID})))
    assert outcome.result["skipped"] == "The ad is there already."
    assert event_types()["ad.created"].problem(outcome.events[0].data) is None


def test_a_picture_of_ours_is_sent_there() -> None:
    media = Memory()
    media.stored(ASSET, b"\x89PNG picture", "image/png")
    hashed = answer(200, {"images": {"bytes": {"hash": "abc", "url": "https://x"}}})
    scripted = Scripted(EMPTY, hashed, made(CREATIVE_ID), made(AD_ID))
    data = {**AD, "ad_set_external_id": SET_ID, "creative": {**CREATIVE, "asset_id": ASSET}}
    (first, _), _ = walked(scripted, "ad.create_requested", data, media=media)
    assert first.progress == {"ad_set_id": SET_ID, "image_hash": "abc"}
    assert path(scripted.requests[1]) == "POST /v25.0/act_1234567890/adimages"
    assert params(scripted.requests[1]) == {"bytes": "iVBORyBwaWN0dXJl"}
    story = json.loads(params(scripted.requests[2])["object_story_spec"])
    assert story["link_data"]["image_hash"] == "abc"


def test_a_video_of_ours_is_fetched_and_encoded_there() -> None:
    media = Memory()
    media.stored(ASSET, b"mp4", "video/mp4")
    status = [
        answer(200, {"status": {"video_status": word}, "picture": "https://c.example/1.jpg"})
        for word in ("processing", "processing", "ready")
    ]
    scripted = Scripted(EMPTY, made(VIDEO_ID), *status, made(CREATIVE_ID), made(AD_ID))
    data = {**AD, "ad_set_external_id": SET_ID, "creative": {**CREATIVE, "asset_id": ASSET, "title": "Rain"}}
    steps, outcome = walked(scripted, "ad.create_requested", data, media=media)
    assert [step.wait_s for step in steps] == [0, 5, 10, 0, 0]
    upload = scripted.requests[1]
    assert path(upload) == "POST /v25.0/act_1234567890/advideos"
    body = json.loads(upload.body)
    assert body["file_url"] == f"https://media.example/{ASSET}?lasts=3600&token=planted-media-token"
    assert "planted-media-token" not in repr(upload)
    assert body["file_url"] in upload.credentials()
    story = json.loads(params(scripted.requests[5])["object_story_spec"])
    assert story["video_data"] == {
        "video_id": VIDEO_ID,
        "message": "Dry feet.",
        "title": "Rain",
        "image_url": "https://c.example/1.jpg",
        "call_to_action": {"type": "LEARN_MORE", "value": {"link": "https://shop.example/shoes"}},
    }
    assert outcome.external_id == AD_ID
    assert "token" not in json.dumps([dict(step.progress) for step in steps])


def test_a_video_that_fails_or_takes_too_long_is_the_end() -> None:
    progress = {"ad_set_id": SET_ID, "video_id": VIDEO_ID, "asked_at": NOW.isoformat(), "poll_s": 60}
    for word, now, code in (("error", NOW, "video_failed"), ("processing", NOW + timedelta(hours=2), "video_too_slow")):
        scripted = Scripted(answer(200, {"status": {"video_status": word}}))
        with pytest.raises(Refused) as ended:
            run(calling(scripted, "ad.create_requested", AD, progress=progress, now=now))
        assert ended.value.code == code


@pytest.mark.parametrize(
    ("mime", "size", "code"),
    [
        ("audio/mpeg", 3, "wrong_media"),
        ("image/png", MAX_PICTURE_BYTES + 1, "asset_too_large"),
        ("", 0, "asset_missing"),
    ],
)
def test_a_file_that_no_ad_can_show(mime: str, size: int, code: str) -> None:
    media = Memory()
    if mime:
        asset = media.stored(ASSET, b"abc", mime)
        media.assets[ASSET] = MediaAsset(asset.id, asset.uri, mime, size, "sha")
    data = {**AD, "ad_set_external_id": SET_ID, "creative": {**CREATIVE, "asset_id": ASSET}}
    with pytest.raises(InvalidPayload) as refused:
        run(calling(Scripted(EMPTY), "ad.create_requested", data, media=media))
    assert refused.value.code == code


def test_an_ad_appears_as_the_accounts_page_and_as_none() -> None:
    data = {**AD, "ad_set_external_id": SET_ID, "creative": {"link": "https://shop.example"}}
    scripted = Scripted(EMPTY, made(CREATIVE_ID))
    run(calling(scripted, "ad.create_requested", data, config={**ACCOUNT, "page_id": "77"}))
    assert json.loads(params(scripted.requests[1])["object_story_spec"])["page_id"] == "77"
    with pytest.raises(InvalidPayload, match=r"creative\.page_id"):
        run(calling(Scripted(EMPTY), "ad.create_requested", data))


@pytest.mark.parametrize("said", [{}, {"images": {}}, {"images": {"bytes": {}}}, {"images": []}])
def test_a_picture_without_a_hash_is_not_known_to_be_there(said: Any) -> None:
    media = Memory()
    media.stored(ASSET, b"abc", "image/png")
    data = {**AD, "ad_set_external_id": SET_ID, "creative": {**CREATIVE, "asset_id": ASSET}}
    with pytest.raises(OutcomeUnknown):
        run(calling(Scripted(EMPTY, answer(200, said)), "ad.create_requested", data, media=media))


# -------------------------------------------------------------------------------------------------------------- states


@pytest.mark.parametrize("kind", ["ad_set", "ad"])
@pytest.mark.parametrize(("state", "status"), [("active", "ACTIVE"), ("paused", "PAUSED"), ("deleted", "DELETED")])
def test_a_state_is_asked_for(kind: str, state: str, status: str) -> None:
    scripted = Scripted(YES)
    data = {f"{kind}_id": "k", "campaign_id": KEY, "state": state}
    outcome = done(
        run(calling(scripted, f"{kind}.state_change_requested", data, known=known(**{f"{kind}:k": noted()})))
    )
    assert path(scripted.requests[0]) == f"POST /v25.0/{SET_ID}"
    assert params(scripted.requests[0]) == {"status": status}
    assert outcome.records is not None
    assert outcome.records.links[0].details == {f"{kind}:k": noted(deleted=state == "deleted")}


def test_one_is_known_by_its_id_or_found_by_our_key() -> None:
    scripted = Scripted(YES, page([{"id": AD_ID, "name": "Rain [ad_1]"}]), YES)
    data = {"ad_id": "ad_1", "state": "paused"}
    given = done(run(calling(scripted, "ad.state_change_requested", {**data, "external_id": "5"})))
    assert (given.external_id, given.records) == ("5", None)
    found = done(run(calling(scripted, "ad.state_change_requested", data)))
    assert found.external_id == AD_ID
    assert [path(each) for each in scripted.requests] == [
        "POST /v25.0/5",
        "GET /v25.0/act_1234567890/ads",
        f"POST /v25.0/{AD_ID}",
    ]
    with pytest.raises(Retryable) as early:
        run(calling(Scripted(EMPTY), "ad.state_change_requested", data))
    assert early.value.code == "not_linked_yet"


@pytest.mark.parametrize("external_id", ["me/permissions", "../me", "5?fields=x"])
def test_an_id_is_one_piece_of_the_address(external_id: str) -> None:
    scripted = Scripted(YES)
    data = {"ad_id": "ad_1", "state": "paused", "external_id": external_id}
    run(calling(scripted, "ad.state_change_requested", data))
    assert path(scripted.requests[0]) == f"POST /v25.0/{quote(external_id, safe='')}"


def test_what_is_there_several_times_is_not_guessed() -> None:
    twice = page([{"id": "1", "name": "Rain [ad_1]"}, {"id": "2", "name": "Rain [ad_1]"}])
    scripted, data = (
        Scripted(twice, page([{"id": "2", "name": "Rain [ad_1]"}]), YES),
        {"ad_id": "ad_1", "state": "paused"},
    )
    with pytest.raises(InvalidPayload, match="Ad ad_1 is there 2 times") as told:
        run(calling(scripted, "ad.state_change_requested", data))
    assert told.value.code == "ambiguous"
    run(calling(scripted, "ad.state_change_requested", {**data, "campaign_id": KEY}, known=known()))
    assert [path(each) for each in scripted.requests[1:]] == [f"GET /v25.0/{META_ID}/ads", "POST /v25.0/2"]


def test_a_change_that_is_older_than_the_last_one_changes_nothing() -> None:
    later = noted(at=NOW + timedelta(seconds=1))
    data = {"ad_set_id": "set_1", "campaign_id": KEY, "state": "paused"}
    outcome = run(calling(Scripted(), "ad_set.state_change_requested", data, known=known(**{"ad_set:set_1": later})))
    assert done(outcome).result["skipped"] == "A later change was applied before."


def test_an_ad_set_changes_as_far_as_the_event_says() -> None:
    scripted = Scripted(YES, YES)
    data = {"ad_set_id": "set_1", "campaign_id": KEY}
    stored = known(**{"ad_set:set_1": noted()})
    changes = {
        "name": "Men",
        "budget": 55,
        "budget_kind": "lifetime",
        "bid_amount": 2,
        "end_time": "2026-12-24T00:00:00Z",
    }
    outcome = done(run(calling(scripted, "ad_set.update_requested", {**data, **changes}, known=stored)))
    assert params(scripted.requests[0]) == {
        "name": "Men [set_1]",
        "lifetime_budget": "5500",
        "bid_amount": "200",
        "end_time": "1798070400",
    }
    assert outcome.result["changed"] == ["bid_amount", "end_time", "lifetime_budget", "name"]
    more = {"targeting": {"countries": ["FR"]}, "extra": {"meta_ads": {"dsa_payor": "Acme"}}}
    run(calling(scripted, "ad_set.update_requested", {**data, **more}, known=stored))
    sent = params(scripted.requests[1])
    assert json.loads(sent.pop("targeting"))["geo_locations"] == {"countries": ["FR"]}
    assert sent == {"dsa_payor": "Acme"}
    nothing = done(run(calling(Scripted(), "ad_set.update_requested", data, known=stored)))
    assert nothing.result["skipped"] == "The event holds no change."


def test_what_is_gone_is_deleted_and_does_not_run() -> None:
    missing = error(100, 33)
    data = {"ad_set_id": "set_1", "external_id": SET_ID}
    gone = run(calling(Scripted(missing), "ad_set.state_change_requested", {**data, "state": "deleted"}))
    assert done(gone).result["changed"] == ["status"]
    with pytest.raises(InvalidPayload) as refused:
        run(calling(Scripted(missing), "ad_set.state_change_requested", {**data, "state": "active"}))
    assert refused.value.code == "object_missing"
    with pytest.raises(OutcomeUnknown):
        run(calling(Scripted(answer(200, {})), "ad_set.state_change_requested", {**data, "state": "active"}))


# -------------------------------------------------------------------------------------------- campaigns copied and gone

COPY = {"campaign_id": "cmp_2", "source_campaign_id": KEY, "name": "Summer", "deep": True}
COPY_ID = "120210000000000009"


def test_a_campaign_is_copied_and_gets_its_own_name() -> None:
    scripted = Scripted(answer(200, {"copied_campaign_id": COPY_ID}), YES)
    (step,), outcome = walked(scripted, "campaign.copy_requested", COPY, known())
    copied, renamed = scripted.requests
    assert path(copied) == f"POST /v25.0/{META_ID}/copies"
    sent = params(copied)
    assert (sent["deep_copy"], sent["status_option"]) == ("true", "PAUSED")
    assert json.loads(sent["rename_options"]) == {
        "rename_strategy": "ONLY_TOP_LEVEL_RENAME",
        "rename_suffix": " [cmp_2]",
    }
    assert step.progress == {"copy_id": COPY_ID}
    assert (path(renamed), params(renamed)) == (f"POST /v25.0/{COPY_ID}", {"name": "Summer [cmp_2]"})
    assert event_types()["campaign.copied"].problem(outcome.events[0].data) is None
    assert outcome.records is not None
    (link,) = outcome.records.links
    assert (link.external_id, link.key, link.external_state) == (COPY_ID, "cmp_2", "PAUSED")
    assert outcome.records.campaigns[0].state == "paused"


def test_a_copy_whose_making_was_not_answered_is_found() -> None:
    action = PROVIDER.actions["campaign.copy_requested"]
    assert (action.repeat_after({}), action.repeat_after({"copy_id": COPY_ID})) == (Repeat.LOOKUP, Repeat.SAFE)
    assert action.find is not None
    rows = [{"id": META_ID, "name": f"Spring [{KEY}]"}, {"id": COPY_ID, "name": f"Spring [{KEY}] [cmp_2]"}]
    found = action.find(calling(Scripted(page(rows)), "campaign.copy_requested", COPY))
    assert found == Wait(0, {"copy_id": COPY_ID}, external_id=COPY_ID)
    assert action.find(calling(Scripted(EMPTY), "campaign.copy_requested", COPY)) is None


def test_a_copy_that_is_there_and_a_source_that_is_not() -> None:
    there = Stored({KEY: Link(META_ID, KEY), "cmp_2": Link(COPY_ID, "cmp_2")})
    again = done(run(calling(Scripted(), "campaign.copy_requested", COPY, known=there)))
    assert again.result == {"skipped": "The copy is there already."}
    with pytest.raises(Retryable):
        run(calling(Scripted(EMPTY), "campaign.copy_requested", COPY))
    gone = Stored({KEY: Link(META_ID, KEY, deleted=True)})
    with pytest.raises(InvalidPayload, match="was deleted there"):
        run(calling(Scripted(), "campaign.copy_requested", COPY, known=gone))


@pytest.mark.parametrize("said", [YES, error(100, 33)])
def test_a_campaign_is_deleted_and_to_repeat_it_is_harmless(said: Any) -> None:
    scripted = Scripted(said)
    outcome = done(run(calling(scripted, "campaign.delete_requested", {"campaign_id": KEY}, known=known())))
    assert path(scripted.requests[0]) == f"DELETE /v25.0/{META_ID}"
    assert outcome.records == Records(links=(Link(META_ID, KEY, "DELETED", applied_at=NOW, deleted=True),))


def test_a_campaign_that_cannot_be_deleted_is_told() -> None:
    with pytest.raises(InvalidPayload) as refused:
        run(calling(Scripted(error(100, 1487056)), "campaign.delete_requested", {"campaign_id": KEY}, known=known()))
    assert refused.value.code == "invalid_parameter"
