"""Who did what, when, to which row: one row for each change that a person asks for, in the commit that makes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

import db.audit_log


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks: a person by name, and by which door ("pages", "cli", "api")."""

    name: str
    door: str


def record(
    connection: Connection,
    actor: Actor,
    action: str,
    *,
    tenant_id: str | None = None,
    subject: str = "",
    subject_id: UUID | str = "",
    **details: Any,
) -> None:
    """Write what is done. `action` is a verb such as "pause", `subject` a kind of row; details hold no secret."""
    db.audit_log.insert(
        connection,
        door=actor.door,
        actor=actor.name,
        tenant_id=tenant_id,
        action=action,
        subject=subject,
        subject_id=str(subject_id),
        details=details,
    )
