"""Run the sandbox as a process of its own, as the demo, tests, chaos runs and benchmarks do."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from sandbox.control import Control

ROOT: Final = Path(__file__).resolve().parents[1]
START_S: Final = 15.0
POLL_S: Final = 0.01
STOP_S: Final = 5.0  # then it is killed


class SandboxDidNotStart(RuntimeError):
    """It ended, or said nothing in time; the text holds what it printed."""


class Sandbox:
    """A running sandbox; as a context manager it stops at the end of the block."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, cleanup: ExitStack) -> None:
        self._process = process
        self._cleanup = cleanup
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.control = Control(self.url)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def stop(self) -> int:
        """End it and return its exit code; harmless when it has ended."""
        self._process.terminate()
        try:
            code = self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._cleanup.close()
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start(port: int = 0, log: Path | None = None) -> Sandbox:
    """A sandbox that answers already; its output goes to `log`. Raises SandboxDidNotStart."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sandbox-")))
        output = log or folder / "log"
        port_file = folder / "port"
        process = launch(port, port_file, stack.enter_context(output.open("ab")))
        try:
            bound = wait_for_port(process, port_file)
        except SandboxDidNotStart as problem:
            process.kill()
            process.wait()
            raise SandboxDidNotStart(f"{problem}: {output.read_text().strip()}") from None
        return Sandbox(process, bound, stack.pop_all())


def launch(port: int, port_file: Path, output: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start the process, in a session of its own, so that signals to ours do not reach it."""
    command = [sys.executable, "-m", "sandbox", "--port", str(port), "--port-file", str(port_file)]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )


def wait_for_port(process: subprocess.Popen[bytes], port_file: Path) -> int:
    """The port, once it listens; raises SandboxDidNotStart."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if port_file.exists():
            return int(port_file.read_text())
        if process.poll() is not None:
            raise SandboxDidNotStart(f"the sandbox ended with {process.returncode}")
        time.sleep(POLL_S)
    raise SandboxDidNotStart(f"the sandbox did not listen within {START_S:g} s")
