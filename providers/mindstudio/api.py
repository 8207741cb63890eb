"""Requests to MindStudio's developer API, and what is kept of its answers.

https://github.com/youai1/gitbook-docs (developers/api-reference), https://github.com/mindstudio-ai/mindstudio-agent
The key is a bearer token. How far something is, is asked without it: the token in the path is all that a look needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import quote

import jsontext
from model import Cost, MediaAsset, NewEvent
from providers.contract import Call
from providers.errors import OutcomeUnknown, Refused, Unavailable, Unsettled
from providers.http import Answer, Headers, Request, api_request, media_request
from providers.messages import MASK
from providers.mindstudio.errors import FailedThere

AGENT = {"User-Agent": "AgentMesh/1"}
MAX_ANSWER_BYTES = 16 * 1024 * 1024  # a result may be a long text, and stands in its thread a second time
MAX_INLINE_BYTES = 128 * 1024  # of a result; an event holds 256 KiB, a longer one is kept as a file


def path(call: Call, operation: str, **pieces: str) -> str:
    """An operation's path with its pieces, quoted."""
    return call.paths[operation].format_map({name: quote(piece, safe="") for name, piece in pieces.items()})


def post(
    call: Call, path: str, body: Mapping[str, Any], secrets: tuple[str, ...] = (), accept: str | None = None
) -> Answer:
    """Do an operation. `secrets` are those in the body; `accept` is the kind of answer that is asked for."""
    wants = {"Accept": accept} if accept else {}
    return call.send(_request(call, "POST", path, {**_key(call), **wants}, body, secrets))


def get(call: Call, path: str) -> Mapping[str, Any]:
    """What an operation that changes nothing answers."""
    return object_in(call.send(_request(call, "GET", path, _key(call))))


def look(call: Call, operation: str, token: str, kind: str) -> Mapping[str, Any]:
    """How far something is. Nothing that is shown has the token, a credential."""
    quoted = quote(token, safe="")
    request = _request(call, "GET", path(call, operation, token=token, kind=kind), {}, None, (token, quoted))
    request = replace(request, shown_url=request.url.replace(quoted, MASK))
    return object_in(call.send(request))


def token(call: Call) -> str:
    """The token to look with that is in the progress; empty before there is one."""
    sealed = call.progress.get("token")
    return call.known.opened(sealed) if sealed else ""


def fetch(call: Call, url: str) -> Any:
    """The value behind an address that an answer gave. Refused where it is not to be had: the key is not at fault."""
    try:
        return object_in(call.send(media_request("GET", url, MAX_ANSWER_BYTES))).get("value")
    except Refused as error:
        raise Refused(f"The output cannot be fetched. {error}", code="output_gone") from error


def put_file(call: Call, url: str, content: bytes, mime: str) -> None:
    """Put bytes where an answer said. The address is a credential, and no key goes there: it is not at fault."""
    try:
        call.send(replace(media_request("PUT", url), body=content, headers={**AGENT, "Content-Type": mime}))
    except Refused as error:
        raise Refused(f"A media file was not taken. {error}", code="upload_refused") from error


def _key(call: Call) -> dict[str, str]:
    return {"Authorization": f"Bearer {call.secrets['api_key']}"}


def _request(
    call: Call,
    method: str,
    path: str,
    key: Mapping[str, str],
    body: Mapping[str, Any] | None = None,
    secrets: tuple[str, ...] = (),
) -> Request:
    return api_request(
        method,
        call.base_url,
        path,
        headers={**AGENT, **key},
        json_body=body,
        max_answer_bytes=MAX_ANSWER_BYTES,
        secrets=secrets,
    )


@contextmanager
def paid(call: Call, what: str) -> Iterator[None]:
    """Around the one call that begins something: whatever they answer with 5xx, it may have been begun and billed."""
    try:
        yield
    except FailedThere as error:
        said = f"{error} The {what} may be on the bill all the same; a replay begins it again."
        raise Unsettled(said, code=error.code) from error
    except Unavailable as error:
        if call.exchange is None or call.exchange.status is None:  # nothing was sent
            raise
        raise OutcomeUnknown(str(error), code="provider_fault") from error


# ------------------------------------------------------------------------------------------------------- what came back


def object_in(answer: Answer) -> Mapping[str, Any]:
    """The answer's body, which must be an object."""
    body = answer.json()
    if not isinstance(body, dict):
        raise unreadable("something that is no object")
    return body


def text_in(body: Mapping[str, Any], name: str) -> str:
    """A text that must be there."""
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise unreadable(f"no `{name}`")
    return value


def unreadable(what: str) -> OutcomeUnknown:
    """An answer that does not say what was asked."""
    return OutcomeUnknown(f"MindStudio answered with {what}.", code="answer_unreadable")


def shown(call: Call, text: str) -> str:
    """Words from inside an answer, as they may be shown."""
    hidden = tuple(filter(None, (call.secrets.get("api_key"), token(call))))
    request = Request("GET", "", {}, b"", "", trusted=True, secrets=hidden)
    return Answer(200, Headers({}), b"", request=request).shown(text)


def cost(billed: Any) -> Cost | None:
    """What something cost. A run says it in dollars ("$0.0031"), all else in 1e-9 credits: never added."""
    if isinstance(billed, int) and not isinstance(billed, bool):
        return Cost(Decimal(billed), "nano_credits") if billed >= 0 else None
    if not isinstance(billed, str) or not billed.strip().startswith("$"):
        return None
    try:
        amount = Decimal(billed.strip()[1:].replace(",", ""))
    except InvalidOperation:
        return None
    return Cost(amount, "usd") if amount.is_finite() and amount >= 0 else None


def cost_facts(spent: Cost | None) -> dict[str, Any]:
    """The same as a result tells it."""
    return {} if spent is None else {"cost": {"amount": format(spent.amount, "f"), "unit": spent.unit}}


# -------------------------------------------------------------------------------------------------------- what is told


def told(call: Call, name: str, value: Any) -> tuple[dict[str, Any], tuple[MediaAsset, ...]]:
    """A result under its name; one that is too long for an event as a file beside it, with `file` in its place."""
    content = value.encode() if isinstance(value, str) else jsontext.encoded(value)
    if len(content) <= MAX_INLINE_BYTES:
        return {name: value}, ()
    extension, mime = ("txt", "text/plain; charset=utf-8") if isinstance(value, str) else ("json", "application/json")
    try:
        asset = call.media.keep(f"{call.delivery_id}.{extension}", content, mime)
    except Exception as error:  # whatever a storage raises
        raise OutcomeUnknown("The result came but could not be stored.", code="media_not_kept") from error
    facts = {"asset_id": str(asset.id), "uri": asset.uri, "mime": asset.mime, "size_bytes": asset.size_bytes}
    return {"file": facts}, (asset,)


def named(call: Call) -> dict[str, Any]:
    """The name that the event gave, for people."""
    return {"name": call.event.data["name"]} if call.event.data.get("name") else {}


def published(call: Call, event_type: str, facts: Mapping[str, Any]) -> NewEvent:
    """The event that tells of a delivery's result, once."""
    data = {**facts, "source_event_id": str(call.event.id)}
    return NewEvent(call.event.tenant_id, event_type, data, f"{event_type}:{call.delivery_id}")
