"""Leads: fetched when a webhook says that they are there, and told once."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from model import Done, NewEvent
from providers.errors import CredentialsRejected, InvalidPayload, Refused, Unavailable
from providers.inbound import Arrival
from providers.meta_ads.inbound import INBOUND
from tests.providers.doubles import EVENT_ID, INTEGRATION_ID, Scripted, answer
from tests.providers.meta_ads.calls import ACCOUNT, calling, done, error, params, path, run
from worker.catalog import event_types

LEAD_ID, PAGE = "777000000000001", "10500001"
CONFIG = {**ACCOUNT, "page_id": PAGE}
LEAD = {
    "id": LEAD_ID,
    "created_time": "2026-10-08T09:12:44-0700",
    "field_data": [{"name": "email", "values": ["ann.lee@example.com"]}, {"name": "size", "values": ["38", "39"]}],
    "campaign_id": "120210000000000001",
    "campaign_name": "Spring launch [cmp_01HX]",
    "adset_id": "120215000000000001",
    "ad_id": "120215000000000003",
    "form_id": "888",
    "is_organic": False,
}


def fetch(using: Any, **data: Any) -> Done:
    return done(run(calling(using, "lead.fetch_requested", {"lead_id": LEAD_ID, **data}, config=CONFIG)))


def test_a_lead_is_fetched_and_told() -> None:
    scripted = Scripted(answer(200, LEAD))
    outcome = fetch(scripted, page_id=PAGE)
    assert path(scripted.requests[0]) == f"GET /v25.0/{LEAD_ID}"
    assert "field_data" in params(scripted.requests[0])["fields"].split(",")
    said = {
        "lead_id": LEAD_ID,
        "page_id": PAGE,
        "provider": "meta_ads",
        "integration_id": str(INTEGRATION_ID),
        "fields": {"email": ["ann.lee@example.com"], "size": ["38", "39"]},
        "form_id": "888",
        "external_campaign_id": "120210000000000001",
        "external_ad_set_id": "120215000000000001",
        "external_ad_id": "120215000000000003",
        "campaign_id": "cmp_01HX",
        "created_at": "2026-10-08T09:12:44-07:00",
        "is_organic": False,
        "source_event_id": str(EVENT_ID),
    }
    assert event_types()["lead.received"].problem(said) is None
    key = f"lead.received:{INTEGRATION_ID}:{LEAD_ID}"
    assert outcome.events == (NewEvent("t_42", "lead.received", said, key),)
    assert outcome.result == {"lead_id": LEAD_ID, "fields": ["email", "size"]}


def test_a_lead_of_which_little_is_known() -> None:
    outcome = fetch(
        Scripted(answer(200, {"id": LEAD_ID, "field_data": [{"name": "email"}, {}, 5], "created_time": "x"}))
    )
    said = outcome.events[0].data
    assert said["fields"] == {"email": []}
    assert not {"created_at", "campaign_id", "is_organic", "page_id"} & said.keys()
    assert event_types()["lead.received"].problem(said) is None


def test_a_lead_of_another_page_is_left_to_its_account() -> None:
    assert fetch(Scripted(), page_id="1").result == {"skipped": "The lead is of another page than the account's."}


def test_a_login_that_may_read_no_leads_is_not_rejected_as_a_whole() -> None:
    with pytest.raises(Refused, match="leads_retrieval") as refused:
        fetch(Scripted(error(200, status=403)))
    assert not isinstance(refused.value, CredentialsRejected)
    assert refused.value.code == "permission_missing"
    with pytest.raises(CredentialsRejected):
        fetch(Scripted(error(190, 463)))


def test_what_is_no_lead() -> None:
    with pytest.raises(Unavailable):
        fetch(Scripted(answer(200, {"id": LEAD_ID})))
    with pytest.raises(InvalidPayload) as gone:
        fetch(Scripted(error(100, 33)))
    assert gone.value.code == "object_missing"


# ------------------------------------------------------------------------------------------------------------- webhooks


def told(kind: str, **change: Any) -> Any:
    body = {"object": kind, "entry": [{"id": 10500001, "time": 1791450000, "changes": [change]}]}
    (notice,) = INBOUND.read(Arrival({}, json.dumps(body).encode(), datetime.now(UTC)))
    return notice


def test_a_webhook_of_a_lead_has_it_fetched() -> None:
    value = {
        "leadgen_id": 9007199254740993777,  # larger than numbers are elsewhere
        "page_id": 10500001,
        "form_id": 888,
        "ad_id": 120215000000000003,
        "adgroup_id": 120215000000000003,
        "created_time": 1791450000,
    }
    notice = told("page", field="leadgen", value=value)
    assert notice.publishes == (
        "lead.fetch_requested",
        {
            "lead_id": "9007199254740993777",
            "form_id": "888",
            "page_id": "10500001",
            "external_ad_id": "120215000000000003",
            "created_at": "2026-10-08T09:00:00+00:00",
        },
    )
    assert event_types()["lead.fetch_requested"].problem(notice.publishes[1]) is None
    assert notice.stream == ""


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("page", "leadgen", {"form_id": 5}),
        ("page", "leadgen", "5"),
        ("page", "feed", {"leadgen_id": 5}),
        ("user", "leadgen", {"leadgen_id": 5}),
    ],
)
def test_what_is_no_webhook_of_a_lead(kind: str, field: str, value: Any) -> None:
    assert told(kind, field=field, value=value).publishes is None


@pytest.mark.parametrize(
    ("kind", "field", "value", "stream"),
    [
        ("ad_account", "field_changed", {"object_id": "1", "object_type": "campaign"}, "campaigns"),
        ("ad_account", "field_changed", {"object_id": "1", "object_type": "ad"}, ""),
        ("ad_account", "with_issues_ad_objects", {"id": "1", "level": "CAMPAIGN"}, "campaigns"),
        ("ad_account", "creative_fatigue", {"unknown": 1}, ""),
        ("permissions", "ads_management", {"verb": "revoked"}, "campaigns"),
    ],
)
def test_a_webhook_that_means_a_change_has_campaigns_read(kind: str, field: str, value: Any, stream: str) -> None:
    assert told(kind, field=field, value=value).stream == stream
