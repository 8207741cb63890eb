"""Logging in at the Meta stand-in: the dialog as a browser sees it, tokens as a server has them."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests

from sandbox.control import SandboxRefused
from sandbox.process import Sandbox, start
from tests.sandbox.meta import APP_ID, APP_SECRET, APP_TOKEN, JONAS, MIRA, USD, Graph, Reply, issue_token

REDIRECT = "http://127.0.0.1:8000/oauth/callback?from=meta"
ASKED = {
    "client_id": APP_ID,
    "redirect_uri": REDIRECT,
    "state": "s<1>",
    "scope": "ads_management,ads_read,business_management",
    "response_type": "code",
}
EXPIRED, REVOKED = (400, 190, 463), (400, 190, 458)


@pytest.fixture(scope="module")
def process() -> Iterator[Sandbox]:
    with start() as running:
        yield running


@pytest.fixture
def sandbox(process: Sandbox) -> Sandbox:
    process.control.reset()
    return process


@pytest.fixture
def nobody(sandbox: Sandbox) -> Graph:
    return Graph(sandbox.url, None)


class Form(HTMLParser):
    """What a browser would send of a page's form: the hidden fields and what is chosen."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self.buttons: list[str] = []
        self.people: list[str] = []
        self.action = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action = found["action"]
        elif tag == "button":
            self.buttons.append(found["value"])
        elif tag == "input" and found["type"] == "radio":
            self.people.append(found["value"])
        if tag == "input" and (found["type"] == "hidden" or "checked" in found):
            self.fields[found["name"]] = found["value"]


def page(sandbox: Sandbox, **changes: str) -> requests.Response:
    return requests.get(f"{sandbox.url}/v25.0/dialog/oauth", params={**ASKED, **changes}, timeout=5)


def press(sandbox: Sandbox, button: str, **choices: Any) -> dict[str, str]:
    """Open the dialog, press a button, and read what the app is told."""
    form = Form(page(sandbox).text)
    data = {**form.fields, **choices, "answer": button}
    answer = requests.post(sandbox.url + form.action, data=data, allow_redirects=False, timeout=5)
    assert answer.status_code == 302
    location = answer.headers["Location"]
    assert location.startswith(REDIRECT + "&")
    assert location.endswith("#_=_") is (button == "continue")
    return dict(parse_qsl(urlsplit(location).query))


def exchange(graph: Graph, **changes: str) -> Reply:
    given = {"client_id": APP_ID, "client_secret": APP_SECRET, "redirect_uri": REDIRECT, **changes}
    return graph.get("oauth/access_token", **given)


def test_the_dialog_is_a_page_that_says_what_it_is(sandbox: Sandbox) -> None:
    answer = page(sandbox)
    form = Form(answer.text)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert form.buttons == ["continue", "cancel"]
    assert form.people == [MIRA, JONAS]
    assert form.fields == {**ASKED, "person": MIRA}
    assert "s<1>" not in answer.text
    assert "<script" not in answer.text
    for words in (APP_ID, "ads_management", "Mira Holm", "Jonas Reyes", "<title>", 'lang="en"', "<legend>"):
        assert words in answer.text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"client_id": ""}, "Invalid App ID"),
        ({"redirect_uri": "ftp://x"}, "redirect_uri"),
        ({"redirect_uri": "http://[x/"}, "redirect_uri"),
        ({"redirect_uri": "http://x/é"}, "redirect_uri"),
        ({"redirect_uri": "http://x/\r\nSet-Cookie: a=b"}, "redirect_uri"),
        ({"scope": "ads_management,steal"}, "Invalid Scopes: steal"),
        ({"response_type": "token"}, "response_type"),
    ],
)
def test_a_dialog_that_cannot_be_shown_says_why(sandbox: Sandbox, changes: dict[str, str], words: str) -> None:
    answer = page(sandbox, **changes)
    assert (answer.status_code, words in answer.text) == (400, True)
    posted = requests.post(f"{sandbox.url}/v25.0/dialog/oauth", data={**ASKED, **changes}, timeout=5)
    assert posted.status_code == 400


