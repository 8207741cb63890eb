"""Setting chains up: a definition is checked as a whole, loops are refused, and its steps become rows.

A definition is data: {"name": ..., "steps": [{"on", "do", "integration", "data", "where"?, "after"?}, ...]}.

    on           the event type that starts the step
    where        what its data must hold, as for webhooks' filters
    integration  the account that acts: its id, its provider, or "provider/name"
    do           the event type that the account gets: one that its provider has an action for
    data         that event's data, with placeholders (`worker.mapping`)
    after        the number of the step that it comes after; the one before it unless given
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

import db.chains
import db.integrations
import db.tenants
from db.chains import NewStep
from providers import PROVIDERS
from worker import ids
from worker.catalog import EventType, event_types
from worker.catalog import unknown as unknown_type
from worker.chain_loops import SYNC_DUE, find_loop, published
from worker.mapping import MappingError, Path, paths
from worker.tenants import unknown as unknown_tenant

MAX_STEPS = 30
_FIELDS = frozenset({"on", "do", "integration", "data", "where", "after"})


class ChainError(ValueError):
    """A chain cannot be set up; the message is one sentence that says why."""


@dataclass(frozen=True, slots=True)
class Applied:
    """A chain that was stored. `notes` are sentences about what may be a slip, though it is allowed.

    `what` it came to: "set up", "changed", or "as it was" where the same definition stood already.
    """

    chain: str
    steps: int
    what: str
    notes: tuple[str, ...]


def apply(connection: Connection, tenant_id: str, definition: Any) -> Applied:
    """Store a chain in place of the one with its name: what that has begun goes on by its old steps.

    Raises ChainError, and then changes nothing.
    """
    if tenant_id not in db.tenants.states(connection, [tenant_id]):
        raise ChainError(unknown_tenant(tenant_id))
    name, given = _outline(definition)
    db.chains.lock_tenant(connection, tenant_id)
    accounts = _Accounts(tenant_id, db.integrations.every(connection, tenant_id))
    steps = _steps(given, accounts)
    notes = (*_notes(steps), *_returning(steps, accounts))
    if _stands(steps, db.chains.of_tenant(connection, tenant_id, chain=name)):
        return Applied(name, len(steps), "as it was", notes)
    replaced = db.chains.replace(connection, tenant_id, name)
    _refuse_loops(connection, tenant_id, accounts, steps)
    db.chains.insert(connection, tenant_id, name, steps)
    return Applied(name, len(steps), "changed" if replaced else "set up", notes)


def _stands(steps: Sequence[NewStep], rows: Sequence[Any]) -> bool:
    """Whether these very steps are there already, and active."""
    return all(row.state == "active" for row in rows) and _facts(steps) == _facts(rows)


def _facts(steps: Sequence[Any]) -> list[tuple[Any, ...]]:
    """What steps say, whatever their ids."""
    places = {step.id: step.position for step in steps}
    return [
        (
            *(step.position, places.get(step.after_id), step.event_type, step.integration_id, step.action),
            *(dict(step.filters), dict(step.mapping)),
        )
        for step in steps
    ]


def steps_of(rows: Sequence[Any]) -> list[dict[str, Any]]:
    """The rows of a chain as `apply` takes them."""
    places = {row.id: row.position for row in rows}
    return [_definition(row, places.get(row.after_id)) for row in rows]


def _definition(row: Any, after: int | None) -> dict[str, Any]:
    return {
        "on": row.event_type,
        **({"where": row.filters} if row.filters else {}),
        **({"after": after} if after and after != row.position - 1 else {}),
        "integration": f"{row.provider}/{row.integration_name}",
        "do": row.action,
        "data": row.mapping,
    }


def set_state(connection: Connection, tenant_id: str, chain: str, state: str) -> int:
    """Enable ("active"), disable or remove a chain. How many steps it has. Raises ChainError."""
    db.chains.lock_tenant(connection, tenant_id)
    count = db.chains.set_state(connection, tenant_id, chain, state)
    if not count:
        raise ChainError(nowhere(tenant_id, chain))
    if state == "active":
        accounts = _Accounts(tenant_id, db.integrations.every(connection, tenant_id))
        _refuse_loops(connection, tenant_id, accounts)
    return count


def _refuse_loops(connection: Connection, tenant_id: str, accounts: _Accounts, new: Sequence[NewStep] = ()) -> None:
    """Raises ChainError where what stands, with the new steps, would go round for ever."""
    there = [row for row in db.chains.of_tenant(connection, tenant_id) if row.state == "active"]
    providers = {row.id: str(row.provider) for row in accounts.rows}
    loop = find_loop([*there, *new], providers)
    if loop is not None:
        way = " → ".join([*loop.steps, loop.steps[0]])
        raise ChainError(f"It would go round for ever: {way}.{READ_BACK_HINT if loop.read_back else ''}")


READ_BACK_HINT = " What a step changes there is read back as such an event: give the step that it starts a `where`."


def _returning(steps: Sequence[NewStep], accounts: _Accounts) -> Iterator[str]:
    """Steps that what they change may start again when it is read back: their `where` has to end that."""
    for step in steps:
        provider = accounts.provider_of(step.integration_id)
        if step.after_id is None and step.event_type in published(provider, SYNC_DUE):
            yield (
                f"Step {step.position}: what it changes at {PROVIDERS[provider].title} may be read back as another"
                f" {step.event_type}: its `where` must not hold for that."
            )


def nowhere(tenant_id: str, chain: str) -> str:
    """The sentence for a chain that does not exist."""
    return f'Tenant "{tenant_id}" has no chain "{chain}": `mesh chains list` shows those that are.'


def _outline(definition: Any) -> tuple[str, Sequence[Mapping[str, Any]]]:
    if not isinstance(definition, Mapping) or definition.keys() - {"name", "steps"}:
        raise ChainError('A chain is a JSON object {"name": ..., "steps": [...]}.')
    name, steps = definition.get("name"), definition.get("steps")
    if not isinstance(name, str) or not 1 <= len(name) <= 100 or not name.isprintable():
        raise ChainError("A chain needs a name of 1 to 100 characters.")
    if not isinstance(steps, list) or not 1 <= len(steps) <= MAX_STEPS:
        raise ChainError(f"A chain has 1 to {MAX_STEPS} steps.")
    for number, step in enumerate(steps, 1):
        if not isinstance(step, Mapping):
            raise ChainError(f"Step {number} must be a JSON object.")
        unexpected = sorted(step.keys() - _FIELDS)
        if unexpected:
            raise ChainError(f"Step {number} has an unexpected field {unexpected[0]!r}: {', '.join(sorted(_FIELDS))}.")
    return name, steps


@dataclass(frozen=True, slots=True)
class _Accounts:
    """A tenant's accounts, found as people name them."""

    tenant_id: str
    rows: Sequence[Any]

    def named(self, name: Any, number: int) -> Any:
        """The one account that a step means. Raises ChainError."""
        live = [row for row in self.rows if row.state != "disconnected"]
        found = [row for row in live if name in (str(row.id), row.provider, f"{row.provider}/{row.name}")]
        if len(found) == 1:
            return found[0]
        if not found:
            raise ChainError(
                f'Step {number}: tenant "{self.tenant_id}" has no integration {name!r}:'
                " name its id, its provider, or provider/name."
            )
        names = ", ".join(f"{row.provider}/{row.name}" for row in found)
        raise ChainError(f"Step {number}: {name!r} may be each of {names}: name one of them.")

    def provider_of(self, integration_id: UUID) -> str:
        """The provider of an account."""
        return next(str(row.provider) for row in self.rows if row.id == integration_id)


