"""What every provider owes, checked once over the registry."""

from __future__ import annotations

from typing import Any

import pytest

from providers import PROVIDERS
from providers.contract import Action, Call, Provider, Repeat
from providers.errors import (
    CredentialsRejected,
    OutcomeUnknown,
    ProviderError,
    RateLimited,
    Refused,
    Retryable,
)
from tests.providers.doubles import Memory, Scripted, a_call, answer
from worker.catalog import event_types

SECRET = "sk_planted_0123456789"
# What an OAuth login adds to an account's own fields.
CHOSEN = {"account_id": "1234567890", "account_name": "Acme", "currency": "EUR", "timezone": "Europe/Berlin"}
APP = ("api_key", "secret", "access_token")
ASSET = "01930000-0000-7000-8000-00000000a55e"  # the file that examples of the catalog name
ACTIONS = [
    pytest.param(provider, event_type, id=f"{provider.name}-{event_type}")
    for provider in PROVIDERS.values()
    for event_type in provider.actions
]


def a_sample(provider: Provider, event_type: str, using: Any) -> Call:
    kind = event_type if event_type != "*" else "campaign.created"
    sensitive = [field.name for field in provider.fields if field.sensitive]
    config = {field.name: field.default or "x" for field in provider.fields if not field.sensitive}
    if provider.oauth:
        config |= CHOSEN
    media = Memory()
    media.stored(ASSET, b"ID3\x04\x00" + bytes(100), "audio/mpeg")
    data = event_types()[kind].example
    if kind == "sync.due":
        data = {**data, "stream": provider.streams[0].name}
    return a_call(
        provider,
        using,
        kind,
        data,
        media=media,
        base_url=provider.base_url or "https://a.example",
        config=config,
        secrets=dict.fromkeys((*sensitive, *(APP if provider.oauth else ())), SECRET),
        api_version=provider.api_version,
        target_url="https://hooks.example/hooks/1/planted-secret-path",
    )


def action_of(provider: Provider, event_type: str) -> Action:
    action = provider.action(event_type)
    assert action is not None
    return action


def failing(provider: Provider, event_type: str, given: Any) -> ProviderError:
    with pytest.raises(ProviderError) as failed:
        action_of(provider, event_type).run(a_sample(provider, event_type, Scripted(given)))
    return failed.value


@pytest.mark.parametrize("provider", PROVIDERS.values(), ids=PROVIDERS.keys())
def test_a_provider_is_described_whole(provider: Provider) -> None:
    assert PROVIDERS[provider.name] is provider
    assert provider.name.isidentifier()
    assert provider.title
    assert provider.api_version
    assert provider.docs_url.startswith("https://")
    assert provider.by_webhook or provider.base_url.startswith("https://") or not provider.base_url
    assert all(url.startswith("https://") for url in provider.hosts.values())
    assert provider.deadline_s > 0
    assert provider.auth in ("none", "api_key", "oauth2")
    assert (provider.auth == "oauth2") == (provider.oauth is not None)
    assert bool(provider.streams) == ("sync.due" in provider.actions)
    needed = {name for action in provider.actions.values() for name in action.needs.split()}
    assert needed <= {field.name for field in provider.fields}
    assert set(provider.actions) - {"*"} <= event_types().keys()
    assert set(provider.publishes) <= event_types().keys()
    assert len({field.name for field in provider.fields}) == len(provider.fields)


@pytest.mark.parametrize(("provider", "event_type"), ACTIONS)
def test_a_lost_answer_can_be_handled(provider: Provider, event_type: str) -> None:
    action = action_of(provider, event_type)
    if isinstance(action.repeat, Repeat):
        assert (action.repeat is Repeat.LOOKUP) == (action.find is not None)
    assert isinstance(failing(provider, event_type, OutcomeUnknown("lost")), OutcomeUnknown)


@pytest.mark.parametrize(("provider", "event_type"), ACTIONS)
def test_a_429_is_a_rate_limit_with_its_wait(provider: Provider, event_type: str) -> None:
    limited = failing(provider, event_type, answer(429, headers={"Retry-After": "600"}))
    assert isinstance(limited, RateLimited)
    assert limited.wait_s == 600.0


@pytest.mark.parametrize(("provider", "event_type"), ACTIONS)
def test_a_503_is_not_the_end(provider: Provider, event_type: str) -> None:
    assert isinstance(failing(provider, event_type, answer(503)), (Retryable, OutcomeUnknown))


@pytest.mark.parametrize(("provider", "event_type"), ACTIONS)
def test_a_401_is_the_end_and_asks_to_reconnect_where_there_is_an_account(provider: Provider, event_type: str) -> None:
    refused = failing(provider, event_type, answer(401))
    assert isinstance(refused, Refused)
    assert isinstance(refused, CredentialsRejected) == (provider.auth != "none")


@pytest.mark.parametrize(("provider", "event_type"), ACTIONS)
def test_no_secret_is_shown(provider: Provider, event_type: str) -> None:
    echo = "/hooks/1/planted-secret-path" if provider.by_webhook else SECRET
    scripted = Scripted(answer(400, {"detail": {"message": f"You sent {echo}."}}))
    call = a_sample(provider, event_type, scripted)
    with pytest.raises(ProviderError) as failed:
        action_of(provider, event_type).run(call)
    shown = f"{call!r} {call.exchange!r} {scripted.requests!r} {failed.value!r} {failed.value}"
    assert SECRET not in shown
    assert "planted-secret-path" not in shown
