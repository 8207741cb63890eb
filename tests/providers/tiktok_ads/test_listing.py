"""The stream `campaigns`: every campaign as TikTok has it, whatever happens while it is read."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pytest

from model import Done, Records, Wait
from providers.errors import Unavailable, Unsupported
from tests.providers.doubles import NOW, Scripted
from tests.providers.tiktok_ads.platform import EU, Account, calling, done, page_of, query_of, run, said

SYNC = {"integration_id": "0192f0c1-7b1a-7c3e-9d55-3f1a2b4c5d6e", "stream": "campaigns"}


def row(number: int, **more: Any) -> dict[str, Any]:
    return {
        "campaign_id": 1801000000000000000 + number,
        "campaign_name": f"Campaign {number} [cmp_{number}]",
        "operation_status": "ENABLE",
        "secondary_status": "CAMPAIGN_STATUS_ENABLE",
        "objective_type": "TRAFFIC",
        **more,
    }


def walked(*answers: Any) -> tuple[Done, list[Records], Scripted]:
    """All steps over these answers."""
    scripted, records = Scripted(*answers), []
    progress: Mapping[str, Any] = {}
    while True:
        outcome = run(calling(scripted, "sync.due", SYNC, progress=progress))
        assert outcome.records is not None
        records.append(outcome.records)
        if isinstance(outcome, Done):
            return outcome, records, scripted
        assert (outcome.wait_s, outcome.progress["done"] <= outcome.progress["of"]) == (0, True)
        progress = outcome.progress


def ids(records: Records) -> list[int]:
    return [int(link.external_id) - 1801000000000000000 for link in records.links]


def test_all_campaigns_of_the_account_deleted_ones_too(account: Account) -> None:
    outcome = account.publish("sync.due", SYNC)
    assert outcome.result == {"campaigns": 12, "pages": 1, "complete": True}
    (records,) = account.records
    assert len(records.links) == 12
    (gone,) = [link for link in records.links if link.deleted]
    assert (gone.details["name"], gone.external_state) == ("Spring clearance", "DELETE")
    assert all(link.key is None and link.applied_at is None for link in records.links)
    assert {link.external_state for link in records.links} == {"ENABLE", "DISABLE", "DELETE"}
    assert records.listed_since == account.now
    assert records.cursor is not None
    assert (records.cursor.stream, records.cursor.finished) == ("campaigns", True)


def test_what_happens_in_the_ads_manager_is_seen(account: Account) -> None:
    made = account.do("create_campaign", advertiser=EU, name="By hand")
    account.do("set_status", advertiser=EU, campaign_id=made["campaign_id"], operation_status="DISABLE")
    account.publish("sync.due", SYNC)
    account.do("delete_campaign", advertiser=EU, campaign_id=made["campaign_id"])
    account.publish("sync.due", SYNC)
    seen = [link for records in account.records for link in records.links if link.external_id == made["campaign_id"]]
    assert [(link.external_state, link.deleted) for link in seen] == [("DISABLE", False), ("DELETE", True)]


def test_one_page_a_step_and_only_the_end_says_who_is_gone() -> None:
    outcome, records, scripted = walked(
        page_of(row(5), row(4), page=1, pages=3, total=5),
        page_of(row(3), row(2), page=2, pages=3, total=5),
        page_of(row(1), page=3, pages=3, total=5),
    )
    assert [ids(one) for one in records] == [[5, 4], [3, 2], [1]]
    assert [one.listed_since for one in records] == [None, None, NOW]
    assert [one.cursor is not None for one in records] == [False, False, True]
    assert outcome.result == {"campaigns": 5, "pages": 3, "complete": True}
    queries = [query_of(request) for request in scripted.requests]
    assert [query["page"] for query in queries] == ["1", "2", "3"]
    assert {query["filtering"] for query in queries} == {'{"primary_status":"STATUS_ALL"}'}
    assert {query["page_size"] for query in queries} == {"1000"}
    assert records[0].links[0].key == "cmp_5"


def test_a_campaign_that_is_made_meanwhile_shifts_the_rows_and_loses_none() -> None:
    outcome, records, _ = walked(
        page_of(row(4), row(3), page=1, pages=2, total=4),
        page_of(row(3), row(2), page=2, pages=3, total=5),  # 5 is new: 3 comes again
        page_of(row(1), page=3, pages=3, total=5),
    )
    assert [ids(one) for one in records] == [[4, 3], [3, 2], [1]]
    assert records[-1].listed_since == NOW
    assert outcome.result["complete"] is True


def test_the_same_campaign_twice_on_a_page_is_one() -> None:
    _, records, _ = walked(page_of(row(1), row(1)))
    assert ids(records[0]) == [1]


def test_a_listing_that_shrank_declares_nobody_gone() -> None:
    outcome, records, _ = walked(
        page_of(row(4), row(3), page=1, pages=2, total=4),
        page_of(row(1), page=2, pages=2, total=4),
    )
    assert records[-1].listed_since is None
    assert records[-1].cursor is not None
    assert outcome.result["complete"] is False


def test_a_walk_that_is_resumed_began_when_it_began() -> None:
    first = run(calling(Scripted(page_of(row(2), pages=2, total=2)), "sync.due", SYNC))
    assert isinstance(first, Wait)
    later = NOW.replace(hour=20)
    last = done(
        calling(
            Scripted(page_of(row(1), page=2, pages=2, total=2)), "sync.due", SYNC, progress=first.progress, now=later
        )
    )
    assert last.records is not None
    assert last.records.listed_since == NOW
    assert last.records.cursor is not None
    assert datetime.fromisoformat(last.records.cursor.value["listed_at"]) == NOW


def test_an_empty_account_is_empty() -> None:
    outcome, records, _ = walked(page_of(pages=0))
    assert (records[0].links, records[0].listed_since) == ((), NOW)
    assert outcome.result["complete"] is True


def test_their_own_sandbox_tells_no_secondary_status() -> None:
    bare = {name: value for name, value in row(1, operation_status="DISABLE").items() if name != "secondary_status"}
    _, records, _ = walked(page_of(bare))
    assert (records[0].links[0].external_state, records[0].links[0].deleted) == ("DISABLE", False)


def test_a_state_that_nobody_knows_stays_their_word() -> None:
    _, records, _ = walked(page_of(row(1, operation_status="NEW_WORD", secondary_status="CAMPAIGN_STATUS_NEW")))
    assert records[0].links[0].external_state == "NEW_WORD"
    assert records[0].links[0].details["secondary_status"] == "CAMPAIGN_STATUS_NEW"


@pytest.mark.parametrize("data", [{}, {"list": []}, {"list": [7], "page_info": {}}, {"list": {}, "page_info": {}}])
def test_a_page_that_is_none_is_no_empty_account(data: Mapping[str, Any]) -> None:
    with pytest.raises(Unavailable):
        run(calling(Scripted(said(data)), "sync.due", SYNC))


def test_a_row_without_an_id_is_no_campaign() -> None:
    with pytest.raises(Exception, match="no id") as failed:
        run(calling(Scripted(page_of(row(1, campaign_id=None))), "sync.due", SYNC))
    assert isinstance(failed.value, Unavailable)


def test_another_stream_is_named() -> None:
    with pytest.raises(Unsupported, match="campaigns, insights"):
        run(calling(Scripted(), "sync.due", {**SYNC, "stream": "products"}))
