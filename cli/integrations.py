"""`mesh integrations`: accounts of tenants at the providers."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

import db.cursors
import db.integrations
import db.tokens
from cli import local_door, session
from cli.errors import Problem
from cli.show import ago, known_tenant, many, safe, say, say_json, state, table
from cli.syncs import sync
from providers import PROVIDERS
from providers.contract import Field
from providers.inbound import handshake_token
from providers.oauth2 import Reached
from settings import current
from worker import accounts
from worker.oauth import Connected, Revocation

# What is said of the provider after disconnecting.
TOLD: Mapping[Revocation, str] = {
    Revocation.DONE: "The provider was told, and has ended the permission.",
    Revocation.SHARED: "The provider was not told: another integration lives by the same login.",
    Revocation.FAILED: "The provider could not be told: the token is forgotten here; take the permission back there.",
}

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Accounts of tenants at the providers.")


@app.command()
def providers() -> None:
    """What can be connected: its fields, and the event types it acts on."""
    for each in PROVIDERS.values():
        say(f"[bold]{each.name}[/]  {each.title}, API {each.api_version}, {each.docs_url}")
        say(f"  [dim]fields[/]   {', '.join(map(_field, each.fields)) or 'none'}")
        if each.oauth is not None:
            say("  [dim]connects[/] by a login in a browser")
        say(f"  [dim]acts on[/]  {', '.join('any event' if name == '*' else name for name in each.actions)}")
    say("\n[dim]* secret, kept encrypted   ? may be left out[/]")


def _field(field: Field) -> str:
    optional = not field.required or field.default is not None
    return field.name + ("*" if field.sensitive else "") + ("?" if optional else "")


@app.command()
def connect(
    provider: Annotated[str, typer.Argument(help="One of `mesh integrations providers`.")],
    tenant: Annotated[str, typer.Option(help="Whose account it is.")],
    field: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="NAME=@file reads a file. Secrets left out are asked for."),
    ] = None,
    name: Annotated[str, typer.Option(help="To tell several accounts apart.")] = "default",
    account: Annotated[
        str | None, typer.Option(help="After a login that reaches several accounts: the one to use.")
    ] = None,
) -> None:
    """Connect a tenant's account: by its fields, or by a login at the provider where that has one.

    A secret is best given by file or when asked: a command line is seen by others.
    """
    facts = PROVIDERS.get(provider)
    given = dict(_given(each) for each in field or ())
    installed = current().provider_credentials(provider) if facts else {}
    if facts is not None and sys.stdin.isatty():
        given |= _asked([each for each in facts.fields if each.name not in given and each.name not in installed])
    if facts is not None and facts.oauth is not None:
        return _log_in(tenant, provider, name, given, account)
    with session.transaction() as connection:
        integration_id = accounts.connect(
            connection,
            session.keys(),
            tenant_id=tenant,
            provider=provider,
            fields=given,
            name=name,
            installed=installed,
            base_url=current().provider_base_url(provider),
        )
    say(f"Integration {integration_id}: {tenant} is connected to {PROVIDERS[provider].title}.")
    if PROVIDERS[provider].inbound is not None:
        say(f"Its webhooks go to {_hooks(provider, integration_id)['webhooks to']}")
    return None


def _hooks(provider: str, integration_id: UUID) -> dict[str, str]:
    """Where a provider's own webhooks for an account go, and what it has to be told to find the address ours."""
    base, inbound = f"{current().hooks_url.rstrip('/')}/hooks/{provider}", PROVIDERS[provider].inbound
    if inbound is None:
        return {}
    if not inbound.by_app:
        return {"webhooks to": f"{base}/{integration_id}"}
    token = handshake_token(current().provider_credentials(provider).get(inbound.credential, ""))
    return {"webhooks to": f"{base}, for all accounts of the app", "verify token": token}


def _log_in(tenant: str, provider: str, name: str, fields: Mapping[str, str], account: str | None) -> None:
    """Connect, or connect again, through a browser; then settle which account it is."""
    with local_door.logins() as logins:
        connected = local_door.connect_in_browser(logins, local_door.Login(tenant, provider, name, fields, account))
        say(f"Integration {connected.integration_id}: {tenant} is connected to {PROVIDERS[provider].title}.")
        wanted = account or (
            _picked(connected.integration_id, connected.accounts) if connected.waits_for_choice else None
        )
        if wanted is not None and (connected.chosen is None or connected.chosen.id != wanted):
            connected = logins.choose(connected.integration_id, wanted)
    if connected.waits_for_choice:
        _list(connected.accounts)
        say(f"It waits for its account: `mesh integrations choose {connected.integration_id} ACCOUNT`.")
    else:
        _say_account(connected)


