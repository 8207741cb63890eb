"""The stream `pixels`: what may take an account's conversions, so that a person sees which code to give.

https://business-api.tiktok.com/portal/docs?id=1740858697598978
Kept whole in the cursor: `mesh integrations cached ID pixels` shows it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from model import Cursor, Done, Outcome, Records
from providers.contract import Call
from providers.tiktok_ads.api import Data, read, reading
from providers.tiktok_ads.errors import text_of, unreadable

PIXELS = "pixels"
PAGE_SIZE = 20
PAGES = 50


def read_pixels(call: Call) -> Outcome:
    """All pixels and offline event sets of the account, in one step: there are few."""
    sets = read(call, "offline/get/", {}).get("event_sets") or ()
    kept = {
        "pixels": [_pixel(row) for row in _pixels(call)],
        "offline_event_sets": [_set(row) for row in sets if isinstance(row, dict)],
    }
    cursor = Cursor(PIXELS, kept, finished=True)
    return Done(result={name: len(found) for name, found in kept.items()}, records=Records(cursor=cursor))


def _pixels(call: Call) -> Iterator[Data]:
    for number in range(1, PAGES + 1):
        rows = read(call, "pixel/list/", {"page": number, "page_size": PAGE_SIZE}).get("pixels")
        with reading(call):
            if not isinstance(rows, list):
                raise unreadable("it holds no pixels")
        yield from (row for row in rows if isinstance(row, dict))
        if len(rows) < PAGE_SIZE:
            return


def _pixel(row: Data) -> dict[str, Any]:
    return {
        "pixel_id": text_of(row.get("pixel_id")),
        "pixel_code": text_of(row.get("pixel_code")),
        "name": text_of(row.get("pixel_name")),
    }


def _set(row: Data) -> dict[str, Any]:
    return {"event_set_id": text_of(row.get("event_set_id")), "name": text_of(row.get("name"))}
