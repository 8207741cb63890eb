"""The inbox: what providers sent to us, with the verdict on each message."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, HTTPException
from fastapi.responses import Response

import db.pages
import db.tenants
from api.parts import Shared
from api.ui import fields
from api.ui.guard import Viewer
from api.ui.render import address, page
from providers import PROVIDERS

VERDICTS = ("accepted", "refused")

router = APIRouter(prefix="/inbox")


@router.get("")
def every(
    shared: Shared,
    visitor: Viewer,
    tenant: str = "",
    provider: str = "",
    verdict: str = "",
    before: str = "",
    fragment: bool = False,
) -> Response:
    """The newest messages."""
    scope = visitor.scope(tenant)
    if verdict not in ("", *VERDICTS):
        raise HTTPException(422, f"There is no such verdict: there are {' and '.join(VERDICTS)}.")
    with shared.engine.begin() as connection:
        tenants = db.tenants.every(connection) if visitor.person.tenant_id is None else ()
        found = db.pages.inbox(
            connection,
            tenant_id=scope,
            provider=provider,
            verdict=verdict,
            before=fields.an_id(before, "Before"),
            limit=fields.ROWS + 1,
        )
    rows, last = fields.cut(found)
    query = {"tenant": scope, "provider": provider, "verdict": verdict}
    return page(
        visitor,
        "inbox",
        fragment=fragment,
        rows=rows,
        tenants=tenants,
        tenant=scope or "",
        provider=provider,
        providers=PROVIDERS,
        verdict=verdict,
        verdicts=VERDICTS,
        older=address("/inbox", before=last, **query) if last else "",
        newest=address("/inbox", **query) if before else "",
        live=address("/inbox", fragment=1, before=before, **query),
    )


@router.get("/{inbox_id}")
def one(inbox_id: UUID, shared: Shared, visitor: Viewer) -> Response:
    """One message, whole."""
    with shared.engine.begin() as connection:
        row = visitor.own(db.pages.message(connection, inbox_id), "message")
    return page(visitor, "message", row=row)
