"""The Meta stand-in against the official client, unmodified."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from sandbox.process import Sandbox, start
from tests.sandbox.meta import APP_ID, APP_SECRET, FIRST, JONAS, PIXEL, USD, issue_token

pytest.importorskip("facebook_business", reason="the official facebook-business client is not installed")
from facebook_business.adobjects.adaccount import AdAccount
from facebook_business.adobjects.adreportrun import AdReportRun
from facebook_business.adobjects.campaign import Campaign
from facebook_business.adobjects.serverside.action_source import ActionSource
from facebook_business.adobjects.serverside.custom_data import CustomData
from facebook_business.adobjects.serverside.event import Event
from facebook_business.adobjects.serverside.event_request import EventRequest
from facebook_business.adobjects.serverside.user_data import UserData
from facebook_business.adobjects.user import User
from facebook_business.api import FacebookAdsApi
from facebook_business.exceptions import FacebookRequestError
from facebook_business.session import FacebookSession

ACCOUNT = f"act_{USD}"
NEW = {"objective": "OUTCOME_TRAFFIC", "status": "PAUSED", "special_ad_categories": [], "daily_budget": 7500}


@pytest.fixture(scope="module")
def process() -> Iterator[Sandbox]:
    with start() as running:
        yield running


@pytest.fixture
def sandbox(process: Sandbox) -> Sandbox:
    process.control.reset()
    return process


@pytest.fixture
def api(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> FacebookAdsApi:
    monkeypatch.setattr(FacebookSession, "GRAPH", sandbox.url)
    token = issue_token(sandbox)
    return FacebookAdsApi.init(APP_ID, APP_SECRET, token, api_version="v25.0", crash_log=False)


@pytest.fixture
def account(api: FacebookAdsApi) -> AdAccount:
    return AdAccount(ACCOUNT, api=api)


def days_ago(days: int) -> str:
    """A day of the account's, whose time zone this is."""
    return str(datetime.now(ZoneInfo("America/Los_Angeles")).date() - timedelta(days=days))


def refusal(call: Any, *args: Any, **kwargs: Any) -> FacebookRequestError:
    with pytest.raises(FacebookRequestError) as raised:
        call(*args, **kwargs)
    return raised.value


def test_a_campaign_from_its_creation_to_its_end(sandbox: Sandbox, account: AdAccount) -> None:
    campaign = account.create_campaign(params={"name": "Spring [cmp_1]", **NEW})
    assert len(campaign["id"]) == 18
    assert campaign["id"].startswith("120")
    read = campaign.api_get(fields=["name", "status", "effective_status", "objective", "daily_budget", "created_time"])
    assert (read["name"], read["status"], read["effective_status"]) == ("Spring [cmp_1]", "PAUSED", "PAUSED")
    assert (read["objective"], read["daily_budget"]) == ("OUTCOME_TRAFFIC", "7500")
    assert read["created_time"][-5:] in ("-0800", "-0700")
    campaign.api_update(params={"status": "ACTIVE", "name": "Summer [cmp_1]", "daily_budget": 9900})
    read = campaign.api_get(fields=["name", "status", "daily_budget"])
    assert (read["name"], read["status"], read["daily_budget"]) == ("Summer [cmp_1]", "ACTIVE", "9900")
    campaign.api_delete()
    assert campaign.api_get(fields=["status"])["status"] == "DELETED"
    assert sandbox.control.bill()["meta_ads"]["campaigns_created"] == 1


def test_campaigns_are_listed_page_by_page_with_their_number(account: AdAccount) -> None:
    cursor = account.get_campaigns(fields=["name", "effective_status"], params={"limit": 3})
    names = [campaign["name"] for campaign in cursor]
    assert len(names) == len(set(names)) == cursor.total() == 10
    statuses = ["ACTIVE", "PAUSED", "ARCHIVED", "DELETED", "IN_PROCESS", "WITH_ISSUES"]
    everything = account.get_campaigns(fields=["effective_status"], params={"effective_status": statuses, "limit": 5})
    assert {campaign["effective_status"] for campaign in everything} == {
        "ACTIVE",
        "PAUSED",
        "ARCHIVED",
        "DELETED",
        "WITH_ISSUES",
    }
    assert everything.total() == 12