def _steps(given: Sequence[Mapping[str, Any]], accounts: _Accounts) -> list[NewStep]:
    made: list[NewStep] = []
    for number, step in enumerate(given, 1):
        made.append(_step(number, step, made, accounts))
    return made


def _step(number: int, given: Mapping[str, Any], before: Sequence[NewStep], accounts: _Accounts) -> NewStep:
    on = _known_type(number, "on", given.get("on"))
    action = _known_type(number, "do", given.get("do"))
    account = accounts.named(given.get("integration"), number)
    _check_action(number, account, action)
    after = _after(number, given.get("after"), before)
    _check_origin(number, on, after, accounts)
    mapping, filters = given.get("data"), given.get("where", {})
    if not isinstance(mapping, Mapping) or not isinstance(filters, Mapping):
        raise ChainError(f"Step {number}: data and where must be JSON objects.")
    _check_target(number, event_types()[action], mapping)
    _check_sources(number, on, mapping, _upstream(after, before))
    return NewStep(ids.new(), number, after.id if after else None, on, filters, account.id, action, mapping)


def _known_type(number: int, name: str, value: Any) -> str:
    if not isinstance(value, str) or value not in event_types():
        raise ChainError(f"Step {number}, {name}: {unknown_type(str(value))}")
    return value


def _check_action(number: int, account: Any, action: str) -> None:
    facts = PROVIDERS[account.provider]
    able = sorted(each for each in facts.actions if each != "*" and not event_types()[each].addressed)
    if facts.by_webhook:
        raise ChainError(
            f"Step {number}: {facts.title} hears of events by its webhooks:"
            " `mesh webhooks register` subscribes one to what the step before publishes."
        )
    if action not in able:
        raise ChainError(f"Step {number}: {facts.title} cannot do {action}: it can do {', '.join(able)}.")
    if not facts.actions[action].is_able(account.config):
        needs = facts.actions[action].needs.split()
        raise ChainError(
            f"Step {number}: {account.provider}/{account.name} has no {' or '.join(needs)}, which {action} needs:"
            f" `mesh integrations reconnect {account.id} --field {needs[0]}=…` sets it."
        )


