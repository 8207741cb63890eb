"""TikTok's stand-in against their own descriptions: what it takes exists there, and what they require it requires."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from sandbox.process import ROOT
from sandbox.tiktok_ads.campaign_list import FILTERING
from sandbox.tiktok_ads.conversions import PIXELS_PAGE_MAX
from sandbox.tiktok_ads.endpoints import Endpoint
from sandbox.tiktok_ads.parameters import PAGE_SIZE_MAX, Parameters
from tests.sandbox.tiktok import APP, EU, SECRET, Api

SPECS = ROOT.parent / "shared" / "specs" / "ads" / "tiktok_openapi"
TOKEN = "Access-Token"  # a parameter there, a header on the wire

# By path: the file, what it has and the stand-in does not play, and what the stand-in requires beyond it.
OPERATIONS: Mapping[str, tuple[str, set[str], set[str]]] = {
    "advertiser/info/": ("advertiser_info.yml", set(), set()),
    "pixel/list/": ("pixel_list.yml", set(), set()),
    "report/integrated/get/": ("report_integrated_get.yml", {"bc_id"}, {"dimensions"}),
    "report/task/create/": ("report_task_create.yml", set(), set()),
    "report/task/check/": ("report_task_check.yml", set(), set()),
    "report/task/cancel/": ("report_task_cancel.yml", set(), set()),
}
PAGE_SIZES = {"pixel/list/": PIXELS_PAGE_MAX, "report/integrated/get/": PAGE_SIZE_MAX}
MODELS = {
    "campaign/create/": "CampaignCreateBody",
    "campaign/update/": "CampaignUpdateBody",
    "campaign/status/update/": "CampaignStatusUpdateBody",
}

# Filters that the package has and the stand-in does not, and one that only their pages name.
NOT_PLAYED = {"campaign_product_source", "creative_campaign_type", "optimization_goal", "split_test_enabled"}
NOT_IN_THE_PACKAGE = {"campaign_automation_type"}

Lines = list[tuple[int, str]]


def read_yaml(path: Path) -> Any:
    """The part of YAML that these files use: blocks, plain and quoted scalars, long ones over several lines."""
    lines = [(len(line) - len(line.lstrip()), line.strip()) for line in path.read_text().splitlines() if line.strip()]
    value, end = block(lines, 0)
    assert end == len(lines), (path.name, lines[end])
    return value


def block(lines: Lines, at: int) -> tuple[Any, int]:
    """The mapping, list or scalar that begins at a line, and the line after it."""
    indent, text = lines[at]
    if text.startswith("- "):
        return listing(lines, at, indent)
    if text.endswith(":") or ": " in text:
        return mapping(lines, at, indent)
    return scalar(text), at + 1


def listing(lines: Lines, at: int, indent: int) -> tuple[list[Any], int]:
    """Items at one indentation; an item is a block whose first line begins after the dash."""
    items = []
    while at < len(lines) and lines[at][0] == indent and lines[at][1].startswith("- "):
        lines[at] = (indent + 2, lines[at][1][2:])
        item, at = block(lines, at)
        items.append(item)
    return items, at


def mapping(lines: Lines, at: int, indent: int) -> tuple[dict[str, Any], int]:
    """Keys at one indentation; a list below a key may stand at the same one."""
    found = {}
    while at < len(lines) and lines[at][0] == indent and not lines[at][1].startswith("- "):
        key, _, text = lines[at][1].partition(":")
        at += 1
        if text.strip():
            found[key] = scalar(text.strip())
            while at < len(lines) and lines[at][0] > indent:  # the rest of a long text
                at += 1
        else:
            found[key], at = block(lines, at)
    return found, at


def scalar(text: str) -> Any:
    """A bool, a number of digits, or a text."""
    if text in ("true", "false"):
        return text == "true"
    return int(text) if text.isdigit() else text.strip("'\"")


def fields_of(operation: Mapping[str, Any]) -> Iterator[tuple[str, bool, Mapping[str, Any]]]:
    """Name, whether it is required, and schema of every parameter and every field of the body."""
    for one in operation["parameters"]:
        if one["name"] != TOKEN:
            yield one["name"], one["required"], one.get("schema", {})
    if "requestBody" in operation:
        body = operation["requestBody"]["content"]["application/json"]["schema"]
        for name, schema in body["properties"].items():
            yield name, name in body["required"], schema


def endpoint(path: str) -> Endpoint:
    return next(one for one in Api().platform.endpoints() if one.path == path)


def required(parameters: Parameters) -> set[str]:
    return {name for name, one in parameters.items() if one.required}


@pytest.mark.skipif(not SPECS.is_dir(), reason=f"PARAMETERS NOT CHECKED: {SPECS.name} is absent")
@pytest.mark.parametrize("path", OPERATIONS)
def test_parameters_are_those_of_their_description(path: str) -> None:
    file, not_played, stricter = OPERATIONS[path]
    (operations,) = read_yaml(SPECS / file)["paths"].values()
    ((method, operation),) = operations.items()
    ours = endpoint(path)
    theirs = {name: (needed, schema) for name, needed, schema in fields_of(operation)}
    assert ours.method == method.upper()
    assert set(theirs) - set(ours.parameters) == not_played
    assert set(ours.parameters) <= set(theirs)
    assert required(ours.parameters) == {name for name, (needed, _) in theirs.items() if needed} | stricter
    for name, parameter in ours.parameters.items():
        enum = theirs[name][1].get("x-open-enum")
        assert enum is None or set(parameter.choices) <= {one["key"] for one in enum["enums"] if one["is_valid"]}, name
        assert enum is not None or not parameter.choices, name
    if path in PAGE_SIZES:
        assert theirs["page_size"][1]["maximum"] == PAGE_SIZES[path]


@pytest.mark.parametrize("path", MODELS)
def test_bodies_of_campaigns_are_those_of_the_official_package(path: str) -> None:
    package = pytest.importorskip("business_api_client", reason="BODIES NOT CHECKED: the official client is absent")
    assert set(endpoint(path).parameters) == set(getattr(package, MODELS[path]).swagger_types)


def test_filters_of_campaigns_are_those_of_the_official_package() -> None:
    package = pytest.importorskip("business_api_client", reason="FILTERS NOT CHECKED: the official client is absent")
    theirs = set(package.FilteringCampaignGet.swagger_types)
    assert theirs - set(FILTERING) == NOT_PLAYED
    assert set(FILTERING) - theirs == NOT_IN_THE_PACKAGE


STRANGE: tuple[Any, ...] = (None, True, 0, -1, 10**30, 1.5, "", "x", "7", EU, [], [1], ["x"], [[]], {}, {"a": 1}, [{}])
USUAL: Mapping[str, Any] = {
    "app_id": APP,
    "secret": SECRET,
    "advertiser_id": EU,
    "advertiser_ids": [EU],
    "auth_code": "guessed",
    "access_token": "act.guessed",
    "campaign_name": "Winter blend",
    "objective_type": "TRAFFIC",
    "budget_mode": "BUDGET_MODE_DAY",
    "budget": 75,
    "campaign_id": "1801000000000000001",
    "campaign_ids": ["1801000000000000001"],
    "operation_status": "ENABLE",
    "report_type": "BASIC",
    "data_level": "AUCTION_CAMPAIGN",
    "dimensions": ["campaign_id"],
    "start_date": "2026-11-01",
    "end_date": "2026-11-20",
    "task_id": "7423000000000000001",
    "event_source": "offline",
    "event_source_id": "7001",
    "data": [{"event": "Purchase", "event_time": 1_790_000_000}],
    "subscribe_entity": "LEAD",
    "callback_url": "https://mesh.test/hooks",
    "subscription_detail": {"access_token": "act.guessed"},
    "subscription_id": "7431000000000000001",
}


@pytest.mark.parametrize("path", [one.path for one in Api().platform.endpoints()])
def test_strange_values_are_answered_with_a_code(path: str) -> None:
    """Nothing that a client sends makes the stand-in fall over."""
    operation = endpoint(path)
    usual = {name: value for name, value in USUAL.items() if name in operation.parameters}
    codes = set()
    for name in operation.parameters:
        for value in STRANGE:
            api = Api()
            ask = api.get if operation.method == "GET" else api.post
            codes.add(ask(path, **{**usual, name: value})[0])
    assert 40002 in codes


YAML = """
a:
  - name: one
    required: true
    text: so long
      that it goes on
  - two
b:
- c: '7'
- d: 8
e: no
"""


def test_the_reader_reads_what_the_files_hold(tmp_path: Path) -> None:
    (tmp_path / "x.yml").write_text(YAML)
    first = {"name": "one", "required": True, "text": "so long"}  # the rest of a long text is not kept
    assert read_yaml(tmp_path / "x.yml") == {"a": [first, "two"], "b": [{"c": "7"}, {"d": 8}], "e": "no"}
