"""Single steps without an agent: one, or up to fifty in one conversation.

Begun and polled; where a server knows only the older operations, which answer at once, these are used. A step may be
named as in their clients (`generateText`) or as on the wire (`userMessage`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from model import Cost, Done, Outcome, Wait
from providers.contract import Action, Call, Repeat
from providers.errors import InvalidPayload, Refused
from providers.http import Answer
from providers.mindstudio import api, jobs, sse
from providers.mindstudio.errors import words

STEP, STEP_DONE = "agent.step_requested", "agent.step_completed"
STEPS, STEPS_DONE = "agent.steps_requested", "agent.steps_completed"
ESTIMATE, ESTIMATED = "agent.cost_requested", "agent.cost_estimated"

WIRE_NAMES: Mapping[str, str] = {"generateText": "userMessage", "generateAsset": "generatePdf"}
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{0,99}")

Item = dict[str, Any]


def wire_name(step: Any) -> str:
    """A step's name on the wire. InvalidPayload for what is no name: which steps there are is theirs to say."""
    if not isinstance(step, str) or not _NAME.fullmatch(step):
        raise InvalidPayload("`step` must be the name of a step, such as generateText.", code="no_such_step")
    return WIRE_NAMES.get(step, step)


def _place(data: Mapping[str, Any]) -> dict[str, str]:
    """The conversation that steps go on."""
    named = {"appId": data.get("app_id"), "threadId": data.get("thread_id")}
    return {name: value for name, value in named.items() if value}


def _begun_or_done(call: Call, names: tuple[str, str], body: Mapping[str, Any], kind: str = "") -> tuple[Answer, bool]:
    """The answer of the operation that is polled, or of the one that answers at once, and which of them it is."""
    later, at_once = names
    try:
        return api.post(call, api.path(call, later, kind=kind), body), True
    except InvalidPayload:
        if call.exchange is None or call.exchange.status != 404:  # a step of a name that is unknown is refused twice
            raise
    return api.post(call, api.path(call, at_once, kind=kind), body), False


# ------------------------------------------------------------------------------------------------------------- one step


def _given_one(call: Call) -> Item:
    return {"stepType": wire_name(call.event.data.get("step")), "step": call.event.data.get("input") or {}}


def _begin_one(call: Call, given: Item) -> Outcome:
    kind, body = given["stepType"], {"step": given["step"], **_place(call.event.data)}
    if call.event.data.get("stream") is True:
        return _streamed(call, kind, body)
    answer, polled = _begun_or_done(call, ("step_async", "step"), body, kind)
    said = api.object_in(answer)
    if polled:
        return jobs.looking(call, api.text_in(said, "executionToken"), kind, **_where(said))
    return _finish(call, [said], _where_of(answer), said.get("billingCost"))


def _streamed(call: Call, kind: str, body: Mapping[str, Any]) -> Outcome:
    """The operation that answers with the step's log while it works, and with its end."""
    answer = api.post(call, api.path(call, "step", kind=kind), body, accept=sse.TYPE)
    said = sse.ended(call, answer) if sse.is_stream(answer) else api.object_in(answer)
    return _finish(call, [said], _where_of(answer), said.get("billingCost"))


def _where_of(answer: Answer) -> dict[str, str]:
    """What an answer's headers say of the conversation."""
    heads = {"app_id": "x-mindstudio-app-id", "thread_id": "x-mindstudio-thread-id"}
    return {name: answer.headers[head] for name, head in heads.items() if answer.headers.get(head)}


def _ended_one(call: Call, body: Mapping[str, Any]) -> Outcome:
    return _finish(call, [body], _where(body), body.get("billingCost"))


# ----------------------------------------------------------------------------------------------------------- many steps


def _given_many(call: Call) -> list[Item]:
    return [
        {"stepType": wire_name(each.get("step")), "step": each.get("input") or {}} for each in call.event.data["steps"]
    ]


def _begin_many(call: Call, given: list[Item]) -> Outcome:
    answer, polled = _begun_or_done(call, ("batch_async", "batch"), {"steps": given, **_place(call.event.data)})
    said = api.object_in(answer)
    if polled:
        return jobs.looking(call, api.text_in(said, "batchToken"), **_where(said))
    return _ended_many(call, said)


def _ended_many(call: Call, body: Mapping[str, Any]) -> Outcome:
    results, asked = body.get("results"), call.event.data["steps"]
    if not isinstance(results, list) or len(results) != len(asked) or not all(isinstance(e, dict) for e in results):
        raise api.unreadable(f"other results than those of {len(asked)} steps")
    return _finish(call, results, _where(body), body.get("totalBillingCost"))


# ---------------------------------------------------------------------------------------------------------------- ends


def _where(body: Mapping[str, Any]) -> dict[str, str]:
    said = {"app_id": body.get("appId"), "thread_id": body.get("threadId")}
    return {name: str(value) for name, value in said.items() if value}


