"""How things look on a terminal: tables, times, states, and the tree of an event."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console
from rich.json import JSON
from rich.markup import escape
from rich.text import Text
from rich.tree import Tree

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


def event_tree(connection: Any, event_id: Any, *, ids: bool = True) -> Tree | None:
    """An event, its deliveries with their attempts, and the events that those published. None without the event."""
    import db.events

    event = db.events.get(connection, event_id)
    if event is None:
        return None
    tree = Tree(_event_line(event, ids), guide_style="dim")
    _grow(connection, tree, event, ids)
    return tree


def _event_line(event: Any, ids: bool) -> str:
    given = event.idempotency_key if event.caused_by is None else None  # a producer's own, or made of its message
    key = f"  id {safe(given)}" if given and not given.startswith("message:") else ""
    shown = f"  [dim]{event.id}[/]" if ids else ""
    what = f" ({safe(str(event.data['stream']))})" if event.data.get("stream") else ""
    return f"[bold]{safe(event.type)}[/]{what} of {safe(event.tenant_id)}{key}  at {moment(event.accepted_at)}{shown}"


def _grow(connection: Any, tree: Tree, event: Any, ids: bool) -> None:
    import db.attempts
    import db.deliveries
    import db.events
    import db.rejected
    import db.webhooks

    for row in db.rejected.of_event(connection, event.id):
        what = "rejected" if row.door == "sql" else "an event that it led to was rejected"
        tree.add(f"[red]{what}[/]: {safe(row.reason)}" + (f"  mesh events rejected {row.id}" if ids else ""))
    if event.routed_at is None:
        tree.add("[cyan]not routed yet[/]")
    for delivery in db.deliveries.of_event(connection, event.id):
        hook = db.webhooks.get(connection, delivery.webhook_id) if delivery.webhook_id else None
        branch = tree.add(_delivery_line(delivery, hook, ids))
        for attempt in db.attempts.of_delivery(connection, delivery.id):
            branch.add(_attempt_line(attempt, called=delivery.webhook_id is None))
        for line in _came_of(delivery.result or {}):
            branch.add(line)
    for child in db.events.caused(connection, event.id):
        _grow(connection, tree.add(f"published {_event_line(child, ids)}"), child, ids)


def _came_of(result: Mapping[str, Any]) -> Iterator[str]:
    """What an adapter says of what it did: its facts in a line, and each part of a batch that was refused."""
    if result.get("uri"):
        yield f"kept {safe(result['uri'].rpartition('/')[2])}, {_size(result)}"
        return
    facts = [f"{name} {value}" for name, value in result.items() if isinstance(value, str | int | float)]
    if facts:
        yield f"result: {safe(', '.join(facts))}"
    for part in result.get("refused") or ():
        yield f"[red]refused[/] {safe(str(part.get('event_id', '')))}: {safe(str(part.get('why', '')))}"


def _size(result: Any) -> str:
    return f"{result.get('size_bytes', 0) / 1000:.0f} kB of {safe(str(result.get('mime', 'data')))}"


def _delivery_line(delivery: Any, hook: Any | None, ids: bool) -> str:
    target = f" → {safe(hook.url_hint)}" if hook is not None else ""
    shown = f"  [dim]{delivery.id}[/]" if ids else ""
    return f"{_coloured(delivery.state)}  {delivery.provider}{target}{_when(delivery)}{shown}"


def _when(delivery: Any) -> str:
    if delivery.settled_at is not None:
        return f"  after {lasting((delivery.settled_at - delivery.created_at).total_seconds())}"
    if delivery.due_at is None:
        return ""
    parked = delivery.due_at.year > 9000  # infinity
    return "  until its integration works again" if parked else f"  due {ago(delivery.due_at)}"


def _attempt_line(attempt: Any, *, called: bool) -> str:
    """One attempt; what was called is left out where the target is in the delivery's own line."""
    what = f"  {attempt.method} {safe(urlsplit(attempt.url).path)}" if called and attempt.url else ""
    took = f"  {lasting(attempt.duration_ms / 1000)}" if attempt.duration_ms is not None else ""
    answer = f"  answered {attempt.http_status}" if attempt.http_status else ""
    why = f"  {safe(attempt.error_code)}: {safe(attempt.error_message or '')}" if attempt.error_code else ""
    began = moment(attempt.started_at)
    return f"attempt {attempt.attempt_number}  {began}  {_coloured(attempt.state)}{what}{answer}{took}{why}"


def _coloured(word: str) -> str:
    style = STYLES.get(word)
    return f"[{style}]{word}[/]" if style else word
