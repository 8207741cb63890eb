"""TikTok's stand-in as a process: its official client, unmodified, and plain HTTP where the client has no operation."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from http.client import HTTPConnection
from typing import Any

import pytest

from sandbox.process import Sandbox, start
from sandbox.tiktok_ads.envelope import FAULTS, RETURN_CODES
from tests.sandbox.tiktok import ALL, APP, EU, JAPAN, SECRET

client_package = pytest.importorskip(
    "business_api_client", reason="ANSWERS NOT CHECKED: the official client tiktok-business-api-sdk-official is absent"
)
from business_api_client.tiktok_business.tiktok_exceptions import TiktokSDKError  # noqa: E402

PATIENCE_S = 10.0
TODAY = datetime.now(UTC).date()


@pytest.fixture(scope="module")
def process() -> Iterator[Sandbox]:
    with start() as running:
        yield running


@pytest.fixture
def sandbox(process: Sandbox) -> Sandbox:
    process.control.reset()
    return process


@pytest.fixture
def token(sandbox: Sandbox) -> str:
    issued: str = sandbox.control.do("tiktok_ads", "issue_token", app_id=APP, secret=SECRET)
    return issued


@pytest.fixture
def client(sandbox: Sandbox) -> Any:
    configuration = client_package.Configuration()
    configuration.host = sandbox.url
    return client_package.ApiClient(configuration)


@pytest.fixture
def campaigns(client: Any) -> Any:
    return client_package.CampaignCreationApi(client)


def refused(call: Callable[[], Any]) -> int:
    """The code in the text of the client's error."""
    with pytest.raises(TiktokSDKError) as raised:
        call()
    found = re.match(r"Error Code: (\d+), message: .+, request_id: \w+", str(raised.value))
    assert found, raised.value
    return int(found[1])


def a_campaign(**others: Any) -> Any:
    usual = {"objective_type": "TRAFFIC", "budget_mode": "BUDGET_MODE_DAY", "budget": 75.0}
    return client_package.CampaignCreateBody(
        **{"advertiser_id": EU, "campaign_name": "Winter blend", "operation_status": "DISABLE", **usual, **others}
    )


def test_the_client_makes_reads_changes_and_deletes_a_campaign(campaigns: Any, token: str) -> None:
    made = campaigns.campaign_create(access_token=token, body=a_campaign(request_id="4210987654321098765"))["data"]
    assert (made["campaign_name"], made["budget"], made["operation_status"]) == ("Winter blend", 75.0, "DISABLE")
    campaign_id = made["campaign_id"]
    assert int(campaign_id) > 2**53
    read = campaigns.campaign_get(EU, token, filtering={"campaign_ids": [campaign_id]})["data"]
    assert read["list"] == [made]
    update = client_package.CampaignUpdateBody(advertiser_id=EU, campaign_id=campaign_id, budget=120.0)
    assert campaigns.campaign_update(access_token=token, body=update)["data"]["budget"] == 120.0
    for status in ("ENABLE", "DISABLE", "DELETE"):
        body = client_package.CampaignStatusUpdateBody(
            advertiser_id=EU, campaign_ids=[campaign_id], operation_status=status
        )
        said = campaigns.campaign_status_update(access_token=token, body=body)["data"]
        assert said["campaign_ids"] == [campaign_id]
        assert said["status"] == status
    gone = campaigns.campaign_get(EU, token, filtering={"campaign_ids": [campaign_id]})["data"]
    assert (gone["list"], gone["page_info"]["total_number"]) == ([], 0)


def test_the_client_pages_through_the_campaigns(campaigns: Any, token: str) -> None:
    pages = [campaigns.campaign_get(EU, token, page=page, page_size=5)["data"] for page in (1, 2, 3)]
    ids = [one["campaign_id"] for page in pages for one in page["list"]]
    assert ids == sorted(set(ids), key=int, reverse=True)
    assert len(ids) == 11
    assert pages[0]["page_info"] == {"page": 1, "page_size": 5, "total_number": 11, "total_page": 3}


