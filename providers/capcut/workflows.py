"""Workflows: scripts that the service keeps under an id. Published once, listed daily, played by id or by name.

Publishing knows no key: a second time makes a second workflow. After a lost answer the list is asked for the name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import Any

from model import Cursor, Done, Outcome, Records, Wait
from providers.capcut.api import ask, maybe_done, object_in, output_object, text_in, unreadable
from providers.capcut.errors import NOT_OFFERED
from providers.capcut.layers import Operation
from providers.capcut.plan import check
from providers.capcut.templates import compiled, played, written
from providers.contract import Call
from providers.errors import InvalidPayload, OutcomeUnknown, Refused, Unavailable

STREAM = "workflows"
PAGE = 100
PAGES = 10
CLOCKS_APART = timedelta(minutes=1)


def publish(call: Call) -> Done:
    """video.workflow_publish_requested {name, script or template} -> the id of a workflow."""
    data = call.event.data
    query = {"name": data["name"], "description": data.get("description") or ""}
    fields = {"script": _script(data)}
    with maybe_done(call, even_if_told=True):
        made = output_object(ask(call, "publish_workflow", fields, query=query))
    return _published(call, text_in(made, "workflow_id"))


def _script(data: Mapping[str, Any]) -> list[Any]:
    if data.get("script"):
        return written(played(data["script"], {}))
    operations = [Operation(each["op"], each.get("params") or {}) for each in data.get("template") or ()]
    if not operations:
        raise InvalidPayload("A workflow needs a script or a template.", code="workflow_missing")
    for each in operations:
        check(each)
    return compiled(operations)


def find(call: Call) -> Done | None:
    """The workflow of a request whose answer was lost; None when it is not there."""
    try:
        for each in _all(call):
            if each.get("name") == call.event.data["name"] and _is_new(call, each):
                return _published(call, text_in(each, "workflow_id"), recovered=True)
    except OutcomeUnknown as error:
        raise Unavailable(str(error), code=error.code) from error  # reading leaves nothing unknown
    return None


def _is_new(call: Call, workflow: Mapping[str, Any]) -> bool:
    """Whether it was made since the first attempt, as far as it says."""
    try:
        made_at = datetime.fromisoformat(str(workflow.get("created_at")))
    except ValueError:
        return True
    made_at = made_at if made_at.tzinfo else made_at.replace(tzinfo=UTC)
    return made_at >= call.first_attempt_at - CLOCKS_APART


def _published(call: Call, workflow_id: str, **more: Any) -> Done:
    return Done(result={"workflow_id": workflow_id, "name": call.event.data["name"], **more}, external_id=workflow_id)


def _all(call: Call) -> Iterator[Mapping[str, Any]]:
    for number in range(PAGES):
        rows, total = _page(call, number)
        yield from rows
        if (number + 1) * PAGE >= total:
            return


def _page(call: Call, number: int) -> tuple[list[Mapping[str, Any]], int]:
    """A page of the list, which is not under `output`, and how many there are in all."""
    query = {"limit": str(PAGE), "offset": str(number * PAGE)}
    body = object_in(ask(call, "list_workflows", query=query))
    rows, total = body.get("workflows"), body.get("total")
    if not isinstance(rows, list) or not isinstance(total, int):
        raise unreadable("no list of workflows")
    return [each for each in rows if isinstance(each, dict)], total


def read(call: Call) -> Outcome:
    """sync.due of `workflows`: one page a step. A server that has none has an empty list."""
    at = int(call.progress.get("at", 0))
    try:
        rows, total = _page(call, at)
    except Refused as error:
        if error.code != NOT_OFFERED:
            raise
        rows, total = [], 0
    found = [{name: str(each.get(name) or "") for name in ("workflow_id", "name", "description")} for each in rows]
    before = call.known.cursor(STREAM).get("workflows", []) if at else []
    last = (at + 1) * PAGE >= total or at + 1 == PAGES
    cursor = Cursor(STREAM, {"server": call.base_url, "workflows": [*before, *found]}, finished=last)
    if last:
        return Done(result={"workflows": len(before) + len(found)}, records=Records(cursor=cursor))
    return Wait(0, {"at": at + 1}, records=Records(cursor=cursor))


def script_of(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    """What plays a workflow: its script, fetched by its id or the name that it has in the list."""
    inputs = params.get("inputs") or {}
    script = params.get("script")
    if script is None:
        asked = {"workflow_id": params.get("workflow_id") or _id_of(call, params["name"])}
        script = output_object(ask(call, "get_workflow", query=asked)).get("script")
    if not isinstance(script, list):
        raise unreadable("a workflow without a script")
    return {"script": written(played(script, inputs)), "inputs": inputs}


def _id_of(call: Call, name: str) -> str:
    listed = call.known.cursor(STREAM).get("workflows", [])
    ids = {each["name"]: each["workflow_id"] for each in reversed(listed)}
    if name not in ids:
        close = get_close_matches(name, ids, n=3)
        hint = f" Close to it: {', '.join(close)}." if close else " The list is read daily; its id works at once."
        raise InvalidPayload(f"There is no workflow named {name[:80]!r}.{hint}", code="workflow_missing")
    return str(ids[name])
