"""A mesh in this process, against real servers and the sandbox: what tests publish, deliver and look at.

Time is moved by SQL (`due_now`, `lease_over`), never by sleeping. `eventually` is for what another thread or process
does: it returns as soon as it is true.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

import redis

import db.attempts
import db.deliveries
import db.tenants
from db.engine import Rows, run
from model import NewEvent
from providers.addresses import AddressPolicy
from sandbox.process import Sandbox
from settings import Settings
from worker import accounts, deliver, receive
from worker.calls import Slots
from worker.direct import Direct
from worker.enqueue import Accepted, accept
from worker.event_checks import EventRejected
from worker.receive import Arrival, Road
from worker.reconcile import reconcile
from worker.resources import Resources, build
from worker.subscriptions import Registered, Subscriptions

Value = TypeVar("Value")

TENANT = "acme"
SIGNUP: Mapping[str, Any] = {"user_id": "usr_31"}
NOTHING_DUE = "No delivery is due."


def eventually(look: Callable[[], Value], what: str = "", seconds: float = 20) -> Value:
    """The first truthy value of `look`; the test fails when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (value := look()):
        assert time.monotonic() < deadline, f"did not happen within {seconds:g} s: {what}"
        time.sleep(0.005)
    return value


@dataclass(frozen=True)
class ByQueue:
    """A road on which nothing is claimed directly, as when all slots are taken: each delivery waits for its claim."""

    resources: Resources

    def claimer(self) -> Direct:
        """For one commit; there is room for nothing."""
        shared = self.resources
        return Direct(Slots(0), shared.start, shared.vault, lease_s=shared.lease_s, worker=shared.worker)

    def dispatch(self, deliveries: Sequence[tuple[str, UUID]]) -> None:
        """Send ids to their queues."""
        self.resources.dispatch(deliveries)


