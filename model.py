"""The nouns of the mesh and the states they pass through. Standard library only; imports nothing of ours.

event     something that happened in the product; immutable
delivery  one event on its way to one integration (or to one of its webhooks), with all its attempts
attempt   one call to a provider: one row of `integration_sync_logs`
outcome   what one call ended in: `Done`, `Wait`, or a `ProviderError` (see `providers.errors`)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
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
    trace_id: UUID | None = None  # the first event of everything that came of it; None = this one is the first
    chain_step_id: UUID | None = None  # the step that published it, for the one account that the step names

    @property
    def trace(self) -> UUID:
        """The id that everything shares which came of one event."""
        return self.trace_id or self.id


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
class Campaign:
    """A campaign of the product, by the product's own key. What is None is not known, and changes nothing."""

    key: str
    name: str | None = None
    objective: str | None = None
    state: str | None = None
    budget: Decimal | None = None  # in major units of the currency
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """A campaign as it stands at one account. `key` is the product's own, where the product knows it."""

    external_id: str
    key: str | None = None
    external_state: str | None = None  # the platform's word; None leaves what is stored
    details: Mapping[str, Any] = field(default_factory=dict)  # name, objective … as the platform has them
    applied_at: datetime | None = None  # when the product's last event happened that was applied there
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Metric:
    """One day of one object of an ad account, in the account's time zone. None is "no value", never 0."""

    level: str  # account, campaign, ad_set, ad
    external_id: str
    day: date
    impressions: int | None = None
    clicks: int | None = None
    spend: Decimal | None = None  # in major units of the currency
    currency: str | None = None
    conversions: Decimal | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Product:
    """A product as a shop has it. What is None is not known, and leaves what is stored."""

    external_id: str
    title: str | None = None
    sku: str | None = None
    price: Decimal | None = None  # in major units of the currency
    currency: str | None = None
    stock: int | None = None
    state: str | None = None  # active, inactive, deleted
    details: Mapping[str, Any] = field(default_factory=dict)  # replaces what is stored under the same names


@dataclass(frozen=True, slots=True)
class Order:
    """An order as a shop has it. What is None is not known, and leaves what is stored."""

    external_id: str
    state: str | None = None  # ours: pending, ordered, shipped, delivered, cancelled, returned, failed, unknown
    external_state: str | None = None  # the shop's own word
    key: str | None = None  # the product's own id of it
    total: Decimal | None = None  # in major units of the currency
    currency: str | None = None
    ordered_at: datetime | None = None
    tracking: tuple[Mapping[str, Any], ...] | None = None  # [{"number", "url"?, "carrier"?}]
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a stream was read. `finished`: this walk has ended well."""

    stream: str
    value: Mapping[str, Any]
    finished: bool = False


@dataclass(frozen=True, slots=True)
class Records:
    """What a step found out: stored in the same commit as its outcome, or not at all."""

    campaigns: tuple[Campaign, ...] = ()
    links: tuple[Link, ...] = ()
    metrics: tuple[Metric, ...] = ()
    products: tuple[Product, ...] = ()
    orders: tuple[Order, ...] = ()
    cursor: Cursor | None = None
    listed_since: datetime | None = None  # a whole listing of campaigns that began then has ended: others are gone
    products_listed_since: datetime | None = None  # the same for products


@dataclass(frozen=True, slots=True)
class Cost:
    """What one call cost, as the provider counts: "characters", "usd", "nano_credits", "credits", "seconds" …"""

    amount: Decimal
    unit: str


@dataclass(frozen=True, slots=True)
class Done:
    """The provider did it. Assets, records and follow-up events are stored in the same commit as this outcome."""

    result: Mapping[str, Any] = field(default_factory=dict)
    external_id: str | None = None
    assets: tuple[MediaAsset, ...] = ()
    events: tuple[NewEvent, ...] = ()
    records: Records | None = None
    cost: Cost | None = None  # of this one call


@dataclass(frozen=True, slots=True)
class Wait:
    """The provider (or our own next step) needs `wait_s` seconds; `progress` is saved and handed back then."""

    wait_s: float
    progress: Mapping[str, Any]
    external_id: str | None = None
    records: Records | None = None
    cost: Cost | None = None  # of this one call


Outcome = Done | Wait
