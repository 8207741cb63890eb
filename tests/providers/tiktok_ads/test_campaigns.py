"""Campaigns of the product at TikTok: made once, changed, paused, resumed, put away."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from model import Done, Link, Wait
from providers.errors import CredentialsRejected, InvalidPayload, OutcomeUnknown, Retryable
from providers.tiktok_ads import PROVIDER
from providers.tiktok_ads.campaigns import OBJECTIVES, find
from providers.tiktok_ads.names import named
from tests.providers.doubles import DELIVERY_ID, NOW, Scripted, answer
from tests.providers.tiktok_ads.platform import (
    CONFIG,
    EU,
    TOKEN,
    Account,
    Memory,
    body_of,
    calling,
    done,
    page_of,
    query_of,
    run,
    said,
)

KEY = "cmp_01HX"
NEW = {"campaign_id": KEY, "name": "Spring launch", "objective": "traffic", "budget": 75, "budget_kind": "daily"}
ROW = {
    "advertiser_id": EU,
    "campaign_id": "1801234567890123457",
    "campaign_name": f"Spring launch [{KEY}]",
    "objective_type": "TRAFFIC",
    "budget_mode": "BUDGET_MODE_DAY",
    "budget": 75.0,
    "operation_status": "DISABLE",
    "secondary_status": "CAMPAIGN_STATUS_DISABLE",
    "create_time": "2026-10-08 09:12:44",
    "modify_time": "2026-10-08 09:12:44",
}
LINK = Link("1801234567890123457", KEY, "DISABLE", {"objective_type": "TRAFFIC", "budget_mode": "BUDGET_MODE_DAY"})


def knowing(*links: Link) -> Memory:
    return Memory({link.key or "": link for link in links})


def listed(account: Account, key: str = KEY) -> dict[str, Any]:
    """The campaign as the stand-in shows it."""
    found = account.publish("sync.due", {"integration_id": "i", "stream": "campaigns"})
    assert found.result["complete"] is True
    (link,) = [link for link in account.records[-1].links if link.key == key]
    return {"external_id": link.external_id, "state": link.external_state, "deleted": link.deleted, **link.details}


# ------------------------------------------------------------------------------------------------------------- making


def test_a_campaign_is_made_and_spends_nothing_yet(account: Account) -> None:
    made = account.publish("campaign.created", {**NEW, "currency": "EUR"})
    assert made.external_id is not None
    (link,) = account.records[0].links
    assert (link.external_id, link.key, link.external_state) == (made.external_id, KEY, "DISABLE")
    assert link.applied_at == account.now
    (campaign,) = account.records[0].campaigns
    assert (campaign.key, campaign.name, campaign.objective) == (KEY, "Spring launch", "traffic")
    there = listed(account)
    assert there["external_id"] == made.external_id
    assert (there["name"], there["objective_type"]) == (f"Spring launch [{KEY}]", "TRAFFIC")
    assert (there["budget_mode"], there["budget"], there["state"]) == ("BUDGET_MODE_DAY", 75.0, "DISABLE")


def test_an_active_one_runs_at_once(account: Account) -> None:
    account.publish("campaign.created", {**NEW, "state": "active"})
    assert listed(account)["state"] == "ENABLE"


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_is_one_of_theirs(account: Account, objective: str) -> None:
    account.publish("campaign.created", {**NEW, "objective": objective})
    assert listed(account)["objective_type"] == OBJECTIVES[objective].type


def test_the_request() -> None:
    scripted = Scripted(said({**ROW, "campaign_id": 1801234567890123457}))
    outcome = done(calling(scripted, "campaign.created", NEW))
    (request,) = scripted.requests
    assert (request.method, request.shown_url) == (
        "POST",
        "https://business-api.tiktok.com/open_api/v1.3/campaign/create/",
    )
    assert request.headers["Access-Token"] == TOKEN
    assert "Authorization" not in request.headers
    assert body_of(request) == {
        "advertiser_id": EU,
        "campaign_name": f"Spring launch [{KEY}]",
        "objective_type": "TRAFFIC",
        "budget_mode": "BUDGET_MODE_DAY",
        "budget": 75.0,
        "operation_status": "DISABLE",
        "request_id": str(DELIVERY_ID.int % 2**63),
    }
    assert outcome.external_id == "1801234567890123457", "a number beyond 2^53 keeps its digits"


@pytest.mark.parametrize(
    ("said_of_money", "sent"),
    [
        ({}, {"budget_mode": "BUDGET_MODE_INFINITE"}),
        ({"budget": 75}, {"budget_mode": "BUDGET_MODE_DAY", "budget": 75.0}),
        ({"budget": 75.5, "budget_kind": "daily"}, {"budget_mode": "BUDGET_MODE_DAY", "budget": 75.5}),
        ({"budget": 900, "budget_kind": "lifetime"}, {"budget_mode": "BUDGET_MODE_TOTAL", "budget": 900.0}),
    ],
)
def test_mode_and_amount_go_together(said_of_money: dict[str, Any], sent: dict[str, Any]) -> None:
    scripted = Scripted(said(ROW))
    done(
        calling(scripted, "campaign.created", {"campaign_id": KEY, "name": "A", "objective": "sales", **said_of_money})
    )
    body = body_of(scripted.requests[0])
    assert {name: body[name] for name in ("budget_mode", "budget") if name in body} == sent


@pytest.mark.parametrize(
    ("event_type", "data", "code"),
    [
        ("campaign.created", {**NEW, "currency": "USD"}, "currency_mismatch"),
        ("campaign.created", {"campaign_id": KEY, "name": "A"}, "missing_objective"),
        (
            "campaign.created",
            {"campaign_id": KEY, "name": "A", "objective": "sales", "budget_kind": "daily"},
            "missing_budget",
        ),
        ("campaign.created", {**NEW, "campaign_id": "cmp_🚀"}, "invalid_id"),
        ("campaign.created", {**NEW, "campaign_id": "cmp[1]"}, "invalid_id"),
        ("campaign.updated", {"campaign_id": KEY, "budget": 80, "currency": "USD"}, "currency_mismatch"),
        ("campaign.updated", {"campaign_id": KEY, "objective": "sales"}, "immutable"),
        ("campaign.updated", {"campaign_id": KEY, "budget": 900, "budget_kind": "lifetime"}, "immutable"),
    ],
)
def test_what_cannot_work_is_refused_before_it_is_sent(event_type: str, data: dict[str, Any], code: str) -> None:
    known = knowing(LINK) if event_type == "campaign.updated" else Memory()
    with pytest.raises(InvalidPayload) as refused:
        run(calling(Scripted(), event_type, data, known=known))
    assert refused.value.code == code


def test_what_tiktok_refuses_is_told_in_its_words(account: Account) -> None:
    with pytest.raises(InvalidPayload, match=r"no less than 50 EUR"):
        account.publish("campaign.created", {**NEW, "budget": 5})


def test_a_campaign_that_is_known_is_not_made_again() -> None:
    outcome = done(calling(Scripted(), "campaign.created", NEW, known=knowing(LINK)))
    assert outcome.external_id == LINK.external_id
    assert "skipped" in outcome.result


def test_one_that_was_deleted_there_is_made_anew() -> None:
    scripted = Scripted(said(ROW))
    done(calling(scripted, "campaign.created", NEW, known=knowing(replace(LINK, deleted=True))))
    assert len(scripted.requests) == 1


# --------------------------------------------------------------------------------------------------------------- names


def width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("Spring launch", "Spring launch [k]"),
        ("  Spring   launch ", "Spring launch [k]"),
        ("Spring 🌸 launch 👩‍👩‍👧 ☀️ 1️⃣", "Spring launch 1 [k]"),
        ("🇩🇪🚀", "k [k]"),
        ("क्‍ष", "क्‍ष [k]"),
        ("Übergröße [v2]", "Übergröße [v2] [k]"),
    ],
)
def test_a_name_has_no_emoji_and_carries_the_key(name: str, there: str) -> None:
    assert named(name, "k") == there


def test_wide_characters_count_double() -> None:
    assert width(named("春" * 300, "cmp_1")) in (511, 512)
    assert named("春" * 252, "cmp_1") == "春" * 252 + " [cmp_1]"
    assert len(named("a" * 600, "cmp_1")) == 512
    assert width(named("春a" * 300, "鍵" * 100)) <= 512
    assert named("a" * 600, "c" * 255).endswith(f" [{'c' * 255}]")


def test_tiktok_takes_the_longest_name(account: Account) -> None:
    account.publish("campaign.created", {**NEW, "name": "春の新作コーヒー🌸" * 60})
    assert width(listed(account)["name"]) in (511, 512)


# -------------------------------------------------------------------------------------------------------- lost answers


def test_an_answer_that_was_lost_is_found_by_the_key(account: Account) -> None:
    account.sandbox.control.rules(
        [{"path": "/tiktok_ads/open_api/v1.3/campaign/create/", "fault": "tiktok_ads:system_error_after", "times": 1}]
    )
    call = account.call("campaign.created", NEW)
    with pytest.raises(OutcomeUnknown):
        run(call)
    found = find(call)
    assert isinstance(found, Done)
    assert found.result["recovered"] is True
    assert found.external_id == listed(account)["external_id"]
    assert found.records is not None
    assert found.records.links[0].applied_at == call.event.occurred_at
    assert account.sandbox.control.bill()["tiktok_ads"]["campaigns_created"] == 1


def test_a_repeat_within_ten_seconds_is_read_back(account: Account) -> None:
    call = account.call("campaign.created", NEW)
    first, second = run(call), run(call)
    assert isinstance(first, Done)
    assert isinstance(second, Done)
    assert second.result["recovered"] is True
    assert first.external_id == second.external_id
    assert account.sandbox.control.bill()["tiktok_ads"]["campaigns_created"] == 1


def test_a_repeat_that_cannot_be_read_back_is_asked_again_later() -> None:
    with pytest.raises(OutcomeUnknown) as unknown:
        run(calling(Scripted(said(code=40050), page_of()), "campaign.created", NEW))
    assert unknown.value.code == "duplicate_request"


def test_the_search_compares_exactly_and_takes_the_oldest() -> None:
    rows = [
        {**ROW, "campaign_id": 1801234567890123460, "campaign_name": f"Twice [{KEY}]"},
        {**ROW, "campaign_id": "1801234567890123459", "campaign_name": f"Renamed [{KEY}]"},
        {**ROW, "campaign_id": "1801234567890123458", "campaign_name": f"Another [{KEY}2]"},
        {**ROW, "campaign_id": "1801234567890123457", "campaign_name": KEY},
        {**ROW, "campaign_id": "1801234567890123456", "secondary_status": "CAMPAIGN_STATUS_DELETE"},
    ]
    scripted = Scripted(page_of(*rows))
    found = find(calling(scripted, "campaign.created", NEW))
    assert found is not None
    assert found.external_id == "1801234567890123459"
    query = query_of(scripted.requests[0])
    assert scripted.requests[0].method == "GET"
    assert (query["advertiser_id"], query["page"], query["page_size"]) == (EU, "1", "1000")
    assert query["filtering"] == f'{{"campaign_name":"{KEY}"}}'
    assert query["fields"].startswith('["campaign_id","campaign_name",')


@pytest.mark.parametrize("given", [page_of(), page_of({**ROW, "campaign_name": "Spring launch"})])
def test_what_is_not_there_may_be_made(given: Any) -> None:
    assert find(calling(Scripted(given), "campaign.created", NEW)) is None


def test_a_search_that_fails_proves_nothing() -> None:
    for given in (
        said(code=50000),
        answer(200, b"<html>"),
        said({"list": None}),
        said({"list": [{}], "page_info": {}}),
    ):
        with pytest.raises((Retryable, OutcomeUnknown)):
            find(calling(Scripted(given), "campaign.created", NEW))
    with pytest.raises(CredentialsRejected):
        find(calling(Scripted(said(code=40105)), "campaign.created", NEW))


# ------------------------------------------------------------------------------------------------------------ changing


def test_name_and_budget_change(account: Account) -> None:
    account.publish("campaign.created", NEW)
    changed = account.publish(
        "campaign.updated", {"campaign_id": KEY, "name": "Summer", "budget": 90, "currency": "EUR"}
    )
    assert changed.result["name"] == f"Summer [{KEY}]"
    there = listed(account)
    assert (there["name"], there["budget"], there["state"]) == (f"Summer [{KEY}]", 90.0, "DISABLE")
    assert account.requests("campaign/status/update/") == 0


def test_fields_first_then_the_state_as_a_step_of_its_own(account: Account) -> None:
    account.publish("campaign.created", NEW)
    account.publish("campaign.updated", {"campaign_id": KEY, "budget": 90, "state": "active"})
    (between,) = account.waits
    assert (between.wait_s, between.progress) == (0, {"fields_done": True})
    there = listed(account)
    assert (there["budget"], there["state"]) == (90.0, "ENABLE")
    assert account.requests("campaign/update/") == 1


def test_a_state_alone_is_one_step() -> None:
    scripted = Scripted(said())
    outcome = done(calling(scripted, "campaign.updated", {"campaign_id": KEY, "state": "active"}, known=knowing(LINK)))
    assert scripted.requests[0].shown_url.endswith("/campaign/status/update/")
    assert outcome.records is not None
    assert outcome.records.campaigns[0].state == "active"
    assert outcome.records.links[0].external_state == "ENABLE"


def test_what_tiktok_does_not_keep_with_a_campaign_changes_nothing_there() -> None:
    data = {"campaign_id": KEY, "ends_at": "2026-12-01T00:00:00Z", "objective": "traffic", "budget_kind": "daily"}
    outcome = done(calling(Scripted(), "campaign.updated", data, known=knowing(LINK)))
    assert outcome.external_id == LINK.external_id


@pytest.mark.parametrize(
    ("event_type", "data"),
    [
        ("campaign.updated", {"name": "Same"}),
        ("campaign.updated", {"state": "paused"}),
        ("campaign.paused", {}),
    ],
)
def test_nothing_to_update_is_done(event_type: str, data: dict[str, Any]) -> None:
    call = calling(Scripted(said(code=40012)), event_type, {"campaign_id": KEY, **data}, known=knowing(LINK))
    assert isinstance(run(call), Done)


def test_nothing_to_update_still_leaves_the_state_to_be_set() -> None:
    data = {"campaign_id": KEY, "name": "Same", "state": "active"}
    assert isinstance(run(calling(Scripted(said(code=40012)), "campaign.updated", data, known=knowing(LINK))), Wait)


@pytest.mark.parametrize(
    ("event_type", "status", "state", "archived"),
    [
        ("campaign.paused", "DISABLE", "paused", False),
        ("campaign.resumed", "ENABLE", "active", False),
        ("campaign.archived", "DISABLE", "archived", True),
        ("campaign.completed", "DISABLE", "completed", False),
    ],
)
def test_states_are_enable_or_disable_and_archived_is_a_flag_of_ours(
    account: Account, event_type: str, status: str, state: str, archived: bool
) -> None:
    account.publish("campaign.created", {**NEW, "state": "draft" if status == "ENABLE" else "active"})
    account.publish(event_type, {"campaign_id": KEY})
    (link,), (campaign,) = account.records[-1].links, account.records[-1].campaigns
    assert (link.external_state, link.details["archived"], campaign.state) == (status, archived, state)
    assert listed(account)["state"] == status


def test_the_status_request() -> None:
    scripted = Scripted(said())
    done(calling(scripted, "campaign.paused", {"campaign_id": KEY}, known=knowing(LINK)))
    assert body_of(scripted.requests[0]) == {
        "advertiser_id": EU,
        "campaign_ids": [LINK.external_id],
        "operation_status": "DISABLE",
    }


EVENTS: Mapping[str, Mapping[str, Any]] = {
    "campaign.updated": {"campaign_id": KEY, "name": "New"},
    "campaign.paused": {"campaign_id": KEY},
    "campaign.resumed": {"campaign_id": KEY},
    "campaign.archived": {"campaign_id": KEY},
    "campaign.completed": {"campaign_id": KEY},
}


@pytest.mark.parametrize("event_type", EVENTS)
def test_an_event_that_was_overtaken_does_nothing(event_type: str) -> None:
    later = replace(LINK, applied_at=NOW + timedelta(seconds=1))
    outcome = done(calling(Scripted(), event_type, EVENTS[event_type], known=knowing(later)))
    assert "skipped" in outcome.result


@pytest.mark.parametrize("event_type", EVENTS)
def test_a_campaign_that_we_do_not_know_is_looked_for(event_type: str) -> None:
    scripted = Scripted(page_of(ROW), said())
    outcome = done(calling(scripted, event_type, EVENTS[event_type]))
    assert outcome.external_id == ROW["campaign_id"]
    assert [request.method for request in scripted.requests] == ["GET", "POST"]


@pytest.mark.parametrize("event_type", EVENTS)
def test_one_that_is_not_there_yet_is_waited_for_and_then_refused(event_type: str) -> None:
    with pytest.raises(Retryable) as early:
        run(calling(Scripted(page_of()), event_type, EVENTS[event_type]))
    assert early.value.code == "not_linked_yet"
    with pytest.raises(InvalidPayload) as late:
        run(calling(Scripted(page_of()), event_type, EVENTS[event_type], now=NOW + timedelta(minutes=16)))
    assert late.value.code == "not_linked"


@pytest.mark.parametrize("event_type", EVENTS)
def test_one_that_was_deleted_there_is_refused(event_type: str) -> None:
    with pytest.raises(InvalidPayload) as refused:
        run(calling(Scripted(), event_type, EVENTS[event_type], known=knowing(replace(LINK, deleted=True))))
    assert refused.value.code == "campaign_deleted"


def test_a_yen_account_takes_yen(account: Account) -> None:
    japan = replace(account, config={**CONFIG, "account_id": "7311111111111111113", "currency": "JPY"})
    japan.publish("campaign.created", {**NEW, "budget": 9000, "currency": "JPY"})
    assert listed(japan)["budget"] == 9000.0


def test_the_lookup_is_what_repeats_a_creation() -> None:
    assert PROVIDER.actions["campaign.created"].find is find
