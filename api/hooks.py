"""`POST /hooks/<provider>/<integration id>`: where providers tell us things."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool

from api.parts import Shared
from providers.inbound import Arrival
from worker.hooks import HookRefused

MAX_BODY_BYTES = 1024 * 1024

router = APIRouter()


@router.post("/hooks/{provider}/{integration_id}")
async def take(provider: str, integration_id: UUID, request: Request, shared: Shared) -> Response:
    """Verify a message, store it once, act upon it; 200 for one that is known already too."""
    if request.headers.get("content-encoding", "identity") != "identity":
        raise HTTPException(415, "Send the body as it is, without compression: its signature is over the raw bytes.")
    body = await _body(request)
    arrival = Arrival({name.lower(): value for name, value in request.headers.items()}, body, datetime.now(UTC))
    try:
        await run_in_threadpool(shared.door.receive, provider, integration_id, dict(request.query_params), arrival)
    except HookRefused as refused:
        raise HTTPException(refused.status, str(refused)) from None
    return Response("ok", media_type="text/plain")


async def _body(request: Request) -> bytes:
    """The raw body; 413 as soon as it is too long."""
    pieces: list[bytes] = []
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > MAX_BODY_BYTES:
            raise HTTPException(413, f"The body is longer than {MAX_BODY_BYTES} bytes.")
        pieces.append(piece)
    return b"".join(pieces)
