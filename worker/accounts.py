"""Integrations as their owners use them: connect with the provider's own fields, change, pause, end."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

import db.deliveries
import db.integrations
import db.tenants
from providers import PROVIDERS
from providers.contract import Provider
from worker import ids
from worker.enqueue import wake
from worker.tenants import unknown as unknown_tenant
from worker.vault import Vault, VaultError

_UNPRINTABLE = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029\\ud800-\\udfff]")


class AccountError(ValueError):
    """An integration cannot be connected or changed; the message is one sentence that says why."""


def connect(
    connection: Connection,
    vault: Vault,
    *,
    tenant_id: str,
    provider: str,
    fields: Mapping[str, str],
    name: str,
    installed: Collection[str] = (),
    base_url: str = "",
) -> UUID:
    """Connect a tenant's account. Raises AccountError for an unknown provider, tenant or field, and where nobody has
    said where the provider is: `base_url` is what the installation's settings say.

    `installed` names the fields that the installation's own settings fill in where the account leaves them out.
    """
    facts = PROVIDERS.get(provider)
    if facts is None:
        raise AccountError(unknown_provider(provider))
    if facts.oauth is not None:
        raise AccountError(f"{facts.title} is connected by a login there, not by fields alone.")
    if not (base_url or facts.base_url or facts.by_webhook):
        raise AccountError(base_url_missing(facts))
    if tenant_id not in db.tenants.states(connection, [tenant_id]):
        raise AccountError(unknown_tenant(tenant_id))
    config, secrets = settled(facts, fields, installed)
    integration_id = ids.new()
    made = db.integrations.create(
        connection,
        integration_id=integration_id,
        tenant_id=tenant_id,
        provider=provider,
        name=name,
        config=config,
        secrets_sealed=_sealed(vault, integration_id, secrets),
    )
    if made is None:
        there = db.integrations.find(connection, tenant_id, provider, name)
        raise AccountError(
            f'For {facts.title}, {tenant_id} has an integration named "{name}" already: change it with'
            f" `mesh integrations reconnect {there}`, or choose another name."
        )
    return made


def reconnect(
    connection: Connection,
    vault: Vault,
    integration_id: UUID,
    fields: Mapping[str, str],
    *,
    installed: Collection[str] = (),
) -> int:
    """Change the given fields, keep the others, and call again. How many waiting deliveries are due now."""
    row = db.integrations.get(connection, integration_id, lock=True)
    if row is None:
        raise AccountError(nowhere(integration_id))
    facts = PROVIDERS[row.provider]
    sensitive = {field.name for field in facts.fields if field.sensitive}
    form = {field.name for field in facts.fields}
    beside = {name: value for name, value in row.config.items() if name not in form}  # of the account that was chosen
    there = {name: value for name, value in row.config.items() if name in form}
    secrets: Mapping[str, str] = {}
    if row.secrets_sealed and not sensitive <= fields.keys():  # else what is there is not needed, nor its key
        secrets = json.loads(vault.open(row.secrets_sealed, _place(integration_id)))
    config, secrets = settled(facts, {**there, **secrets, **fields}, installed)
    db.integrations.set_fields(
        connection, integration_id, {**beside, **config}, _sealed(vault, integration_id, secrets)
    )
    return activate(connection, integration_id)


def settled(
    facts: Provider, fields: Mapping[str, str], installed: Collection[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Config and secrets of a connect form, checked and completed with defaults. Raises AccountError."""
    known = {field.name: field for field in facts.fields}
    for name, value in fields.items():
        if name not in known:
            raise AccountError(f"{facts.title} has no field {name!r}: it has {', '.join(known) or 'none'}.")
        if _UNPRINTABLE.search(value):  # it may be a secret: it is not repeated
            raise AccountError(f"{name} holds a control character or a line break: give it without.")
    values = {field.name: fields.get(field.name) or field.default for field in facts.fields}
    missing = [f.name for f in facts.fields if f.required and not values[f.name] and f.name not in installed]
    if missing:
        raise AccountError(f"{facts.title} needs {' and '.join(missing)}.")
    given = {name: value for name, value in values.items() if value}
    return (
        {name: value for name, value in given.items() if not known[name].sensitive},
        {name: value for name, value in given.items() if known[name].sensitive},
    )


