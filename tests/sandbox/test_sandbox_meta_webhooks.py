"""Webhooks of the Meta stand-in: the handshake, signed messages, signed requests; the vectors of its documentation."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs

import pytest

from sandbox.control import SandboxRefused
from sandbox.process import Sandbox, start
from tests.sandbox.meta import APP_ID, APP_SECRET, APP_TOKEN, MIRA, USD, Callback, Graph, callback, issue_token

FIELDS = "effective_status,with_issues_ad_objects"
SUBSCRIPTIONS = f"{APP_ID}/subscriptions"
APPS = f"act_{USD}/subscribed_apps"
ISSUE = {
    "id": "120210000000000001",
    "level": "AD",
    "error_code": "567",
    "error_summary": "résumé",
    "error_message": "x",
}
ISSUE_BODY = (
    rb'{"object":"ad_account","entry":[{"id":"1234567890","time":1791450000,"changes":[{"field":'
    rb'"with_issues_ad_objects","value":{"id":"120210000000000001","level":"AD","error_code":"567",'
    rb'"error_summary":"r\u00e9sum\u00e9","error_message":"x"}}]}]}'
)
ISSUE_SIGNATURE = "sha256=a5a71f184edb27457b38b98a36246e1ab391c23cb09b71a75cb63e25fbf14ac9"
SIGNED_REQUEST = (
    "pDe5gX8cSkGdXKp1xxK48DDwAq9Jc-17FMMhvZa3niE."
    "eyJ1c2VyX2lkIjoiMTAwMDEiLCJhbGdvcml0aG0iOiJITUFDLVNIQTI1NiIsImlzc3VlZF9hdCI6MTc5MTQ1MDAwMH0"
)


@pytest.fixture(scope="module")
def process() -> Iterator[Sandbox]:
    with start() as running:
        yield running


@pytest.fixture
def sandbox(process: Sandbox) -> Sandbox:
    process.control.reset()
    return process


@pytest.fixture
def heard() -> Iterator[Callback]:
    with callback() as running:
        yield running


@pytest.fixture
def app(sandbox: Sandbox) -> Graph:
    return Graph(sandbox.url, APP_TOKEN)


@pytest.fixture
def user(sandbox: Sandbox) -> Graph:
    return Graph(sandbox.url, issue_token(sandbox))


def subscribe(app: Graph, heard: Callback, **changes: Any) -> Any:
    given = {"object": "ad_account", "callback_url": heard.url, "fields": FIELDS, "verify_token": "vt_8h2", **changes}
    return app.post(SUBSCRIPTIONS, **given)


def webhook(sandbox: Sandbox, field: str = "effective_status", **changes: Any) -> Any:
    value = {"object_id": "120210000000000001", "object_type": "campaign", "changed_fields": ["effective_status"]}
    given = {"app_id": APP_ID, "field": field, "value": value, "entry_id": USD, **changes}
    return sandbox.control.do("meta_ads", "send_webhook", **given)


def test_the_callback_repeats_the_challenge_before_the_answer(app: Graph, heard: Callback) -> None:
    assert subscribe(app, heard).json == {"success": True}
    (asked,) = heard.asked
    assert (asked["hub.mode"], asked["hub.verify_token"]) == ("subscribe", "vt_8h2")
    assert asked["hub.challenge"].isdigit()
    (listed,) = app.get(SUBSCRIPTIONS).json["data"]
    assert (listed["object"], listed["callback_url"], listed["active"]) == ("ad_account", heard.url, True)
    assert [one["name"] for one in listed["fields"]] == FIELDS.split(",")
    assert app.delete(SUBSCRIPTIONS, object="ad_account").json == {"success": True}
    assert app.get(SUBSCRIPTIONS).json == {"data": []}


def test_a_callback_that_does_not_repeat_it_is_not_subscribed(app: Graph, user: Graph, heard: Callback) -> None:
    heard.repeats = False
    assert subscribe(app, heard).codes == (400, 2200, None)
    assert subscribe(app, heard, callback_url="http://127.0.0.1:9/").codes == (400, 2200, None)
    assert subscribe(app, heard, callback_url="http://192.0.2.1/").codes == (400, 2200, None)
    assert app.get(SUBSCRIPTIONS).json == {"data": []}
    heard.repeats = True
    assert subscribe(app, heard, fields="everything").codes == (400, 100, None)
    assert subscribe(app, heard, object="moon").codes == (400, 100, None)
    assert subscribe(user, heard).codes == (403, 10, None)


def test_an_account_names_the_apps_that_hear_about_it(app: Graph, user: Graph) -> None:
    assert user.get(APPS).json == {"data": []}
    assert user.post(APPS).json == {"success": True}
    assert [one["id"] for one in user.get(APPS).json["data"]] == [APP_ID]
    assert user.delete(APPS).json == {"success": True}
    assert user.get(APPS).json == {"data": []}
    assert app.post(APPS).codes == (400, 100, 33)
    assert user.post(APPS, app_id="2").codes == (400, 100, None)


def test_a_message_is_signed_over_its_raw_bytes(sandbox: Sandbox, app: Graph, user: Graph, heard: Callback) -> None:
    subscribe(app, heard)
    user.post(APPS)
    sent = webhook(sandbox, "with_issues_ad_objects", value=ISSUE, time_s=1791450000)
    ((headers, body),) = heard.posted
    assert body == ISSUE_BODY
    assert len(body) == 241
    assert headers["x-hub-signature-256"] == ISSUE_SIGNATURE
    assert headers["x-hub-signature"] == "sha1=" + hmac.new(APP_SECRET.encode(), body, hashlib.sha1).hexdigest()
    assert headers["content-type"] == "application/json"
    assert sent == {"status": 200, "answer": "thanks", "body": body.decode(), "signature": ISSUE_SIGNATURE}


def test_a_changed_status_arrives_under_another_name(
    sandbox: Sandbox, app: Graph, user: Graph, heard: Callback
) -> None:
    subscribe(app, heard)
    user.post(APPS)
    webhook(sandbox, value=[{"object_id": str(n)} for n in range(3)])
    entry = json.loads(heard.posted[-1][1])["entry"][0]
    assert [(one["field"], one["value"]["object_id"]) for one in entry["changes"]] == [
        ("field_changed", "0"),
        ("field_changed", "1"),
        ("field_changed", "2"),
    ]
    subscribe(app, heard, include_values="false")
    webhook(sandbox)
    entry = json.loads(heard.posted[-1][1])["entry"][0]
    assert (entry["id"], entry["changed_fields"], "changes" in entry) == (USD, ["field_changed"], False)


def test_without_both_subscriptions_nothing_is_sent(sandbox: Sandbox, app: Graph, user: Graph, heard: Callback) -> None:
    for step, words in ((user.get, "has not subscribed"), (user.post, "has not subscribed")):
        step(APPS)
        with pytest.raises(SandboxRefused, match=words):
            webhook(sandbox)
    user.delete(APPS)
    subscribe(app, heard)
    with pytest.raises(SandboxRefused, match="subscribed_apps"):
        webhook(sandbox)
    assert heard.posted == []


def test_a_message_about_permissions_needs_no_account(sandbox: Sandbox, app: Graph, heard: Callback) -> None:
    subscribe(app, heard, object="permissions", fields="ads_management")
    webhook(sandbox, "ads_management", object="permissions", entry_id=MIRA, value={"verb": "revoked"})
    said = json.loads(heard.posted[0][1])
    assert (said["object"], said["entry"][0]["changes"][0]["field"]) == ("permissions", "ads_management")


def test_a_signed_request(sandbox: Sandbox, heard: Callback) -> None:
    given = {"url": heard.url, "app_secret": APP_SECRET, "person": MIRA, "issued_at_s": 1791450000}
    sent = sandbox.control.do("meta_ads", "send_signed_request", **given)
    ((headers, body),) = heard.posted
    assert headers["content-type"] == "application/x-www-form-urlencoded"
    assert parse_qs(body.decode()) == {"signed_request": [SIGNED_REQUEST]}
    assert (sent["status"], sent["answer"], sent["signed_request"]) == (200, "thanks", SIGNED_REQUEST)
    payload = base64.urlsafe_b64decode(SIGNED_REQUEST.partition(".")[2] + "==")
    assert json.loads(payload)["user_id"] == MIRA
    with pytest.raises(SandboxRefused, match="this machine only"):
        sandbox.control.do("meta_ads", "send_signed_request", **{**given, "url": "http://example.com/"})
