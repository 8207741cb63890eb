"""The webhooks of the workspace: made, changed, removed, and listed by the stream `webhooks`.

https://elevenlabs.io/docs/api-reference/webhooks/create
The secret of a new one is shown once. It goes sealed into the delivery's result, and nowhere else: a person opens it
and gives it to the account (README). A webhook whose answer was lost has a secret that nobody knows: it is removed
before another is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from model import Cursor, Done, Outcome, Records, Wait
from providers.contract import Action, Call, Repeat
from providers.elevenlabs import api
from providers.errors import InvalidPayload, OutcomeUnknown, Refused
from providers.http import api_request

STREAM = "webhooks"
MADE, CHANGED, REMOVED = "workspace_webhook.created", "workspace_webhook.updated", "workspace_webhook.removed"
SHOWN = ("webhook_id", "name", "webhook_url", "is_disabled", "is_auto_disabled", "events", "created_at_unix")
FAILURES = ("most_recent_failure_error_code", "most_recent_failure_timestamp")
PATCHED = ("retry_enabled", "events")  # passed on as they are; `events` replaces the whole set
CLOCKS_APART_S = 60

Row = Mapping[str, Any]


def create(call: Call) -> Outcome:
    """workspace_webhook.create_requested {name, url} -> a webhook, its secret sealed in the result; and …created."""
    data = call.event.data
    name, url = (api.required(each, data.get(each)) for each in ("name", "url"))
    if "known" not in call.progress:
        return Wait(0, {"known": [row["webhook_id"] for row in _same(call)]})
    body = {"settings": {"auth_type": "hmac", "name": name, "webhook_url": url}}
    made = api.object_in(call.send(api.post(call, api.path(call, "webhooks"), body)).json())
    webhook_id, secret = made.get("webhook_id"), made.get("webhook_secret")
    if not isinstance(webhook_id, str) or not isinstance(secret, str) or not secret:
        raise OutcomeUnknown("The answer has no webhook with its secret.", code="answer_unreadable")
    facts = {"webhook_id": webhook_id, "name": name, "url": url}
    events = (api.published(call, MADE, facts),)
    return Done({**facts, "secret_sealed": call.known.seal(secret)}, external_id=webhook_id, events=events)


def repeat(progress: Mapping[str, Any]) -> Repeat:
    """The first step only looks which there are."""
    return Repeat.LOOKUP if "known" in progress else Repeat.SAFE


def find(call: Call) -> None:
    """None: what a lost answer told of is of no use without its secret, and is removed before another is made."""
    api.reading(lambda: _remove_lost(call))


def _remove_lost(call: Call) -> None:
    since = call.first_attempt_at.timestamp() - CLOCKS_APART_S
    new = [row for row in _same(call) if row["webhook_id"] not in call.progress["known"]]
    lost = [row for row in new if (row.get("created_at_unix") or since) >= since]
    if len(lost) > 1:
        ids = ", ".join(row["webhook_id"] for row in lost)
        raise Refused(
            f"An answer was lost, and {len(lost)} webhooks of this name and address were made since then ({ids}): which"
            " is this one cannot be told. Remove those that are not wanted; a replay makes another one.",
            code="not_told_apart",
        )
    for row in lost:
        _delete(call, row["webhook_id"])


def _same(call: Call) -> list[Row]:
    """Those of the event's name and address."""
    wanted = (call.event.data.get("name"), call.event.data.get("url"))
    return [row for row in _listed(call) if (row.get("name"), row.get("webhook_url")) == wanted]


def _listed(call: Call) -> Sequence[Row]:
    body = api.object_in(call.send(api.get(call, api.path(call, "webhooks"))).json(), "list of webhooks")
    rows = body.get("webhooks")
    if not isinstance(rows, list):
        raise OutcomeUnknown("The webhooks that came back are no list.", code="answer_unreadable")
    return [row for row in rows if isinstance(row, dict) and isinstance(row.get("webhook_id"), str)]


def update(call: Call) -> Done:
    """workspace_webhook.update_requested {webhook_id, …} -> it is as that says; what is left out stays."""
    data, webhook_id = call.event.data, api.required("webhook_id", call.event.data.get("webhook_id"))
    row = next((row for row in _listed(call) if row["webhook_id"] == webhook_id), None)
    if row is None:
        raise InvalidPayload(f"The workspace has no webhook {webhook_id!r}.", code="webhook_unknown")
    disabled = data["is_disabled"] if data.get("is_disabled") is not None else bool(row.get("is_disabled"))
    body = {"is_disabled": disabled, "name": data.get("name") or row.get("name"), **api.optional(data, PATCHED)}
    path = api.path(call, "webhook", webhook_id=webhook_id)
    call.send(api_request("PATCH", call.base_url, path, headers=api.headers(call), json_body=body))
    facts = {"webhook_id": webhook_id, **body}
    return Done(facts, external_id=webhook_id, events=(api.published(call, CHANGED, facts),))


def remove(call: Call) -> Done:
    """workspace_webhook.remove_requested {webhook_id} -> it is gone, also when it was gone before."""
    webhook_id = api.required("webhook_id", call.event.data.get("webhook_id"))
    there = any(row["webhook_id"] == webhook_id for row in _listed(call))
    if there:
        _delete(call, webhook_id)
    facts = {"webhook_id": webhook_id, "was_gone": not there}
    return Done(facts, external_id=webhook_id, events=(api.published(call, REMOVED, facts),))


def _delete(call: Call, webhook_id: str) -> None:
    path = api.path(call, "webhook", webhook_id=webhook_id)
    call.send(api_request("DELETE", call.base_url, path, headers=api.headers(call)))


def read(call: Call) -> Done:
    """sync.due of the stream: the list, kept as its value. Its answers hold no secrets."""
    rows = [{name: row.get(name) for name in (*SHOWN, *FAILURES)} for row in _listed(call)]
    return Done({"webhooks": len(rows)}, records=Records(cursor=Cursor(STREAM, {"webhooks": rows}, finished=True)))


ACTIONS: Mapping[str, Action] = {
    "workspace_webhook.create_requested": Action(create, repeat, find, publishes=(MADE,)),
    "workspace_webhook.update_requested": Action(update, Repeat.SAFE, publishes=(CHANGED,)),
    "workspace_webhook.remove_requested": Action(remove, Repeat.SAFE, publishes=(REMOVED,)),
}
