"""Campaigns: created, found again after a lost answer, changed, ended, and listed."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from model import Campaign, Cursor, Done, Link, Records
from providers.errors import InvalidPayload, OutcomeUnknown, Refused, Retryable, Unavailable
from providers.meta_ads import PROVIDER
from providers.meta_ads.campaigns import OBJECTIVES
from providers.meta_ads.errors import TooMuchData
from providers.meta_ads.lookup import FIND_PAGES
from providers.meta_ads.money import minor_units
from tests.providers.doubles import NOW, Scripted, answer
from tests.providers.meta_ads.calls import (
    ACCOUNT,
    KEY,
    META_ID,
    SECRETS,
    TOKEN,
    TOO_MUCH,
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

NAME = f"Spring launch [{KEY}]"
CREATED = {"campaign_id": KEY, "name": "Spring launch", "objective": "traffic", "budget": 75, "currency": "USD"}
MADE = answer(200, {"id": META_ID})
YES = answer(200, {"success": True})
LISTED = '["ACTIVE","PAUSED","ARCHIVED","DELETED","IN_PROCESS","WITH_ISSUES"]'


def row(number: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "id": f"12021000000000000{number}",
        "name": NAME,
        "status": "PAUSED",
        "effective_status": "PAUSED",
        "objective": "OUTCOME_TRAFFIC",
        "daily_budget": "7500",
        **more,
    }


def linked(state: str = "PAUSED", **more: Any) -> Stored:
    return Stored({KEY: Link(META_ID, KEY, state, **more)})


def create(data: dict[str, Any], using: Any = None, **more: Any) -> Any:
    return run(calling(using or Scripted(MADE), "campaign.created", data, **more))


# ----------------------------------------------------------------------------------------------------------- creating


def test_a_campaign_is_created_paused_and_carries_our_key() -> None:
    scripted = Scripted(MADE)
    made = done(create(CREATED, scripted))
    (request,) = scripted.requests
    assert path(request) == "POST /v25.0/act_1234567890/campaigns"
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"
    assert params(request) == {
        "name": NAME,
        "objective": "OUTCOME_TRAFFIC",
        "status": "PAUSED",
        "special_ad_categories": "[]",
        "daily_budget": "7500",
    }
    assert made.external_id == META_ID
    assert made.result == {"campaign_id": KEY, "external_id": META_ID, "status": "PAUSED"}
    details = {"name": NAME, "objective": "OUTCOME_TRAFFIC", "daily_budget": "7500"}
    assert made.records == Records(
        campaigns=(Campaign(KEY, "Spring launch", "traffic", None, Decimal(75), "USD"),),
        links=(Link(META_ID, KEY, "PAUSED", details, NOW),),
    )


def test_an_active_one_without_a_budget_leaves_it_to_its_ad_sets() -> None:
    scripted = Scripted(MADE)
    create({"campaign_id": KEY, "name": "x", "objective": "sales", "state": "active"}, scripted)
    assert params(scripted.requests[0]) == {
        "name": f"x [{KEY}]",
        "objective": "OUTCOME_SALES",
        "status": "ACTIVE",
        "special_ad_categories": "[]",
        "is_adset_budget_sharing_enabled": "false",
    }


def test_metas_own_parameters_are_over_ours() -> None:
    own = {"special_ad_categories": ["CREDIT"], "special_ad_category_country": ["US"], "spend_cap": 100000}
    scripted = Scripted(MADE, YES)
    create({**CREATED, "extra": {"meta_ads": own, "tiktok_ads": {"budget_mode": "x"}}}, scripted)
    sent = params(scripted.requests[0])
    assert json.loads(sent["special_ad_categories"]) == ["CREDIT"]
    assert (sent["spend_cap"], sent["daily_budget"], "budget_mode" in sent) == ("100000", "7500", False)
    data = {"campaign_id": KEY, "extra": {"meta_ads": {"bid_strategy": "COST_CAP"}}}
    run(calling(scripted, "campaign.updated", data, known=linked()))
    assert params(scripted.requests[1]) == {"bid_strategy": "COST_CAP"}


def test_a_campaign_that_is_only_to_be_checked_is_not_linked() -> None:
    check = {"extra": {"meta_ads": {"execution_options": ["validate_only"]}}}
    outcome = done(create({**CREATED, **check}, Scripted(YES)))
    assert (outcome.result, outcome.records) == ({"campaign_id": KEY, "only_checked": True}, None)
    with pytest.raises(OutcomeUnknown):
        create({**CREATED, **check}, Scripted(answer(200, {})))


def test_a_lifetime_budget_has_its_dates() -> None:
    scripted = Scripted(MADE)
    days = {"starts_at": "2026-12-01T00:00:00Z", "ends_at": "2026-12-24T00:00:00+01:00"}
    create({**CREATED, "budget_kind": "lifetime", "budget": 1000.5, **days}, scripted)
    sent = params(scripted.requests[0])
    assert (sent["lifetime_budget"], sent["start_time"], sent["stop_time"]) == ("100050", "1796083200", "1798066800")
    assert "daily_budget" not in sent


@pytest.mark.parametrize(("ours", "theirs"), OBJECTIVES.items())
def test_each_objective_is_metas(ours: str, theirs: str) -> None:
    scripted = Scripted(MADE)
    create({**CREATED, "objective": ours}, scripted)
    assert params(scripted.requests[0])["objective"] == theirs


@pytest.mark.parametrize(
    ("amount", "currency", "units"),
    [
        ("75", "USD", 7500),
        ("0.015", "USD", 2),
        ("19.99", "EUR", 1999),
        ("5000", "JPY", 5000),
        ("5000.4", "KRW", 5000),
        ("10", "KWD", 1000),
        ("12", "HUF", 12),
    ],
)
def test_money_is_in_minor_units(amount: str, currency: str, units: int) -> None:
    assert minor_units(Decimal(amount), currency) == units


@pytest.mark.parametrize(
    ("changes", "config", "code", "said"),
    [
        ({"currency": "EUR"}, {}, "currency_mismatch", "The budget is in EUR, but the ad account is kept in USD"),
        ({"currency": None}, {"currency": None}, "missing_field", "The budget has no `currency`"),
        ({"objective": None}, {}, "missing_field", "Meta makes no campaign without an `objective`"),
        ({"budget_kind": "lifetime"}, {}, "missing_field", "A lifetime budget needs `ends_at`"),
    ],
)
def test_what_cannot_work_is_refused_before_it_is_sent(
    changes: dict[str, Any], config: dict[str, Any], code: str, said: str
) -> None:
    with pytest.raises(InvalidPayload, match=said) as refused:
        create({**CREATED, **changes}, Scripted(), config={**ACCOUNT, **config})
    assert refused.value.code == code


def test_an_account_that_was_not_chosen_and_a_secret_that_is_not_set_are_told() -> None:
    with pytest.raises(Refused, match="No ad account is chosen"):
        create(CREATED, config={"currency": "USD"})
    with pytest.raises(Refused, match="META_ADS_SECRET is not set"):
        create(CREATED, secrets={**SECRETS, "secret": ""})


def test_a_campaign_that_is_there_already_is_not_created_again() -> None:
    again = done(create(CREATED, Scripted(), known=linked()))
    assert again.external_id == META_ID
    assert again.result == {"skipped": "The campaign is there already."}
    anew = Scripted(MADE)
    create(CREATED, anew, known=linked(deleted=True))
    assert len(anew.requests) == 1


@pytest.mark.parametrize("said", [{}, {"success": True}, [], {"id": ""}])
def test_an_answer_without_an_id_may_have_been_a_campaign(said: Any) -> None:
    with pytest.raises(OutcomeUnknown):
        create(CREATED, Scripted(answer(200, said)))


def test_after_a_lost_answer_the_campaign_is_found_by_our_key() -> None:
    scripted = Scripted(page([row(3, name="Spring launch [cmp_01HX2]")], after="p2"), page([row(1)]))
    action = PROVIDER.actions["campaign.created"]
    assert action.find is not None
    found = action.find(calling(scripted, "campaign.created", CREATED))
    assert isinstance(found, Done)
    assert found.external_id == META_ID
    assert found.result == {"campaign_id": KEY, "external_id": META_ID, "status": "PAUSED", "recovered": True}
    assert found.records is not None
    assert found.records.links[0].key == KEY
    assert found.records.links[0].applied_at == NOW
    first, second = (params(each) for each in scripted.requests)
    assert path(scripted.requests[0]) == "GET /v25.0/act_1234567890/campaigns"
    assert json.loads(first["filtering"]) == [{"field": "campaign.name", "operator": "CONTAIN", "value": f"[{KEY}]"}]
    assert first["effective_status"] == LISTED
    assert "after" not in first
    assert second["after"] == "p2"


def test_a_key_that_a_name_cannot_carry_is_refused_before_anything_is_sent() -> None:
    scripted = Scripted()
    with pytest.raises(InvalidPayload, match="bracket"):
        run(calling(scripted, "campaign.created", {**CREATED, "campaign_id": "a[b]"}))
    assert scripted.requests == []


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [row(name="Spring launch")],
        [row(name=f"[{KEY}] Spring")],
        [row(name=f"Spring [{KEY.lower()}]")],
        [row(effective_status="DELETED")],
    ],
)
def test_what_is_not_ours_is_not_taken(rows: list[Any]) -> None:
    find = PROVIDER.actions["campaign.created"].find
    assert find is not None
    assert find(calling(Scripted(page(rows)), "campaign.created", CREATED)) is None


def test_a_search_that_proves_nothing_is_not_a_no() -> None:
    find = PROVIDER.actions["campaign.created"].find
    assert find is not None
    endless = [page([row(name="x")], after=f"p{number}") for number in range(FIND_PAGES)]
    with pytest.raises(OutcomeUnknown, match="last thousand"):
        find(calling(Scripted(*endless), "campaign.created", CREATED))
    for fault in (error(2, status=500), answer(200, b"<html>"), answer(200, {"data": None})):
        with pytest.raises(Unavailable):
            find(calling(Scripted(fault), "campaign.created", CREATED))


# ----------------------------------------------------------------------------------------------------------- changing


def test_an_update_sends_what_the_event_holds() -> None:
    scripted = Scripted(YES)
    known = linked(details={"daily_budget": "7500", "name": "Old"})
    data = {"campaign_id": KEY, "name": "Summer", "budget": 80, "ends_at": "2026-12-24T00:00:00Z", "state": "paused"}
    updated = done(run(calling(scripted, "campaign.updated", data, known=known)))
    (request,) = scripted.requests
    assert path(request) == f"POST /v25.0/{META_ID}"
    sent = {"name": f"Summer [{KEY}]", "daily_budget": "8000", "stop_time": "1798070400", "status": "PAUSED"}
    assert params(request) == sent
    assert updated.result["changed"] == ["daily_budget", "name", "status", "stop_time"]
    assert updated.records is not None
    (link,) = updated.records.links
    assert link.details == {"daily_budget": "8000", "name": f"Summer [{KEY}]"}
    assert link.applied_at == NOW


def test_an_update_keeps_the_kind_of_budget_and_never_sends_an_objective() -> None:
    scripted = Scripted(YES)
    known = linked(details={"lifetime_budget": "100000"})
    data = {"campaign_id": KEY, "budget": 2000, "currency": "USD", "objective": "sales"}
    run(calling(scripted, "campaign.updated", data, known=known))
    assert params(scripted.requests[0]) == {"lifetime_budget": "200000"}


def test_an_update_that_changes_nothing_at_meta_sends_nothing() -> None:
    outcome = run(calling(Scripted(), "campaign.updated", {"campaign_id": KEY, "objective": "sales"}, known=linked()))
    assert done(outcome).result["skipped"] == "Nothing of this can or need be changed at Meta."


def test_an_update_in_another_currency_is_refused() -> None:
    with pytest.raises(InvalidPayload) as refused:
        run(calling(Scripted(), "campaign.updated", {**CREATED, "currency": "EUR"}, known=linked()))
    assert refused.value.code == "currency_mismatch"


@pytest.mark.parametrize(
    ("event_type", "status", "state"),
    [
        ("campaign.paused", "PAUSED", "paused"),
        ("campaign.resumed", "ACTIVE", "active"),
        ("campaign.completed", "PAUSED", "completed"),
        ("campaign.archived", "ARCHIVED", "archived"),
    ],
)
def test_a_campaign_is_turned(event_type: str, status: str, state: str) -> None:
    scripted = Scripted(YES)
    turned = done(run(calling(scripted, event_type, {"campaign_id": KEY}, known=linked("WITH_ISSUES"))))
    assert params(scripted.requests[0]) == {"status": status}
    assert turned.records is not None
    assert turned.records.links[0].external_state == status
    assert turned.records.campaigns == (Campaign(KEY, state=state),)


@pytest.mark.parametrize("event_type", ["campaign.paused", "campaign.completed", "campaign.archived"])
def test_an_archived_campaign_stands_still_already(event_type: str) -> None:
    outcome = done(run(calling(Scripted(), event_type, {"campaign_id": KEY}, known=linked("ARCHIVED"))))
    assert outcome.result["status"] == "ARCHIVED"


def test_an_archived_campaign_does_not_come_back() -> None:
    with pytest.raises(InvalidPayload) as refused:
        run(calling(Scripted(), "campaign.resumed", {"campaign_id": KEY}, known=linked("ARCHIVED")))
    assert refused.value.code == "campaign_archived"


def test_an_event_that_comes_too_late_changes_nothing() -> None:
    known = linked(applied_at=NOW)
    late = calling(Scripted(), "campaign.paused", {"campaign_id": KEY}, at=NOW - timedelta(seconds=1), known=known)
    assert "skipped" in done(run(late)).result


def test_what_was_applied_is_as_old_as_its_event() -> None:
    earlier = NOW - timedelta(minutes=5)
    turned = done(run(calling(Scripted(YES), "campaign.paused", {"campaign_id": KEY}, at=earlier, known=linked())))
    assert turned.records is not None
    assert turned.records.links[0].applied_at == earlier


def test_a_campaign_that_we_do_not_know_is_found_by_its_name() -> None:
    scripted = Scripted(page([row(7, effective_status="ACTIVE")]), YES)
    done(run(calling(scripted, "campaign.paused", {"campaign_id": KEY})))
    assert [path(each) for each in scripted.requests] == [
        "GET /v25.0/act_1234567890/campaigns",
        "POST /v25.0/120210000000000007",
    ]


def test_a_campaign_whose_creation_is_on_its_way_is_waited_for() -> None:
    with pytest.raises(Retryable) as early:
        run(calling(Scripted(page([])), "campaign.paused", {"campaign_id": KEY}))
    assert early.value.code == "not_linked_yet"
    long_ago = NOW - timedelta(hours=1)
    with pytest.raises(InvalidPayload) as late:
        run(calling(Scripted(page([])), "campaign.paused", {"campaign_id": KEY}, first_attempt_at=long_ago))
    assert late.value.code == "not_linked"


def test_a_change_without_a_yes_is_not_known_to_be_done() -> None:
    with pytest.raises(OutcomeUnknown):
        run(calling(Scripted(answer(200, {})), "campaign.paused", {"campaign_id": KEY}, known=linked()))


# ------------------------------------------------------------------------------------------------------------ listing

SYNC = {"integration_id": "x", "stream": "campaigns"}


def listed(number: int, **more: Any) -> dict[str, Any]:
    return row(number, **{"name": f"Campaign {number}", **more})


def test_all_campaigns_are_listed_a_page_a_step() -> None:
    first = page([listed(1, name=NAME), listed(2, effective_status="DELETED")], after="p2")
    first = answer(200, {**json.loads(first.content), "summary": {"total_count": 3}})
    scripted = Scripted(first, page([listed(3, effective_status="ARCHIVED", issues_info=[])]))
    (step,), last = walked(scripted, "sync.due", SYNC)
    asked = [params(each) for each in scripted.requests]
    assert asked[0]["effective_status"] == LISTED
    assert (asked[0]["limit"], asked[0]["summary"], asked[0].get("after")) == ("100", "true", None)
    assert asked[1] == {**asked[0], "after": "p2"}
    assert (step.wait_s, step.progress["done"], step.progress["of"]) == (0, 2, 3)
    assert step.records is not None
    ours, gone = step.records.links
    assert (ours.external_id, ours.key, ours.external_state, ours.deleted) == (META_ID, KEY, "PAUSED", False)
    assert ours.details["daily_budget"] == "7500"
    assert (gone.key, gone.external_state, gone.deleted) == (None, "DELETED", True)
    assert last.result == {"campaigns": 3}
    assert last.records is not None
    assert last.records.listed_since == NOW
    assert last.records.cursor == Cursor("campaigns", {"listed_at": NOW.isoformat()}, finished=True)
    assert "issues_info" not in last.records.links[0].details


def test_a_listing_shows_what_was_there_since_its_beginning() -> None:
    first = waiting(run(calling(Scripted(page([listed(1)], after="p2")), "sync.due", SYNC)))
    later = NOW + timedelta(minutes=5)
    last = done(run(calling(Scripted(page([])), "sync.due", SYNC, progress=first.progress, now=later)))
    assert last.records is not None
    assert last.records.listed_since == NOW


def test_a_page_that_is_too_much_is_asked_for_in_halves() -> None:
    scripted = Scripted(page([listed(1)], after="p2"), TOO_MUCH, error(100, 1487534), page([listed(2)]))
    steps, last = walked(scripted, "sync.due", SYNC)
    asked = [params(each) for each in scripted.requests]
    assert [each["limit"] for each in asked] == ["100", "100", "50", "25"]
    assert [each.get("after") for each in asked] == [None, "p2", "p2", "p2"]
    assert [step.wait_s for step in steps] == [0, 0, 0]
    assert last.result == {"campaigns": 2}
    assert last.records is not None
    assert last.records.listed_since == NOW


def test_a_page_that_is_longer_than_we_take_is_too_much() -> None:
    scripted = Scripted(OutcomeUnknown("The body is too long.", code="answer_truncated"), page([listed(1)]))
    _, last = walked(scripted, "sync.due", SYNC)
    assert params(scripted.requests[1])["limit"] == "50"
    assert last.result == {"campaigns": 1}


def test_a_single_campaign_that_is_too_much_is_an_error_and_ends_no_listing() -> None:
    with pytest.raises(TooMuchData):
        walked(Scripted(*[TOO_MUCH] * 8), "sync.due", SYNC)


def test_a_listing_whose_page_is_too_old_begins_anew() -> None:
    first = waiting(run(calling(Scripted(page([listed(1)], after="p2")), "sync.due", SYNC)))
    scripted, later = Scripted(page([listed(1)], after="p2")), NOW + timedelta(hours=13)
    again = waiting(run(calling(scripted, "sync.due", SYNC, progress=first.progress, now=later)))
    assert "after" not in params(scripted.requests[0])
    assert (again.progress["since"], again.progress["done"]) == (later.isoformat(), 1)


def test_a_full_account_is_left_alone_for_a_while() -> None:
    def used(percent: float) -> dict[str, str]:
        return {"x-ad-account-usage": json.dumps({"acc_id_util_pct": percent, "reset_time_duration": 300})}

    pages = [page([listed(1)], after="p2", headers=used(percent)) for percent in (60, 76, 91)]
    steps, _ = walked(Scripted(*pages, page([])), "sync.due", SYNC)
    assert [step.wait_s for step in steps] == [0, 5, 300]


def test_another_version_than_was_asked_for_is_told() -> None:
    served = {"facebook-api-version": "v26.0"}
    _, last = walked(Scripted(page([], after="p2", headers=served), page([])), "sync.due", SYNC)
    assert last.result == {"campaigns": 0, "served_version": "v26.0"}
    _, same = walked(Scripted(page([], headers={"facebook-api-version": "v25.0"})), "sync.due", SYNC)
    assert same.result == {"campaigns": 0}


def test_a_rejected_token_never_looks_like_an_empty_account() -> None:
    with pytest.raises(Refused) as rejected:
        walked(Scripted(error(190, 460, status=200)), "sync.due", SYNC)
    assert rejected.value.code == "token_password_changed"


def test_a_held_up_listing_holds_up_nothing_else() -> None:
    with pytest.raises(Retryable) as limited:
        walked(Scripted(error(80004, 2446079)), "sync.due", SYNC)
    assert not limited.value.holds
