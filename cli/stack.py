"""The whole stack in the foreground: servers, sandbox, workers, beat, Flower, and the file that says where.

`mesh up`, `mesh demo`, chaos runs and benchmarks all start this one.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from rich.console import Console

from cli import welcome
from cli.embedded import Postgres, Redis, free_port
from cli.processes import ProcessSpec, StackError, Supervisor
from providers import PROVIDERS
from settings import Settings

__all__ = ["Plan", "ProcessSpec", "Stack", "StackError", "Supervisor", "specs"]

FLOWER_PORT = 5555
SANDBOX_PORT = 8100
API_PORT = 8001  # beside that of MESH_PUBLIC_URL, where the commands that connect accounts listen for a while
SANDBOX_PATHS = {"capcut": "capcut/cut_jianying"}  # where a stand-in's API is not below its name alone
SANDBOX_APP = {"_api_key": "1010101010", "_secret": "the-sandbox-knows-this-app"}  # as registered with a provider
WORKER_GRACE_S = 20.0  # > a call and its settling; the lease and the reconciler cover who takes longer
CELERY = (sys.executable, "-m", "celery", "-A", "worker.app")


@dataclass(frozen=True, slots=True)
class Plan:
    """What runs beside the servers. A port of 0 leaves that process out."""

    home: Path
    env: Mapping[str, str] = field(repr=False)
    workers: int = 2
    threads: int = 12
    beat: bool = True
    flower_port: int = 0
    sandbox_port: int = 0
    api_port: int = 0
    flower_cookie_secret: str = field(default="", repr=False)
    worker_ready: Callable[[str], bool] | None = None
    task_events: bool = False


def specs(plan: Plan) -> list[ProcessSpec]:
    """The processes of a plan: sandbox first, then workers, doors, Flower, beat; they end the other way round."""
    found = [_worker(plan, f"worker-{number}") for number in range(1, plan.workers + 1)]
    if plan.sandbox_port:
        found.insert(0, _sandbox(plan))
    if plan.api_port:
        found.append(_api(plan))
    if plan.flower_port:
        found.append(_flower(plan))
    if plan.beat:
        found.append(_beat(plan))
    return found


def _worker(plan: Plan, name: str) -> ProcessSpec:
    options = ["--pool", "threads", "--concurrency", str(plan.threads), "-n", f"{name}@%h", "-l", "WARNING"]
    quiet = ["--without-gossip", "--without-mingle"]
    ready = plan.worker_ready
    return ProcessSpec(
        name,
        [*CELERY, "worker", *options, *quiet],
        plan.env,
        grace_s=WORKER_GRACE_S,
        ready=None if ready is None else lambda: ready(name),
        stage=2,
    )


def _beat(plan: Plan) -> ProcessSpec:
    schedule = str(plan.home / "beat-schedule")
    return ProcessSpec("beat", [*CELERY, "beat", "--schedule", schedule, "--pidfile="], plan.env, stage=4)


def _api(plan: Plan) -> ProcessSpec:
    """The doors that providers call, and the pages. Addresses carry credentials: nothing logs them.

    Logins that begin on a page come back to it, unless MESH_PUBLIC_URL says where browsers reach us.
    """
    options = ["--host", "127.0.0.1", "--port", str(plan.api_port), "--no-access-log", "--log-level", "warning"]
    return ProcessSpec(
        "api",
        [sys.executable, "-m", "uvicorn", "--factory", "api.app:serve", *options],
        {"MESH_PUBLIC_URL": f"http://127.0.0.1:{plan.api_port}", **plan.env},
        grace_s=5,
        ready=lambda: _listens(plan.api_port),
        stage=3,
    )


def _flower(plan: Plan) -> ProcessSpec:
    """Flower reads its password and cookie secret from the environment: everybody sees a command line."""
    options = [
        "--address=127.0.0.1",
        f"--port={plan.flower_port}",
        "--max_tasks=10000",
        "--purge_offline_workers=60",
        "--read_only",
        f"--enable_events={plan.task_events}",  # else it turns them on in every worker, which costs a fifth
    ]
    return ProcessSpec(
        "flower",
        [*CELERY, "flower", *options],
        {**plan.env, "FLOWER_COOKIE_SECRET": plan.flower_cookie_secret},
        ready=lambda: _listens(plan.flower_port),
        stage=3,
    )


def _sandbox(plan: Plan) -> ProcessSpec:
    port_file = plan.home / "sandbox.port"
    port_file.unlink(missing_ok=True)
    return ProcessSpec(
        "sandbox",
        [sys.executable, "-m", "sandbox", "--port", str(plan.sandbox_port), "--port-file", str(port_file)],
        plan.env,
        grace_s=5,
        ready=port_file.exists,  # that something listens there does not say that it is ours
        stage=1,
    )


class Stack:
    """Everything that one home needs, started on entering and ended on leaving.

    `env` is the environment to build on (that of this process by default); what it sets wins over what
    we would choose. With DATABASE_URL and REDIS_URL in it no embedded server is started. `prepare` gets the
    database's address before any process starts.
    """

    def __init__(
        self,
        home: Path,
        *,
        workers: int = 2,
        threads: int = 12,
        beat: bool = True,
        flower: bool = True,
        sandbox: bool = True,
        api: bool = False,
        durable: bool = True,
        env: Mapping[str, str] | None = None,
        prepare: Callable[[str], None] = lambda database_url: None,
        worker_ready: Callable[[str], bool] | None = None,
        say: Callable[[str], None] = print,
        plan: Callable[[Plan], list[ProcessSpec]] = specs,
    ) -> None:
        self.home = home.absolute()
        self.file = self.home / "stack.json"
        self.settings: dict[str, str] = {}
        self.env = dict(os.environ if env is None else env)
        self.postgres: Postgres | None = None
        self.redis: Redis | None = None
        if not self.env.get("DATABASE_URL") and not self.env.get("REDIS_URL"):
            self.postgres = Postgres(self.home, durable=durable)
            self.redis = Redis(self.home)
        stop_servers = (sys.executable, "-P", "-c", _STOP_SERVERS, str(_ROOT), str(self.home))
        self.supervisor = Supervisor(
            self.home, say=say, changed=self._write, afterwards=stop_servers if self.postgres else ()
        )
        self._say = say
        self._workers, self._threads, self._beat = workers, threads, beat
        self._flower_port = free_port(FLOWER_PORT) if flower else 0
        self._sandbox_port = free_port(SANDBOX_PORT) if sandbox else 0
        self._api_port = free_port(API_PORT) if api else 0
        self._prepare, self._worker_ready, self._plan = prepare, worker_ready, plan
        self._running = ExitStack()

    @property
    def flower_url(self) -> str:
        """Where Flower answers; empty without one."""
        return f"http://127.0.0.1:{self._flower_port}" if self._flower_port else ""

    @property
    def sandbox_url(self) -> str:
        """Where the sandbox answers; empty without one."""
        return f"http://127.0.0.1:{self._sandbox_port}" if self._sandbox_port else ""

    @property
    def api_url(self) -> str:
        """Where providers reach our doors; empty without them."""
        return f"http://127.0.0.1:{self._api_port}" if self._api_port else ""

    def start(self) -> None:
        """Start everything; what was started already is ended again when something fails."""
        with ExitStack() as undo:
            undo.callback(self.supervisor.close)
            self.supervisor.open()
            for server in (self.postgres, self.redis):
                if server is not None:
                    server.start()
                    undo.callback(server.stop)
            undo.callback(self.file.unlink, missing_ok=True)
            undo.callback(self.supervisor.stop)
            self._settle_settings()
            self._prepare(self.settings["database_url"])
            self.supervisor.start(self._plan(self._make_plan()))
            self._write()
            self._running = undo.pop_all()

    def stop(self) -> None:
        """End everything: beat, Flower, workers and the sandbox, then the servers."""
        self._running.close()

    def wait_ready(self, timeout_s: float = 30) -> None:
        """Return when every process is ready. Raises StackError naming the one that is not, and its log."""
        self.supervisor.wait_ready(timeout_s)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def run_forever(self, console: Console) -> int:
        """Run until SIGINT or SIGTERM, then end everything; a second Ctrl-C kills at once. Returns 0."""
        ended = threading.Event()

        def on_signal(number: int, frame: FrameType | None) -> None:
            if ended.is_set():
                self.supervisor.hurry()
            ended.set()

        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, on_signal) for number in numbers}
        try:
            self.start()
            for line in welcome.lines(self):
                console.print(line, soft_wrap=True)  # whole, to be copied
            while not ended.wait(1):
                self._keep_servers()
            console.print("Stopping; Ctrl-C again kills at once.")
            self.stop()
        finally:
            self.stop()
            for number, handler in before.items():
                signal.signal(number, handler)
        return 0

    def _keep_servers(self) -> None:
        """Start a server again that somebody killed. Chaos runs do not want it: only `run_forever` does."""
        for name, server in (("PostgreSQL", self.postgres), ("Redis", self.redis)):
            if server is not None and server.pid is None:
                self._say(f"{name} has ended; it starts again, see {server.log}")
                server.start()

    def _make_plan(self) -> Plan:
        return Plan(
            self.home,
            self._child_env(),
            workers=self._workers,
            threads=self._threads,
            beat=self._beat,
            flower_port=self._flower_port,
            sandbox_port=self._sandbox_port,
            api_port=self._api_port,
            flower_cookie_secret=_secret(self.home / "flower.cookie", lambda: secrets.token_urlsafe(48)),
            worker_ready=self._worker_ready,
            task_events=self.env.get("MESH_TASK_EVENTS", "").lower() in ("1", "true", "t", "yes", "y", "on"),
        )

    def _settle_settings(self) -> None:
        """Our choice for each setting, unless the environment has one."""
        ours = {
            "database_url": self.postgres.url() if self.postgres else "",
            "redis_url": self.redis.url() if self.redis else "",
            "mesh_encryption_keys": _secret(self.home / "encryption.keys", _new_key),
            "flower_basic_auth": _secret(self.home / "flower.auth", lambda: f"mesh:{secrets.token_urlsafe(16)}"),
            "mesh_hooks_url": self.api_url,
            **self._sandbox_settings(),
        }
        chosen = {name: self.env.get(name.upper()) or value for name, value in ours.items()}
        self.settings = {name: value for name, value in chosen.items() if value}

    def _sandbox_settings(self) -> dict[str, str]:
        """Every provider's calls go to its stand-in, which answers below the provider's name and knows our app."""
        if not self.sandbox_url:
            return {}
        suffix = "_base_url"
        names = [name.removesuffix(suffix) for name in Settings.model_fields if name.endswith(suffix)]
        return {
            "mesh_private_targets": "127.0.0.0/8",
            **{name + suffix: f"{self.sandbox_url}/{SANDBOX_PATHS.get(name, name)}" for name in names},
            **{f"{name}_{host}_url": f"{self.sandbox_url}/{name}/{host}" for name, host in _hosts()},
            **{name + kind: value for name in _apps() for kind, value in SANDBOX_APP.items()},
        }

    def _child_env(self) -> dict[str, str]:
        return {
            **self.env,
            **{name.upper(): value for name, value in self.settings.items()},
            "MESH_HOME": str(self.home),
            "PYTHONUNBUFFERED": "1",
        }

    def _write(self) -> None:
        """Leave the stack file, whole or not at all, for nobody else to read."""
        content: dict[str, Any] = {
            "pid": os.getpid(),
            "settings": self.settings,
            "flower_url": self.flower_url,
            "sandbox_url": self.sandbox_url,
            "processes": self.supervisor.pids(),
        }
        draft = self.file.with_suffix(".new")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(content, file, indent=1)
        draft.replace(self.file)


_ROOT = Path(__file__).resolve().parents[1]
# What the guard runs after a killed stack: the servers would otherwise run on with nobody to use them.
_STOP_SERVERS = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from cli import welcome
from cli.embedded import Postgres, Redis
Redis(Path(sys.argv[2])).stop()
Postgres(Path(sys.argv[2])).stop()
"""


def _apps() -> list[str]:
    """The providers that know us by an app of ours, before anybody can connect an account."""
    return [name for name, provider in PROVIDERS.items() if provider.oauth]


def _hosts() -> list[tuple[str, str]]:
    """The further hosts that providers have."""
    return [(name, host) for name, provider in PROVIDERS.items() for host in provider.hosts]


def _new_key() -> str:
    return "k1:" + base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def _secret(path: Path, make: Callable[[], str]) -> str:
    """What the file holds; made on first use, for nobody else to read."""
    with (
        suppress(FileExistsError),
        os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file,
    ):
        file.write(make() + "\n")
    return path.read_text().strip()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
