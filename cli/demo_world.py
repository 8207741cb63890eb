"""The world of the demo: its own environment and database, two tenants, healthy and broken receivers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy import Connection

import db.engine
import db.tenants
from cli import session
from cli.database import apply_schema
from cli.embedded import free_port
from sandbox.control import Control
from settings import Settings
from worker import accounts
from worker.catalog import event_types

CALL_DEADLINE_S = 3  # of the demo: a hanging receiver is given up after it
TENANTS = {"acme": "Acme Stores", "globex": "Globex Media"}
NOT_SUBSCRIBED = ("integration.attention_needed",)

API_KEYS = {tenant: f"demo-{tenant}" for tenant in TENANTS}


@dataclass(frozen=True, slots=True)
class Broken:
    """A receiver with a fault: whose hook it is, for which events, and what it does."""

    fault: str
    tenant: str
    event_type: str
    path: str
    tried_twice: bool = False  # the demo waits until a second try was seen


BROKEN = (
    Broken("answers 429, Retry-After 1", "acme", "campaign.paused", "/fault/429/receive/acme-busy"),
    Broken("answers 500", "acme", "campaign.archived", "/fault/500/receive/acme-broken", tried_twice=True),
    Broken("never answers", "acme", "campaign.completed", "/fault/hang/receive/acme-silent", tried_twice=True),
    Broken("hangs up", "globex", "campaign.resumed", "/fault/drop/receive/globex-rude", tried_twice=True),
    Broken("is gone (410)", "globex", "campaign.archived", "/fault/410/receive/globex-gone"),
    Broken("fails twice, then works", "globex", "campaign.paused", "/fault/flaky/receive/globex-flaky"),
    Broken("restarts: 503 for its first 6 calls", "globex", "campaign.completed", "/receive/globex-restarting"),
    Broken("deploys: 500 for its first 3 calls", "acme", "campaign.resumed", "/receive/acme-deploying"),
)
RULES = (
    {"path": "/receive/globex-restarting", "times": 6, "fault": {"status": 503}},
    {"path": "/receive/acme-deploying", "times": 3, "fault": {"status": 500}},
)


@dataclass(frozen=True, slots=True)
class World:
    """What was set up."""

    hooks: int
    broken: Mapping[UUID, Broken]


def environment(home: Path) -> dict[str, str]:
    """An environment in which nothing of the user's own settings takes part: each setting is blank or its default."""
    plain = {name.upper(): _plain(field.default) for name, field in Settings.model_fields.items()}
    return {
        **os.environ,
        **plain,
        "MESH_HOME": str(home),
        "MESH_CALL_DEADLINE_S": str(CALL_DEADLINE_S),
        "MESH_TASK_EVENTS": "true",
        "MESH_PUBLIC_URL": f"http://127.0.0.1:{free_port(8000)}",  # where the logins of the demo come back
    }


def _plain(default: Any) -> str:
    if isinstance(default, SecretStr):
        return default.get_secret_value()
    return "" if isinstance(default, tuple) else str(default)


def fresh_database(database_url: str) -> None:
    """Empty the demo's own database, and apply the schema."""
    engine = db.engine.connect(database_url, name="mesh-demo", pool_size=1)
    try:
        with engine.begin() as connection:
            db.engine.run(connection, "drop schema public cascade; create schema public")
    finally:
        engine.dispose()
    apply_schema(database_url)


def create(connection: Connection, sandbox_url: str) -> World:
    """Two tenants, a hook for every event type of each, broken receivers, an ElevenLabs account each."""
    for tenant, name in TENANTS.items():
        db.tenants.create(connection, tenant, name)
        accounts.connect(
            connection,
            session.keys(),
            tenant_id=tenant,
            provider="elevenlabs",
            fields={"api_key": API_KEYS[tenant], "voice_id": "v_narrator"},
            name="default",
        )
    healthy = [
        hook(connection, tenant, event_type, f"{sandbox_url}/zapier/hooks/standard/{tenant}/{event_type}")
        for tenant in TENANTS
        for event_type in event_types()
        if event_type not in NOT_SUBSCRIBED
    ]
    broken = {hook(connection, each.tenant, each.event_type, sandbox_url + each.path): each for each in BROKEN}
    return World(len(healthy) + len(broken), broken)


def hook(connection: Connection, tenant: str, event_type: str, url: str) -> UUID:
    """A webhook of a tenant."""
    made = session.subscriptions().register(connection, tenant_id=tenant, event_type=event_type, url=url)
    return made.webhook_id


def arm(control: Control) -> None:
    """Let the receivers fail that fail only for a while."""
    control.rules(RULES)
