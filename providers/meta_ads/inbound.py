"""Meta's webhooks: the handshake, the signature over the raw bytes, and what the changes say.

https://developers.facebook.com/docs/graph-api/webhooks/getting-started
Meta sends no id of a message: the same change told again is known by its own content. What changed has to be asked for.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn
from urllib.parse import parse_qs

from providers.inbound import Arrival, Forged, Inbound, Malformed, Notice

SIGNATURE = "x-hub-signature-256"  # `x-hub-signature` is the older SHA-1, and not looked at
FORM = "application/x-www-form-urlencoded"
SIGNED_FIELD = "signed_request"
DEAUTHORIZED = "deauthorized"
CAMPAIGNS = "campaigns"  # the stream that is read where a message means that something has changed
LEAD_FETCH = "lead.fetch_requested"


def handshake(query: Mapping[str, str], token: str) -> str | None:
    """The challenge, to be answered as it is; None where our token is not in it."""
    known = bool(token) and _same(query.get("hub.verify_token", ""), token)
    return query.get("hub.challenge") if known and query.get("hub.mode") == "subscribe" else None


def verify(arrival: Arrival, secret: str) -> None:
    """Whether the app's secret signed the raw bytes, or the one field of a form that says that a person has left."""
    if _is_form(arrival):
        signed_request(_field(arrival), secret)
        return
    given = arrival.headers.get(SIGNATURE, "")
    if not given:
        raise Forged(f"The header {SIGNATURE} is missing.")
    if not _same(given, "sha256=" + hmac.digest(secret.encode(), arrival.body, hashlib.sha256).hex()):
        raise Forged(f"The header {SIGNATURE} does not fit the body.")


def signed_request(value: str, secret: str) -> Mapping[str, Any]:
    """What a `signed_request` says: the deauthorize and data-deletion callbacks. The encoded text is what is signed."""
    signature, _, payload = value.partition(".")
    try:
        given = _unpadded(signature)
        content = json.loads(_unpadded(payload))
    except (ValueError, RecursionError, binascii.Error):
        raise Forged("The signed request cannot be read.") from None
    if not hmac.compare_digest(given, hmac.digest(secret.encode(), payload.encode(), hashlib.sha256)):
        raise Forged("The signed request's signature does not fit.")
    if not isinstance(content, dict) or content.get("algorithm") != "HMAC-SHA256":
        raise Forged("The signed request is not signed by HMAC-SHA256.")
    return content


def _unpadded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _same(given: str, ours: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), ours.encode())


def _is_form(arrival: Arrival) -> bool:
    return arrival.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM


def _field(arrival: Arrival) -> str:
    fields = parse_qs(arrival.body.decode("ascii", "replace"))
    return fields.get(SIGNED_FIELD, [""])[0]


def read(arrival: Arrival) -> Sequence[Notice]:
    """A notice for each change."""
    if _is_form(arrival):
        return [_left(_field(arrival))]
    body = _parsed(arrival.body)
    entries = body.get("entry") if isinstance(body, dict) else None
    if not isinstance(entries, list):
        _malformed()
    return [notice for entry in entries for notice in _notices(str(body.get("object") or ""), entry)]


def _left(value: str) -> Notice:
    """A person removed the app, or wants to be forgotten: both callbacks look the same."""
    payload = value.partition(".")[2]
    content = texts_of(json.loads(_unpadded(payload)))
    digest = hashlib.sha256(payload.encode()).hexdigest()
    return Notice(digest, DEAUTHORIZED, str(content.get("user_id") or ""), content, forget=True)


def _parsed(body: bytes) -> Any:
    """JSON with whole numbers of any length: Meta's ids may come as such."""
    try:
        return texts_of(json.loads(body))
    except (ValueError, RecursionError):
        _malformed()


def texts_of(value: Any) -> Any:
    """The same with every id as text: longer ones are not numbers everywhere."""
    if isinstance(value, list):
        return [texts_of(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {name: str(each) if _is_id(name, each) else texts_of(each) for name, each in value.items()}


def _is_id(name: str, value: Any) -> bool:
    return (name == "id" or name.endswith("_id")) and isinstance(value, int) and not isinstance(value, bool)


def _notices(kind_of_object: str, entry: Any) -> Iterator[Notice]:
    if not isinstance(entry, dict):
        _malformed()
    account, time = str(entry.get("id") or "").removeprefix("act_"), entry.get("time")
    for change in _changes(entry):
        identity = json.dumps([kind_of_object, entry.get("id"), time, change], sort_keys=True)
        yield Notice(
            external_id=hashlib.sha256(identity.encode()).hexdigest(),
            kind=str(change.get("field") or ""),
            account=account,
            data={"object": kind_of_object, "time": time, **change},
            publishes=_lead(kind_of_object, change),
            stream=CAMPAIGNS if _says_read(kind_of_object, change) else "",
        )


def _says_read(kind_of_object: str, change: Mapping[str, Any]) -> bool:
    """Whether campaigns are to be read again: one of them has changed, or what the login may do."""
    value = _value(change)
    told = str(value.get("object_type") or value.get("level") or "").lower()
    return kind_of_object == "permissions" or (kind_of_object == "ad_account" and told == "campaign")


def _lead(kind_of_object: str, change: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]] | None:
    """The event that has a lead fetched: its webhook holds ids only."""
    value = _value(change)
    if (kind_of_object, change.get("field")) != ("page", "leadgen") or not value.get("leadgen_id"):
        return None
    made_at = value.get("created_time")
    said = {
        "lead_id": str(value["leadgen_id"]),
        "form_id": value.get("form_id"),
        "page_id": value.get("page_id"),
        "external_ad_id": value.get("ad_id"),
        "created_at": datetime.fromtimestamp(made_at, UTC).isoformat() if isinstance(made_at, int) else None,
    }
    return LEAD_FETCH, {name: found for name, found in said.items() if found}


def _value(change: Mapping[str, Any]) -> Mapping[str, Any]:
    found = change.get("value")
    return found if isinstance(found, dict) else {}


def _changes(entry: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Each change; a subscription without values gives the names of the fields only."""
    given, names = entry.get("changes", []), entry.get("changed_fields", [])
    if not isinstance(given, list) or not isinstance(names, list) or not all(isinstance(each, dict) for each in given):
        _malformed()
    yield from given
    yield from ({"field": str(name)} for name in names)


def _malformed() -> NoReturn:
    raise Malformed("The body is not what Meta sends: an object with a list `entry`.")


INBOUND = Inbound(verify=verify, read=read, handshake=handshake, by_app=True, known_by=("page_id",))
