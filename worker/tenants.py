"""What is said about a tenant that does not exist."""

from __future__ import annotations

import re

TENANT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")  # as table `tenants` has it


def unknown(tenant_id: str) -> str:
    """The sentence; it offers to create the tenant only under a name that one can have."""
    if TENANT_ID.fullmatch(tenant_id):
        return f'Tenant "{tenant_id}" is not known: create it with `mesh tenants create {tenant_id}`.'
    shown = ascii(tenant_id[:100])[1:-1]
    return f'Tenant "{shown}" is not known: `mesh tenants list` shows those that are.'