def test_a_campaign_is_found_by_its_name(account: AdAccount) -> None:
    created = account.create_campaign(params={"name": "Spring [cmp_2]", **NEW})
    by_name = [{"field": "campaign.name", "operator": "CONTAIN", "value": "[cmp_2]"}]
    assert [one["id"] for one in account.get_campaigns(params={"filtering": by_name})] == [created["id"]]


def test_errors_have_the_codes_that_the_client_shows(sandbox: Sandbox, account: AdAccount) -> None:
    error = refusal(account.create_campaign, params={"name": "x", "objective": "OUTCOME_SALES"})
    assert (error.http_status(), error.api_error_code()) == (400, 100)
    no_budget = {name: value for name, value in NEW.items() if name != "daily_budget"}
    error = refusal(account.create_campaign, params={"name": "x", **no_budget})
    assert (error.api_error_code(), error.api_error_subcode()) == (100, 4834011)
    error = refusal(Campaign("120299999999999999").api_get)
    assert (error.api_error_code(), error.api_error_subcode()) == (100, 33)
    sandbox.control.add_rule("/v25.0/*", "meta_ads:rate_limited_ads", times=1)
    error = refusal(account.get_campaigns)
    assert (error.http_status(), error.api_error_code(), error.api_transient_error()) == (400, 80004, False)
    assert json.loads(error.http_headers()["x-business-use-case-usage"])[USD][0]["type"] == "ads_management"
    sandbox.control.add_rule("/v25.0/*", "meta_ads:error_in_200", times=1)
    assert refusal(account.get_campaigns).api_error_code() == 17


def test_insights_at_once_sum_to_the_totals(sandbox: Sandbox, account: AdAccount) -> None:
    span = {"since": days_ago(20), "until": days_ago(11)}
    params = {"level": "campaign", "time_increment": 1, "time_range": span, "limit": 7}
    rows = list(
        account.get_insights(fields=["campaign_id", "impressions", "clicks", "spend", "actions"], params=params)
    )
    totals = sandbox.control.do("meta_ads", "totals", account=USD, **span)
    assert len(rows) == totals["rows"] > 50
    assert sum(int(row["impressions"]) for row in rows) == totals["impressions"]
    assert sum(round(100 * float(row["spend"])) for row in rows) == round(100 * float(totals["spend"]))
    purchases = [one["value"] for row in rows for one in row.get("actions", ()) if one["action_type"] == "purchase"]
    assert sum(map(int, purchases)) == totals["conversions"] > 0
    assert all(row["date_start"] == row["date_stop"] for row in rows)


def test_insights_as_a_report(account: AdAccount) -> None:
    params = {"level": "campaign", "time_increment": 1, "date_preset": "last_7d"}
    run = account.get_insights(fields=["campaign_id", "spend"], params=params, is_async=True)
    assert isinstance(run, AdReportRun)
    seen = [run.api_get(fields=["async_status", "async_percent_completion"]).export_all_data() for _ in range(3)]
    assert [one["async_status"] for one in seen] == ["Job Not Started", "Job Running", "Job Completed"]
    assert seen[-1]["async_percent_completion"] == 100
    at_once = account.get_insights(fields=["campaign_id", "spend"], params=params)
    rows = list(run.get_insights(params={"limit": 10}))
    assert [dict(row) for row in rows] == [dict(row) for row in at_once]


def test_one_campaigns_insights(account: AdAccount) -> None:
    rows = Campaign(FIRST).get_insights(
        fields=["impressions"], params={"date_preset": "last_30d", "time_increment": 10}
    )
    assert [row["date_stop"] for row in rows] == [days_ago(n) for n in (21, 11, 1)]


