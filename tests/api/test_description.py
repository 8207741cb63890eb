"""The API's own description, held against what it answers to whatever a generator thinks of."""

from __future__ import annotations

from typing import Any, cast

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import checks
from schemathesis.specs.openapi import checks as openapi

from tests.api.client import client
from tests.mesh import Mesh

CHECKS = (
    checks.not_a_server_error,
    openapi.status_code_conformance,
    openapi.content_type_conformance,
    openapi.response_schema_conformance,
)


@pytest.fixture
def key(mesh: Mesh, doors: str) -> str:
    """A key for everything."""
    return client(mesh, doors).key


def test_every_answer_is_as_the_description_says(doors: str, key: str) -> None:
    """Each operation with what a generator makes of its description, right and wrong."""
    description = schemathesis.openapi.from_url(f"{doors}/openapi.json")
    walked = 0
    for found in description.get_all_operations():
        answers_as_described(cast(Any, found).ok(), key)
        walked += 1
    assert walked >= 50


def answers_as_described(operation: Any, key: str) -> None:
    @given(case=operation.as_strategy())
    @settings(max_examples=10, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    def check(case: Any) -> None:
        answer = case.call(headers={"Authorization": f"Bearer {key}"}, timeout=20)
        case.validate_response(answer, checks=CHECKS)

    check()


def test_the_description_names_everything_and_says_how_to_get_in(doors: str) -> None:
    described = requests.get(f"{doors}/openapi.json", timeout=10).json()
    operations = [each for path in described["paths"].values() for each in path.values()]
    assert len(operations) >= 50
    assert [each["operationId"] for each in operations if not each.get("summary") or not each.get("description")] == []
    assert all(each["security"] for each in operations)


def test_the_description_is_a_page_that_loads_nothing_from_elsewhere(doors: str) -> None:
    page = requests.get(f"{doors}/docs", timeout=10)
    assert page.status_code == 200
    assert "https://" not in page.text.replace("https://hooks.zapier.com", "")
    assert page.text.count("<details>") >= 50
    for said in ("/v1/events/{event_id}/tree", "Publish one event", "Idempotency-Key"):
        assert said in page.text
    assert requests.get(f"{doors}/docs/style.css", timeout=10).headers["content-type"].startswith("text/css")
