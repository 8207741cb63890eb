"""What a provider is, and what an action gets and returns.

A provider is a folder with one `PROVIDER` value: facts, a table of actions by event type, and a table of
error codes. An action is a function `(call) -> Done | Wait` that makes one exchange and raises one
`ProviderError` otherwise. It does not retry, log, read settings or touch the database, and it waits only in
`call.send`, `call.media` and `call.known`: all calls of a process share one thread (`providers.waiting`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from time import monotonic
from typing import Any, Protocol
from uuid import UUID

from model import Event, Link, MediaAsset, Outcome
from providers.errors import Unavailable, Unsupported
from providers.http import Answer, Refusals, Request, Transport, judge
from providers.inbound import Inbound
from providers.oauth2 import OAuth2


class Repeat(Enum):
    """What may be done with a call whose answer was lost."""

    SAFE = "safe"  # the provider deduplicates, or doing it twice does no harm
    LOOKUP = "lookup"  # ask the provider first (`Action.find`); repeat only when it was not done
    NEVER = "never"  # a person decides: dead letter that says so


@dataclass(frozen=True, slots=True)
class Action:
    """What a provider does with one event type.

    `repeat` may depend on the progress: a step that only looks is safe after one that was not.
    """

    run: Callable[[Call], Outcome]
    repeat: Repeat | Callable[[Mapping[str, Any]], Repeat] = Repeat.SAFE
    find: Callable[[Call], Outcome | None] | None = None  # the outcome of a call whose answer was lost, or None
    needs: str = ""  # fields of the account, one of which has to be set; by spaces, without any it always can
    publishes: tuple[str, ...] = ()  # event types that its outcomes publish

    def is_able(self, config: Mapping[str, Any]) -> bool:
        """Whether an account with this config has what the action needs."""
        return not self.needs or any(config.get(name) for name in self.needs.split())

    def repeat_after(self, progress: Mapping[str, Any]) -> Repeat:
        """What may be done with a call whose answer was lost, made with this progress."""
        return self.repeat if isinstance(self.repeat, Repeat) else self.repeat(progress)


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a provider's connect form, kept in `config`, or sealed in `secrets` when sensitive."""

    name: str
    label: str
    required: bool = True
    sensitive: bool = False
    default: str | None = None
    help: str = ""


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` calls per `per_s` seconds, from all workers together."""

    count: int
    per_s: float
    shared_as: str = ""  # the name under which many targets share it; empty = each has its own


@dataclass(frozen=True, slots=True)
class Ceiling:
    """How many calls of one account are made at once there, which the provider says in its answers.

    Accounts that share a credential share it. `lane` names the group of calls that one event belongs to, each group
    with a ceiling of its own; empty = it does not count.
    """

    first: int  # until an answer has told
    lane: Callable[[str, Mapping[str, Any], Mapping[str, Any]], str]  # of an event's type, its data and the config
    read: Callable[[Answer], int | None]


@dataclass(frozen=True, slots=True)
class Stream:
    """Something that is read from a provider again and again, by its action for `sync.due`."""

    name: str
    every_s: float


@dataclass(frozen=True, slots=True)
class Provider:
    """The facts of one outside platform."""

    name: str
    title: str
    base_url: str  # empty where every target brings its own, or the settings have to
    docs_url: str
    api_version: str
    auth: str  # "none", "api_key", "oauth2"
    actions: Mapping[str, Action]  # by event type; "*" takes any
    fields: tuple[Field, ...] = ()
    refusals: Refusals = field(default_factory=Refusals)
    oauth: OAuth2 | None = None  # how accounts are connected where `auth` is "oauth2"
    inbound: Inbound | None = None  # how its webhooks are verified
    streams: tuple[Stream, ...] = ()
    by_webhook: bool = False  # deliveries go to each matching webhook rather than to the integration
    host_rates: Mapping[str, Rate] = field(default_factory=dict)  # a webhook's default rate limit, by host
    rate: Rate | None = None  # of one integration
    app_rate: Rate | None = None  # of our app there: every exchange of all tenants' integrations together
    deadline_s: float = 30.0  # of one attempt, all its exchanges: resolve, connect, send, the answer's last byte
    farewell: Callable[[Transport, str], bool] | None = None  # tells who is behind a webhook's URL that it ends
    ceiling: Ceiling | None = None
    hosts: Mapping[str, str] = field(default_factory=dict)  # its other base URLs, by name; `<PROVIDER>_<NAME>_URL` sets
    paths: Mapping[str, str] = field(default_factory=dict)  # by operation; `<PROVIDER>_PATHS` changes single ones
    settings: tuple[str, ...] = ()  # further ones that its actions read: `<PROVIDER>_<NAME>`

    @property
    def publishes(self) -> frozenset[str]:
        """Event types that its outcomes publish."""
        return frozenset(each for action in self.actions.values() for each in action.publishes)

    def action(self, event_type: str) -> Action | None:
        """The action for an event type, if the provider has one."""
        return self.actions.get(event_type) or self.actions.get("*")


class MediaStore(Protocol):
    """Where files go that a delivery produced."""

    def keep(self, name: str, content: bytes, mime: str, **details: Any) -> MediaAsset:
        """Store one file. The same name written again replaces the file: a repeated step leaves one."""

    def read(self, name: str) -> bytes | None:
        """What was kept under a name; None when it is not there."""

    def drop(self, name: str) -> None:
        """Remove what was kept under a name, if it is there: parts of what has been put together."""

    def find(self, asset_id: str) -> MediaAsset | None:
        """A file of this tenant by the id of its asset; None where there is none."""

    def load(self, asset: MediaAsset) -> bytes | None:
        """The whole content of a file; None when it is not in storage any more."""

    def link(self, asset: MediaAsset, lasts_s: float) -> str:
        """An address from which whoever has it may fetch the file for so long: a credential."""


class NoMedia:
    """For calls that neither read nor leave files."""

    def keep(self, name: str, content: bytes, mime: str, **details: Any) -> MediaAsset:
        """Refused: there is no place for it."""
        raise Unsupported("This call has no media storage.")

    def read(self, name: str) -> bytes | None:
        """None."""
        return None

    def drop(self, name: str) -> None:
        """Nothing."""

    def find(self, asset_id: str) -> MediaAsset | None:
        """None."""
        return None

    def load(self, asset: MediaAsset) -> bytes | None:
        """None."""
        return None

    def link(self, asset: MediaAsset, lasts_s: float) -> str:
        """Refused: there is no such file."""
        raise Unsupported("This call has no media storage.")


class Known(Protocol):
    """What earlier outcomes of this account left with us (`Done.records`, `Wait.records`), and who called back."""

    def link(self, key: str) -> Link | None:
        """A campaign of the product at this account, by the product's key; None when it was not made there."""

    def cursor(self, stream: str) -> Mapping[str, Any]:
        """How far a stream was read; empty before the first walk ended."""

    def hooks_url(self) -> str:
        """Where the provider's own webhooks about this account go."""

    def callback_url(self) -> str:
        """Where the provider may tell the end of this delivery's work: good for one message. A credential."""

    def called_back(self) -> bytes | None:
        """The body that came to `callback_url`; None when nothing has come yet."""

    def seal(self, secret: str) -> str:
        """A credential as it may stand in the progress of this delivery, which is stored in clear."""

    def opened(self, sealed: str) -> str:
        """What `seal` sealed for this delivery."""


class NothingKnown:
    """An account of which nothing was stored yet."""

    def link(self, key: str) -> Link | None:
        """None."""
        return None

    def cursor(self, stream: str) -> Mapping[str, Any]:
        """Empty."""
        return {}

    def hooks_url(self) -> str:
        """An address that nobody answers."""
        return "https://hooks.invalid/"

    def callback_url(self) -> str:
        """An address that nobody answers."""
        return "https://callbacks.invalid/"

    def called_back(self) -> bytes | None:
        """None."""
        return None

    def seal(self, secret: str) -> str:
        """Marked only: nothing of it is stored."""
        return f"sealed:{secret}"

    def opened(self, sealed: str) -> str:
        """The same without its mark."""
        return sealed.removeprefix("sealed:")


@dataclass(slots=True)
class Call:
    """Everything one attempt may use. `delivery_id` is the idempotency key: the same for all its attempts."""

    provider: Provider
    event: Event
    delivery_id: UUID
    integration_id: UUID
    attempt_number: int
    base_url: str
    config: Mapping[str, Any]
    secrets: Mapping[str, str] = field(repr=False)
    progress: Mapping[str, Any]
    first_attempt_at: datetime
    now: datetime
    deadline_s: float
    transport: Transport = field(repr=False)
    media: MediaStore = field(default=NoMedia(), repr=False)
    known: Known = field(default=NothingKnown(), repr=False)
    api_version: str = ""  # the provider's, or what the installation's settings say
    hosts: Mapping[str, str] = field(default_factory=dict)  # the provider's other base URLs, by name
    paths: Mapping[str, str] = field(default_factory=dict)  # by operation
    settings: Mapping[str, str] = field(default_factory=dict, repr=False)  # what of `Provider.settings` is set
    target_url: str = field(default="", repr=False)  # of a webhook; the URL itself is a credential
    signing_secrets: tuple[str, ...] = field(default=(), repr=False)  # all that are unexpired, newest first
    exchange: Exchange | None = None  # the last one made, for the attempt's row
    spent_s: float = 0.0  # of `deadline_s`, by the exchanges made so far

    def send(self, request: Request) -> Answer:
        """Make one exchange. Returns a 2xx answer whole; anything else raises one ProviderError.

        `deadline_s` is for all exchanges of this call together.
        """
        self.exchange = Exchange(request.method, request.shown_url)
        left_s = self.deadline_s - self.spent_s
        if left_s <= 0:
            raise Unavailable("No time was left for this call.", code="deadline_exceeded")
        started = monotonic()
        try:
            answer = self.transport.send(request, left_s)
        finally:
            self.spent_s += monotonic() - started
        self.exchange = Exchange(request.method, request.shown_url, answer.status, answer.excerpt())
        judge(answer, self.provider.refusals)
        return answer


@dataclass(frozen=True, slots=True)
class Exchange:
    """What an attempt's row keeps of a call: never a header, never a credential."""

    method: str
    url: str  # masked
    status: int | None = None
    excerpt: str = ""
