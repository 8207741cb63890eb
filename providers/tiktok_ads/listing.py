"""The stream `campaigns`: every campaign of the account as TikTok has it, deleted ones too.

https://business-api.tiktok.com/portal/docs?id=1739315828649986
There is no filter for what changed: all pages are read. Newest come first and pages are positional, so a campaign that
is made meanwhile shifts rows to a page that is read later, and shows up twice: links are stored by their id.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from model import Cursor, Done, Link, Outcome, Records, Wait
from providers.contract import Call
from providers.tiktok_ads.api import Page, page, reading
from providers.tiktok_ads.campaigns import FIELDS, link_from

CAMPAIGNS = "campaigns"
QUERY: Mapping[str, Any] = {"fields": FIELDS, "filtering": {"primary_status": "STATUS_ALL"}}


def read_campaigns(call: Call) -> Outcome:
    """One page, stored with how far the walk is."""
    began = call.progress.get("began") or call.now.isoformat()
    got = page(call, "campaign/get/", QUERY, call.progress.get("page", 1))
    with reading(call):
        links = _links(got)
    rows = call.progress.get("rows", 0) + len(got.rows)
    if not got.is_last:
        progress = {"began": began, "page": got.number + 1, "rows": rows, "done": got.number, "of": got.pages}
        return Wait(0, progress, records=Records(links=links))
    # A listing that shrank while it was read may have skipped rows: then nobody is declared gone.
    since = datetime.fromisoformat(began) if rows >= got.total else None
    cursor = Cursor(CAMPAIGNS, {"listed_at": began}, finished=True)
    return Done(
        result={"campaigns": rows, "pages": got.number, "complete": since is not None},
        records=Records(links=links, cursor=cursor, listed_since=since),
    )


def _links(got: Page) -> tuple[Link, ...]:
    return tuple({link.external_id: link for link in map(link_from, got.rows)}.values())