def credentials(
    integration_id: UUID, secrets_sealed: str | None, installation: Mapping[str, str], vault: Vault
) -> Mapping[str, str]:
    """The account's own credentials over the installation's. Raises VaultError."""
    if not secrets_sealed:
        return installation
    return {**installation, **json.loads(vault.open(secrets_sealed, _place(integration_id)))}


def secret_names(vault: Vault, row: Any) -> frozenset[str]:
    """Which secrets an account has of its own; none where they cannot be opened."""
    if not row.secrets_sealed:
        return frozenset()
    try:
        return frozenset(json.loads(vault.open(row.secrets_sealed, _place(row.id))))
    except VaultError:
        return frozenset()


def _sealed(vault: Vault, integration_id: UUID, secrets: Mapping[str, str]) -> str | None:
    return vault.seal(json.dumps(secrets), _place(integration_id)) if secrets else None


def _place(integration_id: UUID) -> str:
    return f"integrations.secrets_sealed:{integration_id}"


def disconnect(connection: Connection, integration_id: UUID) -> None:
    """End it: its waiting deliveries are cancelled when the engine looks at them, the parked ones now."""
    _change(connection, integration_id, "disconnected", "Its owner disconnected it.")
    _due(connection, integration_id)


def pause(connection: Connection, integration_id: UUID) -> None:
    """Stop calling; deliveries wait. Raises AccountError for one that is disconnected."""
    _connected(db.integrations.get(connection, integration_id, lock=True))
    _change(connection, integration_id, "paused", "Its owner paused it.")


def resume(connection: Connection, integration_id: UUID) -> int:
    """Call again one that was paused. How many waiting deliveries are due now.

    Raises AccountError for one that is disconnected, and while an account is to be chosen.
    """
    _connected(db.integrations.get(connection, integration_id, lock=True))
    return activate(connection, integration_id)


def _connected(row: Any | None) -> None:
    if row is not None and row.state == "disconnected":
        raise AccountError(
            f"Integration {row.id} is disconnected: `mesh integrations reconnect {row.id}` connects it again."
        )


def activate(connection: Connection, integration_id: UUID) -> int:
    """Call again, whatever it was. How many waiting deliveries are due now. Raises as `resume` without an account."""
    row = db.integrations.get(connection, integration_id, lock=True)
    if row is not None and _waits_for_choice(row):
        raise AccountError(
            f"{PROVIDERS[row.provider].title} has several accounts there: choose one with"
            f" `mesh integrations accounts {integration_id}` and `mesh integrations choose`."
        )
    _change(connection, integration_id, "active", "")
    return _due(connection, integration_id)


def _waits_for_choice(row: Any) -> bool:
    """Whether nobody has said yet which account of a login this is."""
    facts = PROVIDERS.get(row.provider)
    oauth = facts.oauth if facts is not None else None
    return oauth is not None and oauth.accounts is not None and "account_id" not in row.config


def _due(connection: Connection, integration_id: UUID) -> int:
    """Make due what was parked; the commit wakes the workers."""
    count = db.deliveries.unpark(connection, integration_id)
    wake(connection)
    return count


def _change(connection: Connection, integration_id: UUID, state: str, reason: str) -> None:
    if not db.integrations.set_state(connection, integration_id, state, reason):
        raise AccountError(nowhere(integration_id))


def base_url_missing(provider: Provider) -> str:
    """The sentence for a provider whose address has to be set."""
    return f"{provider.name.upper()}_BASE_URL is not set: give the address of the {provider.title} service to use."


def unknown_provider(provider: str) -> str:
    """The sentence for a provider that does not exist."""
    return f"There is no provider {provider!r}: there are {', '.join(sorted(PROVIDERS))}."


def nowhere(integration_id: UUID) -> str:
    """The sentence for an integration that does not exist."""
    return f"There is no integration {integration_id}: `mesh integrations list` shows those that are."
