"""Integrations as their owners use them: connect with the provider's own fields, pause, resume."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from uuid import UUID

from sqlalchemy import Connection

import db.deliveries
import db.integrations
import db.tenants
from providers import PROVIDERS
from worker import ids
from worker.vault import Vault


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
) -> UUID:
    """Connect a tenant's account. Raises AccountError for an unknown provider, tenant or field.

    `installed` names the fields that the installation's own settings fill in where the account leaves them out.
    """
    facts = PROVIDERS.get(provider)
    if facts is None:
        raise AccountError(f"There is no provider {provider!r}: there are {', '.join(sorted(PROVIDERS))}.")
    if tenant_id not in db.tenants.states(connection, [tenant_id]):
        raise AccountError(f'Tenant "{tenant_id}" is not known: create it with `mesh tenants create {tenant_id}`.')
    known = {field.name: field for field in facts.fields}
    for field_name in fields:
        if field_name not in known:
            raise AccountError(f"{facts.title} has no field {field_name!r}: it has {', '.join(known) or 'none'}.")
    present = {*installed, *(f.name for f in facts.fields if fields.get(f.name) or f.default is not None)}
    missing = [f.name for f in facts.fields if f.required and f.name not in present]
    if missing:
        raise AccountError(f"{facts.title} needs {' and '.join(missing)}.")
    values = {f.name: fields.get(f.name) or f.default for f in facts.fields}
    integration_id = ids.new()
    sealed = {key: value for key, value in values.items() if known[key].sensitive and value}
    made = db.integrations.create(
        connection,
        integration_id=integration_id,
        tenant_id=tenant_id,
        provider=provider,
        name=name,
        config={key: value for key, value in values.items() if not known[key].sensitive and value},
        secrets_sealed=vault.seal(json.dumps(sealed), f"integrations.secrets_sealed:{integration_id}")
        if sealed
        else None,
    )
    if made is None:
        raise AccountError(f'{tenant_id} has a {facts.title} integration named "{name}" already: choose another name.')
    return made


def pause(connection: Connection, integration_id: UUID) -> None:
    """Stop calling; deliveries wait."""
    _change(connection, integration_id, "paused", "Its owner paused it.")


def resume(connection: Connection, integration_id: UUID) -> int:
    """Call again. How many waiting deliveries are due now."""
    _change(connection, integration_id, "active", "")
    return db.deliveries.unpark(connection, integration_id)


def _change(connection: Connection, integration_id: UUID, state: str, reason: str) -> None:
    if not db.integrations.set_state(connection, integration_id, state, reason):
        raise AccountError(f"There is no integration {integration_id}: `mesh integrations list` shows those that are.")