def test_the_client_reads_reports_whose_sum_is_the_platforms(client: Any, sandbox: Sandbox, token: str) -> None:
    since, until = str(TODAY - timedelta(35)), str(TODAY - timedelta(6))
    reporting = client_package.ReportingApi(client)
    rows: list[Any] = []
    pages, page = 1, 0
    while page < pages:
        page += 1
        said = reporting.report_integrated_get(
            report_type="BASIC",
            access_token=token,
            advertiser_id=EU,
            data_level="AUCTION_CAMPAIGN",
            dimensions=["campaign_id", "stat_time_day"],
            metrics=["spend", "impressions", "clicks", "conversion"],
            start_date=since,
            end_date=until,
            filtering=[ALL],
            page=page,
            page_size=100,
        )["data"]
        rows += said["list"]
        pages = said["page_info"]["total_page"]
    totals = sandbox.control.do("tiktok_ads", "totals", advertiser=EU, since=since, until=until)
    assert pages > 1
    assert len(rows) == totals["rows"]
    assert sum(int(row["metrics"]["impressions"]) for row in rows) == totals["impressions"] > 0
    assert sum(round(float(row["metrics"]["spend"]) * 100) for row in rows) == round(float(totals["spend"]) * 100)


def test_the_client_has_a_report_made_in_the_background(client: Any, token: str) -> None:
    reporting = client_package.ReportingApi(client)
    body = client_package.ReportTaskCreateBody(
        advertiser_id=EU,
        report_type="BASIC",
        data_level="AUCTION_ADVERTISER",
        dimensions=["advertiser_id", "stat_time_day"],
        start_date=str(TODAY - timedelta(9)),
        end_date=str(TODAY),
        enable_report_title_translation=False,
    )
    task_id = reporting.report_task_create(access_token=token, body=body)["data"]["task_id"]
    seen = [reporting.report_task_check(task_id, EU, token)["data"]["status"] for _ in range(4)]
    assert seen == ["QUEUING", "PROCESSING", "SUCCESS", "SUCCESS"]


def test_the_client_reads_accounts_and_pixels(client: Any, token: str) -> None:
    info = client_package.AccountManagementApi(client).advertiser_info([JAPAN], token, fields=["currency", "timezone"])
    assert info["data"]["list"] == [{"currency": "JPY", "timezone": "Asia/Tokyo"}]
    listed = client_package.AuthenticationApi(client).oauth2_advertiser_get(APP, SECRET, token)
    assert listed["data"]["list"][0] == {"advertiser_id": EU, "advertiser_name": "Halden Coffee EU"}
    pixels = client_package.MeasurementApi(client).pixel_list(EU, token)["data"]["pixels"]
    assert [one["pixel_code"] for one in pixels] == ["CHALDENEU0000000001"]


def test_the_client_exchanges_a_code_once(client: Any, sandbox: Sandbox) -> None:
    _, headers, _ = submit(sandbox, "decision=confirm&advertiser_ids=" + EU)
    code = re.search(r"auth_code=(\w+)", headers["location"])
    assert code
    body = {"app_id": APP, "secret": SECRET, "auth_code": code[1]}
    oauth = client_package.AuthenticationApi(client)
    said = oauth.oauth2_access_token(body=body)["data"]
    assert (said["advertiser_ids"], set(said)) == ([EU], {"access_token", "advertiser_ids", "scope"})
    assert refused(lambda: oauth.oauth2_access_token(body=body)) == 40110
    campaigns = client_package.CampaignCreationApi(client)
    assert campaigns.campaign_get(EU, said["access_token"])["data"]["list"]
    assert refused(lambda: campaigns.campaign_get(JAPAN, said["access_token"])) == 40001
    assert sandbox.control.bill()["tiktok_ads"]["code_exchanges"] == 1


