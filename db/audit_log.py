"""audit_log: who did what, when, to which row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

import jsontext
from db.engine import Rows, run


def insert(
    connection: Connection,
    *,
    door: str,
    actor: str,
    tenant_id: str | None,
    action: str,
    subject: str,
    subject_id: str,
    details: Mapping[str, Any],
) -> None:
    """Write one row."""
    run(
        connection,
        "insert into audit_log (door, actor, tenant_id, action, subject, subject_id, details) values (%(door)s,"
        " %(actor)s, %(tenant)s, %(action)s, %(subject)s, %(subject_id)s, %(details)s::jsonb)",
        door=door,
        actor=actor,
        tenant=tenant_id,
        action=action,
        subject=subject,
        subject_id=subject_id,
        details=jsontext.text(dict(details)),
    )


def page(
    connection: Connection,
    *,
    tenant_id: str | None = None,
    actor: str | None = None,
    subject_id: str | None = None,
    before: UUID | None = None,
    limit: int = 50,
) -> Rows:
    """The newest rows first, by any of the filters, older than `before`."""
    given = {"tenant_id": tenant_id, "actor": actor, "subject_id": subject_id}
    parts = [f"{name} = %({name})s" for name, value in given.items() if value is not None]
    parts += ["subject_id <> ''"] if subject_id else []
    parts += ["id < %(before)s"] if before else []
    return run(
        connection,
        f"select * from audit_log where {' and '.join(parts) or 'true'} order by id desc limit %(limit)s",
        before=before,
        limit=limit,
        **given,
    )
