"""Tenants, the product's customers: how one is added, and what is said about one that does not exist."""

from __future__ import annotations

import re

from sqlalchemy import Connection

import db.tenants

TENANT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")  # as table `tenants` has it
LONGEST_NAME = 200


class TenantError(ValueError):
    """A tenant cannot be so; the message says why."""


def create(connection: Connection, tenant_id: str, name: str = "") -> bool:
    """Add a tenant by the product's own id of it. False: it was there already, and nothing changed.

    `name` is for people, the id by default. Raises TenantError.
    """
    if not TENANT_ID.fullmatch(tenant_id):
        shown = ascii(tenant_id[:140])[1:-1]
        raise TenantError(f'"{shown}" cannot be a tenant\'s id: use up to 128 letters, digits and . _ : - only.')
    named = name.strip()[:LONGEST_NAME]
    return db.tenants.create(connection, tenant_id, named or tenant_id)


def unknown(tenant_id: str) -> str:
    """The sentence; it offers to create the tenant only under a name that one can have."""
    if TENANT_ID.fullmatch(tenant_id):
        return f'Tenant "{tenant_id}" is not known: create it with `mesh tenants create {tenant_id}`.'
    shown = ascii(tenant_id[:100])[1:-1]
    return f'Tenant "{shown}" is not known: `mesh tenants list` shows those that are.'