def _finish(call: Call, results: Sequence[Mapping[str, Any]], place: Mapping[str, str], billed: Any) -> Outcome:
    """The end; first what lies elsewhere is fetched, in a step of its own: it may fail, and is paid for already."""
    cost = api.cost(billed)
    items = [_item(call, each) for each in results]
    place = {name: call.progress[name] for name in ("app_id", "thread_id") if call.progress.get(name)} | dict(place)
    if any("output_url" in item for item in items):
        spent = {"amount": str(cost.amount), "unit": cost.unit} if cost else None
        after = {"step": jobs.FETCH, "items": items, "spent": spent, **place}
        return Wait(0, after, external_id=place.get("thread_id"), cost=cost)
    return _TELL[call.event.type](call, items, place, cost, cost)


def _item(call: Call, result: Mapping[str, Any]) -> Item:
    """One step's end: `output`, or where it is, or `error`."""
    spent = api.cost_facts(api.cost(result.get("billingCost"))) | ({"log": result["log"]} if "log" in result else {})
    if words(result) and result.get("output") is None and not result.get("outputUrl"):
        return {"error": api.shown(call, words(result)), **spent}
    if result.get("output") is None and isinstance(result.get("outputUrl"), str):
        return {"output_url": result["outputUrl"], **spent}
    return {"output": result.get("output"), **spent}


def _fetch(call: Call) -> Outcome:
    """Fetch what lies elsewhere. What is not to be had is that step's error."""
    items = [_fetched(call, item) for item in call.progress["items"]]
    place = {name: call.progress[name] for name in ("app_id", "thread_id") if name in call.progress}
    spent = call.progress["spent"]
    cost = Cost(Decimal(spent["amount"]), spent["unit"]) if spent else None
    return _TELL[call.event.type](call, items, place, cost, None)  # the cost is on the row of the step before


def _fetched(call: Call, item: Item) -> Item:
    if "output_url" not in item:
        return item
    rest = {name: value for name, value in item.items() if name != "output_url"}
    try:
        return {**rest, "output": api.fetch(call, item["output_url"])}
    except Refused as error:
        return {**rest, "error": str(error)}


def _tell_one(
    call: Call, items: list[Item], place: Mapping[str, str], spent: Cost | None, cost: Cost | None
) -> Outcome:
    (item,) = items
    if "error" in item:
        return jobs.failed(call, "step", item["error"], cost)
    told, assets = api.told(call, "output", item["output"])
    log = {"log": item["log"]} if "log" in item else {}
    facts = {"step": call.event.data["step"], **told, **log, **place, **api.cost_facts(spent), **api.named(call)}
    events = (api.published(call, STEP_DONE, facts),)
    return Done(facts, place.get("thread_id"), assets=assets, events=events, cost=cost)


def _tell_many(
    call: Call, items: list[Item], place: Mapping[str, str], spent: Cost | None, cost: Cost | None
) -> Outcome:
    errors = [item["error"] for item in items if "error" in item]
    if len(errors) == len(items):
        return jobs.failed(call, "batch", f"all {len(items)} steps failed, the first one with: {errors[0]}", cost)
    asked = [each["step"] for each in call.event.data["steps"]]
    results = [{"step": step, **item} for step, item in zip(asked, items, strict=True)]
    told, assets = api.told(call, "results", results)
    counts = {"steps": len(items), "failed": len(errors)}
    facts = {**told, **counts, **place, **api.cost_facts(spent), **api.named(call)}
    events = (api.published(call, STEPS_DONE, facts),)
    return Done(facts, place.get("thread_id"), assets=assets, events=events, cost=cost)


_TELL = {STEP: _tell_one, STEPS: _tell_many}


# ------------------------------------------------------------------------------------------------------------ estimates


def _estimate(call: Call) -> Outcome:
    """What a step would cost, as they think."""
    data = call.event.data
    asked = {"step": {"type": wire_name(data.get("step")), **(data.get("input") or {})}}
    named = {"appId": data.get("app_id"), "workflowId": data.get("workflow_id")}
    body = {**asked, **{name: value for name, value in named.items() if value}}
    said = api.object_in(api.post(call, api.path(call, "estimate"), body))
    rows = [each for each in said.get("estimates") or [] if isinstance(each, dict)]
    costs = [row["estimatedCost"] for row in rows if isinstance(row.get("estimatedCost"), int | float)]
    total = Cost(sum((Decimal(str(each)) for each in costs), Decimal(0)), "nano_credits") if costs else None
    facts = {"step": data["step"], **api.cost_facts(total), "estimates": rows, **api.named(call)}
    return Done(facts, events=(api.published(call, ESTIMATED, facts),))


ONE = jobs.Job("step", "step_poll", _given_one, _begin_one, _ended_one, fetch=_fetch)
MANY = jobs.Job("batch", "batch_poll", _given_many, _begin_many, _ended_many, fetch=_fetch)
ACTIONS: Mapping[str, Action] = {
    STEP: ONE.action(STEP_DONE),
    STEPS: MANY.action(STEPS_DONE),
    ESTIMATE: Action(_estimate, Repeat.SAFE, publishes=(ESTIMATED,)),
}
