"""What the demo publishes: events of every kind through every door, and some that no door may take."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid4, uuid5

from sqlalchemy.exc import DBAPIError

import db.engine
from cli import session
from cli.demo_world import TENANTS
from tasks.events import publish, publish_many
from worker.app import EVENTS_QUEUE, app
from worker.catalog import event_types
from worker.enqueue import accept
from worker.event_checks import MAX_DATA_BYTES, EventRejected

# How many of each kind in a hundred, beyond the least. The broken receivers get the rare ones.
MIX = {
    "campaign.created": 18,
    "campaign.updated": 18,
    "attribution.event": 24,
    "report.generated": 13,
    "user.signup": 13,
    "audio.render_requested": 6,
    "campaign.paused": 2,
    "campaign.archived": 2,
    "campaign.completed": 2,
    "campaign.resumed": 2,
}
AT_LEAST = 4  # of each kind: two for each tenant
ROUND = 25  # events between two looks at the progress

LINES = (
    "Welcome back. Here is what your campaigns did this week.",
    "Your spring launch is live, and the first orders are in.",
    "Costs per order went down by eight percent since Monday.",
    "Two campaigns are paused: their budgets are used up.",
)

Event = Mapping[str, Any]


@dataclass
class Bad:
    """Something that must not become a delivery, and what happened to it."""

    name: str
    refused: str = ""  # at the door, with these words
    rejected_id: UUID | None = None  # else the row that must be there
    rejected_event_key: str = ""  # or the event whose rejection must be there


@dataclass
class Published:
    """What the demo gave to the doors."""

    keys: set[tuple[str, str]] = field(default_factory=set)  # (tenant, idempotency key) of each good event
    by_door: dict[str, int] = field(default_factory=dict)
    repeated: list[Event] = field(default_factory=list)  # sent once more, to make nothing new
    bad: list[Bad] = field(default_factory=list)

    def note(self, door: str, events: Sequence[Event]) -> None:
        """These went through a door."""
        self.keys |= {(event["tenant_id"], event["id"]) for event in events}
        self.by_door[door] = self.by_door.get(door, 0) + len(events)


def events(count: int) -> list[Event]:
    """Made-up events, mixed, each with its own idempotency key."""
    more = max(0, count - AT_LEAST * len(MIX))
    wanted = {kind: AT_LEAST + more * share // 100 for kind, share in MIX.items()}
    wanted["attribution.event"] += count - sum(wanted.values())
    kinds = _mixed(wanted)
    tenants = {kind: cycle(TENANTS) for kind in MIX}
    return [_event(number, kind, next(tenants[kind])) for number, kind in enumerate(kinds, 1)]


def _mixed(wanted: Mapping[str, int]) -> list[str]:
    """Each kind spread evenly over the whole."""
    places = [((n + 0.5) / many, kind) for kind, many in wanted.items() for n in range(many)]
    return [kind for _, kind in sorted(places)]


def _event(number: int, kind: str, tenant: str) -> Event:
    data = dict(event_types()[kind].example)
    for name in ("campaign_id", "report_id", "attribution_id", "user_id"):
        if name in data:
            data[name] = f"{name[:3]}_{number:05d}"
    if kind == "audio.render_requested":
        data = {"text": f"{LINES[number % len(LINES)]} Number {number}.", "name": f"clip-{number:05d}"}
    return {"type": kind, "tenant_id": tenant, "data": data, "id": f"demo-{number:05d}"}


Door = Callable[[Sequence[Event]], None]


def _one_by_one(batch: Sequence[Event]) -> None:
    for event in batch:
        publish(event["type"], event["tenant_id"], event["data"], id=event["id"])


def _in_lists(batch: Sequence[Event]) -> None:
    publish_many(batch)


def _in_sql(batch: Sequence[Event]) -> None:
    """As a service in any language would: in its own transaction, with the SQL function alone."""
    with session.transaction() as connection:
        for event in batch:
            db.engine.run(
                connection,
                "select publish_event(%(tenant_id)s, %(type)s, %(data)s::jsonb, %(id)s)",
                **{**event, "data": json.dumps(event["data"])},
            )


def _in_python(batch: Sequence[Event]) -> None:
    """As a Python service would: in its own transaction."""
    with session.transaction() as connection:
        accept(connection, batch)


DOORS: Mapping[str, Door] = {
    "Celery tasks": _one_by_one,
    "Celery lists": _in_lists,
    "SQL publish_event": _in_sql,
    "Python accept()": _in_python,
}


def publish_all(count: int) -> Iterator[Published]:
    """Publish everything, a round at a time; what is published so far."""
    published = Published()
    made = events(count)
    rest = iter(made)
    for name, door in cycle(DOORS.items()):
        batch = list(islice(rest, ROUND))
        if not batch:
            break
        door(batch)
        published.note(name, batch)
        yield published
    _repeat(published, made[:2])
    _publish_bad(published)
    yield published


def _repeat(published: Published, pair: Sequence[Event]) -> None:
    """Two events once more, through other doors: they make nothing new."""
    for door, event in zip((_one_by_one, _in_sql), pair, strict=True):
        door([event])
    published.repeated = list(pair)


def _publish_bad(published: Published) -> None:
    """At doors that answer the wrong ones are refused; those sent past them become rows with the reason."""
    good = event_types()["user.signup"].example
    published.bad += [
        _refused("an unknown type, at the Celery door", lambda: publish("user.singup", "acme", good)),
        _refused("a wrong payload, at the Python door", lambda: _in_python([{**_BAD, "data": {}}])),
        _refused("an unknown tenant, at the SQL door", lambda: _in_sql([{**_BAD, "tenant_id": "nobody"}])),
        _raw("an unknown type, sent raw", {**_BAD, "type": "user.singup"}),
        _raw("a wrong payload, sent raw", {**_BAD, "data": {"email": 1}}),
        _raw("an unknown tenant, sent raw", {**_BAD, "tenant_id": "nobody"}),
        _raw("an oversize payload, sent raw", {**_BAD, "data": {**good, "note": "x" * MAX_DATA_BYTES}}),
        _raw("not an object at all, sent raw", ["nonsense"]),
        _wrong_in_sql(published),
    ]


_BAD: Event = {"type": "user.signup", "tenant_id": "acme", "data": {"user_id": "usr_1"}, "id": None}


def _refused(name: str, act: Callable[[], object]) -> Bad:
    try:
        act()
    except EventRejected as error:
        return Bad(name, refused=str(error))
    except DBAPIError as error:
        return Bad(name, refused=str(error.orig).splitlines()[0])
    return Bad(name)


def _raw(name: str, argument: object) -> Bad:
    """Past every check of ours, as a careless producer would."""
    message_id = str(uuid4())
    app.send_task("events.publish", args=(argument,), queue=EVENTS_QUEUE, task_id=message_id, argsrepr="(…)")
    return Bad(name, rejected_id=uuid5(NAMESPACE_OID, f"{message_id}:0"))


def _wrong_in_sql(published: Published) -> Bad:
    """The SQL door checks type and tenant; the payload is checked when the event is routed."""
    event = {**_BAD, "data": {"user_id": 1}, "id": "demo-wrong-in-sql"}  # the door checks names only
    _in_sql([event])
    published.note("SQL publish_event", [event])
    return Bad("a wrong payload, at the SQL door", rejected_event_key="demo-wrong-in-sql")