def _say_account(connected: Connected) -> None:
    if connected.chosen is not None:
        say(f"It uses account {safe(connected.chosen.id)}, {safe(connected.chosen.name)}.")
    if connected.resumed:
        say(f"{_due(connected.resumed)} now.")


def _picked(integration_id: UUID, accounts: Sequence[Reached]) -> str | None:
    """The account that the person at the terminal picks; None where there is none."""
    if not sys.stdin.isatty():
        return None
    usable = [each for each in accounts if not each.unusable]
    for number, each in enumerate(usable, 1):
        say(f"  {number}  {safe(each.id)}  {safe(each.name)}")
    number = int(typer.prompt("Which account", type=int, default=1))
    if not 1 <= number <= len(usable):
        raise Problem(f"There is no number {number}: choose with `mesh integrations choose {integration_id} ACCOUNT`.")
    return usable[number - 1].id


def _list(accounts: Sequence[Reached], chosen: str | None = None) -> None:
    table(
        ("account", "name", "currency", "time zone", "state"),
        (
            (
                each.id,
                each.name,
                each.config.get("currency"),
                each.config.get("timezone"),
                each.unusable or ("chosen" if each.id == chosen else "usable"),
            )
            for each in accounts
        ),
        empty="The login reaches no account.",
    )


@app.command("accounts")
def every_account(id: UUID) -> None:
    """The accounts that an integration's login reaches, as the provider has them now."""
    with local_door.logins() as logins:
        reached = logins.accounts(id)
    with session.transaction() as connection:
        row = db.integrations.get(connection, id)
    chosen = row.config.get("account_id") if row is not None else None
    _list(reached, chosen)
    if chosen is None:
        say(f"It waits for its account: `mesh integrations choose {id} ACCOUNT`.")


@app.command()
def choose(id: UUID, account: Annotated[str, typer.Argument(help="One of `mesh integrations accounts ID`.")]) -> None:
    """Use one of the accounts that an integration's login reaches; what waited is due now."""
    with local_door.logins() as logins:
        connected = logins.choose(id, account)
    say(f"Integration {id} is active.")
    _say_account(connected)


def _given(text: str) -> tuple[str, str]:
    """NAME=VALUE, or NAME=@file."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        # What stands there may be a secret: it is not repeated.
        raise Problem("A --field must read NAME=VALUE or NAME=@file, such as voice_id=v_narrator.")
    if not value.startswith("@"):
        return name, value
    try:
        return name, Path(value[1:]).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Problem(f"{value[1:]} cannot be read: {error}.") from None


def _asked(fields: Sequence[Field]) -> dict[str, str]:
    """What the person at the terminal answers, secrets without echo."""
    needed = [each for each in fields if each.required and each.default is None]
    return {each.name: str(typer.prompt(each.label, hide_input=each.sensitive)) for each in needed}


@app.command()
def reconnect(
    id: UUID,
    field: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="What changes; NAME=@file reads a file. Secrets are asked for."),
    ] = None,
    account: Annotated[str | None, typer.Option(help="After a login: another account than the one before.")] = None,
) -> None:
    """Change an integration's fields, or log in again where it came by a login; what waited is due now."""
    with session.transaction() as connection:
        row = db.integrations.get(connection, id)
    facts = PROVIDERS[row.provider] if row is not None else None
    given = dict(_given(each) for each in field or ())
    if row is not None and facts is not None and facts.oauth is not None:
        return _log_in(row.tenant_id, row.provider, row.name, given, account)
    installed = current().provider_credentials(facts.name) if facts else {}
    if facts is not None and sys.stdin.isatty():
        given |= _asked_again([each for each in facts.fields if each.sensitive and each.name not in given])
    with session.transaction() as connection:
        count = accounts.reconnect(connection, session.keys(), id, given, installed=installed)
    return say(f"Integration {id} is active; {_due(count)} now.")


def _asked_again(secrets: Sequence[Field]) -> dict[str, str]:
    """New secrets from the person at the terminal, without echo; an empty answer keeps the one that is there."""
    answers = {
        each.name: str(typer.prompt(f"{each.label} (Enter keeps it)", default="", hide_input=True, show_default=False))
        for each in secrets
    }
    return {name: answer for name, answer in answers.items() if answer}