def test_continue_and_exchange(sandbox: Sandbox, nobody: Graph) -> None:
    told = press(sandbox, "continue", person=JONAS)
    assert (set(told), told["state"]) == ({"from", "code", "state"}, "s<1>")
    answer = exchange(nobody, code=told["code"])
    assert (answer.status, answer.json["token_type"], answer.json["expires_in"]) == (200, "bearer", 5400)
    short = Graph(sandbox.url, answer.json["access_token"])
    assert short.get("me").json == {"id": JONAS, "name": "Jonas Reyes"}
    longer = exchange(nobody, grant_type="fb_exchange_token", fb_exchange_token=answer.json["access_token"]).json
    assert longer["expires_in"] == 60 * 86_400
    assert longer["access_token"] != answer.json["access_token"]
    assert Graph(sandbox.url, longer["access_token"]).get("me").status == 200
    assert sandbox.control.bill()["meta_ads"]["token_exchanges"] == {"code": 1, "fb_exchange_token": 1}


def test_cancel(sandbox: Sandbox) -> None:
    told = press(sandbox, "cancel")
    assert (told["error"], told["error_reason"], told["state"]) == ("access_denied", "user_denied", "s<1>")
    assert told["error_description"]
    assert "code" not in told


def test_a_code_works_once_and_only_with_its_own_redirect_uri(sandbox: Sandbox, nobody: Graph) -> None:
    code = press(sandbox, "continue")["code"]
    assert exchange(nobody, code=code, redirect_uri=REDIRECT + "/").codes == (400, 100, 36008)
    assert exchange(nobody, code=code, client_id="222").codes == (400, 100, None)
    assert exchange(nobody, code=code, client_secret="bad_secret").codes == (400, 1, None)
    posted = {"client_id": APP_ID, "client_secret": APP_SECRET, "redirect_uri": REDIRECT, "code": code}
    assert nobody.post("oauth/access_token", **posted).status == 200
    assert exchange(nobody, code=code).codes == (400, 100, 36009)
    assert exchange(nobody, code="nonsense").codes == (400, 100, None)


def test_lives_are_adjustable(sandbox: Sandbox, nobody: Graph) -> None:
    sandbox.control.do("meta_ads", "set_token_life", code_s=0)
    assert exchange(nobody, code=press(sandbox, "continue")["code"]).codes == (400, 100, 36007)
    sandbox.control.do("meta_ads", "set_token_life", code_s=600, short_s=0)
    dead = exchange(nobody, code=press(sandbox, "continue")["code"]).json["access_token"]
    assert Graph(sandbox.url, dead).get("me").codes == EXPIRED
    assert exchange(nobody, grant_type="fb_exchange_token", fb_exchange_token=dead).codes == EXPIRED
    sandbox.control.do("meta_ads", "set_token_life", long_s=90)
    alive = issue_token(sandbox)
    longer = exchange(nobody, grant_type="fb_exchange_token", fb_exchange_token=alive)
    assert longer.json["expires_in"] == 90


def test_declined_permissions(sandbox: Sandbox, nobody: Graph) -> None:
    code = press(sandbox, "continue", decline=["ads_management", "ads_read"])["code"]
    graph = Graph(sandbox.url, exchange(nobody, code=code).json["access_token"])
    states = {one["permission"]: one["status"] for one in graph.get("me/permissions").json["data"]}
    assert states == {
        "ads_management": "declined",
        "ads_read": "declined",
        "business_management": "granted",
        "public_profile": "granted",
    }
    assert graph.get("me/adaccounts").codes == (403, 200, None)


