"""Reports that somebody asks for: what is asked, how long it is waited for, and the file in the end."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from model import Link, NewEvent
from providers.errors import InvalidPayload, Refused
from tests.providers.doubles import DELIVERY_ID, EVENT_ID, INTEGRATION_ID, NOW, Memory, Scripted, answer
from tests.providers.meta_ads.calls import (
    KEY,
    META_ID,
    TOO_MUCH,
    Stored,
    calling,
    error,
    page,
    params,
    path,
    run,
    waiting,
    walked,
)
from worker.catalog import event_types

RUN = "602300000000001"
ASKED = answer(200, {"report_run_id": RUN})
READY = answer(200, {"async_status": "Job Completed", "async_percent_completion": 100})
DATA = {"report_id": "rep_1", "level": "ad", "since": "2026-11-01", "breakdowns": ["age"], "by_days": 7}
TYPE = "ad.report_requested"


def polled(status: str, percent: int = 0, **more: Any) -> Any:
    return answer(200, {"async_status": status, "async_percent_completion": percent, **more})


def test_a_report_is_asked_for_polled_read_and_joined() -> None:
    media, rows = Memory(), [{"ad_id": str(number), "spend": "1.50"} for number in range(3)]
    polls = (polled("Job Running", 40), polled("Job Completed", 99), READY)
    scripted = Scripted(ASKED, *polls, page(rows[:2], after="p2"), page(rows[2:]))
    steps, last = walked(scripted, TYPE, DATA, media=media)
    asked = params(scripted.requests[0])
    assert path(scripted.requests[0]) == "POST /v25.0/act_1234567890/insights"
    assert json.loads(asked["time_range"]) == {"since": "2026-11-01", "until": "2026-11-23"}
    assert (asked["level"], asked["breakdowns"], asked["time_increment"]) == ("ad", '["age"]', "7")
    assert {"ad_id", "spend"} <= set(json.loads(asked["fields"]))
    assert [step.wait_s for step in steps] == [2, 3, 4.5, 0, 0, 0]
    (asset,) = last.assets
    content = media.files[f"{DELIVERY_ID}.report.ndjson"]
    assert [json.loads(line) for line in content.splitlines()] == rows
    assert list(media.files) == [f"{DELIVERY_ID}.report.ndjson"]
    said = {
        "report_id": "rep_1",
        "rows": 3,
        "asset_id": str(asset.id),
        "uri": asset.uri,
        "mime": "application/x-ndjson",
        "size_bytes": len(content),
        "provider": "meta_ads",
        "integration_id": str(INTEGRATION_ID),
        "source_event_id": str(EVENT_ID),
    }
    assert last.events == (NewEvent("t_42", "ad.report_completed", said, f"ad.report_completed:{DELIVERY_ID}"),)
    assert event_types()["ad.report_completed"].problem(said) is None


@pytest.mark.parametrize(
    ("changes", "asked"),
    [
        ({"external_id": "5"}, "POST /v25.0/5/insights"),
        ({"campaign_id": KEY}, f"POST /v25.0/{META_ID}/insights"),
    ],
)
def test_a_part_of_the_account(changes: dict[str, str], asked: str) -> None:
    scripted, known = Scripted(ASKED), Stored({KEY: Link(META_ID, KEY)})
    run(calling(scripted, TYPE, {**DATA, **changes}, known=known))
    assert path(scripted.requests[0]) == asked


def test_metas_own_words_and_presets() -> None:
    scripted = Scripted(ASKED)
    own = {"action_attribution_windows": ["1d_click"], "filtering": [{"field": "spend", "operator": "GREATER_THAN"}]}
    data = {"report_id": "r", "level": "account", "date_preset": "last_month", "fields": ["spend"]}
    run(calling(scripted, TYPE, {**data, "extra": {"meta_ads": own}}))
    sent = params(scripted.requests[0])
    assert (sent["date_preset"], sent["fields"], "time_range" in sent) == ("last_month", '["spend"]', False)
    assert json.loads(sent["action_attribution_windows"]) == ["1d_click"]
    assert "breakdowns" not in sent


def test_a_report_without_rows_is_no_file() -> None:
    _, last = walked(Scripted(ASKED, READY, page([])), TYPE, DATA, media=Memory())
    assert (last.result, last.assets) == ({"report_id": "rep_1", "rows": 0}, ())
    assert event_types()["ad.report_completed"].problem(last.events[0].data) is None


def test_a_page_that_is_too_much_is_asked_for_in_halves() -> None:
    scripted = Scripted(ASKED, READY, TOO_MUCH, page([{"ad_id": "1"}]))
    _, last = walked(scripted, TYPE, DATA, media=Memory())
    assert [params(each)["limit"] for each in scripted.requests[2:]] == ["500", "250"]
    assert last.result["rows"] == 1


def test_a_page_that_storage_has_lost_is_read_again() -> None:
    media = Memory()
    progress: Any = {}
    scripted = Scripted(ASKED, READY, page([{"ad_id": "1"}]), page([{"ad_id": "1"}]))
    for _ in range(3):
        progress = waiting(run(calling(scripted, TYPE, DATA, media=media, progress=progress))).progress
    media.files.clear()
    again = waiting(run(calling(scripted, TYPE, DATA, media=media, progress=progress)))
    assert (again.progress["pages"], again.progress["rows"], again.progress["all_read"]) == (0, 0, False)


@pytest.mark.parametrize("status", ["Job Failed", "Job Skipped"])
def test_a_report_that_cannot_be_made_is_told(status: str) -> None:
    scripted = Scripted(ASKED, polled(status, error_message="Ask for less."))
    with pytest.raises(Refused, match=r"Ask for less\.") as failed:
        walked(scripted, TYPE, DATA)
    assert failed.value.code == "report_failed"


def test_a_report_that_takes_too_long_is_given_up() -> None:
    progress = {"run": RUN, "asked_at": NOW.isoformat(), "poll_s": 60}
    call = calling(Scripted(polled("Job Running", 5)), TYPE, DATA, progress=progress, now=NOW + timedelta(hours=2))
    with pytest.raises(Refused) as slow:
        run(call)
    assert slow.value.code == "report_too_slow"


def test_a_report_that_is_gone_is_asked_for_once_more() -> None:
    missing = error(100, 33)
    scripted = Scripted(ASKED, missing, ASKED, missing)
    with pytest.raises(InvalidPayload) as gone:
        walked(scripted, TYPE, DATA)
    assert gone.value.code == "object_missing"
    assert [each.method for each in scripted.requests] == ["POST", "GET", "POST", "GET"]
