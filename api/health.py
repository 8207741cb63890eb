"""`/healthz`: this process answers. `/readyz`: it can do its work."""

from __future__ import annotations

from fastapi import APIRouter

from api.parts import Shared
from db.engine import run

router = APIRouter()


@router.get("/healthz")
def healthy() -> dict[str, str]:
    """Alive."""
    return {"status": "ok"}


@router.get("/readyz")
def ready(shared: Shared) -> dict[str, str]:
    """The database answers, too; 503 while it does not."""
    with shared.engine.begin() as connection:
        run(connection, "select 1")
    return {"status": "ok"}
