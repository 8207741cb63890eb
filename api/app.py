"""The HTTP side: the management API and its pages, the doors that providers call, and files that they may fetch.

`uvicorn --factory api.app:serve --no-access-log`: addresses carry credentials, so they are not logged.
"""

from __future__ import annotations

from fastapi import FastAPI

from api import health, hooks, logins, media, problems, reference, ui
from api.bounds import Bounded
from api.parts import Parts, parts
from api.v1.router import router as management
from settings import current

ABOUT = """Events in, accounts and webhooks, and everything that was done with them.

Send an API key as `Authorization: Bearer mesh_…`; `mesh keys create` makes one. What goes wrong is answered as
`application/problem+json`, whose `detail` says what to do.
"""


def serve() -> FastAPI:
    """The application of this process's settings. Raises ConfigurationError when one is missing or wrong."""
    return create(parts(current()))


def create(shared: Parts) -> FastAPI:
    """The application with these parts."""
    app = FastAPI(title="Agent Mesh", version="1", description=ABOUT, docs_url=None, redoc_url=None)
    app.state.parts = shared
    problems.install(app)
    app.add_middleware(Bounded)
    app.include_router(management)
    for router in (hooks.router, media.router, logins.router, health.router, reference.router):
        app.include_router(router, include_in_schema=False)
    ui.install(app)
    return app
