"""Keeps processes running: starts them, starts them again when they die, ends them in order.

Nothing outlives the supervisor. When it is killed, a tiny guard process sees its pipe close and kills what is
left; a pipe works on every system and, unlike a parent-death signal, does not care which thread started what.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

POLL_S = 0.1
FIRST_DELAY_S = 0.2
LONGEST_DELAY_S = 5.0
STEADY_S = 10.0  # who ran that long starts again with the first delay
GUARD_S = 40.0  # how long the guard of a killed supervisor may take to clean up


class StackError(Exception):
    """The stack cannot run; the message is one sentence that says what to do."""


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """A process to keep running. Lower stages start first and end last."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict, repr=False)  # beside those of the supervisor
    grace_s: float = 10.0
    restart: bool = True
    ready: Callable[[], bool] | None = None  # None = ready as soon as it runs
    stage: int = 0


@dataclass(slots=True)
class _Kept:
    """A process and how it fares."""

    spec: ProcessSpec
    child: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    delay_s: float = FIRST_DELAY_S
    due_at: float | None = None


class Supervisor:
    """Keeps the processes of one home running, their output in `<home>/logs/<name>.log`.

    `say` prints one line for a person; `changed` is called after a process got another pid; `afterwards` is a
    command that the guard runs when the supervisor was killed, after the processes are gone.
    """

    def __init__(
        self,
        home: Path,
        *,
        say: Callable[[str], None] = print,
        changed: Callable[[], None] = lambda: None,
        afterwards: Sequence[str] = (),
    ) -> None:
        self.home = home.absolute()
        self.logs = self.home / "logs"
        self._say = say
        self._changed = changed
        self._afterwards = tuple(afterwards)
        self._kept: dict[str, _Kept] = {}
        self._mutex = threading.RLock()
        self._stopping = threading.Event()
        self._hurry = threading.Event()
        self._watcher: threading.Thread | None = None
        self._lock: int | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    def open(self) -> None:
        """Take the home for ourselves. Raises StackError when a stack runs there already."""
        if self._lock is None:
            try:
                self.logs.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._lock = _take(self.home)
            except OSError as error:
                raise StackError(
                    f"{self.home} cannot be used ({error.strerror}): set MESH_HOME to a folder you own."
                ) from None
            self._guard = self._start_guard(self._lock)

    def start(self, specs: Iterable[ProcessSpec]) -> None:
        """Start the processes, lowest stage first, and watch them from now on."""
        self.open()
        with self._mutex:
            for spec in sorted(specs, key=lambda spec: spec.stage):
                kept = self._kept[spec.name] = _Kept(spec)
                self._launch(kept)
        if self._watcher is None:
            self._watcher = threading.Thread(target=self._watch, name="supervisor", daemon=True)
            self._watcher.start()

    def wait_ready(self, timeout_s: float) -> None:
        """Return when all are ready. Raises StackError naming the one that is not in time, and its log."""
        deadline = time.monotonic() + timeout_s
        for name, kept in list(self._kept.items()):
            while not self._ready(kept):
                if time.monotonic() > deadline or not self._may_come(kept):
                    raise StackError(f"{name} did not become ready: see {self._log(kept.spec)}.")
                time.sleep(POLL_S / 2)

    def pid(self, name: str) -> int | None:
        """The process id, or None while it does not run."""
        with self._mutex:
            child = self._kept[name].child
            return child.pid if child is not None and child.poll() is None else None

    def pids(self) -> dict[str, int]:
        """The process ids of all that run, by name."""
        found = {name: self.pid(name) for name in self._kept}
        return {name: pid for name, pid in found.items() if pid is not None}

    @property
    def guard_pid(self) -> int | None:
        """The process id of the guard; killed alone, it is replaced."""
        return self._guard.pid if self._guard is not None else None

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Send a signal to a process, if it runs; one that ends from it is started again like any other."""
        with self._mutex:
            child = self._kept[name].child
            if child is not None:
                child.send_signal(number)

    def hurry(self) -> None:
        """Let a `stop()` that waits for processes kill them at once."""
        self._hurry.set()

    def stop(self) -> None:
        """End all processes, highest stage first: SIGTERM, the grace, SIGKILL. Harmless when repeated."""
        self._stopping.set()
        if self._watcher is not None:
            self._watcher.join()
        order = sorted(self._kept.values(), key=lambda kept: kept.spec.stage, reverse=True)
        for _, stage in groupby(order, key=lambda kept: kept.spec.stage):
            self._end(list(stage))

    def close(self) -> None:
        """Stop, and give the home free."""
        self.stop()
        if self._guard is not None:
            self._tell("done")
            self._guard.communicate()
            self._guard = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _ready(self, kept: _Kept) -> bool:
        return self.pid(kept.spec.name) is not None and (kept.spec.ready is None or kept.spec.ready())

    def _may_come(self, kept: _Kept) -> bool:
        return kept.spec.restart or self.pid(kept.spec.name) is not None

    def _log(self, spec: ProcessSpec) -> Path:
        return self.logs / f"{spec.name}.log"

    def _launch(self, kept: _Kept) -> None:
        spec = kept.spec
        with self._log(spec).open("ab") as log:
            try:
                kept.child = subprocess.Popen(
                    spec.argv,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **spec.env},
                    start_new_session=True,
                )
            except OSError as error:
                raise StackError(f"{spec.name} cannot be started ({error}): install the project again.") from None
        self._tell(f"+{kept.child.pid}")
        kept.started_at = time.monotonic()
        kept.due_at = None

    def _watch(self) -> None:
        while not self._stopping.wait(POLL_S):
            with self._mutex:
                self._look_after_guard()
                changes = [self._look_after(kept) for kept in self._kept.values()]
            if any(changes):
                try:
                    self._changed()
                except OSError as error:  # a full disk, say: keep the processes running all the same
                    self._say(f"The change could not be written down ({error}).")

    def _look_after(self, kept: _Kept) -> bool:
        """Bury a dead process, or start it again when it is time; whether its pid changed."""
        if kept.child is not None and kept.child.poll() is not None:
            self._bury(kept, kept.child)
            return True
        if kept.due_at is None or time.monotonic() < kept.due_at:
            return False
        try:
            self._launch(kept)
        except StackError as error:
            self._say(str(error))
            self._again(kept)
        return True

    def _bury(self, kept: _Kept, child: subprocess.Popen[bytes]) -> None:
        _kill_group(child.pid)  # what it started itself
        self._tell(f"-{child.pid}")
        kept.child = None
        if time.monotonic() - kept.started_at > STEADY_S:
            kept.delay_s = FIRST_DELAY_S
        end = f"{kept.spec.name} {_how(child.returncode)}"
        if not kept.spec.restart:
            self._say(f"{end}; see {self._log(kept.spec)}")
            return
        self._say(f"{end}; it starts again in {kept.delay_s:.1f} s, see {self._log(kept.spec)}")
        self._again(kept)

    def _again(self, kept: _Kept) -> None:
        kept.due_at = time.monotonic() + kept.delay_s
        kept.delay_s = min(kept.delay_s * 2, LONGEST_DELAY_S)

    def _end(self, stage: list[_Kept]) -> None:
        began = time.monotonic()
        for kept in stage:
            self.kill(kept.spec.name, signal.SIGTERM)
            self.kill(kept.spec.name, signal.SIGCONT)  # a frozen one hears nothing
        for kept in stage:
            if kept.child is None:
                continue
            while kept.child.poll() is None and not self._hurry.is_set():
                if time.monotonic() - began > kept.spec.grace_s:
                    break
                time.sleep(POLL_S / 5)
            _kill_group(kept.child.pid)
            kept.child.wait()
            self._tell(f"-{kept.child.pid}")
            kept.child = None

    def _start_guard(self, lock: int) -> subprocess.Popen[bytes]:
        """The guard shares our lock: the home is taken until it has cleaned up."""
        return subprocess.Popen(
            [sys.executable, "-P", "-S", __file__, *self._afterwards],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=(lock,),
        )

    def _look_after_guard(self) -> None:
        if self._guard is None or self._lock is None or self._guard.poll() is None:
            return
        if self._guard.stdin is not None:
            with suppress(OSError):
                self._guard.stdin.close()
        self._guard = self._start_guard(self._lock)
        for pid in self.pids().values():
            self._tell(f"+{pid}")

    def _tell(self, line: str) -> None:
        if self._guard is not None and self._guard.stdin is not None:
            with suppress(BrokenPipeError):  # a dead guard is replaced, and told everything
                self._guard.stdin.write(f"{line}\n".encode())
                self._guard.stdin.flush()


def _take(home: Path) -> int:
    """Lock the home, or say who has it. After a killed supervisor its guard has it for a moment longer."""
    handle = os.open(home / "stack.lock", os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + GUARD_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(handle, 32, 0).decode() or "?"
            if not _exists(holder) and time.monotonic() < deadline:
                time.sleep(POLL_S)
                continue
            os.close(handle)
            raise StackError(
                f"A stack runs already in {home} (process {holder}): stop it with Ctrl-C, "
                "or set MESH_HOME to another folder."
            ) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        return handle


def _exists(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return True


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # macOS says the latter of a group of zombies
        os.killpg(pid, signal.SIGKILL)


def _how(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


def guard(lines: Iterable[str], afterwards: Sequence[str]) -> None:
    """Read which process groups live ("+pid", "-pid"); when the lines end without "done", kill those left."""
    groups: set[int] = set()
    for line in lines:
        word = line.strip()
        if word == "done":
            return
        pid = int(word[1:])
        (groups.add if word[0] == "+" else groups.discard)(pid)
    for pid in groups:
        _kill_group(pid)
    if afterwards:
        subprocess.run(afterwards, stdin=subprocess.DEVNULL, check=False)


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends with its supervisor, however that ends
    guard(sys.stdin, sys.argv[1:])
