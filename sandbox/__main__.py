"""`python -m sandbox`: run the stand-ins of the providers."""

from __future__ import annotations

import argparse
import asyncio
import errno
import gc
import os
import signal
import sys
from pathlib import Path

from sandbox.server import build, listen


def arguments() -> argparse.Namespace:
    """What was asked on the command line."""
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8100, help="0 = any free one")
    parser.add_argument("--port-file", type=Path, help="where to write the port number")
    return parser.parse_args()


async def serve(host: str, port: int, port_file: Path | None) -> None:
    """Listen until SIGTERM or SIGINT; what is in the air then is cut off."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    server = await listen(build(), host, port)
    bound: int = server.sockets[0].getsockname()[1]
    if port_file is not None:
        write_atomically(port_file, str(bound))
    print(f"sandbox listens on http://{host}:{bound}", flush=True)
    await stopped.wait()
    server.close()


def write_atomically(path: Path, text: str) -> None:
    """A reader sees the whole text or no file."""
    draft = path.with_name(path.name + ".new")
    draft.write_text(text)
    os.replace(draft, path)


def why(problem: OSError, host: str, port: int) -> str:
    """One sentence for a door that cannot be opened."""
    if problem.errno == errno.EADDRINUSE:
        return f"Port {port} on {host} is taken by another program; choose one with --port (0 = any free one)."
    return f"Cannot listen on {host}:{port}: {problem.strerror or problem}."


def main() -> int:
    """Run; 0 after a stop signal, 2 when the door cannot be opened."""
    asked = arguments()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)  # millions of live counters: look through them rarely
    try:
        asyncio.run(serve(asked.host, asked.port, asked.port_file))
    except OSError as problem:
        print(why(problem, asked.host, asked.port), file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
