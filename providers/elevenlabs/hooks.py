"""The webhooks of the workspace: made, changed, removed, and listed by the stream `webhooks`.

https://elevenlabs.io/docs/api-reference/webhooks/create
The secret of a new one is shown once. It goes sealed into the delivery's result, and nowhere else: a person opens it
and gives it to the account (README). A webhook whose answer was lost has a secret that nobody knows: it is removed
before another is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from model import Cursor, Done, Records
from providers.contract import Action, Call, Repeat
from providers.elevenlabs import api
from providers.errors import InvalidPayload, OutcomeUnknown
from providers.http import api_request

STREAM = "webhooks"
MADE, CHANGED, REMOVED = "workspace_webhook.created", "workspace_webhook.updated", "workspace_webhook.removed"
SHOWN = ("webhook_id", "name", "webhook_url", "is_disabled", "is_auto_disabled", "events", "created_at_unix")
FAILURES = ("most_recent_failure_error_code", "most_recent_failure_timestamp")
PATCHED = ("retry_enabled", "events")  # passed on as they are; `events` replaces the whole set

Row = Mapping[str, Any]


def create(call: Call) -> Done:
    """workspace_webhook.create_requested {name, url} -> a webhook, its secret sealed in the result; and …created."""
    url, name = api.required("url", call.event.data.get("url")), _name(call)
    body = {"settings": {"auth_type": "hmac", "name": name, "webhook_url": url}}
    made = api.object_in(call.send(api.post(call, api.path(call, "webhooks"), body)).json())
    webhook_id, secret = made.get("webhook_id"), made.get("webhook_secret")
    if not isinstance(webhook_id, str) or not isinstance(secret, str) or not secret:
        raise OutcomeUnknown("The answer has no webhook with its secret.", code="answer_unreadable")
    facts = {"webhook_id": webhook_id, "name": name, "url": url}
    events = (api.published(call, MADE, facts),)
    return Done({**facts, "secret_sealed": call.known.seal(secret)}, external_id=webhook_id, events=events)


def find(call: Call) -> None:
    """None: what a lost answer told of is of no use without its secret, and is removed before another is made."""
    api.reading(lambda: _remove_ours(call))


def _remove_ours(call: Call) -> None:
    for row in _listed(call):
        if row.get("name") == _name(call):
            _delete(call, row["webhook_id"])


def _name(call: Call) -> str:
    """What it is called there: by the delivery's id, one whose answer was lost is known again."""
    return f"{api.required('name', call.event.data.get('name'))[:100]} [{call.delivery_id}]"


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
    "workspace_webhook.create_requested": Action(create, Repeat.LOOKUP, find, publishes=(MADE,)),
    "workspace_webhook.update_requested": Action(update, Repeat.SAFE, publishes=(CHANGED,)),
    "workspace_webhook.remove_requested": Action(remove, Repeat.SAFE, publishes=(REMOVED,)),
}
