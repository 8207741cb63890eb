"""Reports that somebody asks for: any fields and breakdowns of insights, as a file of JSON lines.

https://developers.facebook.com/docs/marketing-api/insights
Meta makes them in the background: asked for, polled, then read a page a step. Every step only reads, and may be
repeated: a page is kept under its number, and the last step joins them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import jsontext
from model import Done, MediaAsset, NewEvent, Outcome, Wait
from providers.ads import link_of, today
from providers.contract import Call
from providers.errors import InvalidPayload, Refused
from providers.meta_ads import campaigns
from providers.meta_ads.api import account, created_id, graph, node, object_in, over, own_parameters, page_of, read
from providers.meta_ads.errors import OBJECT_MISSING, TooMuchData
from providers.meta_ads.insights import COMPLETED, FAILED, LEVELS, STATUS_FIELDS
from providers.meta_ads.usage import usage_of

FIELDS = ("account_id", "account_currency", "impressions", "clicks", "spend", "reach", "actions", "action_values")
WHOSE: Mapping[str, tuple[str, ...]] = {
    "account": (),
    "campaign": ("campaign_id", "campaign_name"),
    "ad_set": ("campaign_id", "campaign_name", "adset_id", "adset_name"),
    "ad": ("campaign_id", "campaign_name", "adset_id", "adset_name", "ad_id", "ad_name"),
}
PAGE_ROWS = 500
POLL_S, LONGEST_POLL_S = 2.0, 60.0
TAKES = timedelta(minutes=60)
MIME = "application/x-ndjson"

Progress = Mapping[str, Any]


def report(call: Call) -> Outcome:
    """One step of ad.report_requested -> a file, and the event that tells it."""
    try:
        return _step(call.progress)(call, call.progress)
    except InvalidPayload as error:  # reports are not kept for ever; one that is gone is asked for once more
        if error.code != OBJECT_MISSING or not call.progress.get("run") or call.progress.get("again"):
            raise
        return Wait(0, {"again": True})


def _step(progress: Progress) -> Callable[[Call, Progress], Outcome]:
    if not progress.get("run"):
        return _ask
    if not progress.get("ready"):
        return _poll
    return _join if progress.get("all_read") else _page


def _ask(call: Call, progress: Progress) -> Wait:
    """Ask for the report."""
    request = graph(call).post(f"{_whose(call)}/insights", over(_asked(call), own_parameters(call.event.data)))
    answer, run = read(call, request, lambda answer: created_id(answer, "report_run_id"))
    begun = {**progress, "run": run, "asked_at": call.now.isoformat(), "poll_s": POLL_S}
    return Wait(max(POLL_S, usage_of(answer).pause_s), begun, external_id=run)


def _whose(call: Call) -> str:
    """What it is a report on: the account, or a part of it that the event names."""
    data = call.event.data
    if data.get("external_id"):
        return node(data["external_id"])
    return link_of(call, campaigns.found).external_id if data.get("campaign_id") else account(call)


def _asked(call: Call) -> dict[str, Any]:
    data = call.event.data
    since, until = data.get("since"), data.get("until") or today(call).isoformat()
    days = {"time_range": {"since": since, "until": until}} if since else {"date_preset": data.get("date_preset")}
    return {
        "level": LEVELS[data["level"]],
        "fields": data.get("fields") or [*WHOSE[data["level"]], *FIELDS],
        "breakdowns": data.get("breakdowns") or None,
        "time_increment": str(data["by_days"]) if data.get("by_days") else None,
        **days,
    }


def _poll(call: Call, progress: Progress) -> Wait:
    """See how far it is."""
    run = progress["run"]
    answer, found = read(call, graph(call).get(run, {"fields": STATUS_FIELDS}), object_in)
    if found.get("async_status") in FAILED:
        said = answer.shown(str(found.get("error_message") or found["async_status"]))
        raise Refused(f"Meta could not make the report: {said} Ask for fewer days or breakdowns.", code="report_failed")
    if found.get("async_status") == COMPLETED and str(found.get("async_percent_completion")) == "100":
        ready = {**progress, "ready": True, "after": None, "pages": 0, "rows": 0, "limit": PAGE_ROWS}
        return Wait(usage_of(answer).pause_s, ready, external_id=run)
    if call.now - datetime.fromisoformat(progress["asked_at"]) > TAKES:
        raise Refused("The report took Meta more than an hour: ask for less.", code="report_too_slow")
    wait_s = min(progress["poll_s"] * 1.5, LONGEST_POLL_S)
    return Wait(max(wait_s, usage_of(answer).pause_s), {**progress, "poll_s": wait_s}, external_id=run)


def _page(call: Call, progress: Progress) -> Wait:
    """Read one page, and keep it. One that is too large is asked for in halves."""
    asked = {"limit": str(progress["limit"]), "after": progress["after"]}
    try:
        answer, page = read(call, graph(call).get(f"{progress['run']}/insights", asked), page_of)
    except TooMuchData:
        if progress["limit"] <= 1:
            raise
        return Wait(0, {**progress, "limit": progress["limit"] // 2})
    lines = "".join(jsontext.text(row) + "\n" for row in page.rows)
    call.media.keep(_name(call, progress["pages"]), lines.encode(), MIME)
    counts = {"pages": progress["pages"] + 1, "rows": progress["rows"] + len(page.rows)}
    following = {**progress, **counts, "after": page.after, "all_read": page.after is None}
    return Wait(usage_of(answer).pause_s, following, external_id=progress["run"])


def _name(call: Call, page: int) -> str:
    return f"{call.delivery_id}.{page}.ndjson"


def _join(call: Call, progress: Progress) -> Outcome:
    """Put the pages together. Where storage has lost one, all are read again."""
    names = [_name(call, page) for page in range(progress["pages"])]
    pages = [call.media.read(name) for name in names]
    if None in pages:
        return Wait(0, {**progress, "all_read": False, "after": None, "pages": 0, "rows": 0})
    content = b"".join(page for page in pages if page)
    asset = call.media.keep(f"{call.delivery_id}.report.ndjson", content, MIME) if content else None
    for name in names:
        call.media.drop(name)
    return _done(call, progress, asset)


def _done(call: Call, progress: Progress, asset: MediaAsset | None) -> Done:
    facts: dict[str, Any] = {"report_id": call.event.data["report_id"], "rows": progress["rows"]}
    if asset is not None:
        facts |= {"asset_id": str(asset.id), "uri": asset.uri, "mime": asset.mime, "size_bytes": asset.size_bytes}
    said = {
        **facts,
        "provider": call.provider.name,
        "integration_id": str(call.integration_id),
        "source_event_id": str(call.event.id),
    }
    return Done(
        result=facts,
        external_id=progress["run"],
        assets=(asset,) if asset is not None else (),
        events=(
            NewEvent(call.event.tenant_id, "ad.report_completed", said, key=f"ad.report_completed:{call.delivery_id}"),
        ),
    )
