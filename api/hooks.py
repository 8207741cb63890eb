"""`POST /hooks/<provider>/<integration id>`, or `/hooks/<provider>` for a whole app: where providers tell us things."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from api.parts import Shared
from providers.inbound import Arrival
from worker.hooks import MAX_BODY_BYTES, HookRefused

KEPT_BYTES = 4 * 1024  # of a body that is not read to its end

router = APIRouter()


@router.post("/hooks/{provider}/{integration_id}")
async def take(provider: str, integration_id: UUID, request: Request, shared: Shared) -> Response:
    """Verify a message, store it once, act upon it; 200 for one that is known already too."""
    query = dict(request.query_params)
    body, wrong = await _body(request, shared.door.most_bytes(integration_id, query))
    try:
        if wrong is not None:
            raise await run_in_threadpool(
                shared.door.not_taken, provider, integration_id, _arrival(request, body), *wrong
            )
        await run_in_threadpool(shared.door.receive, provider, integration_id, query, _arrival(request, body))
    except HookRefused as refused:
        raise HTTPException(refused.status, str(refused)) from None
    return _ok()


@router.post("/hooks/{provider}")
async def take_for_app(provider: str, request: Request, shared: Shared) -> Response:
    """The same for a provider that knows one address for all accounts of our app."""
    body, wrong = await _body(request, MAX_BODY_BYTES)
    if wrong is not None:
        raise HTTPException(*wrong)
    try:
        code = await run_in_threadpool(shared.door.receive_for_app, provider, _arrival(request, body))
    except HookRefused as refused:
        raise HTTPException(refused.status, str(refused)) from None
    if not code:
        return _ok()
    url = f"{shared.links.base_url.rstrip('/')}/hooks/{provider}/forgotten/{code}"
    return JSONResponse({"url": url, "confirmation_code": code})


@router.get("/hooks/{provider}/forgotten/{code}")
def forgotten(provider: str, code: str, shared: Shared) -> Response:
    """What became of a person's wish to be forgotten."""
    at = shared.door.forgotten_at(provider, code)
    if at is None:
        raise HTTPException(404, "No such request was needed here: nothing of this login is kept.")
    return Response(f"The login was forgotten here on {at:%Y-%m-%d %H:%M} UTC.", media_type="text/plain")


@router.get("/hooks/{provider}")
def shake_hands(provider: str, request: Request, shared: Shared) -> Response:
    """Prove to a provider that the address is ours."""
    try:
        answer = shared.door.handshake(provider, dict(request.query_params))
    except HookRefused as refused:
        raise HTTPException(refused.status, str(refused)) from None
    return Response(answer, media_type="text/plain")


def _ok() -> Response:
    return Response("ok", media_type="text/plain")


def _arrival(request: Request, body: bytes) -> Arrival:
    return Arrival({name.lower(): value for name, value in request.headers.items()}, body, datetime.now(UTC))


async def _body(request: Request, most: int) -> tuple[bytes, tuple[int, str] | None]:
    """The raw body; where it cannot be taken its beginning, with the status and the reason."""
    pieces: list[bytes] = []
    size = 0
    async for piece in request.stream():
        size += len(piece)
        pieces.append(piece)
        if size > most:
            return b"".join(pieces)[:KEPT_BYTES], (413, f"The body is longer than {most} bytes.")
    if request.headers.get("content-encoding", "identity") != "identity":
        reason = "Send the body as it is, without compression: its signature is over the raw bytes."
        return b"".join(pieces)[:KEPT_BYTES], (415, reason)
    return b"".join(pieces), None
