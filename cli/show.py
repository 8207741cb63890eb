"""How things look on a terminal: tables, times, states, and the tree of an event."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.json import JSON
from rich.markup import escape
from rich.text import Text

from cli.errors import CONTROL, Problem, visible

GAP = 2  # columns between those of a table
SHORTEST = 12  # a last column is not cut shorter than this
PIPE_WIDTH = 200  # columns where nobody's terminal says how many: nothing is cut in a pipe

STYLES = {
    "succeeded": "green",
    "active": "green",
    "ok": "green",
    "pending": "cyan",
    "running": "cyan",
    "waiting": "cyan",
    "started": "cyan",
    "retrying": "yellow",
    "retryable": "yellow",
    "warning": "yellow",
    "open": "yellow",
    "settled": "dim",
    "paused": "yellow",
    "disabled": "yellow",
    "lost": "magenta",
    "failed": "red",
    "refused": "red",
    "problem": "bold red",
    "needs_reconnect": "red",
    "blocked": "red",
    "cancelled": "dim",
    "gone": "dim",
    "unregistered": "dim",
}


def make_console() -> Console:
    """A console that is as wide as the terminal, and wide enough for whole rows in a pipe."""
    width = None if sys.stdout.isatty() else shutil.get_terminal_size((PIPE_WIDTH, 50)).columns
    return Console(width=width, highlight=False, soft_wrap=False)


console = make_console()


def say(line: str | Text = "", **options: Any) -> None:
    """Print one line, wrapped by the terminal alone, so that what is copied from it stays whole."""
    console.print(visible(line) if isinstance(line, str) else line, soft_wrap=True, **options)


def safe(text: str) -> str:
    """What somebody else wrote, as part of a line of markup."""
    return escape(visible(text).replace("\n", "\\n"))


def say_json(value: Any) -> None:
    """Print data, indented."""
    shown = json.dumps(value, ensure_ascii=False)
    console.print(JSON.from_data(value, ensure_ascii=CONTROL.search(shown) is not None))


def many(count: int, one: str, several: str) -> str:
    """A number and the words for it."""
    return f"{count} {one if count == 1 else several}"


def known_tenant(connection: Any, tenant_id: str | None) -> None:
    """Raises Problem for a tenant that does not exist, where one is named."""
    import db.tenants
    from worker.tenants import unknown

    if tenant_id is not None and tenant_id not in db.tenants.states(connection, [tenant_id]):
        raise Problem(unknown(tenant_id))


def state(word: str) -> Text:
    """A state in its colour."""
    return Text(word, style=STYLES.get(word, ""))


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str) -> None:
    """Print rows under their column names, or the sentence for none. A name that ends in `>` aligns right.

    Nothing is cut but the last column, and that only on a terminal: ids are there to be copied.
    """
    body = [[cell(value) for value in row] for row in rows]
    if not body:
        say(empty)
        return
    head = [Text(name.rstrip(">"), style="dim") for name in columns]
    widths = [max(line[n].cell_len for line in (head, *body)) for n in range(len(columns))]
    room = console.width - sum(widths[:-1]) - GAP * (len(columns) - 1)
    for line in (head, *body):
        if console.is_terminal and room >= SHORTEST:
            line[-1].truncate(room, overflow="ellipsis")
        for value, width, name in zip(line[:-1], widths, columns, strict=False):
            value.align("right" if name.endswith(">") else "left", width)
        say(Text(" " * GAP).join(line))


def cell(value: Any) -> Text:
    """One value of a table."""
    if isinstance(value, Text):
        return value
    if isinstance(value, datetime):
        return Text(ago(value))
    return Text("" if value is None else visible(" ".join(str(value).split())))


def moment(at: datetime) -> str:
    """A time of day in UTC, to the millisecond."""
    return f"{at.astimezone(UTC):%H:%M:%S}.{at.microsecond // 1000:03d}"


def ago(at: datetime | None, now: datetime | None = None) -> str:
    """How far away a time is, in words: "3 s ago", "in 12 min"."""
    if at is None:
        return ""
    seconds = ((now or datetime.now(UTC)) - at).total_seconds()
    return f"{lasting(seconds)} ago" if seconds >= 0 else f"in {lasting(-seconds)}"


def lasting(seconds: float) -> str:
    """A duration in its natural unit."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


def latency(ms: float | None) -> str:
    """A latency in milliseconds, or seconds where those are many."""
    if ms is None:
        return "–"
    return f"{ms:.0f} ms" if ms < 1000 else f"{ms / 1000:.1f} s"
