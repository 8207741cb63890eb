"""Routing and filters, without a database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from model import Event
from providers import PROVIDERS
from tests.worker.claims import a_provider
from worker.routing import Recipient, matches, route

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ADS = {"ads": a_provider()}


def event(kind: str = "user.signup", tenant: str = "acme", **data: Any) -> Event:
    return Event(uuid4(), tenant, kind, data, NOW)


def hook(kind: str = "user.signup", tenant: str = "acme", **filters: Any) -> Recipient:
    return Recipient(tenant, "zapier", uuid4(), uuid4(), subscribed=kind, filters=filters)


def account(provider: str = "elevenlabs", tenant: str = "acme", types: list[str] | None = None) -> Recipient:
    return Recipient(tenant, provider, uuid4(), event_types=types)


def id_of(place: Recipient) -> UUID:
    return place.webhook_id or place.integration_id


def targets(of: Event, *places: Recipient) -> list[UUID]:
    """The ids of the places it goes to."""
    return [id_of(each) for each in route(of, places, PROVIDERS)]


def test_to_every_subscription_of_its_type_and_of_all_types() -> None:
    one, every, other = hook(), hook("*"), hook("campaign.created")
    assert targets(event(), one, every, other) == [id_of(one), id_of(every)]


def test_never_to_another_tenant() -> None:
    assert targets(event(), hook(tenant="other"), account(tenant="other")) == []
    assert targets(event("audio.render_requested"), account(tenant="other")) == []


def test_to_an_account_whose_provider_has_an_action() -> None:
    speaker = account()
    assert targets(event("audio.render_requested"), speaker) == [id_of(speaker)]
    assert targets(event("user.signup"), speaker) == []


def test_an_account_may_take_fewer_types() -> None:
    request = event("audio.render_requested")
    assert targets(request, account(types=[])) == []
    assert targets(request, account(types=["user.signup"])) == []
    assert targets(event("user.signup"), account(types=["user.signup"])) == [], "no action for it"
    speaker = account(types=["audio.render_requested"])
    assert targets(request, speaker) == [id_of(speaker)]


def test_an_account_that_works_by_webhook_gets_nothing_itself() -> None:
    assert targets(event(), account("zapier")) == []


def test_an_unknown_provider_takes_nothing() -> None:
    assert targets(event("audio.render_requested"), account("left")) == []


def test_a_webhook_gets_what_its_account_does_not() -> None:
    """An account and its webhook are two places: each decides for itself."""
    zapier = account("zapier")
    its_hook = replace(hook(), integration_id=zapier.integration_id)
    assert route(event(), [zapier, its_hook], PROVIDERS) == [its_hook]


def test_an_addressed_event_goes_to_the_account_it_names_and_to_no_webhook() -> None:
    named, same_provider, every = account("ads"), account("ads"), hook("*")
    due = event("thing.happened", integration_id=str(named.integration_id))
    found = route(due, [named, same_provider, every], ADS, addressed=True)
    assert found == [named]
    assert route(event("thing.happened"), [named, every], ADS, addressed=True) == []
    assert route(due, [replace(named, tenant_id="other")], ADS, addressed=True) == []


def test_an_action_may_need_a_field_of_its_account() -> None:
    without, blank = account("ads"), replace(account("ads"), config={"pixel": ""})
    with_one = replace(account("ads"), config={"pixel": "px_1"})
    needy = {"ads": a_provider(needs="pixel")}
    assert route(event("thing.happened"), [without, blank, with_one], needy) == [with_one]


def test_whoever_is_not_well_gets_it_all_the_same() -> None:
    """Held, failing or paused: its deliveries wait, but they are made."""
    assert not hook().well
    sick = hook()
    assert targets(event(), sick) == [id_of(sick)]


def test_a_recipient_shows_no_secret() -> None:
    place = Recipient(
        "acme", "zapier", uuid4(), secrets_sealed="sealed-1", url_sealed="sealed-2", signing_secrets=[{"s": "sealed-3"}]
    )
    assert "sealed" not in repr(place).replace("_sealed", "")


@pytest.mark.parametrize(
    ("filters", "data", "wanted"),
    [
        ({}, {}, True),
        ({"plan": "pro"}, {"plan": "pro", "x": 1}, True),
        ({"plan": "pro"}, {"plan": "free"}, False),
        ({"plan": "pro"}, {}, False),
        ({"plan": ["pro", "team"]}, {"plan": "team"}, True),
        ({"plan": ["pro", "team"]}, {"plan": "free"}, False),
        ({"plan": []}, {"plan": "free"}, False),
        ({"plan": "pro", "n": 1}, {"plan": "pro", "n": 2}, False),
        ({"plan": "pro", "n": 1}, {"plan": "pro", "n": 1}, True),
        ({"user.plan": "pro"}, {"user": {"plan": "pro"}}, True),
        ({"user.plan": "pro"}, {"user": "pro"}, False),
        ({"user.plan": "pro"}, {"user": None}, False),
        ({"user.plan": "pro"}, {"user": ["plan"]}, False),
        ({"a.b.c": 1}, {"a": {"b": {"c": 1}}}, True),
        ({"gone": None}, {}, True),
        ({"user": {"plan": "pro"}}, {"user": {"plan": "pro"}}, True),
        ({"plan": "pro"}, {"plan": ["pro"]}, False),
    ],
)
def test_filters(filters: Mapping[str, Any], data: Mapping[str, Any], wanted: bool) -> None:
    assert matches(filters, data) is wanted
    assert bool(targets(event(**data), hook(**filters))) is wanted


@pytest.mark.parametrize("value", [True, False, 0, 1, 1.0, "1", None])
def test_values_of_different_kinds_are_different(value: Any) -> None:
    """JSON's true is not its 1."""
    others = [other for other in (True, False, 0, 1, "1", "", None) if repr(other) != repr(value)]
    equal = [other for other in others if matches({"x": value}, {"x": other}) and not (value == 1.0 and other == 1)]
    assert equal == []
