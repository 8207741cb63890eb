"""What we send against TikTok's own descriptions: their OpenAPI files, and the models of their package elsewhere."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import pytest

from model import Link
from providers.errors import ProviderError
from providers.http import Answer, Request
from providers.oauth2 import Client, Code, Grant
from providers.tiktok_ads import PROVIDER
from providers.tiktok_ads.campaigns import find
from providers.tiktok_ads.oauth import accounts, exchange
from tests.providers.doubles import NOW, Scripted
from tests.providers.tiktok_ads.platform import APP, EU, SECRET, TOKEN, Memory, body_of, calling, query_of, run, said
from tests.sandbox.test_sandbox_tiktok_specs import SPECS, fields_of, read_yaml

KEY = "cmp_1"
NEW = {"campaign_id": KEY, "name": "Spring", "objective": "app_promotion", "budget": 75, "budget_kind": "lifetime"}
LINK = Link("1801234567890123457", KEY, "DISABLE", {})
SYNC = {"integration_id": "0192f0c1-7b1a-7c3e-9d55-3f1a2b4c5d6e"}


def last_request(call: Callable[[Scripted], Any], *answers: Answer) -> Request:
    """The last request that is made over these answers."""
    scripted = Scripted(*answers)
    with suppress(ProviderError, IndexError):  # an answer that fits is not what this is about
        call(scripted)
    return scripted.requests[-1]


def acting(event_type: str, data: Mapping[str, Any]) -> Callable[[Scripted], Any]:
    """One step of an action, and the one after it."""

    def act(using: Scripted) -> None:
        known = Memory({KEY: LINK} if event_type != "campaign.created" else {})
        outcome = run(calling(using, event_type, data, known=known))
        run(calling(using, event_type, data, known=known, progress=getattr(outcome, "progress", {})))

    return act


def client(using: Scripted) -> Client:
    return Client("https://a.example", "v1.3", APP, SECRET, using, 30.0, NOW, PROVIDER.refusals)


LISTED = said({"list": [{"advertiser_id": EU, "advertiser_name": "A"}]})
TASK = said({"task_id": "7"})
REQUESTS: Mapping[str, Callable[[], Request]] = {
    "advertiser_info": lambda: last_request(lambda using: accounts(client(using), Grant(TOKEN)), LISTED, said()),
    "report_integrated_get": lambda: last_request(
        acting("sync.due", {**SYNC, "stream": "insights", "since": "2026-11-20"}), said()
    ),
    "report_task_create": lambda: last_request(
        acting("sync.due", {**SYNC, "stream": "insights", "full": True}), said(code=50000)
    ),
    "report_task_check": lambda: last_request(
        acting("sync.due", {**SYNC, "stream": "insights", "full": True}), TASK, said()
    ),
}
TYPES: Mapping[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: str(value).isdigit(),
    "boolean": lambda value: isinstance(value, bool),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


def sent_in(request: Request) -> dict[str, Any]:
    """What is sent: arrays and objects of a query are JSON."""
    if request.method == "POST":
        return dict(body_of(request))
    return {name: json.loads(text) if text[0] in "[{" else text for name, text in query_of(request).items()}


@pytest.mark.skipif(not SPECS.is_dir(), reason=f"NOT CHECKED against TikTok's OpenAPI files: no {SPECS}")
@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_is_as_its_openapi_file_says(name: str) -> None:
    ((path, operations),) = read_yaml(SPECS / f"{name}.yml")["paths"].items()
    ((method, operation),) = operations.items()
    request = REQUESTS[name]()
    assert request.method == method.upper()
    assert request.shown_url.endswith(f"/open_api/v1.3{path}")
    assert request.headers["Access-Token"] == TOKEN
    theirs = {field: (needed, schema) for field, needed, schema in fields_of(operation)}
    sent = sent_in(request)
    assert set(sent) <= set(theirs)
    assert {field for field, (needed, _) in theirs.items() if needed} <= set(sent)
    for field, value in sent.items():
        schema = theirs[field][1]
        assert TYPES[schema.get("type", "array")](value), field
        if "x-open-enum" in schema:
            assert value in {one["key"] for one in schema["x-open-enum"]["enums"] if one["is_valid"]}, field


@pytest.mark.skipif(not SPECS.is_dir(), reason=f"NOT CHECKED against TikTok's OpenAPI files: no {SPECS}")
def test_the_filter_of_reports_is_as_its_openapi_file_says() -> None:
    text = (SPECS / "report_integrated_get.yml").read_text(encoding="utf-8")
    (given,) = sent_in(REQUESTS["report_integrated_get"]())["filtering"]
    assert re.search(r"required:\s+- field_name\s+- filter_type\s+- filter_value\s", text)
    assert set(given) == {"field_name", "filter_type", "filter_value"}
    assert all(isinstance(value, str) for value in given.values()), "filter_value is JSON in a string"
    assert f"key: {given['filter_type']}\n" in text


BODIES: Mapping[str, Callable[[], Request]] = {
    "CampaignCreateBody": lambda: last_request(acting("campaign.created", NEW), said(code=50000)),
    "CampaignUpdateBody": lambda: last_request(
        acting("campaign.updated", {"campaign_id": KEY, "name": "New", "budget": 90}), said(code=50000)
    ),
    "CampaignStatusUpdateBody": lambda: last_request(acting("campaign.paused", {"campaign_id": KEY}), said(code=50000)),
    "Oauth2AccessTokenBody": lambda: last_request(lambda using: exchange(client(using), Code("c", "r")), said()),
}
SWAGGER: Mapping[str, Callable[[Any], bool]] = {
    "str": lambda value: isinstance(value, str),
    "float": lambda value: isinstance(value, float),
    "bool": lambda value: isinstance(value, bool),
    "list[str]": lambda value: isinstance(value, list) and all(isinstance(one, str) for one in value),
}


@pytest.fixture(scope="module")
def package() -> Any:
    return pytest.importorskip(
        "business_api_client",
        reason="NOT CHECKED against the official package: tiktok-business-api-sdk-official is absent",
    )


@pytest.mark.parametrize("model", BODIES)
def test_every_field_of_a_body_is_one_of_the_official_packages(package: Any, model: str) -> None:
    types = getattr(package, model).swagger_types
    body = body_of(BODIES[model]())
    assert body
    for name, value in body.items():
        assert SWAGGER[types[name]](value), name


def test_the_listing_is_asked_as_the_official_package_asks(package: Any) -> None:
    request = last_request(acting("sync.due", {**SYNC, "stream": "campaigns"}), said())
    search = last_request(lambda using: find(calling(using, "campaign.created", NEW)), said())
    known = set(re.findall(r":param \S+ (\w+):", inspect.getdoc(package.CampaignCreationApi.campaign_get) or ""))
    filters = package.FilteringCampaignGet.swagger_types
    for one in (request, search):
        sent = sent_in(one)
        assert one.shown_url.endswith("/campaign/get/")
        assert set(sent) <= known
        assert set(sent["filtering"]) <= set(filters)
