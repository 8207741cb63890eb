"""`mesh deliveries`: where events go, what each call ended in, and trying again."""

from __future__ import annotations

import sys
import time
from datetime import UTC
from getpass import getuser
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

import db.attempts
import db.deliveries
import db.delivery_search
import db.events
import db.replays
import db.webhooks
from cli import session
from cli.errors import Problem
from cli.show import ago, console, known_tenant, many, moment, say, say_json, state, table
from cli.times import since as parse_since
from model import DeliveryState
from providers import PROVIDERS
from worker import redelivery

STEP_S = 0.5  # between two looks at a bulk replay
PATIENCE_S = 30.0  # without a step of it: no beat runs

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Where events go, their attempts, and replaying dead letters."
)


@app.command("list")
def every(
    state_: Annotated[DeliveryState | None, typer.Option("--state", help="In this state only.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Of this tenant only.")] = None,
    provider: Annotated[str | None, typer.Option(help="To this provider only.")] = None,
    webhook: Annotated[UUID | None, typer.Option(help="To this webhook only.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 20,
) -> None:
    """The newest deliveries."""
    _known(provider)
    with session.transaction() as connection:
        known_tenant(connection, tenant)
        rows = db.delivery_search.page(
            connection, state=state_, tenant_id=tenant, provider=provider, webhook_id=webhook, limit=limit
        )
    table(
        ("id", "state", "calls>", "provider", "event type", "when", "why"),
        (
            (row.id, state(row.state), row.attempt_count, row.provider, row.event_type, _when(row), row.error_message)
            for row in rows
        ),
        empty="No such deliveries.",
    )


def _known(provider: str | None) -> None:
    if provider is not None and provider not in PROVIDERS:
        raise Problem(f"There is no provider {provider!r}: there are {', '.join(sorted(PROVIDERS))}.")


def _when(row: Any) -> str:
    if row.settled_at is not None:
        return ago(row.settled_at)
    return f"due {ago(row.due_at)}" if row.due_at is not None else ""


@app.command()
def show(id: UUID) -> None:
    """One delivery with every attempt: what was called, what came back, when."""
    with session.transaction() as connection:
        row = db.deliveries.get(connection, id)
        if row is None:
            raise Problem(f"There is no delivery {id}: `mesh deliveries list` shows the newest.")
        attempts = db.attempts.of_delivery(connection, id)
    say(f"{row.event_type} of {row.tenant_id} → {row.provider}, created {ago(row.created_at)}")
    say(f"  state     {row.state} {_due(row)}")
    say(f"  event     {row.event_id}   mesh events show {row.event_id}")
    if row.webhook_id:
        say(f"  webhook   {row.webhook_id}")
    if row.error_code:
        say(f"  why       {escape(row.error_code)}: {escape(row.error_message or '')}")
    if row.external_id:
        say(f"  id there  {escape(row.external_id)}")
    for attempt in attempts:
        _show_attempt(attempt)
    if row.result:
        say("result")
        say_json(row.result)


def _due(row: Any) -> str:
    if row.due_at is None:
        return ago(row.settled_at)
    return "until its integration works again" if row.due_at.year > 9000 else f"due {ago(row.due_at)}"


def _show_attempt(row: Any) -> None:
    took = f"{row.duration_ms} ms" if row.duration_ms is not None else ""
    say(f"attempt {row.attempt_number}  {moment(row.started_at)}  {row.state}  {row.http_status or ''}  {took}")
    if row.url:
        say(f"  [dim]called[/]    {row.method} {escape(row.url)}")
    if row.error_code:
        say(f"  [dim]why[/]       {escape(row.error_code)}: {escape(row.error_message or '')}")
    if row.answer:
        say(f"  [dim]answer[/]    {escape(row.answer)}")


@app.command()
def replay(
    id: Annotated[UUID | None, typer.Argument(help="One delivery.")] = None,
    since: Annotated[str | None, typer.Option(help="Dead letters since then: 2h, 3d, 2026-01-31T12:00.")] = None,
    tenant: Annotated[str | None, typer.Option(help="This tenant's.")] = None,
    provider: Annotated[str | None, typer.Option(help="Those to this provider.")] = None,
    webhook: Annotated[UUID | None, typer.Option(help="Those to this webhook.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many.")] = False,
    wait: Annotated[bool | None, typer.Option(help="Watch until all are due. Default: on a terminal.")] = None,
) -> None:
    """Try again what was given up: one delivery, or all dead letters that match."""
    if id is not None:
        _replay_one(id, dry_run, bulk=any(each is not None for each in (since, tenant, provider, webhook)))
        return
    if since is None and tenant is None and provider is None and webhook is None:
        raise Problem(
            "Say what to replay: a delivery's id, or all dead letters by --since, --tenant, --provider or --webhook."
        )
    _known(provider)
    after = parse_since(since) if since is not None else None
    filters: dict[str, Any] = {"tenant_id": tenant, "provider": provider, "webhook_id": webhook, "since": after}
    with session.transaction() as connection:
        known_tenant(connection, tenant)
        if webhook is not None and db.webhooks.get(connection, webhook) is None:
            raise Problem(f"There is no webhook {webhook}: `mesh webhooks list` shows those that are.")
        count = db.delivery_search.count_dead(connection, **filters)
    when = f" since {after:%Y-%m-%d %H:%M %Z}" if after else ""
    say(f"{_letters(count)}{when} {'matches' if count == 1 else 'match'}.")
    if dry_run or count == 0:
        return
    with session.transaction() as connection:
        replay_id = redelivery.redeliver_all(connection, requested_by=f"mesh cli, {_user()}", **filters)
    say(f"Replay {replay_id} is stored: beat steps through it, whatever becomes of this command.")
    if wait if wait is not None else sys.stdout.isatty():
        _watch(replay_id, count)


@app.command()
def replays(limit: Annotated[int, typer.Option(min=1, max=10_000)] = 20) -> None:
    """The newest bulk replays, and how far each is."""
    with session.transaction() as connection:
        rows = db.replays.page(connection, limit=limit)
    table(
        ("id", "state", "replayed>", "requested", "of", "by"),
        ((row.id, _replay_state(row), row.replayed, row.created_at, _filters(row), row.requested_by) for row in rows),
        empty="No bulk replays yet.",
    )


def _replay_state(row: Any) -> Text:
    return state("running" if row.finished_at is None else "finished")


def _filters(row: Any) -> str:
    """What a bulk replay was asked for, as options."""
    since = f"{row.since.astimezone(UTC):%Y-%m-%dT%H:%M}" if row.since else None
    given = {"since": since, "tenant": row.tenant_id, "provider": row.provider, "webhook": row.webhook_id}
    return " ".join(f"--{name} {value}" for name, value in given.items() if value)


def _replay_one(delivery_id: UUID, dry_run: bool, *, bulk: bool) -> None:
    if bulk:
        raise Problem("Give either one delivery's id, or what all dead letters to replay have in common.")
    with session.transaction() as connection:
        redelivery.redeliver(connection, delivery_id)
        if dry_run:
            connection.rollback()
    say(f"Delivery {delivery_id} would be tried again." if dry_run else f"Delivery {delivery_id} is due now.")
    say(f"Follow it: mesh deliveries show {delivery_id}")


def _watch(replay_id: UUID, count: int) -> None:
    """Show how far it is, until its end."""
    columns = (TextColumn("replayed"), BarColumn(), TextColumn("{task.completed:.0f} of {task.total:.0f}"))
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=count)
        moved_at, seen = time.monotonic(), -1
        while True:
            with session.transaction() as connection:
                row: Any = db.replays.get(connection, replay_id)
            progress.update(task, completed=row.replayed, total=max(count, row.replayed))
            if row.finished_at is not None:
                break
            if row.replayed != seen:
                moved_at, seen = time.monotonic(), row.replayed
            if time.monotonic() - moved_at > PATIENCE_S:
                raise Problem(f"Replay {replay_id} does not move: does beat run? `mesh doctor` looks.")
            time.sleep(STEP_S)
    due = many(row.replayed, "dead letter is", "dead letters are")
    say(f"{due} due again: `mesh deliveries list` shows what becomes of them.")


def _letters(count: int) -> str:
    return many(count, "dead letter", "dead letters")


def _user() -> str:
    try:
        return getuser()
    except (KeyError, OSError):  # an account without a name, as in many containers
        return "unknown"
