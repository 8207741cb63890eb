"""`mesh up`: the whole stack in the foreground."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from pydantic import SecretStr

from cli.database import apply_schema
from cli.show import console
from cli.stack import Stack
from settings import Settings, load

app = typer.Typer(add_completion=False)


@app.command()
def up(
    workers: Annotated[int, typer.Option(min=1, max=64, help="Worker processes; one per core is right.")] = 2,
    sandbox: Annotated[
        bool,
        typer.Option(help="Run stand-ins, called instead of the providers; webhooks are called at their own URLs."),
    ] = True,
    flower: Annotated[bool, typer.Option(help="Run Flower, the view of Celery's workers.")] = True,
) -> None:
    """Run PostgreSQL, Redis, workers, beat, the doors for providers, Flower and the sandbox until Ctrl-C.

    With DATABASE_URL and REDIS_URL set, those servers are used. The schema is applied first.
    """
    settings = load()
    stack = Stack(
        settings.mesh_home,
        workers=workers,
        threads=settings.mesh_worker_threads,
        sandbox=sandbox,
        flower=flower,
        api=True,
        env={**os.environ, **given(settings)},
        prepare=apply_schema,
        say=lambda line: console.print(line, highlight=False),
    )
    console.print(f"Starting in {stack.home} …", highlight=False)
    raise typer.Exit(stack.run_forever(console))


def given(settings: Settings) -> Mapping[str, str]:
    """What the environment or the `.env` file sets, as environment variables for the processes."""
    chosen = settings.model_dump(exclude_unset=True)
    return {name.upper(): _text(value) for name, value in chosen.items()}


def _text(value: Any) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, dict):
        return json.dumps(value)
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
