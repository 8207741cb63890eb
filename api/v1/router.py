"""All parts of the management API, version 1, under one prefix."""

from __future__ import annotations

from fastapi import APIRouter

from api.v1 import (
    campaigns,
    catalog,
    chains,
    deliveries,
    events,
    integrations,
    keys,
    media,
    replays,
    tenants,
    webhooks,
)

router = APIRouter(prefix="/v1")
for part in (events, catalog, integrations, webhooks, deliveries, replays, chains, campaigns, media, tenants, keys):
    router.include_router(part.router)
