"""Claims, calls and providers made by hand, for what needs no database."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from model import Done, Event, Outcome
from providers.contract import Action, Call, Provider, Repeat
from worker.outcomes import Claim

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def a_provider(
    run: Callable[[Call], Outcome] | None = None,
    *,
    repeat: Repeat = Repeat.SAFE,
    find: Any = None,
    needs: str = "",
    **facts: Any,
) -> Provider:
    """A provider with one action, for `thing.happened`."""

    def nothing(call: Call) -> Outcome:
        return Done()

    return Provider(
        name="fake",
        title="Fake",
        base_url="https://fake.example",
        docs_url="",
        api_version="1",
        auth="none",
        actions={"thing.happened": Action(run or nothing, repeat, find, needs)},
        **facts,
    )


def a_claim(provider: Provider | None = None, *, webhook: bool = False, **changes: Any) -> Claim:
    """A claim of one `thing.happened`."""
    claim = Claim(
        delivery_id=uuid4(),
        attempt_id=uuid4(),
        attempt_number=1,
        started_at=NOW,
        retry_count=0,
        failures=0,
        unknown=False,
        event=Event(uuid4(), "acme", "thing.happened", {"x": 1}, NOW),
        provider=provider or a_provider(),
        integration_id=uuid4(),
        webhook_id=uuid4() if webhook else None,
        config={},
        secrets_sealed=None,
        url_sealed=None,
        signing_secrets=(),
        progress={},
        first_attempt_at=NOW,
    )
    return replace(claim, **changes)


def a_call(claim: Claim, transport: Any, *, secrets: Mapping[str, str] | None = None) -> Call:
    """The call of a claim through a transport of the test."""
    return Call(
        provider=claim.provider,
        event=claim.event,
        delivery_id=claim.delivery_id,
        integration_id=claim.integration_id,
        attempt_number=claim.attempt_number,
        base_url=claim.provider.base_url,
        config=claim.config,
        secrets=secrets or {},
        progress=claim.progress,
        first_attempt_at=claim.first_attempt_at,
        now=NOW,
        deadline_s=5,
        transport=transport,
    )


def next_try(claim: Claim, attempt_id: UUID | None = None) -> Claim:
    """The claim after its row was opened anew."""
    return replace(claim, attempt_id=attempt_id or uuid4(), attempt_number=claim.attempt_number + 1)
