"""The adapter over a real connection against the stand-in of Meta: an account from its login to its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import pytest
import requests

from model import Done, Metric, Records, Wait
from providers.errors import (
    CredentialsRejected,
    InvalidPayload,
    OutcomeUnknown,
    ProviderError,
    RateLimited,
    Refused,
    Retryable,
)
from providers.http import HttpTransport
from providers.inbound import Arrival
from providers.meta_ads import PROVIDER
from providers.meta_ads.errors import TooMuchData
from providers.meta_ads.inbound import INBOUND, signed_request
from providers.meta_ads.oauth import OAUTH
from providers.oauth2 import Client, Code, Grant, authorize_url, exchange, refresh, revoke
from sandbox.meta_ads.errors import PROBLEMS
from sandbox.process import Sandbox
from tests.providers.doubles import transport
from tests.providers.meta_ads.calls import KEY, Stored, calling, done, run, walked
from tests.sandbox.meta import APP_ID, APP_SECRET, EUR, FIRST, JPY, MIRA, PIXEL, USD, Graph, callback, issue_token

BACK = "http://127.0.0.1:8000/oauth/meta_ads/callback"
CREATED = {"campaign_id": KEY, "name": "Autumn", "objective": "sales", "budget": 120.5, "currency": "USD"}
CAMPAIGNS = f"/meta_ads/v25.0/act_{USD}/campaigns"


@pytest.fixture
def wire() -> Iterator[HttpTransport]:
    with transport() as made:
        yield made


class Meta:
    """One account of the stand-in, as a worker calls it."""

    def __init__(self, sandbox: Sandbox, wire: HttpTransport) -> None:
        self.control = sandbox.control
        self.graph_url = sandbox.url
        self.url = f"{sandbox.url}/meta_ads"
        self.token = issue_token(sandbox)
        self.wire = wire
        self.known = Stored()
        self.config = {"account_id": USD, "currency": "USD", "timezone": "America/Los_Angeles", "pixel_id": PIXEL}

    @property
    def given(self) -> dict[str, Any]:
        return {
            "base_url": self.url,
            "secrets": {"api_key": APP_ID, "secret": APP_SECRET, "access_token": self.token},
            "config": self.config,
            "known": self.known,
            "now": datetime.now(UTC),
            "first_attempt_at": datetime.now(UTC),
        }

    def run(self, event_type: str, data: Mapping[str, Any]) -> Done:
        outcome = done(run(calling(self.wire, event_type, data, **self.given)))
        if outcome.records is not None:
            self.known.links |= {link.key: link for link in outcome.records.links if link.key}
        return outcome

    def find(self, data: Mapping[str, Any]) -> Done | None:
        find = PROVIDER.actions["campaign.created"].find
        assert find is not None
        outcome = find(calling(self.wire, "campaign.created", data, **self.given))
        return None if outcome is None else done(outcome)

    def walk(self, event_type: str, data: Mapping[str, Any]) -> tuple[list[Wait], Done]:
        given = self.given
        del given["known"]
        return walked(self.wire, event_type, data, self.known, **given)

    def sync(self, stream: str, **more: Any) -> tuple[list[Wait], Done]:
        return self.walk("sync.due", {"integration_id": "x", "stream": stream, **more})

    def campaign(self, campaign_id: str) -> dict[str, Any]:
        """A campaign as the platform has it."""
        fields = "name,status,objective,daily_budget,lifetime_budget,stop_time"
        answer = Graph(self.graph_url, self.token).get(campaign_id, fields=fields)
        found: dict[str, Any] = answer.json
        return found


@pytest.fixture
def meta(sandbox: Sandbox, wire: HttpTransport) -> Meta:
    return Meta(sandbox, wire)


def records_of(steps: list[Wait], last: Done) -> list[Records]:
    return [records for records in (*(step.records for step in steps), last.records) if records is not None]


def rows_of(steps: list[Wait], last: Done) -> list[Metric]:
    return [metric for records in records_of(steps, last) for metric in records.metrics]


# --------------------------------------------------------------------------------------------------------- connecting


def client(sandbox: Sandbox, wire: HttpTransport, secret: str = APP_SECRET) -> Client:
    url = f"{sandbox.url}/meta_ads"
    return Client(url, "v25.0", APP_ID, secret, wire, 10.0, datetime.now(UTC), PROVIDER.refusals)


def logged_in(sandbox: Sandbox, **choices: Any) -> dict[str, list[str]]:
    """What the browser brings back."""
    url = authorize_url(
        OAUTH,
        url=f"{sandbox.url}/meta_ads/v25.0/dialog/oauth",
        version="v25.0",
        client_id=APP_ID,
        redirect_uri=BACK,
        state="s1",
        verifier=None,
    )
    asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    assert requests.get(url, timeout=5).status_code == 200
    form = {**asked, "person": MIRA, "answer": "continue", **choices}
    answer = requests.post(url.partition("?")[0], data=form, allow_redirects=False, timeout=5)
    assert answer.headers["Location"].startswith(BACK)
    return parse_qs(urlsplit(answer.headers["Location"]).query)


def test_an_account_is_connected_renewed_and_disconnected(sandbox: Sandbox, wire: HttpTransport) -> None:
    ours, back = client(sandbox, wire), logged_in(sandbox)
    assert back["state"] == ["s1"]
    code = Code(back["code"][0], BACK)
    grant = exchange(OAUTH, ours, code)
    assert {"ads_management", "ads_read", "business_management"} <= set(grant.scopes)
    assert grant.expires_in_s == pytest.approx(60 * 86_400, abs=10)
    until = datetime.fromisoformat(grant.details["login_again_by"]) - datetime.now(UTC)
    assert until.total_seconds() == pytest.approx(90 * 86_400, abs=10)
    assert grant.details["user_id"] == MIRA
    with pytest.raises(Refused) as again:
        exchange(OAUTH, ours, code)
    assert again.value.code == "code_used"
    assert OAUTH.accounts is not None
    found = {each.id: each for each in OAUTH.accounts(ours, grant)}
    assert found.keys() == {USD, EUR, JPY}
    assert found[USD].config == {"currency": "USD", "timezone": "America/Los_Angeles"}
    newer = refresh(OAUTH, ours, grant)
    assert newer.access_token != grant.access_token
    revoke(OAUTH, ours, newer)
    with pytest.raises(CredentialsRejected) as gone:
        refresh(OAUTH, ours, newer)
    assert gone.value.code == "app_removed"
    revoke(OAUTH, ours, newer)


def test_a_login_without_a_permission_and_an_app_with_another_secret(sandbox: Sandbox, wire: HttpTransport) -> None:
    back = logged_in(sandbox, decline="ads_read")
    with pytest.raises(Refused, match="does not allow ads_read"):
        exchange(OAUTH, client(sandbox, wire), Code(back["code"][0], BACK))
    back = logged_in(sandbox)
    with pytest.raises(Refused) as wrong:
        exchange(OAUTH, client(sandbox, wire, "bad_secret"), Code(back["code"][0], BACK))
    assert wrong.value.code == "invalid_client"


def test_a_token_that_has_expired_is_not_renewed(sandbox: Sandbox, wire: HttpTransport) -> None:
    expired = issue_token(sandbox, expires_in_s=-1)
    with pytest.raises(CredentialsRejected) as dead:
        refresh(OAUTH, client(sandbox, wire), Grant(expired, expires_in_s=1.0))
    assert dead.value.code == "token_expired"


# ---------------------------------------------------------------------------------------------------------- campaigns


def test_a_campaign_lives_from_its_creation_to_its_archive(meta: Meta) -> None:
    made = meta.run("campaign.created", CREATED)
    assert made.external_id is not None
    shown = meta.campaign(made.external_id)
    assert (shown["name"], shown["status"], shown["daily_budget"]) == (f"Autumn [{KEY}]", "PAUSED", "12050")
    assert shown["objective"] == "OUTCOME_SALES"
    meta.run("campaign.resumed", {"campaign_id": KEY})
    assert meta.campaign(made.external_id)["status"] == "ACTIVE"
    ends = (datetime.now(UTC) + timedelta(days=30)).isoformat()
    meta.run("campaign.updated", {"campaign_id": KEY, "name": "Winter", "budget": 99, "ends_at": ends})
    shown = meta.campaign(made.external_id)
    assert (shown["name"], shown["daily_budget"]) == (f"Winter [{KEY}]", "9900")
    assert "stop_time" in shown
    meta.run("campaign.completed", {"campaign_id": KEY})
    assert meta.campaign(made.external_id)["status"] == "PAUSED"
    meta.run("campaign.archived", {"campaign_id": KEY})
    meta.run("campaign.paused", {"campaign_id": KEY})
    assert meta.campaign(made.external_id)["status"] == "ARCHIVED"
    with pytest.raises(InvalidPayload) as final:
        meta.run("campaign.resumed", {"campaign_id": KEY})
    assert final.value.code == "campaign_archived"
    assert [each["name"] for each in meta.control.do("meta_ads", "campaigns", account=USD)].count(
        f"Winter [{KEY}]"
    ) == 1


def test_budgets_in_other_currencies_and_kinds(meta: Meta) -> None:
    meta.config |= {"account_id": JPY, "currency": "JPY", "timezone": "Asia/Tokyo"}
    ends = (datetime.now(UTC) + timedelta(days=30)).isoformat()
    data = {**CREATED, "budget": 50_000, "currency": "JPY", "budget_kind": "lifetime", "ends_at": ends}
    made = meta.run("campaign.created", data)
    assert made.external_id is not None
    assert meta.campaign(made.external_id)["lifetime_budget"] == "50000"
    plain = meta.run("campaign.created", {"campaign_id": "cmp_2", "name": "x", "objective": "awareness"})
    assert plain.external_id is not None
    assert "daily_budget" not in meta.campaign(plain.external_id)


@pytest.mark.parametrize("fault", ["meta_ads:temporary_after", "meta_ads:unknown_after", "500-after", "wrong-json"])
def test_a_creation_whose_answer_is_lost_is_found(meta: Meta, fault: str) -> None:
    meta.control.add_rule(CAMPAIGNS, fault, method="POST", times=1)
    with pytest.raises(OutcomeUnknown):
        meta.run("campaign.created", CREATED)
    found = meta.find(CREATED)
    assert found is not None
    assert found.external_id is not None
    assert meta.campaign(found.external_id)["name"] == f"Autumn [{KEY}]"
    assert found.result["recovered"] is True


def test_a_creation_that_did_not_happen_is_not_found(meta: Meta) -> None:
    meta.control.add_rule(CAMPAIGNS, "meta_ads:temporary", method="POST", times=1)
    with pytest.raises(OutcomeUnknown):
        meta.run("campaign.created", CREATED)
    assert meta.find(CREATED) is None


def test_an_event_for_a_campaign_that_we_do_not_know_finds_it(meta: Meta) -> None:
    campaign = meta.control.do("meta_ads", "create_campaign", account=USD, name=f"By hand [{KEY}]")
    meta.run("campaign.paused", {"campaign_id": KEY})
    assert meta.campaign(campaign)["status"] == "PAUSED"


def test_all_campaigns_are_listed_page_by_page(meta: Meta) -> None:
    meta.control.do("meta_ads", "set_limits", page_rows=5)
    made = meta.run("campaign.created", CREATED)
    there = meta.control.do("meta_ads", "campaigns", account=USD)
    steps, last = meta.sync("campaigns")
    links = [link for records in records_of(steps, last) for link in records.links]
    assert {link.external_id: link.external_state for link in links} == {
        each["id"]: each["effective_status"] for each in there
    }
    assert len(links) == len(there) == last.result["campaigns"]
    assert len(steps) == (len(there) - 1) // 5
    assert {step.progress["of"] for step in steps} == {len(there)}
    assert [link.external_id for link in links if link.key == KEY] == [made.external_id]
    assert [link.external_state for link in links if link.deleted] == ["DELETED"]
    assert last.records is not None
    assert last.records.listed_since is not None


# ----------------------------------------------------------------------------------------------------------- insights


def expected(meta: Meta, since: str, until: str) -> dict[str, Any]:
    account = meta.config["account_id"]
    found: dict[str, Any] = meta.control.do("meta_ads", "totals", account=account, since=since, until=until)
    return found


def summed(rows: list[Metric]) -> dict[str, Any]:
    return {
        "rows": len({(row.external_id, row.day) for row in rows}),
        "impressions": sum(row.impressions or 0 for row in rows),
        "clicks": sum(row.clicks or 0 for row in rows),
        "spend": str(sum((row.spend or Decimal(0) for row in rows), Decimal(0))),
        "conversions": int(sum((row.conversions or Decimal(0) for row in rows), Decimal(0))),
    }


@pytest.mark.parametrize(
    ("account", "currency", "timezone"),
    [(USD, "USD", "America/Los_Angeles"), (JPY, "JPY", "Asia/Tokyo")],
)
def test_ninety_days_are_read_from_reports(meta: Meta, account: str, currency: str, timezone: str) -> None:
    meta.config |= {"account_id": account, "currency": currency, "timezone": timezone}
    meta.control.do("meta_ads", "set_limits", page_rows=100)
    meta.control.do("meta_ads", "set_reports", polls=3)
    steps, last = meta.sync("insights")
    today = datetime.now(ZoneInfo(timezone)).date()
    assert last.result["until"] == today.isoformat()
    assert last.result["since"] == (today - timedelta(days=89)).isoformat()
    rows = rows_of(steps, last)
    assert len(rows) == last.result["rows"]
    assert summed(rows) == expected(meta, last.result["since"], last.result["until"])
    assert {row.currency for row in rows} == {currency}
    assert meta.known.cursors["insights"] == {"through": today.isoformat(), "late_at": today.isoformat()}


def test_the_last_week_is_read_again_when_its_numbers_change(meta: Meta) -> None:
    today = datetime.now(ZoneInfo("America/Los_Angeles")).date()
    meta.known.cursors["insights"] = {"through": today.isoformat(), "late_at": today.isoformat()}
    before = summed(rows_of(*meta.sync("insights")))
    meta.control.do("meta_ads", "restate", account=USD)
    steps, last = meta.sync("insights")
    after = summed(rows_of(steps, last))
    assert after != before
    assert after == expected(meta, (today - timedelta(days=6)).isoformat(), today.isoformat())
    assert steps == []


def test_too_much_data_is_read_in_smaller_pieces(meta: Meta) -> None:
    meta.control.do("meta_ads", "set_limits", query_rows=20, response_rows=4)
    today = datetime.now(ZoneInfo("America/Los_Angeles")).date()
    since = (today - timedelta(days=9)).isoformat()
    steps, last = meta.sync("insights", since=since)
    assert summed(rows_of(steps, last)) == expected(meta, since, today.isoformat())
    assert summed(rows_of(steps, last))["rows"] == last.result["rows"]
    assert steps[-1].progress["limit"] < 100
    assert steps[-1].progress["days"] < 7


@pytest.mark.parametrize("outcome", ["Job Failed", "Job Skipped"])
def test_reports_that_all_fail_are_done_without(meta: Meta, outcome: str) -> None:
    meta.control.do("meta_ads", "set_reports", polls=0, outcome=outcome)
    steps, last = meta.sync("insights")
    assert summed(rows_of(steps, last)) == expected(meta, last.result["since"], last.result["until"])


def test_a_full_account_slows_the_walk_down(meta: Meta) -> None:
    usage = {"acc_id_util_pct": 96, "reset_time_duration": 120, "ads_api_access_tier": "standard_access"}
    meta.control.do("meta_ads", "set_usage", account=USD, ad_account_usage=usage)
    meta.control.do("meta_ads", "set_limits", page_rows=6)
    steps, _ = meta.sync("campaigns")
    assert {step.wait_s for step in steps} == {120}


# -------------------------------------------------------------------------------------------------------- conversions


def conversion(number: int, **more: Any) -> dict[str, Any]:
    return {
        "attribution_id": f"att_{number}",
        "name": "purchase",
        "value": 59.9,
        "currency": "USD",
        "happened_at": datetime.now(UTC).isoformat(),
        "source_url": "https://shop.example/thanks",
        "user": {"email": "ann.lee@example.com", "phone": "+1 415 555 0100", "user_agent": "Mozilla/5.0"},
        **more,
    }


def test_a_conversion_that_is_sent_twice_counts_once(meta: Meta) -> None:
    for _ in range(2):
        assert meta.run("attribution.event", conversion(1)).result == {"sent": 1, "received": 1}
    assert meta.control.do("meta_ads", "events", pixel=PIXEL) == {"Purchase/att_1:Purchase": 2}


def test_a_batch_is_sent_without_the_bad_ones(meta: Meta) -> None:
    old = (datetime.now(UTC) - timedelta(days=8)).isoformat()
    many = [conversion(number) for number in range(60)]
    many[17] = conversion(17, happened_at=old)
    many[44] = conversion(44, source_url=None)
    _, last = meta.walk("attribution.batch", {"conversions": many})
    assert (last.result["sent"], last.result["received"]) == (58, 58)
    assert [(each["attribution_id"], each["code"]) for each in last.result["refused"]] == [
        ("att_17", "conversion_refused"),
        ("att_44", "missing_source_url"),
    ]
    counted = meta.control.do("meta_ads", "events", pixel=PIXEL)
    assert Counter(counted.values()) == {1: 58}


# ------------------------------------------------------------------------------------------------------------ refusals

KINDS: Mapping[str, tuple[type[ProviderError], ...]] = {
    "rate_limited": (RateLimited,),
    "action_limit": (RateLimited,),
    "error_in_200": (RateLimited,),
    "token": (CredentialsRejected,),
    "session": (CredentialsRejected,),
    "revoked": (CredentialsRejected,),
    "permission": (CredentialsRejected,),
    "data_too_large": (TooMuchData,),
    "query_too_large": (TooMuchData,),
    "unknown": (OutcomeUnknown,),
    "temporary": (OutcomeUnknown,),
    "timeout": (OutcomeUnknown,),
    "policy": (Retryable,),
    "link_preview": (Retryable,),
    "client_secret": (OutcomeUnknown,),  # code 1: only where tokens are had does it mean the secret
}
OTHERS = {"token_missing": Refused, "unknown_path": InvalidPayload}  # a name that begins like those above


@pytest.mark.parametrize("name", PROBLEMS)
def test_every_refusal_has_its_meaning(meta: Meta, name: str) -> None:
    meta.control.add_rule(CAMPAIGNS, f"meta_ads:{name}", method="POST")
    with pytest.raises(ProviderError) as told:
        meta.run("campaign.created", CREATED)
    kind = next((kinds for begin, kinds in KINDS.items() if name.startswith(begin)), (Refused,))
    assert isinstance(told.value, OTHERS.get(name, kind[0]))
    assert APP_SECRET not in str(told.value)
    assert meta.token not in str(told.value)
    if isinstance(told.value, RateLimited):
        assert told.value.wait_s is not None
        assert told.value.wait_s > 100


@pytest.mark.parametrize("name", ["revoked", "token_password", "token_expired"])
def test_a_login_that_ended_is_no_empty_sync(meta: Meta, name: str) -> None:
    meta.control.do("meta_ads", "revoke", person=MIRA, error=name)
    for stream in ("campaigns", "insights"):
        with pytest.raises(CredentialsRejected):
            meta.sync(stream)


def test_nothing_secret_is_in_an_address_that_is_kept(meta: Meta) -> None:
    call = calling(meta.wire, "campaign.created", CREATED, **meta.given)
    run(call)
    assert call.exchange is not None
    assert call.exchange.url == f"{meta.url}/v25.0/act_{USD}/campaigns"
    meta.sync("campaigns")
    for record in meta.control.received(path="/meta_ads/*"):
        assert meta.token not in f"{record['path']} {record['query']}"


# ------------------------------------------------------------------------------------------------------------- inbound


def test_a_change_at_meta_is_told_once_and_signed(meta: Meta, sandbox: Sandbox) -> None:
    app = Graph(sandbox.url, f"{APP_ID}|{APP_SECRET}")
    value = {"object_id": FIRST, "object_type": "campaign", "changed_fields": ["effective_status"]}
    with callback() as heard:
        subscription = {"object": "ad_account", "callback_url": heard.url, "fields": "effective_status"}
        assert app.post(f"{APP_ID}/subscriptions", **subscription, verify_token="vt_1").status == 200
        assert Graph(sandbox.url, meta.token).post(f"act_{USD}/subscribed_apps").status == 200
        told = {"app_id": APP_ID, "field": "effective_status", "value": value, "entry_id": USD, "time_s": 1791450000}
        for _ in range(2):
            meta.control.do("meta_ads", "send_webhook", **told)
    assert INBOUND.handshake(heard.asked[0], "vt_1") == heard.asked[0]["hub.challenge"]
    arrivals = [Arrival(headers, body, datetime.now(UTC)) for headers, body in heard.posted]
    for each in arrivals:
        INBOUND.verify(each, APP_SECRET)
    (first,), (second,) = (INBOUND.read(each) for each in arrivals)
    assert first == second
    assert (first.kind, first.account, first.data["value"]) == ("field_changed", USD, value)


def test_a_person_who_leaves_is_told(meta: Meta) -> None:
    with callback() as heard:
        sent = meta.control.do("meta_ads", "send_signed_request", url=heard.url, app_secret=APP_SECRET, person=MIRA)
    ((headers, body),) = heard.posted
    arrival = Arrival(headers, body, datetime.now(UTC))
    INBOUND.verify(arrival, APP_SECRET)
    (notice,) = INBOUND.read(arrival)
    assert (notice.kind, notice.account) == ("deauthorized", MIRA)
    assert signed_request(sent["signed_request"], APP_SECRET)["user_id"] == MIRA