def conversion(order: str, at: int | None = None) -> Event:
    return Event(
        event_name="Purchase",
        event_time=at or int(time.time()),
        event_id=f"{order}:Purchase",
        event_source_url="https://shop.example/thanks",
        action_source=ActionSource.WEBSITE,
        user_data=UserData(email=" Ann.Lee@Example.com ", client_user_agent="Mozilla/5.0", fbp="fb.1.1791000000000.1"),
        custom_data=CustomData(currency="USD", value=59.9, order_id=order),
    )


def test_conversions_are_received_and_deduplicated(sandbox: Sandbox, api: FacebookAdsApi) -> None:
    for orders in (("1", "2"), ("2", "3")):
        answer = EventRequest(pixel_id=PIXEL, events=[conversion(order) for order in orders]).execute()
        assert (answer.events_received, answer.messages) == (2, [])
        assert answer.fbtrace_id
    assert sandbox.control.bill()["meta_ads"]["conversions"] == {PIXEL: {"received": 4, "distinct": 3}}
    assert sandbox.control.do("meta_ads", "events", pixel=PIXEL)["Purchase/2:Purchase"] == 2
    body = sandbox.control.received(path=f"/v25.0/{PIXEL}/events")[0]["body"]
    assert hashlib.sha256(b"ann.lee@example.com").hexdigest() in body


def test_one_old_conversion_rejects_all(sandbox: Sandbox, api: FacebookAdsApi) -> None:
    events = [conversion("1"), conversion("2", int(time.time()) - 8 * 86_400)]
    error = refusal(EventRequest(pixel_id=PIXEL, events=events).execute)
    assert (error.http_status(), error.api_error_code(), error.api_error_subcode()) == (400, 100, 2804003)
    assert sandbox.control.bill() == {}


def test_a_batch_answers_each_part(api: FacebookAdsApi, account: AdAccount) -> None:
    answers: list[Any] = []
    batch = api.new_batch()
    Campaign(FIRST).api_get(fields=["name"], batch=batch, success=lambda answer: answers.append(answer.json()))
    account.create_campaign(params={"name": "x"}, batch=batch, failure=lambda answer: answers.append(answer.error()))
    account.create_campaign(params={"name": "y", **NEW}, batch=batch, success=lambda a: answers.append(a.json()))
    assert batch.execute() is None
    assert answers[0] == {"id": FIRST, "name": "Spring launch"}
    assert answers[1].api_error_code() == 100
    assert answers[2]["id"].startswith("120")


def test_people_have_their_own_accounts(sandbox: Sandbox, api: FacebookAdsApi) -> None:
    accounts = list(User("me").get_ad_accounts(fields=["account_id", "currency", "timezone_name"], params={"limit": 2}))
    assert [(one["currency"], one["timezone_name"]) for one in accounts] == [
        ("USD", "America/Los_Angeles"),
        ("EUR", "Europe/Berlin"),
        ("JPY", "Asia/Tokyo"),
    ]
    other = FacebookAdsApi.init(APP_ID, APP_SECRET, issue_token(sandbox, JONAS), api_version="v25.0", crash_log=False)
    assert [one["account_id"] for one in User("me", api=other).get_ad_accounts()] == ["4567890123"]
    error = refusal(AdAccount(ACCOUNT, api=other).get_campaigns)
    assert (error.api_error_code(), error.api_error_subcode()) == (100, 33)


@pytest.mark.parametrize(("version", "code"), [("v24.0", 2635), ("v99.0", 2500), ("v26.0", None)])
def test_retired_versions_are_refused(api: FacebookAdsApi, version: str, code: int | None) -> None:
    call = AdAccount(ACCOUNT, api=FacebookAdsApi(api._session, version)).api_get
    if code is None:
        assert call(fields=["currency"])["currency"] == "USD"
    else:
        assert refusal(call).api_error_code() == code
