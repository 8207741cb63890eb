"""The HTTP doors: what providers call, and files that they may fetch.

`uvicorn --factory api.app:serve --no-access-log`: addresses carry credentials, so they are not logged.
"""

from __future__ import annotations

from fastapi import FastAPI

from api import health, hooks, media, problems
from api.parts import Parts, parts
from settings import current


def serve() -> FastAPI:
    """The application of this process's settings. Raises ConfigurationError when one is missing or wrong."""
    return create(parts(current()))


def create(shared: Parts) -> FastAPI:
    """The application with these parts."""
    app = FastAPI(title="Agent Mesh", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.parts = shared
    problems.install(app)
    for router in (hooks.router, media.router, health.router):
        app.include_router(router)
    return app
