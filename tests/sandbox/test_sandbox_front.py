"""The sandbox's page: a newcomer sees what an endpoint took, breaks it and mends it."""

from __future__ import annotations

from html import unescape

import pytest
import requests

from sandbox.process import Sandbox

HELLO = "/receive/hello"


def page(sandbox: Sandbox) -> str:
    answer = requests.get(f"{sandbox.url}/_sandbox/", timeout=5)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    return unescape(answer.text)


def press(sandbox: Sandbox, path: str, fault: str) -> requests.Response:
    return requests.post(f"{sandbox.url}/_sandbox/answers", {"path": path, "fault": fault}, timeout=5)


def post(sandbox: Sandbox, path: str = HELLO, webhook_id: str = "m_1") -> int:
    return requests.post(sandbox.url + path, b"{}", headers={"webhook-id": webhook_id}, timeout=5).status_code


def test_an_endpoint_is_broken_and_mended(sandbox: Sandbox) -> None:
    assert "none yet" in page(sandbox)
    assert f"{sandbox.url}{HELLO}</code>" in page(sandbox), "as it can be registered"
    assert post(sandbox) == 200
    assert press(sandbox, HELLO, "500").text == page(sandbox)
    assert [post(sandbox), post(sandbox)] == [500, 500]
    assert "1 × 200, 2 × 500" in page(sandbox)
    assert '<option value="500" selected>' in page(sandbox)
    press(sandbox, HELLO, "404")
    assert post(sandbox) == 404
    press(sandbox, HELLO, "")
    assert post(sandbox, webhook_id="m_2") == 200
    assert "<td>5</td><td>2</td>" in page(sandbox)


def test_rules_of_tests_go_on_beside_it(sandbox: Sandbox) -> None:
    sandbox.control.add_rule("/receive/other", {"status": 503}, times=2)
    assert post(sandbox, "/receive/other") == 503
    press(sandbox, HELLO, "500")
    press(sandbox, HELLO, "")
    assert [post(sandbox, "/receive/other") for _ in range(2)] == [503, 200]


@pytest.mark.parametrize(("path", "fault"), [("", "500"), ("/receive/*", "500"), (HELLO, "boom"), ("receive", "")])
def test_a_form_that_means_nothing_changes_nothing(sandbox: Sandbox, path: str, fault: str) -> None:
    assert press(sandbox, path, fault).status_code == 400
    assert sandbox.control.rules() == []


def test_what_strangers_send_is_shown_as_text(sandbox: Sandbox) -> None:
    post(sandbox, "/receive/<script>alert(1)</script>")
    answer = requests.get(f"{sandbox.url}/_sandbox/", timeout=5).text
    assert "<script>" not in answer
    assert "&lt;script&gt;" in answer or "%3Cscript%3E" in answer
