"""Which rate limit is in force: the target's own, its host's, its provider's; without a database."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from providers import PROVIDERS
from providers.contract import Provider, Rate
from tests.conftest import KEYS
from tests.worker.claims import a_provider
from worker import vault
from worker.limits import rate_in_force, target_url
from worker.vault import Vault

SLOW = Rate(2, 10.0)
OWN = Rate(1, 0.25)
HOSTS = {"hooks.example": SLOW}


@pytest.fixture(scope="module")
def keys() -> Vault:
    return vault.parse(KEYS)


def sealed(keys: Vault, webhook_id: UUID, url: str) -> str:
    return keys.seal(url, f"webhooks.url_sealed:{webhook_id}")


@pytest.mark.parametrize(
    ("provider", "own_per_s", "in_force"),
    [
        (a_provider(), None, None),
        (a_provider(rate=SLOW), None, SLOW),
        (a_provider(rate=SLOW), 4.0, OWN),
        (a_provider(), 4.0, OWN),
        (a_provider(rate=SLOW, host_rates=HOSTS), None, SLOW),
    ],
)
def test_of_an_account(keys: Vault, provider: Provider, own_per_s: float | None, in_force: Rate | None) -> None:
    assert rate_in_force(provider, own_per_s, None, None, keys) == in_force


@pytest.mark.parametrize(
    ("url", "own_per_s", "in_force"),
    [
        ("https://hooks.example/a/b?c=d", None, SLOW),
        ("https://HOOKS.example:8443/", None, SLOW),
        ("https://user:hooks.example@other.example/", None, None),
        ("https://other.example/hooks.example", None, None),
        ("https://sub.hooks.example/", None, None),
        ("https://hooks.example/", 4.0, OWN),
    ],
)
def test_of_a_webhook_whose_provider_knows_its_hosts(
    keys: Vault, url: str, own_per_s: float | None, in_force: Rate | None
) -> None:
    webhook_id = uuid4()
    provider = a_provider(rate=Rate(1, 99.0), host_rates=HOSTS)
    assert rate_in_force(provider, own_per_s, webhook_id, sealed(keys, webhook_id, url), keys) == in_force


def test_of_a_webhook_whose_provider_knows_no_hosts(keys: Vault) -> None:
    webhook_id = uuid4()
    url = sealed(keys, webhook_id, "https://hooks.example/")
    assert rate_in_force(a_provider(rate=SLOW), None, webhook_id, url, keys) == SLOW


@pytest.mark.parametrize("url_sealed", ["", "nonsense", "v1:k1:AAAA"])
def test_an_address_that_cannot_be_opened_has_no_limit(keys: Vault, url_sealed: str) -> None:
    """The call itself will say what is wrong with it."""
    assert rate_in_force(a_provider(host_rates=HOSTS), None, uuid4(), url_sealed, keys) is None


def test_another_webhooks_address_is_not_opened(keys: Vault) -> None:
    url = sealed(keys, uuid4(), "https://hooks.example/")
    assert rate_in_force(a_provider(host_rates=HOSTS), None, uuid4(), url, keys) is None


def test_the_address_of_an_account_is_empty(keys: Vault) -> None:
    assert target_url(None, None, keys) == ""


def test_zapiers_own_host_is_limited(keys: Vault) -> None:
    webhook_id = uuid4()
    url = sealed(keys, webhook_id, "https://hooks.zapier.com/hooks/catch/1/abc/")
    assert rate_in_force(PROVIDERS["zapier"], None, webhook_id, url, keys) is not None
