"""What the demo prints when it is over."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from sqlalchemy import Connection

import db.attempts
import db.events
from cli.demo_ads import Account
from cli.demo_ledger import Check, Ledger, local_path
from cli.show import latency
from cli.tree import event_tree, in_all
from providers import PROVIDERS

COLUMNS = ("events", "deliveries", "attempts", "succeeded", "retrying", "dead", "cancelled")


def numbers(console: Console, connection: Connection) -> None:
    """A row per provider and a total."""
    rows = db.attempts.summary(connection)
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("provider")
    for name in (*COLUMNS, "p50", "p95"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(PROVIDERS[row.provider].title, *_counts(row._mapping), latency(row.p50_ms), latency(row.p95_ms))
    total = {name: sum(row._mapping[name] for row in rows) for name in COLUMNS}
    total["events"] = db.events.count(connection)
    table.add_row("total", *_counts(total), "", "", style="bold")
    console.print(Padding(table, (0, 0, 0, 2)))


def _counts(values: Any) -> list[str]:
    return [str(values[name]) for name in COLUMNS]


def accounts(console: Console, connected: Sequence[Account]) -> None:
    """What happened to each account at the ad platforms: a column each."""
    table = Table(box=None, header_style="dim", padding=(0, 3, 0, 0), pad_edge=False)
    table.add_column("ad platforms", style="dim")
    for account in connected:
        table.add_column(account.platform.title)
    rows = dict.fromkeys(row for account in connected for row in account.story)
    for row in rows:
        table.add_row(row, *(account.story.get(row, "") for account in connected))
    console.print()
    console.print(Padding(table, (0, 0, 0, 2)))


def checks(console: Console, found: Sequence[Check]) -> None:
    """The ledger in words."""
    grid = Table.grid(padding=(0, 1))
    for check in found:
        grid.add_row("  [green]✓[/]" if check.ok else "  [bold red]✗[/]", check.holds)
        for difference in check.differences:
            grid.add_row("", f"[red]{difference}[/]")
    console.print(grid)


def tree(console: Console, connection: Connection, event_id: UUID | None) -> None:
    """Everything that came of one event, from its door to the last hook, with what it took and cost."""
    grown = event_tree(connection, event_id, ids=False) if event_id is not None else None
    if grown is not None:
        console.print(f"  [dim]$ mesh events show {event_id}[/]")
        console.print(Padding(grown, (0, 0, 0, 2)))
        console.print(f"  [dim]In all:[/] {in_all(connection, event_id)}")


def audio_file(ledger: Ledger) -> Path | None:
    """One of the files that were made."""
    return local_path(ledger.files[0].uri) if ledger.files else None