def test_a_token_is_inspected_with_the_apps_own(sandbox: Sandbox) -> None:
    token = issue_token(sandbox, scopes=["ads_read"], expires_in_s=3600)
    app = Graph(sandbox.url, APP_TOKEN)
    data = app.get("debug_token", input_token=token).json["data"]
    assert (data["app_id"], data["type"], data["user_id"], data["is_valid"]) == (APP_ID, "USER", MIRA, True)
    assert data["scopes"] == ["ads_read", "public_profile"]
    assert data["granular_scopes"] == [{"scope": "ads_read"}]
    assert data["expires_at"] - data["issued_at"] == pytest.approx(3600, abs=1)
    assert data["data_access_expires_at"] - data["issued_at"] == pytest.approx(90 * 86_400, abs=1)
    gone = app.get("debug_token", input_token=issue_token(sandbox, expires_in_s=-1)).json["data"]
    assert (gone["is_valid"], gone["scopes"], gone["error"]["code"], gone["error"]["subcode"]) == (False, [], 190, 463)
    assert app.get("debug_token", input_token="nonsense").json["data"]["is_valid"] is False
    assert app.get("debug_token", input_token=APP_TOKEN).json["data"]["type"] == "APP"
    assert Graph(sandbox.url, token).get("debug_token", input_token=token).status == 403
    assert Graph(sandbox.url, "2|other").get("debug_token", input_token=token).codes == (400, 100, None)


def test_an_apps_token(sandbox: Sandbox, nobody: Graph) -> None:
    answer = exchange(nobody, grant_type="client_credentials")
    assert answer.json == {"access_token": APP_TOKEN, "token_type": "bearer"}
    app = Graph(sandbox.url, APP_TOKEN)
    assert app.get("me").codes == (400, 2500, None)
    assert app.get(f"act_{USD}/campaigns").codes == (400, 100, 33)
    assert exchange(nobody, grant_type="password").codes == (400, 100, None)


def test_revoked_by_the_app_by_the_person_and_in_part(sandbox: Sandbox, nobody: Graph) -> None:
    graph, other = Graph(sandbox.url, issue_token(sandbox)), Graph(sandbox.url, issue_token(sandbox, JONAS))
    assert graph.delete("me/permissions/ads_read").json == {"success": True}
    assert "ads_read" not in [one["permission"] for one in graph.get("me/permissions").json["data"]]
    assert graph.delete(f"{MIRA}/permissions").json == {"success": True}
    assert graph.get("me").codes == REVOKED
    assert exchange(nobody, grant_type="fb_exchange_token", fb_exchange_token=str(graph.token)).codes == REVOKED
    assert other.get("me").status == 200
    assert sandbox.control.do("meta_ads", "revoke", person=JONAS, error="token_password") == 1
    assert other.get("me").codes == (400, 190, 460)


def test_the_proof_is_checked_when_sent_and_needed_by_some_apps(sandbox: Sandbox) -> None:
    def proof(token: str) -> str:
        return hmac.new(APP_SECRET.encode(), token.encode(), hashlib.sha256).hexdigest()

    assert proof("EAABtesttoken") == "752fc04a271102e8164653a85b703c7c17eebb5df687485bcffff2022836ace0"
    graph = Graph(sandbox.url, issue_token(sandbox))
    assert graph.get("me", appsecret_proof=proof(str(graph.token))).status == 200
    assert graph.get("me", appsecret_proof=proof("other")).codes == (400, 100, None)
    strict = Graph(sandbox.url, issue_token(sandbox, app_id="1111111117"))
    assert "appsecret_proof" in strict.get("me").json["error"]["message"]
    assert strict.get("me", appsecret_proof=proof(str(strict.token))).status == 200


def test_a_token_travels_in_the_query_the_form_or_a_header(sandbox: Sandbox, nobody: Graph) -> None:
    token = issue_token(sandbox)
    assert nobody.get("me", access_token=token).status == 200
    assert Graph(sandbox.url, token).get("me").status == 200
    run = nobody.post(f"act_{USD}/insights", access_token=token, level="account")
    assert re.fullmatch(r"6023\d{11}", run.json["report_run_id"])
    assert nobody.get("me").codes == (400, 104, None)
    assert nobody.get("me", access_token="nonsense").codes == (400, 190, None)
    assert token not in str(sandbox.control.received())


def test_actions_that_mean_nothing_are_refused_with_a_sentence(sandbox: Sandbox) -> None:
    for given, words in (
        ({"person": "1"}, "nobody has the id"),
        ({"scopes": ["steal"]}, "no scope"),
        ({"x": 1}, "'x'"),
    ):
        with pytest.raises(SandboxRefused, match=words):
            issue_token(sandbox, **given)