@app.command()
def disconnect(id: UUID) -> None:
    """End an integration: what waits for it is cancelled, and it gets nothing more."""
    with local_door.logins() as logins:
        told = logins.disconnect(id)
    say(f"Integration {id} is disconnected: `mesh integrations reconnect {id}` connects it again.")
    if told in TOLD:
        say(TOLD[told])


@app.command("list")
def every(tenant: Annotated[str | None, typer.Option(help="Of this tenant only.")] = None) -> None:
    """All integrations, oldest first."""
    with session.transaction() as connection:
        known_tenant(connection, tenant)
        rows = db.integrations.every(connection, tenant)
    table(
        ("id", "state", "tenant", "provider", "name", "account", "token", "why"),
        (
            (
                row.id,
                state(row.state),
                row.tenant_id,
                row.provider,
                row.name,
                _account(row),
                _until(row),
                row.state_reason or row.hold_reason,
            )
            for row in rows
        ),
        empty="No integrations yet: connect one with `mesh integrations connect`.",
    )


@app.command()
def show(id: UUID) -> None:
    """One integration: its account, its fields, its login, and when its streams were read."""
    with session.transaction() as connection:
        row = next((each for each in db.integrations.every(connection) if each.id == id), None)
        token = db.tokens.get(connection, id)
        read = db.cursors.synced(connection, id)
    if row is None:
        raise Problem(accounts.nowhere(id))
    say(f"{row.provider} of {row.tenant_id}, {row.name}  {id}")
    facts: dict[str, Any] = {"state": row.state, "why": row.state_reason or row.hold_reason, "account": _account(row)}
    facts |= {name: value for name, value in row.config.items() if name not in ("account_id", "account_name")}
    facts |= {"token": _until(row)}
    if token is not None:
        facts |= {"scopes": ", ".join(token.scopes), **token.details}
    provider = PROVIDERS.get(row.provider)
    if provider is not None:
        facts |= _hooks(row.provider, id)
    facts |= {f"{name} read": ago(at) or "never" for name, at in read.items()}
    for name, value in facts.items():
        if value:
            say(f"  [dim]{safe(name):<16}[/] {safe(str(value))}")


@app.command()
def cached(
    id: UUID,
    stream: Annotated[str, typer.Argument(help="Such as voices, models, agents, stores: `show` names them.")],
) -> None:
    """What the last sync of a stream left: the voices of an account, its agents, its stores …, as JSON."""
    with session.transaction() as connection:
        row = db.integrations.get(connection, id)
        read = db.cursors.synced(connection, id)
        value = db.cursors.get(connection, id, stream)
    if row is None:
        raise Problem(accounts.nowhere(id))
    facts = PROVIDERS.get(row.provider)
    names = [each.name for each in facts.streams] if facts else []
    if stream not in names:
        raise Problem(f"{row.provider} has no stream {stream!r}: it has {', '.join(names) or 'none'}.")
    if read.get(stream) is None:
        raise Problem(f"{stream} was not read yet: `mesh integrations sync {id} --stream {stream}` reads it now.")
    say_json(value)


def _account(row: Any) -> str:
    """The account at the provider that it uses, with its name and currency."""
    known = (row.config.get(name) for name in ("account_id", "account_name", "currency"))
    return " ".join(str(each) for each in known if each)


def _until(row: Any) -> str:
    """Until when an account's token is good."""
    if row.token_version is None:
        return ""
    if row.grant_state == "dead":
        return "ended"
    if row.token_expires_at is None:
        return "does not expire"
    renewed = ", renewed before that" if row.token_next_refresh_at else ""
    expired = row.token_expires_at <= datetime.now(UTC)
    return f"expired {ago(row.token_expires_at)}" if expired else f"ends {ago(row.token_expires_at)}{renewed}"


@app.command()
def pause(id: UUID) -> None:
    """Stop calling: deliveries wait."""
    with session.transaction() as connection:
        accounts.pause(connection, id)
    say(f"Integration {id} is paused: its deliveries wait for `mesh integrations resume {id}`.")


@app.command()
def resume(id: UUID) -> None:
    """Call again: what waited is due now."""
    with session.transaction() as connection:
        count = accounts.resume(connection, id)
    say(f"Integration {id} is active; {_due(count)} now.")


def _due(count: int) -> str:
    return many(count, "waiting delivery is due", "waiting deliveries are due")


app.command()(sync)
