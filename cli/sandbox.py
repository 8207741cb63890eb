"""`mesh sandbox`: the stand-ins of the providers, alone."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)


@app.command()
def sandbox(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 = any free one.")] = 8100,
) -> None:
    """Run the stand-ins of the providers until Ctrl-C; `sandbox/README.md` says what they can do."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "sandbox", "--host", host, "--port", str(port)])  # noqa: S606
