"""TikTok's own webhooks: what they must prove, and what they tell.

https://developers.tiktok.com/doc/webhooks-verification
Two families: signed ones of accounts and messages, and those of ad-account subscriptions, of which it is not
published whether they are signed.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import jsontext
from providers.inbound import Arrival, Forged, Inbound, Malformed, Notice
from providers.tiktok_ads.errors import text_of

SIGNATURE = "tiktok-signature"
WINDOW_S = 300  # TikTok gives no number
GO_AND_POLL = "go_and_poll"

# Unconfirmed: subscriptions of ad accounts may come unsigned. What does not prove where it comes from is believed in
# one thing only, that something changed and is to be read from TikTok; nothing of its content is passed on.
UNSIGNED_MEANS_POLL = True
CAMPAIGNS = "campaigns"  # the stream that is read where a message means that something has changed
OF_CAMPAIGNS = ("AD_ACCOUNT_SUSPENSION", "AD_GROUP", "AD", "REPORT_DATA_CHANGE")
LEAD_IDS: Mapping[str, str] = {  # ours -> theirs
    "page_id": "page_id",
    "external_campaign_id": "campaign_id",
    "external_ad_set_id": "adgroup_id",
    "external_ad_id": "ad_id",
}

_CHALLENGE = re.compile(r"[A-Za-z0-9_.-]{1,256}")


def verify(arrival: Arrival, secret: str) -> None:
    """Raise Forged unless the signature is ours over these bytes and of the last five minutes."""
    header = arrival.headers.get(SIGNATURE, "")
    if not header:
        if UNSIGNED_MEANS_POLL:
            return
        raise Forged("There is no TikTok-Signature.")
    parts = dict(part.strip().partition("=")[::2] for part in header.split(","))
    sent_at, given = parts.get("t", ""), parts.get("s", "")
    if not re.fullmatch(r"[0-9]{1,12}", sent_at) or not given.isascii():
        raise Forged("The TikTok-Signature is not `t=…,s=…`.")
    if not secret:
        raise Forged("No secret is set to verify signed webhooks with, so none is believed.")
    expected = hmac.digest(secret.encode(), sent_at.encode() + b"." + arrival.body, "sha256").hex()
    if not hmac.compare_digest(expected, given):
        raise Forged("The TikTok-Signature does not fit the body.")
    if abs(arrival.received_at.timestamp() - int(sent_at)) > WINDOW_S:
        raise Forged("The TikTok-Signature is too old, or of the future.")


def read(arrival: Arrival) -> list[Notice]:
    """The notice that a request is. Nothing in it is relied on but that it came."""
    try:
        body = jsontext.decoded(arrival.body)
    except ValueError:
        raise Malformed("The body is not JSON.") from None
    if not isinstance(body, dict):
        raise Malformed("The body is not a JSON object.")
    if not arrival.headers.get(SIGNATURE):
        minute = arrival.received_at.strftime("%Y%m%d%H%M")  # anybody may send these: one counts in a minute
        return [Notice(f"{GO_AND_POLL}:{minute}", GO_AND_POLL, stream=CAMPAIGNS, proven=False)]
    external_id = hashlib.sha256(arrival.body).hexdigest()
    leads = [_lead(external_id, entry) for entry in _entries(body) if "changes" in entry]
    if leads:
        return leads
    data, kind = {**body, **_content(body)}, _kind(body)
    return [Notice(external_id, kind, _account(body), data, stream=CAMPAIGNS if kind in OF_CAMPAIGNS else "")]


def _entries(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    entries = body.get("entry")
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def _lead(request_id: str, entry: Mapping[str, Any]) -> Notice:
    """What somebody wrote in a form: the message holds all of it, so that nothing has to be fetched."""
    lead_id = text_of(entry.get("id")) or request_id
    changes = [each for each in entry.get("changes") or () if isinstance(each, dict) and each.get("field")]
    made_at = entry.get("create_time")
    said = {
        "lead_id": lead_id,
        "provider": "tiktok_ads",
        "fields": {text_of(each["field"]): [str(each.get("value", ""))] for each in changes},
        **{ours: text_of(entry.get(theirs)) for ours, theirs in LEAD_IDS.items() if text_of(entry.get(theirs))},
        **({"created_at": datetime.fromtimestamp(made_at, UTC).isoformat()} if isinstance(made_at, int) else {}),
    }
    return Notice(f"lead:{lead_id}", "LEAD", text_of(entry.get("advertiser_id")), publishes=("lead.received", said))


def _kind(body: Mapping[str, Any]) -> str:
    return text_of(body.get("event")) or text_of(body.get("subscribe_entity")) or GO_AND_POLL


def _account(body: Mapping[str, Any]) -> str:
    """The advertiser, where the body or its only entry names one."""
    entries = body.get("entry")
    first = entries[0] if isinstance(entries, list) and len(entries) == 1 and isinstance(entries[0], dict) else {}
    return text_of(body.get("advertiser_id")) or text_of(first.get("advertiser_id"))


def _content(body: Mapping[str, Any]) -> dict[str, Any]:
    """`content` is JSON in a string; what cannot be read stays as it is."""
    content = body.get("content")
    if not isinstance(content, str):
        return {}
    try:
        return {"content": jsontext.decoded(content)}
    except ValueError:
        return {}


def handshake(query: Mapping[str, str], token: str) -> str | None:
    """Unconfirmed: a GET with `challenge` is answered with it, which is harmless for what is no markup."""
    challenge = query.get("challenge", "")
    return challenge if _CHALLENGE.fullmatch(challenge) else None


INBOUND = Inbound(verify=verify, read=read, handshake=handshake, unsigned=UNSIGNED_MEANS_POLL)
