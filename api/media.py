"""`GET /media/<asset id>?token=…`: files of media storage, for whoever was given their address."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, HTTPException
from fastapi.responses import FileResponse, Response, StreamingResponse

import db.media
from api.parts import Shared
from worker import media

HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "private, no-store", "Referrer-Policy": "no-referrer"}

router = APIRouter()


@router.api_route("/media/{asset_id}", methods=["GET", "HEAD"])
def fetch(asset_id: UUID, shared: Shared, token: str = "") -> Response:
    """One file; 403 when the address has expired or was changed."""
    if not shared.links.opens_media(asset_id, token):
        raise HTTPException(403, "This address has expired, or is not whole.")
    with shared.engine.begin() as connection:
        asset = db.media.get(connection, asset_id)
    if asset is None:
        raise HTTPException(404, "There is no such file.")
    local = media.local_path(asset.uri)
    if local is not None and local.is_file():
        return FileResponse(local, media_type=asset.mime, headers=HEADERS)
    pieces = None if local is not None else media.stream(asset.uri)
    if pieces is None:
        raise HTTPException(404, "The file is not in storage any more.")
    return StreamingResponse(
        pieces, media_type=asset.mime, headers={**HEADERS, "Content-Length": str(asset.size_bytes)}
    )