def test_the_client_meets_the_codes_of_refusals(campaigns: Any, sandbox: Sandbox, token: str) -> None:
    assert refused(lambda: campaigns.campaign_get(EU, "act.never-issued")) == 40105
    assert refused(lambda: campaigns.campaign_get(EU, token, page_size=1001)) == 40002
    assert refused(lambda: campaigns.campaign_create(access_token=token, body=a_campaign(budget=1.0))) == 40002
    sandbox.control.do("tiktok_ads", "revoke", token=token)
    assert refused(lambda: campaigns.campaign_get(EU, token)) == 40105


@pytest.mark.parametrize("name", sorted(set(RETURN_CODES)))
def test_the_client_meets_every_named_code(campaigns: Any, sandbox: Sandbox, token: str, name: str) -> None:
    sandbox.control.add_rule("/open_api/v1.3/campaign/create/", f"tiktok_ads:{name}", times=1)
    assert refused(lambda: campaigns.campaign_create(access_token=token, body=a_campaign())) == RETURN_CODES[name][0]
    assert sandbox.control.bill() == {}


@pytest.mark.parametrize(("name", "status"), [("http_404", 404), ("http_502", 502)])
def test_the_gateway_in_front_of_the_api_can_fail(sandbox: Sandbox, name: str, status: int) -> None:
    assert set(FAULTS) - set(RETURN_CODES) == {"http_404", "http_502", "system_error_after"}
    sandbox.control.add_rule("/open_api/*", f"tiktok_ads:{name}", times=1)
    connection_status, headers, body = ask(sandbox, "GET", "/open_api/v1.3/campaign/get/")
    assert (connection_status, headers["content-type"][:5]) == (status, "text/")
    with pytest.raises(ValueError, match="line 1"):  # not JSON
        json.loads(body)


def test_a_throttled_client_gets_a_code_and_no_header(sandbox: Sandbox, token: str) -> None:
    sandbox.control.do("tiktok_ads", "set_limits", qps=1)
    deadline = time.monotonic() + PATIENCE_S
    code = 0
    while code == 0 and time.monotonic() < deadline:
        status, headers, body = ask(sandbox, "GET", f"/open_api/v1.3/campaign/get/?advertiser_id={EU}", token=token)
        code = json.loads(body)["code"]
    assert (status, code) == (200, 40100)
    assert not [name for name in headers if "limit" in name or name == "retry-after"]
    assert sandbox.control.do("tiktok_ads", "traffic")[APP]["throttled"] == 1


def test_a_campaign_may_be_made_although_they_say_system_error(campaigns: Any, sandbox: Sandbox, token: str) -> None:
    sandbox.control.add_rule("/open_api/v1.3/campaign/create/", "tiktok_ads:system_error_after", times=1)
    assert refused(lambda: campaigns.campaign_create(access_token=token, body=a_campaign())) == 50000
    found = campaigns.campaign_get(EU, token, filtering={"campaign_name": "Winter blend"})["data"]["list"]
    assert [one["campaign_name"] for one in found] == ["Winter blend"]
    assert sandbox.control.bill()["tiktok_ads"]["campaigns_created"] == 1


def test_a_lost_answer_leaves_the_campaign(campaigns: Any, sandbox: Sandbox, token: str) -> None:
    sandbox.control.add_rule("/open_api/v1.3/campaign/create/", "drop-after", times=1, method="POST")
    body = a_campaign(request_id="77")
    made = ask(sandbox, "POST", "/open_api/v1.3/campaign/create/", json.dumps(body.to_dict()), token, lost=True)
    assert made == (0, {}, b"")
    assert refused(lambda: campaigns.campaign_create(access_token=token, body=body)) == 40050


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_without_the_slash_at_the_end_there_is_nothing(sandbox: Sandbox, token: str, method: str) -> None:
    for path in ("/open_api/v1.3/campaign/get", "/open_api/v1.3/campaign/create", "/open_api/v1.3/no/such/"):
        status, headers, body = ask(sandbox, method, path, "{}", token)
        assert (status, headers["content-type"].partition(";")[0]) == (404, "text/plain"), path
        assert body == b"404 page not found"


