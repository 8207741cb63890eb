"""Lead ads: what somebody wrote in a form, fetched when a webhook says that it is there.

https://developers.facebook.com/docs/marketing-api/guides/lead-ads/retrieving
The webhook holds ids only. Reading a lead takes the permission `leads_retrieval`, which not every login has.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from model import Done, NewEvent
from providers.ads import key_in
from providers.contract import Call
from providers.errors import CredentialsRejected, Refused, Unavailable
from providers.meta_ads.api import graph, node, object_in, read
from providers.meta_ads.errors import PERMISSION

FIELDS = "field_data,created_time,campaign_id,campaign_name,adset_id,ad_id,form_id,is_organic"
IDS: Mapping[str, str] = {  # ours -> theirs
    "form_id": "form_id",
    "external_campaign_id": "campaign_id",
    "external_ad_set_id": "adset_id",
    "external_ad_id": "ad_id",
}


def fetch(call: Call) -> Done:
    """lead.fetch_requested -> the event lead.received. The same lead is told once, however often it is fetched."""
    lead_id, page_id = call.event.data["lead_id"], call.event.data.get("page_id")
    if page_id and page_id != str(call.config["page_id"]).strip():
        return Done(result={"skipped": "The lead is of another page than the account's."})
    lead = _read(call, lead_id)
    said = {
        "lead_id": lead_id,
        **({"page_id": page_id} if page_id else {}),
        "provider": call.provider.name,
        "integration_id": str(call.integration_id),
        "fields": fields_of(lead),
        **_facts(lead),
        "source_event_id": str(call.event.id),
    }
    key = f"lead.received:{call.integration_id}:{lead_id}"[:255]
    return Done(
        result={"lead_id": lead_id, "fields": sorted(said["fields"])},  # names only: the rest is about a person
        external_id=lead_id,
        events=(NewEvent(call.event.tenant_id, "lead.received", said, key=key),),
    )


def _read(call: Call, lead_id: str) -> Mapping[str, Any]:
    """The lead. A login that may read no leads may still do all else: the account is not in need of another one."""
    request = graph(call).get(node(lead_id), {"fields": FIELDS})
    try:
        lead = read(call, request, object_in)[1]
    except CredentialsRejected as error:
        if error.code != PERMISSION:
            raise
        raise Refused(
            f"{error} Reading leads takes leads_retrieval, and access to the page's leads.", code=PERMISSION
        ) from error
    if not isinstance(lead.get("field_data"), list):
        raise Unavailable("Meta answered without the lead's `field_data`.", code="answer_unreadable")
    return lead


def fields_of(lead: Mapping[str, Any]) -> dict[str, list[str]]:
    """What was written, by the form's own names."""
    rows = [row for row in lead["field_data"] if isinstance(row, dict) and row.get("name")]
    return {str(row["name"]): [str(value) for value in row.get("values") or ()] for row in rows}


def _facts(lead: Mapping[str, Any]) -> dict[str, Any]:
    """Where the lead comes from, as far as Meta says."""
    facts: dict[str, Any] = {ours: str(lead[theirs]) for ours, theirs in IDS.items() if lead.get(theirs)}
    key, made_at = key_in(str(lead.get("campaign_name") or "")), _moment(lead.get("created_time"))
    facts |= {"campaign_id": key} if key else {}
    facts |= {"created_at": made_at} if made_at else {}
    facts |= {"is_organic": lead["is_organic"]} if isinstance(lead.get("is_organic"), bool) else {}
    return facts


def _moment(text: Any) -> str | None:
    """A time with the colon in its offset that Meta leaves out."""
    try:
        return datetime.fromisoformat(str(text)).isoformat()
    except ValueError:
        return None
