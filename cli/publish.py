"""`mesh publish`: one event, through the Redis door or the SQL door."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any
from uuid import NAMESPACE_OID, UUID, uuid5

import typer
from rich.markup import escape
from sqlalchemy.exc import DBAPIError

import db.deliveries
import db.events
import db.rejected
from cli import session
from cli.errors import Problem
from cli.show import many, say
from worker.enqueue import accept
from worker.event_checks import MESSAGE_KEY, EventRejected, parse

LOOK_S = 3.0  # how long a person waits to see a worker take the event
LOOK_EVERY_S = 0.05
EXAMPLE = """an object such as '{"campaign_id": "cmp_1"}'"""

app = typer.Typer(add_completion=False)


class Door(StrEnum):
    """Ways in that need no HTTP."""

    REDIS = "redis"
    SQL = "sql"


@app.command()
def publish(
    type: Annotated[str, typer.Argument(help="One of `mesh events types`.")],
    tenant: Annotated[str, typer.Option(help="Whose event it is.")],
    data: Annotated[str, typer.Option(help="A JSON object, @file, or - for standard input.")],
    id: Annotated[str | None, typer.Option(help="Idempotency key: the same again makes nothing new.")] = None,
    door: Annotated[Door, typer.Option(help="Over Redis, or in one database transaction.")] = Door.REDIS,
) -> None:
    """Publish one event and say what became of it."""
    event = {"type": type, "tenant_id": tenant, "data": read_data(data), "id": id}
    parse(event)
    (_over_redis if door is Door.REDIS else _over_sql)(event)


def read_data(given: str) -> Mapping[str, Any]:
    """The JSON object that was given: itself, the file after an @, or standard input for a dash."""
    text = _text(given)
    try:
        value = json.loads(text)
    except RecursionError:
        raise Problem(f"--data is nested too deeply: give {EXAMPLE}.") from None
    except ValueError as error:
        raise Problem(f"--data is not JSON ({error}): give {EXAMPLE}.") from None
    if not isinstance(value, dict):
        raise Problem(f"--data must be a JSON object: give {EXAMPLE}.")
    return value


def _text(given: str) -> str:
    try:
        if given == "-":
            return sys.stdin.read()
        return Path(given[1:]).read_text(encoding="utf-8") if given.startswith("@") else given
    except (OSError, ValueError) as error:
        raise Problem(f"{given.lstrip('@')} cannot be read: {error}.") from None


def _over_sql(event: Mapping[str, Any]) -> None:
    """Accepted, with its deliveries, when this returns; the workers are woken by the commit."""
    with session.transaction() as connection:
        accepted = accept(connection, [event])[0]
    if not accepted.new:
        _there(accepted.event_id)
    else:
        came = _came_of(accepted.event_id)
        say(f"Accepted {escape(str(event['type']))} as event {accepted.event_id}: {came}.")
    _follow(accepted.event_id)


def _over_redis(event: Mapping[str, Any]) -> None:
    """Sent to the workers; then a look at whether one has taken it."""
    from tasks.events import publish as send

    known = _known(str(event["tenant_id"]), event["id"]) if event["id"] else None
    if known is not None:
        _there(known)
        _follow(known)
        return
    message_id = send(str(event["type"]), str(event["tenant_id"]), event["data"], id=event["id"])
    say(f"Published {escape(str(event['type']))} over Redis, message {message_id}.")
    try:
        event_id = _look(str(event["tenant_id"]), event["id"] or f"{MESSAGE_KEY}{message_id}:0", message_id)
    except DBAPIError:
        say("PostgreSQL does not answer: the event is accepted once it does.")
        return
    if event_id is None:
        say(
            "No worker has taken it yet: it waits on Redis. `mesh up` starts workers, `mesh doctor` says what is wrong."
        )
        return
    say(f"A worker accepted it as event {event_id}: {_came_of(event_id)}.")
    _follow(event_id)


def _look(tenant_id: str, key: str, message_id: str) -> UUID | None:
    """The event that the message became, if that happens soon. Raises EventRejected when it was rejected."""
    deadline = time.monotonic() + LOOK_S
    while time.monotonic() < deadline:
        with session.transaction() as connection:
            event_id = db.events.find(connection, tenant_id, key)
            rejected = db.rejected.get(connection, uuid5(NAMESPACE_OID, f"{message_id}:0"))
        if rejected:
            raise EventRejected(f"{rejected[0].reason} It is kept: `mesh events rejected {rejected[0].id}`.")
        if event_id is not None:
            return event_id
        time.sleep(LOOK_EVERY_S)
    return None


def _came_of(event_id: UUID) -> str:
    """What was made of an event when it was accepted."""
    with session.transaction() as connection:
        deliveries = len(db.deliveries.of_event(connection, event_id))
        steps = sum(row.chain_step_id is not None for row in db.events.caused(connection, event_id))
        stopped = len(db.rejected.of_event(connection, event_id))
    made = [many(deliveries, "delivery", "deliveries")] if deliveries else []
    made += [f"{many(steps, 'chain goes', 'chains go')} on with it"] if steps else []
    made += [f"{many(stopped, 'chain stopped', 'chains stopped')} at it"] if stopped else []
    return ", ".join(made) or "no integration, webhook or chain of the tenant takes this type, so nothing is delivered"


def _there(event_id: UUID) -> None:
    say(f"This event was there already, by its id: nothing new, it is {event_id}.")


def _known(tenant_id: str, key: str) -> UUID | None:
    """The event that was published under this id before; None also when PostgreSQL does not answer."""
    try:
        with session.transaction() as connection:
            return db.events.find(connection, tenant_id, key)
    except DBAPIError:
        return None


def _follow(event_id: UUID) -> None:
    say(f"Follow it: mesh events show {event_id}")
