"""`mesh webhooks`: subscriptions of URLs to event types."""

from __future__ import annotations

import json
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.markup import escape

import db.integrations
import db.webhooks
from cli import session
from cli.errors import Problem
from cli.show import known_tenant, say, state, table
from cli.times import duration
from providers.errors import ProviderError
from providers.http import HttpTransport
from worker import webhook_calls

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Subscriptions of URLs to event types.")


@app.command()
def register(
    tenant: Annotated[str, typer.Option(help="Whose events.")],
    event: Annotated[str, typer.Option(help='An event type, or "*" for all.')],
    url: Annotated[str, typer.Option(help="Where they go, by signed POST.")],
    user: Annotated[str, typer.Option(help="Whose webhook it is, where a tenant has several users.")] = "",
    filter: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Only events whose data agree; a JSON list = one of.")
    ] = None,
    rate: Annotated[float | None, typer.Option(min=0.001, help="Calls a second at most.")] = None,
    max_in_flight: Annotated[int | None, typer.Option(min=1, help="Calls at once at most.")] = None,
) -> None:
    """Subscribe a URL. The signing secret is shown once, here."""
    filters = dict(_filter(each) for each in filter or ())
    with session.transaction() as connection:
        made = session.subscriptions().register(
            connection,
            tenant_id=tenant,
            event_type=event,
            url=url,
            user_id=user,
            filters=filters,
            rate_per_s=rate,
            max_in_flight=max_in_flight,
        )
    if made.secret is None:
        say(f"Webhook {made.webhook_id} was there already: nothing changed.")
        say(f"Its secret was shown when it was made; `mesh webhooks rotate-secret {made.webhook_id}` makes a new one.")
        return
    say(f"Webhook {made.webhook_id} is registered.")
    _show_secret(made.secret)
    say(f"Try it: mesh webhooks test {made.webhook_id}")


def _filter(given: str) -> tuple[str, Any]:
    """KEY=VALUE; the value as JSON where it is that, else as text."""
    key, equals, value = given.partition("=")
    if not key or not equals:
        raise Problem(f'"{given}" is not a filter: write KEY=VALUE, such as objective=sales.')
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def _show_secret(secret: str) -> None:
    say(f"Signing secret: {secret}")
    say("It is shown this once and kept encrypted: store it where the receiver verifies its messages.")


@app.command("list")
def every(tenant: Annotated[str | None, typer.Option(help="Of this tenant only.")] = None) -> None:
    """All webhooks, oldest first."""
    with session.transaction() as connection:
        known_tenant(connection, tenant)
        rows = db.webhooks.every(connection, tenant)
    table(
        ("id", "state", "tenant", "event type", "to", "why"),
        ((row.id, state(row.state), row.tenant_id, row.event_type, row.url_hint, _why(row)) for row in rows),
        empty="No webhooks yet: register one with `mesh webhooks register`.",
    )


def _why(row: Any) -> str:
    failing = f"failed {row.consecutive_failures} times in a row" if row.consecutive_failures else ""
    return row.state_reason or row.hold_reason or failing


@app.command("rotate-secret")
def rotate_secret(
    id: UUID,
    overlap: Annotated[str, typer.Option(help="How long the old secret signs beside the new one.")] = "24h",
) -> None:
    """Make a new signing secret. Until the overlap ends messages are signed with both."""
    with session.transaction() as connection:
        secret = session.subscriptions().rotate_secret(connection, id, overlap=duration(overlap))
    _show_secret(secret)
    say(f"The old one signs too for {overlap}: change the receiver's within that time.")


@app.command()
def enable(id: UUID) -> None:
    """Make a disabled webhook work again."""
    with session.transaction() as connection:
        session.subscriptions().enable(connection, id)
    say(f"Webhook {id} is active. Its dead letters stay: mesh deliveries replay --webhook {id}")


@app.command()
def disable(id: UUID) -> None:
    """Stop a webhook: what waits for it becomes dead letters, which can be replayed."""
    with session.transaction() as connection:
        session.subscriptions().disable(connection, id)
    say(f"Webhook {id} is disabled: `mesh webhooks enable {id}` makes it work again.")


@app.command()
def unregister(id: UUID) -> None:
    """End a subscription: what waits for it is cancelled. A Zap behind it is told."""
    with session.transaction() as connection:
        webhook = _webhook(connection, id)
        account = db.integrations.get(connection, webhook.integration_id)
        session.subscriptions().unregister(connection, id)
    transport = HttpTransport(policy=session.policy())
    try:
        told = account is not None and webhook_calls.say_farewell(webhook, account.provider, session.keys(), transport)
    finally:
        transport.close()
    say(f"Webhook {id} is unregistered{', and the platform behind it was told' if told else ''}.")


@app.command()
def test(id: UUID) -> None:
    """Send one signed example now, and say what came back. It is not recorded as a delivery."""
    with session.transaction() as connection:
        webhook = _webhook(connection, id)
        account = db.integrations.get(connection, webhook.integration_id)
    if account is None or webhook.state in ("gone", "unregistered"):
        raise Problem(f"Webhook {id} is {webhook.state}: register the URL anew.")
    transport = HttpTransport(policy=session.policy())
    try:
        result = webhook_calls.send_test(webhook, account.provider, session.keys(), transport)
    finally:
        transport.close()
    if not result.sent:
        raise Problem(f"Nothing was sent: {str(result.error).rstrip('.')}.")
    say(f"Sent {result.event_type} to {escape(webhook.url_hint)}, signed, webhook-id {result.message_id}.")
    if result.error is not None:
        raise Problem(_went_wrong(result.error, result.duration_ms))
    status = result.exchange.status if result.exchange else None
    said = f": {escape(result.exchange.excerpt)}" if result.exchange and result.exchange.excerpt else ""
    say(f"[green]It answered {status}[/] within {result.duration_ms} ms{said}")


def _went_wrong(error: ProviderError, duration_ms: int) -> str:
    return f"It did not take it ({error.code}, after {duration_ms} ms): {str(error).rstrip('.')}."


def _webhook(connection: Any, webhook_id: UUID) -> Any:
    webhook = db.webhooks.get(connection, webhook_id)
    if webhook is None:
        raise Problem(f"There is no webhook {webhook_id}: `mesh webhooks list` shows those that are.")
    return webhook
