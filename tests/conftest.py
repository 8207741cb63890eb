"""Real servers, a real sandbox, and a mesh in this process.

servers           PostgreSQL and Redis of this session (`tests/servers.py`)
sandbox_process   the stand-ins of the providers, one process for the session
sandbox           the same, with rules, counts and bills forgotten
mesh_settings     settings that point there
doors             the HTTP doors of that mesh, on a real port
mesh              the engine in this process on empty tables (`tests/mesh.py`)
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import psycopg2
import pytest
import structlog
import uvicorn
from pydantic import SecretStr
from pydantic_settings import PydanticBaseSettingsSource

import settings
from api.app import create
from api.parts import parts
from sandbox.process import Sandbox, start
from settings import Settings
from tests.mesh import Mesh, eventually
from tests.servers import Servers, running
from worker import vault
from worker.app import app

KEYS = vault.generate("k1")

# A run in the background of a script is told to ignore Ctrl-C, and what it starts would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def plain_logs() -> None:
    """Log lines as a worker writes them: the default renders every traceback with all its variables, in seconds."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ]
    )


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """The servers; this process's Celery app publishes to them."""
    with running() as servers:
        environment = {
            "DATABASE_URL": servers.database_url,
            "REDIS_URL": servers.redis_url,
            "MESH_KEY_PREFIX": servers.key_prefix,
        }
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment.items():
                patch.setitem(os.environ, name, value)
            settings.current.cache_clear()
            assert app.conf.broker_url == servers.redis_url, "the Celery app was configured before the servers ran"
        settings.current.cache_clear()
        yield servers
        app.close()


@pytest.fixture(scope="session")
def sandbox_process() -> Iterator[Sandbox]:
    """The sandbox."""
    with start() as process:
        yield process


@pytest.fixture
def sandbox(sandbox_process: Sandbox) -> Sandbox:
    """The sandbox, knowing nothing of earlier tests."""
    sandbox_process.control.reset()
    return sandbox_process


class Given(Settings):
    """Settings that the environment and `.env` of whoever runs the tests do not reach."""

    @classmethod
    def settings_customise_sources(  # type: ignore[override]
        cls, *_: object, init_settings: PydanticBaseSettingsSource, **__: object
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is given."""
        return (init_settings,)


@pytest.fixture
def mesh_settings(servers: Servers, sandbox_process: Sandbox, tmp_path: Path, doors_port: int) -> Settings:
    """Settings of a small mesh that may call the sandbox."""
    return Given(
        database_url=servers.database_url,
        redis_url=servers.redis_url,
        mesh_home=tmp_path,
        mesh_encryption_keys=SecretStr(KEYS),
        mesh_key_prefix=servers.key_prefix,
        mesh_private_targets=(ip_network("127.0.0.0/8"),),
        mesh_call_deadline_s=5,
        mesh_calls_in_flight=32,
        mesh_worker_threads=4,
        elevenlabs_base_url=sandbox_process.url,
        mindstudio_base_url=f"{sandbox_process.url}/mindstudio",
        capcut_base_url=f"{sandbox_process.url}/capcut/cut_jianying",
        autods_base_url=f"{sandbox_process.url}/autods",
        autods_gateway_url=f"{sandbox_process.url}/autods/gateway",
        autods_research_url=f"{sandbox_process.url}/autods/research",
        mesh_hooks_url=f"http://127.0.0.1:{doors_port}",
    )


@pytest.fixture(scope="session")
def doors_port() -> int:
    """Where the doors listen, in tests that open them."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture
def doors(mesh: Mesh, doors_port: int) -> Iterator[str]:
    """The HTTP doors of the mesh, served for real; their base URL."""
    shared = parts(mesh.settings)
    config = uvicorn.Config(create(shared), host="127.0.0.1", port=doors_port, log_level="warning", access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    eventually(lambda: server.started, "the doors are open")
    yield mesh.settings.hooks_url
    server.should_exit = True
    thread.join(10)
    shared.close()


@pytest.fixture
def mesh(servers: Servers, mesh_settings: Settings, sandbox: Sandbox) -> Iterator[Mesh]:
    """The engine in this process, on empty tables and queues."""
    empty(servers)
    mesh = Mesh(mesh_settings, sandbox)
    yield mesh
    mesh.close()


def empty(servers: Servers) -> None:
    """Delete all rows but the catalog's, and all keys."""
    servers.forget_keys()
    with psycopg2.connect(servers.database_url) as connection, connection.cursor() as cursor:
        cursor.execute("set session_replication_role = replica")  # in any order of the tables
        cursor.execute(
            "select string_agg(format('delete from %I', relname), ';') from pg_class"
            " where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relispartition"
            " and relname <> 'event_types'"
        )
        (deletes,) = cursor.fetchone() or ("",)
        cursor.execute(deletes)
    connection.close()