class Mesh:
    """One process's resources and the shortest words for using them."""

    def __init__(self, settings: Settings, sandbox: Sandbox) -> None:
        self.settings = settings
        self.sandbox = sandbox
        self.resources: Resources = build(settings)
        self.engine = self.resources.engine
        self.redis: redis.Redis = self.resources.redis
        self.subscriptions = Subscriptions(self.resources.vault, AddressPolicy(settings.mesh_private_targets))

    def close(self) -> None:
        """End threads and connections."""
        self.resources.close()
        self.redis.close()

    # ---------------------------------------------------------------------------------------------------- looking

    def sql(self, statement: str, **parameters: Any) -> Rows:
        """Run one statement in a transaction of its own; its rows."""
        with self.engine.begin() as connection:
            return run(connection, statement, **parameters)

    def one(self, statement: str, **parameters: Any) -> Any:
        """The first value of the first row, or None."""
        rows = self.sql(statement, **parameters)
        return rows[0][0] if rows else None

    def count(self, table: str, where: str = "true") -> int:
        """How many rows."""
        return int(self.one(f"select count(*) from {table} where {where}"))

    def delivery(self, delivery_id: UUID) -> Any:
        """One delivery's row."""
        with self.engine.begin() as connection:
            row = db.deliveries.get(connection, delivery_id)
        assert row is not None
        return row

    def attempts(self, delivery_id: UUID) -> Rows:
        """A delivery's attempt rows, in order."""
        with self.engine.begin() as connection:
            return db.attempts.of_delivery(connection, delivery_id)

    def queued(self, provider: str = "zapier", *, later: bool = False) -> int:
        """Messages in a provider's queue on Redis, or in its list for later."""
        waiting = self.resources.dispatcher.waiting(provider, later=later)
        assert waiting is not None
        return waiting

    # ----------------------------------------------------------------------------------------------------- making

    def tenant(self, tenant_id: str = TENANT) -> str:
        """A tenant; the same again is the same."""
        with self.engine.begin() as connection:
            db.tenants.create(connection, tenant_id, tenant_id)
        return tenant_id

    def hook(
        self, path: str = "/receive/x", *, tenant: str = TENANT, event_type: str = "user.signup", **options: Any
    ) -> Registered:
        """A webhook to a path of the sandbox."""
        self.tenant(tenant)
        with self.engine.begin() as connection:
            return self.subscriptions.register(
                connection, tenant_id=tenant, event_type=event_type, url=self.sandbox.url + path, **options
            )

    def account(
        self, api_key: str = "key-of-acme", *, tenant: str = TENANT, voice: str = "v_host", name: str = "main"
    ) -> UUID:
        """An ElevenLabs account."""
        self.tenant(tenant)
        fields = {"api_key": api_key, "voice_id": voice}
        with self.engine.begin() as connection:
            return accounts.connect(
                connection,
                self.resources.vault,
                tenant_id=tenant,
                provider="elevenlabs",
                fields=fields,
                name=name,
            )

    def publish(
        self,
        event_type: str = "user.signup",
        data: Mapping[str, Any] = SIGNUP,
        *,
        tenant: str = TENANT,
        key: str | None = None,
    ) -> Accepted:
        """Accept one event; nothing is sent to Redis, as if its message were in a worker's hands."""
        self.tenant(tenant)
        with self.engine.begin() as connection:
            return accept(connection, [NewEvent(tenant, event_type, data, key)], dispatched=True)[0]

    def signup(self, *, tenant: str = TENANT) -> UUID:
        """Publish user.signup; the id of its only delivery."""
        ((_, delivery_id),) = self.publish(tenant=tenant).deliveries
        return delivery_id

    def speak(self, text: str = "Hello.", *, tenant: str = TENANT) -> UUID:
        """Publish audio.render_requested; the id of its only delivery."""
        ((_, delivery_id),) = self.publish("audio.render_requested", {"text": text}, tenant=tenant).deliveries
        return delivery_id

    def receive(
        self, *messages: Any, message_id: str = "m", direct: bool = False
    ) -> Sequence[Accepted | EventRejected]:
        """What the Redis door makes of these messages in one batch. `direct`: it may call at once, as a worker may."""
        arrivals = [Arrival(message, f"{message_id}:{n}") for n, message in enumerate(messages)]
        road: Road = self.resources if direct else ByQueue(self.resources)
        return receive.receive(self.engine, road, arrivals)

    # ------------------------------------------------------------------------------------------------- delivering

    def deliver(self, *delivery_ids: UUID) -> None:
        """Deliver as a worker does that gets one message with these ids; returns when all are settled."""
        deliver.deliver(delivery_ids, self.resources)
        self.settled(*delivery_ids)

    def settled(self, *delivery_ids: UUID) -> None:
        """Wait until none of these is in a worker's hands."""
        wanted = [str(each) for each in delivery_ids]
        held = "select count(*) = 0 from deliveries where id = any(%(ids)s::uuid[]) and state = 'running'"
        eventually(lambda: self.one(held, ids=wanted), "deliveries are settled")

    def drain(self, *, rounds: int = 50) -> None:
        """Deliver what is due, and what that makes due, until nothing is."""
        due = "select id from deliveries where due_at <= now() order by id"
        for _ in range(rounds):
            ids = [row[0] for row in self.sql(due)]
            if not ids:
                return
            self.deliver(*ids)
        raise AssertionError(f"still due after {rounds} rounds")

    def reconcile(self) -> None:
        """One tick."""
        reconcile(self.engine, self.resources.dispatcher)

    def due_now(self, *delivery_ids: UUID) -> None:
        """Let the time of what waits come; without ids, of all that waits."""
        self.sql(
            "update deliveries set due_at = now() where state in ('pending', 'retrying', 'waiting')"
            " and due_at < 'infinity' and (%(all)s or id = any(%(ids)s::uuid[]))",
            all=not delivery_ids,
            ids=[str(each) for each in delivery_ids],
        )

    def lease_over(self, *delivery_ids: UUID) -> None:
        """Let the leases of what is held end, and the time that their holders are given after that."""
        self.sql(
            "update deliveries set lease_until = now(), overdue_at = now() - interval '1 minute'"
            " where state = 'running' and (%(all)s or id = any(%(ids)s::uuid[]))",
            all=not delivery_ids,
            ids=[str(each) for each in delivery_ids],
        )

    def holds_over(self) -> None:
        """Let every hold of a target end."""
        for table in ("webhooks", "integrations"):
            self.sql(f"update {table} set held_until = now() where held_until is not null")