def test_the_other_method_is_not_allowed(sandbox: Sandbox, token: str) -> None:
    assert ask(sandbox, "POST", "/open_api/v1.3/campaign/get/", "{}", token)[0] == 405
    assert ask(sandbox, "GET", "/open_api/v1.3/campaign/create/", "", token)[0] == 405
    assert ask(sandbox, "PUT", "/open_api/v1.3/campaign/create/", "{}", token)[0] == 405


def test_credentials_are_not_in_the_records(sandbox: Sandbox, token: str) -> None:
    ask(sandbox, "GET", f"/open_api/v1.3/oauth2/advertiser/get/?app_id={APP}&secret={SECRET}", "", token)
    record = sandbox.control.received()[-1]
    assert record["path"] == "/open_api/v1.3/oauth2/advertiser/get/"
    assert SECRET not in json.dumps(record)
    assert token not in json.dumps(record)


def test_an_action_that_makes_no_sense_says_why(sandbox: Sandbox) -> None:
    for action, arguments, why in (
        ("totals", {"advertiser": "1", "since": "2026-01-01", "until": "2026-01-02"}, "no advertiser 1"),
        ("totals", {"advertiser": EU, "since": "soon", "until": "2026-01-02"}, "isoformat"),
        ("issue_token", {"app_id": APP, "secret": "bad one"}, "do not match"),
        ("set_limits", {"qps": 0}, "qps is a whole number"),
        ("set_limits", {"per_day": 1}, "per_day"),
        ("delete_campaign", {"advertiser": EU, "campaign_id": "1"}, "does not exist"),
        ("set_status", {"advertiser": EU, "campaign_id": "1", "operation_status": "ARCHIVE"}, "ENABLE"),
        ("set_polls", {"end": "LATER"}, "SUCCESS or FAILED"),
        ("send_webhook", {"entity": "LEAD"}, "nobody is subscribed"),
    ):
        with pytest.raises(ValueError, match=why):
            sandbox.control.do("tiktok_ads", action, **arguments)


def test_a_reset_brings_back_the_first_campaigns(campaigns: Any, sandbox: Sandbox, token: str) -> None:
    before = campaigns.campaign_get(EU, token, fields=["campaign_id", "campaign_name"], page_size=100)["data"]
    campaigns.campaign_create(access_token=token, body=a_campaign())
    sandbox.control.reset()
    again = sandbox.control.do("tiktok_ads", "issue_token", app_id=APP, secret=SECRET)
    assert campaigns.campaign_get(EU, again, fields=["campaign_id", "campaign_name"], page_size=100)["data"] == before
    assert refused(lambda: campaigns.campaign_get(EU, token)) == 40105


def submit(sandbox: Sandbox, form: str) -> tuple[int, dict[str, str], bytes]:
    """Press a button of the dialog."""
    path = f"/portal/auth?app_id={APP}&redirect_uri=http%3A%2F%2Fmesh.test%2Fcallback&state=s1"
    return ask(sandbox, "POST", path, form)


def ask(
    sandbox: Sandbox, method: str, path: str, body: str = "", token: str = "", lost: bool = False
) -> tuple[int, dict[str, str], bytes]:
    """One request; status 0 when the connection ends without an answer, which has to be expected."""
    connection = HTTPConnection("127.0.0.1", sandbox.port, timeout=5)
    try:
        connection.request(method, path, body, {"Access-Token": token} if token else {})
        answer = connection.getresponse()
        assert not lost
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    except ConnectionError:
        assert lost
        return 0, {}, b""
    finally:
        connection.close()


def test_days_are_those_of_the_account(sandbox: Sandbox) -> None:
    """The first campaigns began 120 days ago, and nothing is known of tomorrow."""
    first, last = TODAY - timedelta(122), TODAY + timedelta(2)
    assert count(sandbox, first, first) == count(sandbox, last, last) == 0
    assert count(sandbox, TODAY - timedelta(118), TODAY - timedelta(118)) > 0


def count(sandbox: Sandbox, since: date, until: date) -> int:
    rows: int = sandbox.control.do("tiktok_ads", "totals", advertiser=EU, since=str(since), until=str(until))["rows"]
    return rows
