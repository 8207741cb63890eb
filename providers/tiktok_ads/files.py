"""Reports that somebody asks for: any level, dimensions and metrics, as a file of JSON lines.

https://business-api.tiktok.com/portal/docs?id=1740302781443073
TikTok makes them in the background: asked for, looked at, fetched whole. Every step only reads, and may be repeated.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import jsontext
from model import Done, NewEvent, Outcome, Wait
from providers.ads import link_of, today
from providers.contract import Call
from providers.errors import InvalidPayload, ProviderError, Refused
from providers.tiktok_ads.api import file, read, write
from providers.tiktok_ads.campaigns import find_link
from providers.tiktok_ads.children import own_parameters
from providers.tiktok_ads.errors import TASK_NOT_READY, text_of, unreadable
from providers.tiktok_ads.reports import DAY, ENDED, FILE, LEVELS, POLLS_MAX, POLLS_S, READY, rows_of

METRICS = ("spend", "impressions", "clicks", "conversion", "reach")
PRESETS: Mapping[str, int] = {  # days back, today included
    "today": 1,
    "last_7d": 7,
    "last_14d": 14,
    "last_28d": 28,
    "last_30d": 30,
    "last_90d": 90,
}
MIME = "application/x-ndjson"


def report(call: Call) -> Outcome:
    """One step of ad.report_requested -> a file, and the event that tells it."""
    task = call.progress.get("task")
    if not task:
        return _ask(call)
    return _fetch(call, task) if call.progress.get("ready") else _look(call, task)


def _ask(call: Call) -> Wait:
    task = text_of(write(call, "report/task/create/", {**_asked(call), **FILE}).get("task_id"))
    if not task:
        raise unreadable("it names no task")
    return Wait(POLLS_S[0], {"task": task, "polls": 0}, external_id=task)


def _asked(call: Call) -> dict[str, Any]:
    data = call.event.data
    by_days, extra = data.get("by_days"), list(data.get("breakdowns") or ())
    if by_days not in (None, 1):
        raise InvalidPayload(
            "TikTok reports by single days, or by none: by_days is 1, or left out.", code="unsupported"
        )
    body = LEVELS[data["level"]].question(*([DAY] if by_days else []), *extra)
    chosen = _chosen(call)
    if chosen:
        body["filtering"] = [*body.get("filtering", []), chosen]
    return {**body, "metrics": list(data.get("fields") or METRICS), **_days(call), **own_parameters(data)}


def _chosen(call: Call) -> dict[str, str] | None:
    """The filter for what the event names: one of the level itself, or a campaign."""
    data = call.event.data
    if data.get("external_id"):
        field, value = f"{LEVELS[data['level']].id}s", data["external_id"]
    elif data.get("campaign_id"):
        field, value = "campaign_ids", link_of(call, find_link).external_id
    else:
        return None
    return {"field_name": field, "filter_type": "IN", "filter_value": jsontext.text([value])}


def _days(call: Call) -> dict[str, str]:
    """The first and the last day, of the account's time zone."""
    data, last = call.event.data, today(call)
    if data.get("since"):
        return {"start_date": data["since"], "end_date": data.get("until") or last.isoformat()}
    preset = data.get("date_preset") or "last_30d"
    if preset not in PRESETS:
        raise InvalidPayload(f"There is no preset {preset!r}: there are {', '.join(PRESETS)}.", code="unknown_preset")
    return {"start_date": (last - timedelta(days=PRESETS[preset] - 1)).isoformat(), "end_date": last.isoformat()}


def _look(call: Call, task: str) -> Wait:
    try:
        status = text_of(read(call, "report/task/check/", {"task_id": task}).get("status"))
    except ProviderError as error:
        if error.code != TASK_NOT_READY:
            raise
        status = ""
    if status == READY:
        return Wait(0, {"task": task, "ready": True}, external_id=task)
    polls = call.progress["polls"] + 1
    if status in ENDED or polls > POLLS_MAX:
        raise Refused("TikTok could not make the report: ask for fewer days or dimensions.", code="report_failed")
    return Wait(POLLS_S[min(polls, len(POLLS_S) - 1)], {"task": task, "polls": polls}, external_id=task)


def _fetch(call: Call, task: str) -> Done:
    rows = rows_of(file(call, "report/task/download/", {"task_id": task}).content, LEVELS[call.event.data["level"]].id)
    content = "".join(jsontext.text(row) + "\n" for row in rows).encode()
    asset = call.media.keep(f"{call.delivery_id}.report.ndjson", content, MIME) if content else None
    facts: dict[str, Any] = {"report_id": call.event.data["report_id"], "rows": len(rows)}
    if asset is not None:
        facts |= {"asset_id": str(asset.id), "uri": asset.uri, "mime": asset.mime, "size_bytes": asset.size_bytes}
    said = {
        **facts,
        "provider": call.provider.name,
        "integration_id": str(call.integration_id),
        "source_event_id": str(call.event.id),
    }
    key = f"ad.report_completed:{call.delivery_id}"
    return Done(
        result=facts,
        external_id=task,
        assets=(asset,) if asset is not None else (),
        events=(NewEvent(call.event.tenant_id, "ad.report_completed", said, key=key),),
    )
