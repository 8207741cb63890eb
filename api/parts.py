"""What the doors of one process share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy import Engine

from db.engine import connect
from providers import PROVIDERS
from settings import Settings
from worker.hooks import Door
from worker.links import Links
from worker.resources import database_url_of, installed, keys_of

POOL_SIZE = 16


@dataclass(frozen=True, slots=True)
class Parts:
    """The database, what takes messages, and what the installation is set to."""

    engine: Engine
    links: Links
    door: Door
    settings: Settings


def parts(settings: Settings) -> Parts:
    """Parts from settings; connects to nothing yet. Raises ConfigurationError when one is missing or wrong."""
    keys = keys_of(settings)
    engine = connect(database_url_of(settings), name="mesh-api", pool_size=POOL_SIZE)
    links = Links(settings.hooks_url, keys)
    facts = {name: installed(settings, provider) for name, provider in PROVIDERS.items()}
    return Parts(engine, links, Door(engine, keys, links, facts), settings)


def of(request: Request) -> Parts:
    """The parts of the application that got a request."""
    found: Parts = request.app.state.parts
    return found


Shared = Annotated[Parts, Depends(of)]
