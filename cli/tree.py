"""An event as a tree: where it went, every attempt with its time and cost, and all that came of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from rich.tree import Tree

import db.attempts
import db.chains
import db.deliveries
import db.events
import db.rejected
import db.webhooks
from cli.show import STYLES, ago, lasting, many, moment, safe

MOST_ATTEMPTS = 12  # of one delivery that are shown one by one


def event_tree(connection: Any, event_id: Any, *, ids: bool = True) -> Tree | None:
    """An event, its deliveries with their attempts, and all that came of it. None without the event."""
    event = db.events.get(connection, event_id)
    if event is None:
        return None
    tree = Tree(_event_line(event, ids), guide_style="dim")
    _grow(connection, tree, event, ids)
    return tree


def in_all(connection: Any, event_id: Any) -> str:
    """How long everything took that came of an event, and what it cost; empty where nothing was called."""
    sums = db.attempts.that_came_of(connection, event_id)
    if sums.began_at is None:
        return ""
    took = f" in {lasting((sums.ended_at - sums.began_at).total_seconds())}" if sums.ended_at else ", still under way"
    costs = [cost(amount, unit) for unit, amount in sorted(sums.costs.items())]
    return ", ".join([f"{many(sums.calls, 'call', 'calls')}{took}", *costs])


def cost(amount: Decimal, unit: str) -> str:
    """What something cost, as people write it: "$0.0031", "2,345 characters"."""
    plain = f"{amount.normalize():,f}"
    if unit == "usd":
        return f"${plain}"
    name = unit.replace("_", " ")
    return f"{plain} {name.removesuffix('s') if amount == 1 else name}"


def _event_line(event: Any, ids: bool) -> str:
    given = event.idempotency_key if event.caused_by is None else None  # a producer's own, or made of its message
    key = f"  id {safe(given)}" if given and not given.startswith("message:") else ""
    shown = f"  [dim]{event.id}[/]" if ids else ""
    what = f" ({safe(str(event.data['stream']))})" if event.data.get("stream") else ""
    return f"[bold]{safe(event.type)}[/]{what} of {safe(event.tenant_id)}{key}  at {moment(event.accepted_at)}{shown}"


def _grow(connection: Any, tree: Tree, event: Any, ids: bool) -> None:
    for row in db.rejected.of_event(connection, event.id):
        what = _REJECTED.get(row.door, "an event that it led to was rejected")
        tree.add(f"[red]{what}[/]: {safe(row.reason)}" + (f"  mesh events rejected {row.id}" if ids else ""))
    if event.routed_at is None:
        tree.add("[cyan]not routed yet[/]")
    for delivery in db.deliveries.of_event(connection, event.id):
        hook = db.webhooks.get(connection, delivery.webhook_id) if delivery.webhook_id else None
        branch = tree.add(_delivery_line(delivery, hook, ids))
        for line in _attempt_lines(db.attempts.of_delivery(connection, delivery.id), delivery.webhook_id is None):
            branch.add(line)
        for line in _came_of(delivery.result or {}):
            branch.add(line)
    for child in db.events.caused(connection, event.id):
        _grow(connection, tree.add(f"{_origin(connection, child)} {_event_line(child, ids)}"), child, ids)


_REJECTED = {"sql": "rejected", "chain": "a chain stopped here"}


def _origin(connection: Any, event: Any) -> str:
    """How an event came of another one: an outcome published it, or the step of a chain."""
    step = db.chains.get(connection, event.chain_step_id) if event.chain_step_id else None
    return f"chain [bold]{safe(step.chain)}[/], step {step.position}:" if step else "published"


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


def _attempt_lines(attempts: Sequence[Any], called: bool) -> Iterator[str]:
    """Every attempt; of very many, all but the first and the last few are counted."""
    shown = MOST_ATTEMPTS // 2  # at each end
    hidden = range(shown, len(attempts) - shown)
    for place, attempt in enumerate(attempts):
        if place not in hidden:
            yield _attempt_line(attempt, called=called)
        elif place == hidden[0]:
            more = many(len(hidden), "attempt", "attempts")
            yield f"[dim]… {more} more: mesh deliveries show {attempt.delivery_id}[/]"


def _attempt_line(attempt: Any, *, called: bool) -> str:
    """One attempt; what was called is left out where the target is in the delivery's own line."""
    what = _what(attempt) if called else ""
    took = f"  {lasting(attempt.duration_ms / 1000)}" if attempt.duration_ms is not None else ""
    answer = f"  answered {attempt.http_status}" if attempt.http_status else ""
    paid = f"  [bold]{cost(attempt.cost, attempt.cost_unit)}[/]" if attempt.cost else ""
    why = f"  {safe(attempt.error_code)}: {safe(attempt.error_message or '')}" if attempt.error_code else ""
    began = moment(attempt.started_at)
    return f"attempt {attempt.attempt_number}  {began}  {_coloured(attempt.state)}{what}{answer}{took}{paid}{why}"


def _what(attempt: Any) -> str:
    """What was called; a step of our own between calls has nothing to call."""
    if attempt.url:
        return f"  {attempt.method} {safe(urlsplit(attempt.url).path)}"
    return "  [dim]no call[/]" if attempt.state == "succeeded" else ""


def _coloured(word: str) -> str:
    style = STYLES.get(word)
    return f"[{style}]{word}[/]" if style else word
