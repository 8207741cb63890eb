"""TikTok's stand-in: the dialog, tokens, and who may do what; the rate limit of an app."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.sandbox.tiktok import APP, EU, JAPAN, SECRET, US, Api, opened

LINK = {"app_id": APP, "redirect_uri": "http://mesh.test/oauth/tiktok_ads/callback?tenant=1", "state": 'a"<&ä='}


@pytest.fixture
def api() -> Api:
    return Api()


class Page(HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of all elements of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]


def show(api: Api, **others: str) -> tuple[int, Page]:
    answer = api.send("GET", "/portal/auth", urlencode({**LINK, **others}))
    assert answer.headers["Content-Type"].startswith("text/html")
    return answer.status, Page(answer.body.decode())


def press(api: Api, button: str, *advertiser_ids: str, **others: str) -> dict[str, list[str]]:
    """What the app hears at its redirect_uri."""
    form = urlencode([("advertiser_ids", one) for one in advertiser_ids] + [("decision", button)])
    answer = api.send("POST", "/portal/auth", urlencode({**LINK, **others}), form.encode())
    assert answer.status == 302
    target = urlsplit(answer.headers["Location"])
    assert (target.netloc, target.path) == ("mesh.test", "/oauth/tiktok_ads/callback")
    heard = parse_qs(target.query)
    assert heard.pop("tenant") == ["1"]
    return heard


def exchange(api: Api, code: str, **others: Any) -> tuple[int, Any]:
    body = {"app_id": APP, "secret": SECRET, "auth_code": code, **others}
    return api.post("oauth2/access_token/", **body)


def test_the_page_names_the_app_and_offers_accounts_and_buttons(api: Api) -> None:
    status, page = show(api)
    assert status == 200
    assert f"Authorize app {APP}" in page.text
    boxes = [one for one in page.all("input") if one["type"] == "checkbox"]
    assert [one["value"] for one in boxes] == [EU, US, JAPAN]
    assert all("checked" in one for one in boxes)
    buttons = [(one["name"], one["value"]) for one in page.all("button")]
    assert buttons == [("decision", "confirm"), ("decision", "cancel")]
    assert page.all("form") == [{"method": "post"}]  # to the link itself
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("label")) == len(boxes)
    assert not page.all("script")
    assert "EUR, Europe/Berlin" in page.text
    assert "JPY, Asia/Tokyo" in page.text


def test_the_page_escapes_what_the_link_says(api: Api) -> None:
    _, page = show(api, app_id="<script>alert(1)</script>")
    assert not page.all("script")
    assert "<script>" in page.text


@pytest.mark.parametrize(
    "others",
    [
        {"app_id": ""},
        {"redirect_uri": ""},
        {"redirect_uri": "javascript:alert(1)"},
        {"redirect_uri": "/callback"},
        {"redirect_uri": "http://ä.test/"},
    ],
)
def test_a_broken_link_leads_nowhere(api: Api, others: dict[str, str]) -> None:
    status, page = show(api, **others)
    assert (status, page.all("form")) == (400, [])
    answer = api.send("POST", "/portal/auth", urlencode({**LINK, **others}), b"decision=confirm")
    assert answer.status == 400


def test_confirm_leads_back_with_code_and_state(api: Api) -> None:
    heard = press(api, "confirm", EU, JAPAN)
    assert (set(heard), heard["state"]) == ({"auth_code", "state"}, [LINK["state"]])
    code, data = exchange(api, heard["auth_code"][0])
    assert code == 0
    assert data["advertiser_ids"] == [EU, JAPAN]
    assert all(isinstance(scope, int) for scope in data["scope"])
    assert "refresh_token" not in data
    assert "expires_in" not in data
    api.token = data["access_token"]
    _, listed = api.get("oauth2/advertiser/get/", app_id=APP, secret=SECRET)
    assert [one["advertiser_id"] for one in listed["list"]] == [EU, JAPAN]


def test_cancel_leads_back_with_the_state_alone(api: Api) -> None:
    assert press(api, "cancel", EU) == {"state": [LINK["state"]]}
    assert press(api, "anything", EU) == {"state": [LINK["state"]]}


def test_confirm_needs_an_account(api: Api) -> None:
    answer = api.send("POST", "/portal/auth", urlencode(LINK), b"decision=confirm&advertiser_ids=7")
    page = Page(answer.body.decode())
    assert (answer.status, len(page.all("form"))) == (400, 1)
    assert [one["role"] for one in page.all("p") if "role" in one] == ["alert"]


def test_a_line_break_in_the_link_does_not_reach_the_headers(api: Api) -> None:
    uri = "http://mesh.test/oauth/tiktok_ads/callback?tenant=1&x=\r\nSet-Cookie: a=b"
    answer = api.send("POST", "/portal/auth", urlencode({**LINK, "redirect_uri": uri}), b"decision=cancel")
    assert not re.search(r"[\r\n]", answer.headers["Location"])


def test_a_code_is_good_once_for_an_hour(api: Api) -> None:
    first, second, third = (press(api, "confirm", EU)["auth_code"][0] for _ in range(3))
    api.now += 3600
    assert exchange(api, first)[0] == 0
    assert exchange(api, first)[0] == 40110
    api.now += 1
    assert exchange(api, second)[0] == 40115
    assert {name: count for name, count in api.stand_in.bill().items() if count} == {"code_exchanges": 1}
    assert exchange(api, third)[0] == 40115


@pytest.mark.parametrize(
    ("others", "code"),
    [
        ({"secret": "bad secret"}, 40101),
        ({"app_id": "7300000000000000002"}, 40101),
        ({"auth_code": "guessed"}, 40101),
        ({"auth_code": None}, 40002),
        ({"return_advertiser_ids": False}, 0),
    ],
)
def test_app_secret_and_code_belong_together(api: Api, others: dict[str, Any], code: int) -> None:
    said = exchange(api, press(api, "confirm", EU)["auth_code"][0], **others)
    assert said[0] == code
    assert "advertiser_ids" not in said[1]


def test_without_a_live_token_nothing_goes(api: Api) -> None:
    issued = api.token
    for token, code in ((None, 40104), ("", 40104), ("act.guessed", 40105), (issued, 0)):
        api.token = token
        assert api.get("campaign/get/", advertiser_id=EU)[0] == code
    assert api.do("revoke", token=issued) == {"revoked": 1}
    assert api.get("campaign/get/", advertiser_id=EU)[0] == 40105


def test_an_app_revokes_its_own_token_once(api: Api) -> None:
    body = {"app_id": APP, "secret": SECRET, "access_token": api.token}
    assert api.post("oauth2/revoke_token/", **{**body, "app_id": "8"})[0] == 40101
    assert api.post("oauth2/revoke_token/", **body) == (0, {"app_id": APP, "advertiser_ids": [EU, US, JAPAN]})
    assert api.post("oauth2/revoke_token/", **body)[0] == 40105


def test_all_tokens_of_an_app_can_be_revoked(api: Api) -> None:
    tokens = [api.token, *(api.do("issue_token", app_id=app_id, secret=SECRET) for app_id in (APP, APP, "8"))]
    assert api.do("revoke", app_id=APP) == {"revoked": 3}
    assert api.do("revoke", app_id=APP) == {"revoked": 0}
    codes = []
    for api.token in tokens:
        codes.append(api.get("campaign/get/", advertiser_id=EU)[0])
    assert codes == [40105, 40105, 40105, 0]


def test_a_token_is_for_its_accounts_only(api: Api) -> None:
    api.token = api.do("issue_token", app_id=APP, secret=SECRET, advertiser_ids=[US])
    assert api.get("campaign/get/", advertiser_id=US)[0] == 0
    assert api.get("campaign/get/", advertiser_id=EU)[0] == 40001
    assert api.create()[0] == 40001
    assert api.get("advertiser/info/", advertiser_ids=[US, EU])[0] == 40001
    assert api.get("campaign/get/", advertiser_id="7")[0] == 40300
    with pytest.raises(ValueError, match="no advertiser 7"):
        api.do("issue_token", app_id=APP, secret=SECRET, advertiser_ids=["7"])


def test_accounts_have_their_currency_and_time_zone(api: Api) -> None:
    code, data = api.get("advertiser/info/", advertiser_ids=[EU, US, JAPAN], fields=["currency", "timezone"])
    assert code == 0
    assert [tuple(one.values()) for one in data["list"]] == [
        ("EUR", "Europe/Berlin"),
        ("USD", "America/Los_Angeles"),
        ("JPY", "Asia/Tokyo"),
    ]
    assert api.get("advertiser/info/", advertiser_ids=[EU], fields=["shoe_size"])[0] == 40002
    assert api.get("advertiser/info/", advertiser_ids=[EU] * 101)[0] == 40002
    assert api.get("advertiser/info/", advertiser_ids=[])[0] == 40002
    assert api.get("oauth2/advertiser/get/", app_id="8", secret=SECRET)[0] == 40101


def test_other_versions_and_retired_endpoints_say_so(api: Api) -> None:
    for path, code in (
        ("/open_api/v1.2/campaign/get/", 40051),
        ("/open_api/v2/anything/", 40051),
        ("/open_api/v1.3/campaign/spc/create/", 41001),
    ):
        for method in ("GET", "POST"):
            assert opened(api.send(method, path))[0] == code


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff"])
def test_a_body_is_a_json_object(api: Api, body: bytes) -> None:
    assert opened(api.send("POST", "/open_api/v1.3/campaign/create/", body=body))[0] == 40002


def statuses(api: Api, times: int) -> list[int]:
    return [api.get("campaign/get/", advertiser_id=EU)[0] for _ in range(times)]


def test_there_is_no_limit_until_one_is_set_but_requests_are_counted(api: Api) -> None:
    assert set(statuses(api, 50)) == {0}
    assert api.do("traffic") == {APP: {"requests": 50, "throttled": 0, "busiest_second": 50, "own": {}}}


def test_the_limit_is_of_the_app_over_all_its_tokens(api: Api) -> None:
    api.do("set_limits", qps=10)
    first, second = api.token, api.do("issue_token", app_id=APP, secret=SECRET, advertiser_ids=[EU])
    other = api.do("issue_token", app_id="8", secret=SECRET)
    assert statuses(api, 6) == [0] * 6
    api.token = second
    assert statuses(api, 6) == [0] * 4 + [40100] * 2
    api.token = other
    assert statuses(api, 10) == [0] * 10
    api.token = first
    api.now += 0.99
    assert statuses(api, 1) == [40100]
    api.now += 0.01
    assert statuses(api, 11) == [0] * 10 + [40100]
    assert api.do("traffic") == {
        APP: {"requests": 24, "throttled": 4, "busiest_second": 13, "own": {}},
        "8": {"requests": 10, "throttled": 0, "busiest_second": 10, "own": {}},
    }
    api.do("set_limits")
    assert statuses(api, 20) == [0] * 20


def test_any_second_counts_not_that_of_the_clock(api: Api) -> None:
    api.do("set_limits", qps=10)
    api.now += 0.9
    assert statuses(api, 10) == [0] * 10
    api.now += 0.2
    assert statuses(api, 1) == [40100]


def test_a_throttled_request_does_nothing(api: Api) -> None:
    api.do("set_limits", qps=1)
    assert [api.create(name)[0] for name in ("a", "b")] == [0, 40100]
    assert api.stand_in.bill()["campaigns_created"] == 1


def test_an_exchange_counts_for_its_app(api: Api) -> None:
    api.do("set_limits", qps=1)
    assert [exchange(api, "guessed")[0] for _ in range(2)] == [40101, 40100]


def test_some_endpoints_have_a_limit_of_their_own(api: Api) -> None:
    api.do("set_limits", qps=10)
    report = {
        "advertiser_id": EU,
        "report_type": "BASIC",
        "data_level": "AUCTION_CAMPAIGN",
        "dimensions": ["campaign_id"],
        "query_lifetime": True,
    }
    assert [api.post("report/task/create/", **report)[0] for _ in range(3)] == [0, 0, 40100]
    assert statuses(api, 11) == [0] * 10 + [40100]
    own = {"report/task/create/": {"requests": 3, "throttled": 1, "busiest_second": 3}}
    assert api.do("traffic")[APP]["own"] == own
