"""The nouns of the mesh and the states they pass through. Standard library only; imports nothing of ours.

event     something that happened in the product; immutable
delivery  one event on its way to one integration (or to one of its webhooks), with all its attempts
attempt   one call to a provider: one row of `integration_sync_logs`
outcome   what one call ended in: `Done`, `Wait`, or a `ProviderError` (see `providers.errors`)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID


class DeliveryState(StrEnum):
    """Where a delivery stands. The first three are due at `due_at`; the last three are final."""

    PENDING = "pending"
    RETRYING = "retrying"
    WAITING = "waiting"  # the provider works on it; look again, with the progress saved
    RUNNING = "running"  # held by one worker under a lease
    SUCCEEDED = "succeeded"
    FAILED = "failed"  # a dead letter: listed, replayable
    CANCELLED = "cancelled"


class AttemptState(StrEnum):
    """What is known of one call."""

    STARTED = "started"
    SUCCEEDED = "succeeded"
    RETRYABLE = "retryable"
    REFUSED = "refused"
    LOST = "lost"  # it may have gone out, and its answer will never be known


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event as a producer gives it. `key` is the producer's idempotency key (`id` on every door)."""

    tenant_id: str
    type: str
    data: Mapping[str, Any]
    key: str | None = None
    occurred_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """An accepted event."""

    id: UUID
    tenant_id: str
    type: str
    data: Mapping[str, Any]
    occurred_at: datetime
    caused_by: UUID | None = None  # the event whose delivery published this one


@dataclass(frozen=True, slots=True)
class Integration:
    """One tenant's account at one provider."""

    id: UUID
    tenant_id: str
    provider: str
    config: Mapping[str, Any]
    secrets: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class MediaAsset:
    """A file that a delivery produced. `uri` is where media storage keeps it."""

    id: UUID
    uri: str
    mime: str
    size_bytes: int
    sha256: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Done:
    """The provider did it. Assets and follow-up events are stored in the same commit as this outcome."""

    result: Mapping[str, Any] = field(default_factory=dict)
    external_id: str | None = None
    assets: tuple[MediaAsset, ...] = ()
    events: tuple[NewEvent, ...] = ()


@dataclass(frozen=True, slots=True)
class Wait:
    """The provider (or our own next step) needs `wait_s` seconds; `progress` is saved and handed back then."""

    wait_s: float
    progress: Mapping[str, Any]
    external_id: str | None = None


Outcome = Done | Wait
