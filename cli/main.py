"""The `mesh` command: which subcommands there are, and how each ends.

A subcommand's module is imported when it is called, so that `mesh --help` is fast.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from cli import errors

# Name -> module below `cli` (its Typer app is called `app`) and what the help says. Shown in this order.
COMMANDS = {
    "demo": ("demo", "See it work: a few hundred events, faults included, and the ledger that proves nothing is lost."),
    "up": ("up", "Run the whole stack in the foreground; Ctrl-C stops it."),
    "doctor": ("doctor", "Check everything that a healthy installation needs, and say how to mend the rest."),
    "publish": ("publish", "Publish one event."),
    "events": ("events", "What happened: events, their types, and what was rejected."),
    "deliveries": ("deliveries", "Where events go: deliveries, their attempts, and replaying dead letters."),
    "webhooks": ("webhooks", "Subscriptions of URLs to event types."),
    "chains": ("chains", "What one provider's result starts at the next: chains of steps, as configuration."),
    "integrations": ("integrations", "Accounts of tenants at the providers."),
    "tenants": ("tenants", "The product's customers."),
    "users": ("users", "People who may use the pages under /ui."),
    "keys": ("keys", "Encryption keys: make one, and move everything to the newest."),
    "db": ("database", "The database's schema."),
    "sandbox": ("sandbox", "Run the stand-ins of the providers."),
}


class _Deferred(TyperCommand):
    """A subcommand that is imported when it is called."""

    def __init__(self, name: str, module: str, help: str) -> None:
        super().__init__(name, help=help, add_help_option=False)
        self._module = module

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """The context of the real command, which runs in our place."""
        real = typer.main.get_command(import_module(f"cli.{self._module}").app)
        return real.make_context(info_name, args, parent, **extra)


class _Root(TyperGroup):
    """All subcommands; whatever one raises ends as one sentence on standard error."""

    def list_commands(self, ctx: Any) -> list[str]:
        """In the order of the table, not of the alphabet."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """One subcommand, not imported yet."""
        known = COMMANDS.get(cmd_name)
        return _Deferred(cmd_name, *known) if known else None

    def invoke(self, ctx: Any) -> Any:
        """Run the subcommand. An interruption is an ending like others."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            raise errors.Problem(errors.sentence(stop)) from None

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> Any:
        """Run the command line and end the process: 0 done, 1 a problem, 2 a wrong command line."""
        extra["standalone_mode"] = False
        try:
            code = super().main(args, *rest, **extra)
        except Exception as error:  # noqa: BLE001 - each becomes a sentence, a bug's rest goes to a file
            code = _tell(error)
        sys.exit(code if isinstance(code, int) else 0)


def _tell(error: Exception) -> int:
    """Print the sentence; the exit code."""
    said = errors.sentence(error)
    if said is None and hasattr(error, "format_message"):  # the command line is wrong
        said, code = _usage(error), int(getattr(error, "exit_code", 1))
    else:
        said, code = said or errors.bug(error), 1
    typer.echo(errors.visible(said), err=True)
    return code


def _usage(error: Any) -> str:
    """What is wrong with the command line, and where help is."""
    said = str(error.format_message()).strip()
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "mesh"
    return f"{said.rstrip('.')}: see `{command} --help`." if said else f"See `{command} --help`."


app = typer.Typer(
    cls=_Root,
    name="mesh",
    help="Agent Mesh: events in, deliveries to outside platforms out, nothing lost on the way.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(version("agent-mesh"))
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Print the version and end.")
    ] = False,
) -> None:
    """Agent Mesh: events in, deliveries to outside platforms out, nothing lost on the way."""


def run() -> None:
    """The entry point `mesh`."""
    app(prog_name="mesh")


if __name__ == "__main__":
    run()
