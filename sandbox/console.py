"""The control doors under `/_sandbox/`: rules, records, counts, bill, state, and what a provider lets a test do."""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from sandbox.faults import BadRule
from sandbox.wire import Answer, json_answer

if TYPE_CHECKING:
    from sandbox.server import World

PREFIX: Final = "/_sandbox/"
PAGE: Final = 1000  # records in an answer, unless asked otherwise
DO: Final = "do/"

Door = Callable[["World", Mapping[str, str], Any], object]


def answer(world: World, method: str, path: str, query: str, body: bytes) -> Answer | Awaitable[Answer]:
    """What a control door says; a request that means nothing gets 400 and a sentence."""
    name = path.removeprefix(PREFIX)
    if method == "POST" and name.startswith(DO):
        return act(world, name.removeprefix(DO), body)
    door = DOORS.get((method, name))
    if door is None:
        return json_answer({"error": f"no control door {method} {path}; see sandbox/README.md"}, 404)
    try:
        given = json.loads(body) if body else None
        return json_answer(door(world, dict(parse_qsl(query)), given))
    except BadRule as problem:
        return json_answer({"error": str(problem)}, 400)
    except ValueError as problem:
        return json_answer({"error": f"not understood: {problem}"}, 400)


async def act(world: World, name: str, body: bytes) -> Answer:
    """Do `<provider>/<action>` with the fields of a JSON object."""
    provider, _, wanted = name.partition("/")
    stand_in = world.stand_ins.get(provider)
    action = None if stand_in is None else stand_in.actions.get(wanted)
    if action is None:
        return json_answer({"error": f"{provider!r} has no action {wanted!r}; see sandbox/README.md"}, 404)
    try:
        given = json.loads(body or b"{}")
        if not isinstance(given, dict):
            raise ValueError("an action takes a JSON object")
        result = action(given)
        return json_answer({"result": await result if inspect.isawaitable(result) else result})
    except ValueError as problem:
        return json_answer({"error": str(problem)}, 400)


def show_rules(world: World, args: Mapping[str, str], body: Any) -> object:
    """The rules in force."""
    return {"rules": world.rules.as_json()}


def replace_rules(world: World, args: Mapping[str, str], body: Any) -> object:
    """Only these rules."""
    world.rules.replace(sources(body))
    return show_rules(world, args, body)


def append_rules(world: World, args: Mapping[str, str], body: Any) -> object:
    """These rules too."""
    world.rules.append(sources(body))
    return show_rules(world, args, body)


def clear_rules(world: World, args: Mapping[str, str], body: Any) -> object:
    """No rules."""
    world.rules.replace([])
    return show_rules(world, args, body)


def sources(body: Any) -> list[Any]:
    """The rules in a body: one, a list, or `{"rules": [...]}`."""
    if isinstance(body, dict) and "rules" in body:
        body = body["rules"]
    return body if isinstance(body, list) else [body]


def received(world: World, args: Mapping[str, str], body: Any) -> object:
    """Records, oldest first."""
    after, limit = int(args.get("after", 0)), int(args.get("limit", PAGE))
    records = world.ledger.received(after, limit, args.get("path"))
    return {"received": records, "seq": world.ledger.seq}


def counts(world: World, args: Mapping[str, str], body: Any) -> object:
    """Counts; `ids=0` leaves out those by id."""
    return world.ledger.counts(args.get("path"), ids=args.get("ids", "1") != "0")


def arrivals(world: World, args: Mapping[str, str], body: Any) -> object:
    """First arrival of each webhook-id."""
    return world.ledger.arrivals(args.get("path"))


def state(world: World, args: Mapping[str, str], body: Any) -> object:
    """What is in the air."""
    return {**world.ledger.state(), "connections": world.connections}


def bill(world: World, args: Mapping[str, str], body: Any) -> object:
    """What the providers would charge."""
    return world.bill()


def options(world: World, args: Mapping[str, str], body: Any) -> object:
    """Set `record_bodies`."""
    if not isinstance(body, dict) or set(body) != {"record_bodies"} or not isinstance(body["record_bodies"], bool):
        raise ValueError('options are {"record_bodies": true or false}')
    world.record_bodies = body["record_bodies"]
    return {"record_bodies": world.record_bodies}


def reset(world: World, args: Mapping[str, str], body: Any) -> object:
    """Forget everything."""
    world.reset()
    return {"ok": True}


DOORS: Final[Mapping[tuple[str, str], Door]] = {
    ("GET", "rules"): show_rules,
    ("PUT", "rules"): replace_rules,
    ("POST", "rules"): append_rules,
    ("DELETE", "rules"): clear_rules,
    ("GET", "received"): received,
    ("GET", "counts"): counts,
    ("GET", "arrivals"): arrivals,
    ("GET", "state"): state,
    ("GET", "bill"): bill,
    ("PUT", "options"): options,
    ("POST", "reset"): reset,
}
