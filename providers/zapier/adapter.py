"""Zapier: REST hooks and catch hooks, and any other endpoint that takes Standard Webhooks.

https://docs.zapier.com/platform/build/hook-trigger
A 2xx means accepted, not processed. Zapier does not deduplicate: a repeated event starts a second run of the
Zap, with the same `id` in the body, on which a filter step can act. Receivers that follow Standard Webhooks
deduplicate on `webhook-id`, which is the delivery's id and the same for all its attempts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from model import Done
from providers.contract import Action, Call, Provider, Rate, Repeat
from providers.errors import InvalidPayload, ProviderError, RateLimited, Refused, Unavailable
from providers.http import Answer, Fault, Refusals, Request, Transport, webhook_request
from providers.messages import compact_json
from providers.signatures import sign

USER_AGENT = "AgentMesh/1 (webhooks)"
HOOK_HOSTS = {"hooks.zapier.com"}
TRACKING = ("id", "request_id", "attempt")  # what Zapier's answer says of the accepted event
UNASKED_WAIT_S = 60.0  # after a 429 without Retry-After: Zapier documents none


def send_hook(call: Call) -> Done:
    """Any event -> one signed POST of one object."""
    answer = call.send(hook_request(call))
    tracking = _tracking(answer)
    return Done(result=tracking, external_id=tracking.get("request_id") or tracking.get("id"))


def hook_request(call: Call) -> Request:
    """The POST of a delivery: `id` in the body is the event's, `webhook-id` the delivery's."""
    event = call.event
    event_id = str(event.id)
    body = compact_json(
        {
            "id": event_id,
            "type": event.type,
            "occurred_at": _utc(event.occurred_at),
            "tenant_id": event.tenant_id,
            "data": event.data,
        }
    )
    headers = {
        "User-Agent": USER_AGENT,
        "Content-Type": "application/json",
        "X-Event-Id": event_id,
        "X-Event-Type": event.type,
        **sign_headers(call.signing_secrets, call.delivery_id, call.now, body),
    }
    return webhook_request("POST", call.target_url, headers, body)


def sign_headers(secrets: tuple[str, ...], delivery_id: UUID, now: datetime, body: bytes) -> Mapping[str, str]:
    """Standard Webhooks headers; without a secret only the id, so that receivers can still deduplicate."""
    if not secrets:
        return {"webhook-id": str(delivery_id)}
    return sign(secrets, str(delivery_id), int(now.timestamp()), body)


def _utc(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _tracking(answer: Answer) -> dict[str, str]:
    said: Any = answer.json_or_none() if answer.content else None
    if not isinstance(said, dict):
        return {}
    return {name: said[name] for name in TRACKING if isinstance(said.get(name), str) and len(said[name]) <= 200}


def unsubscribe_request(url: str) -> Request:
    """The call that pauses a REST hook's Zap on Zapier's side."""
    return webhook_request("DELETE", url, {"User-Agent": USER_AGENT}, b"")


def reverse_unsubscribe(transport: Transport, url: str, deadline_s: float = 10.0) -> bool:
    """Tell Zapier that a hook gets no more events; False for somebody else's URL. Best effort: no answer is awaited."""
    if urlsplit(url).hostname not in HOOK_HOSTS:
        return False
    with contextlib.suppress(ProviderError):
        transport.send(unsubscribe_request(url), deadline_s)
    return True


# The URL is the only credential, so no status asks anybody to reconnect an account: what is refused, is
# refused for this event. 404 is retried: it is not confirmed for dead hooks, and elsewhere it is what a
# deployment looks like.
STATUSES: Mapping[int, Fault] = {
    400: InvalidPayload,
    401: Refused,
    402: Refused,
    403: Refused,
    404: lambda said: Unavailable(said, code="not_found"),
    413: InvalidPayload,
    415: InvalidPayload,
    422: InvalidPayload,
    429: lambda said: RateLimited(said, wait_s=UNASKED_WAIT_S),
}

PROVIDER = Provider(
    name="zapier",
    title="Zapier",
    base_url="",
    docs_url="https://docs.zapier.com/platform/build/hook-trigger",
    api_version="REST hooks",
    auth="none",
    actions={"*": Action(send_hook, Repeat.SAFE)},
    refusals=Refusals(statuses=STATUSES),
    by_webhook=True,
    host_rates={"hooks.zapier.com": Rate(20, 1.0)},  # Zapier answers 429 from 30/s of one hook on
    deadline_s=30.0,
    farewell=reverse_unsubscribe,
)