def _after(number: int, given: Any, before: Sequence[NewStep]) -> NewStep | None:
    """The step that this one comes after; None for the first."""
    if number == 1:
        if given is not None:
            raise ChainError("Step 1 comes after no other step.")
        return None
    wanted = number - 1 if given is None else given
    if not isinstance(wanted, int) or isinstance(wanted, bool) or not 1 <= wanted < number:
        raise ChainError(f"Step {number}: after must be the number of an earlier step.")
    return before[wanted - 1]


def _check_origin(number: int, on: str, after: NewStep | None, accounts: _Accounts) -> None:
    """What starts a step must be something that the step before it can publish."""
    if after is None:
        return
    possible = sorted(published(accounts.provider_of(after.integration_id), after.action))
    if on not in possible:
        raise ChainError(
            f"Step {number} waits for {on}, which step {after.position} ({after.action}) never publishes:"
            f" it publishes {', '.join(possible) or 'nothing'}."
        )


def _check_target(number: int, kind: EventType, mapping: Mapping[str, Any]) -> None:
    known = kind.schema.get("properties", {})
    unexpected = sorted(mapping.keys() - known.keys())
    if unexpected:
        raise ChainError(f"Step {number}: {kind.name} has no {unexpected[0]!r}: it has {', '.join(known)}.")
    missing = [name for name in kind.schema.get("required", ()) if name not in mapping]
    if missing:
        raise ChainError(f"Step {number}: data must hold {' and '.join(missing)}, which {kind.name} needs.")


def _upstream(after: NewStep | None, before: Sequence[NewStep]) -> list[NewStep]:
    """The steps that come before a step in its chain, nearest first."""
    by_id = {step.id: step for step in before}
    found: list[NewStep] = []
    while after is not None:
        found.append(after)
        after = by_id.get(after.after_id) if after.after_id else None
    return found


def _check_sources(number: int, on: str, mapping: Mapping[str, Any], upstream: Sequence[NewStep]) -> None:
    """Placeholders are well formed, and name events that this one can have come of."""
    possible = {on, *(step.event_type for step in upstream), *(step.action for step in upstream)}
    for path in _paths(number, mapping):
        if path.event_type is not None and path.event_type not in possible and upstream:
            raise ChainError(
                f"Step {number}: {{{{{path.text}}}}} names an event that this step cannot have come of:"
                f" there are {', '.join(sorted(possible))}."
            )


def _paths(number: int, mapping: Mapping[str, Any]) -> list[Path]:
    try:
        return list(paths(mapping))
    except MappingError as error:
        raise ChainError(f"Step {number}: {error}") from None


def _notes(steps: Sequence[NewStep]) -> Iterator[str]:
    """Placeholders that ask for what the catalog does not name: producers may send more, so they are allowed."""
    for step in steps:
        for path in paths(step.mapping):
            kind = event_types().get(path.event_type or step.event_type)
            known = kind.schema.get("properties", {}) if kind else {}
            if kind and not path.of_event and path.keys[0] not in known:
                yield (
                    f"Step {step.position}: {{{{{path.text}}}}} is not among what the catalog says of {kind.name}"
                    f" ({', '.join(known)})."
                )
