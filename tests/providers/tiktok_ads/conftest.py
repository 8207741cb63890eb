"""The stand-in runs once for all tests of this folder, and is fresh for each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from providers.http import HttpTransport
from sandbox.process import Sandbox, start
from tests.providers.doubles import transport
from tests.providers.tiktok_ads.platform import APP, CONFIG, SECRET, Account


@pytest.fixture(scope="package")
def running() -> Iterator[Sandbox]:
    with start() as sandbox:
        yield sandbox


@pytest.fixture(scope="package")
def http() -> Iterator[HttpTransport]:
    with transport() as made:
        yield made


@pytest.fixture
def sandbox(running: Sandbox) -> Sandbox:
    running.control.reset()
    return running


@pytest.fixture
def account(sandbox: Sandbox, http: HttpTransport) -> Account:
    token = sandbox.control.do("tiktok_ads", "issue_token", app_id=APP, secret=SECRET)
    return Account(sandbox, http, token, CONFIG)
