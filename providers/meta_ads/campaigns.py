"""Campaigns: made, changed, paused and ended as the product's events say, and listed.

https://developers.facebook.com/docs/marketing-api/reference/ad-campaign-group
There is no idempotency key: a campaign's name carries our key, by which it is found after a lost answer. All other
writes may be repeated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from model import Campaign, Cursor, Done, Link, Outcome, Records, Wait
from providers.ads import campaign_of, key_in, link_of, marked, superseded, unix_s
from providers.contract import Call
from providers.errors import InvalidPayload
from providers.meta_ads.api import (
    STALE,
    account,
    confirmed,
    graph,
    made,
    over,
    own_parameters,
    page_of,
    plain,
    read,
    served,
    served_version,
)
from providers.meta_ads.errors import OBJECT_MISSING, TooMuchData
from providers.meta_ads.lookup import NAME_CHARS, PAGE_ROWS, Listed, carrying, not_there
from providers.meta_ads.money import BUDGETS, budget
from providers.meta_ads.usage import usage_of

OBJECTIVES: Mapping[str, str] = {
    "awareness": "OUTCOME_AWARENESS",
    "traffic": "OUTCOME_TRAFFIC",
    "engagement": "OUTCOME_ENGAGEMENT",
    "leads": "OUTCOME_LEADS",
    "app_promotion": "OUTCOME_APP_PROMOTION",
    "sales": "OUTCOME_SALES",
}
STATUSES: Mapping[str, str] = {  # of a campaign that is to change, by the product's state
    "draft": "PAUSED",
    "active": "ACTIVE",
    "paused": "PAUSED",
    "completed": "PAUSED",  # Meta has no such state; archived would be final
    "archived": "ARCHIVED",
}
STATES: Mapping[str, str] = {  # the product's state that an event says
    "campaign.paused": "paused",
    "campaign.resumed": "active",
    "campaign.completed": "completed",
    "campaign.archived": "archived",
}
LISTED = ("ACTIVE", "PAUSED", "ARCHIVED", "DELETED", "IN_PROCESS", "WITH_ISSUES")  # not asked for, the ended ones lack
DETAILS = (
    "name",
    "objective",
    "status",
    "effective_status",
    "daily_budget",
    "lifetime_budget",
    "start_time",
    "stop_time",
    "updated_time",
    "issues_info",
)
FIELDS = ",".join(("id", *DETAILS))
CAMPAIGNS = Listed("campaigns", "campaign.name", FIELDS, LISTED, "campaign of the account")


# ------------------------------------------------------------------------------------------------------------ writing


def create(call: Call) -> Done:
    """campaign.created -> a campaign, paused unless the event says that it is active."""
    campaign, known = campaign_of(call), call.known.link(call.event.data["campaign_id"])
    if known is not None and not known.deleted:
        return Done(result={"skipped": "The campaign is there already."}, external_id=known.external_id)
    form = plain(over(_new(call, campaign), own_parameters(call.event.data)))
    external_id = made(call.send(graph(call).post(f"{account(call)}/campaigns", form)), form)
    if external_id is None:
        return Done(result={"campaign_id": campaign.key, "only_checked": True})
    return _done(call, campaign, Link(external_id, campaign.key, form["status"], _details(form)))


def find(call: Call) -> Done | None:
    """The campaign whose creation was not answered, by our key in its name; None when it is not there."""
    link = found(call)
    return None if link is None else _done(call, campaign_of(call), link, recovered=True)


def update(call: Call) -> Done:
    """campaign.updated -> name, budget, dates and state as the event has them. An objective cannot be changed."""
    link = link_of(call, found)
    changes = over(_changes(call, link), own_parameters(call.event.data))
    return superseded(call, link) or _change(call, link, changes, campaign_of(call))


def turn(call: Call) -> Done:
    """campaign.paused, .resumed, .completed, .archived -> the campaign's status."""
    link, state = link_of(call, found), STATES[call.event.type]
    campaign = replace(campaign_of(call), state=state)
    return superseded(call, link) or _change(call, link, _status(link, state), campaign)


def _change(call: Call, link: Link, changes: Mapping[str, Any], campaign: Campaign) -> Done:
    form = plain(changes)
    if not form:
        return _done(call, campaign, link, skipped="Nothing of this can or need be changed at Meta.")
    confirmed(call.send(graph(call).post(link.external_id, form)))
    changed = replace(link, external_state=form.get("status", link.external_state), details=_details(form))
    return _done(call, campaign, changed, changed=sorted(form))


def remove(call: Call) -> Done:
    """campaign.delete_requested -> the campaign is gone, with all its ad sets and ads. To repeat it is harmless."""
    key = call.event.data["campaign_id"]
    link = call.known.link(key) or found(call)
    if link is None:
        raise not_there(call, f"Campaign {key}")
    try:
        confirmed(call.send(graph(call).delete(link.external_id)))
    except InvalidPayload as error:
        if error.code != OBJECT_MISSING:
            raise
    gone = Link(link.external_id, key, "DELETED", applied_at=call.event.occurred_at, deleted=True)
    facts = {"campaign_id": key, "external_id": link.external_id, "status": "DELETED"}
    return Done(result=facts, external_id=link.external_id, records=Records(links=(gone,)))


def _details(form: Mapping[str, str]) -> dict[str, str]:
    """What is known of a campaign by what was just sent, as a listing would have it."""
    return {name: form[name] for name in ("name", "objective", *BUDGETS.values()) if name in form}


def _done(call: Call, campaign: Campaign, link: Link, **more: Any) -> Done:
    """The outcome, and what is now known of the campaign."""
    facts = {"campaign_id": campaign.key, "external_id": link.external_id, "status": link.external_state, **more}
    applied = replace(link, key=campaign.key, applied_at=call.event.occurred_at)
    return Done(result=facts, external_id=link.external_id, records=Records(campaigns=(campaign,), links=(applied,)))


def _new(call: Call, campaign: Campaign) -> dict[str, Any]:
    objective = OBJECTIVES.get(campaign.objective or "")
    if objective is None:
        known = ", ".join(OBJECTIVES)
        raise InvalidPayload(f"Meta makes no campaign without an `objective`: one of {known}.", code="missing_field")
    kind = call.event.data.get("budget_kind") or "daily"
    money = budget(call, campaign.budget, campaign.currency, kind)
    if kind == "lifetime" and money and not call.event.data.get("ends_at"):
        raise InvalidPayload("A lifetime budget needs `ends_at`.", code="missing_field")
    return {
        "name": marked(campaign.name or campaign.key, campaign.key, NAME_CHARS),
        "objective": objective,
        "status": "ACTIVE" if campaign.state == "active" else "PAUSED",
        "special_ad_categories": [],
        **(money or {"is_adset_budget_sharing_enabled": False}),  # to be stated where the ad sets have the budgets
        **_times(call),
    }


def _changes(call: Call, link: Link) -> dict[str, Any]:
    campaign = campaign_of(call)
    kept = "lifetime" if link.details.get(BUDGETS["lifetime"]) else "daily"
    return {
        **({"name": marked(campaign.name, campaign.key, NAME_CHARS)} if campaign.name else {}),
        **budget(call, campaign.budget, campaign.currency, call.event.data.get("budget_kind") or kept),
        **_times(call),
        **(_status(link, campaign.state) if campaign.state else {}),
    }


def _status(link: Link, state: str) -> dict[str, str]:
    """The status to ask for; nothing where an archived campaign stops already, which it does for good."""
    status = STATUSES[state]
    if link.external_state != "ARCHIVED":
        return {"status": status}
    if status == "ACTIVE":
        raise InvalidPayload(
            "The campaign is archived at Meta, which is final: create another one.", code="campaign_archived"
        )
    return {}


def _times(call: Call) -> dict[str, str]:
    given = {"start_time": call.event.data.get("starts_at"), "stop_time": call.event.data.get("ends_at")}
    return {name: str(unix_s(moment, call.now)) for name, moment in given.items() if moment}


# ------------------------------------------------------------------------------------------------------------ reading


def found(call: Call) -> Link | None:
    """The campaign that carries the event's key in its name."""
    return found_as(call, call.event.data["campaign_id"])


def found_as(call: Call, key: str) -> Link | None:
    """The campaign that carries a key in its name."""
    rows = carrying(call, CAMPAIGNS, account(call), key)
    return next((link for row in rows if not (link := link_of_row(row)).deleted), None)


def link_of_row(row: Mapping[str, Any]) -> Link:
    """A campaign as Meta has it."""
    state = str(row.get("effective_status") or row.get("status") or "")
    return Link(
        external_id=str(row.get("id")),
        key=key_in(str(row.get("name") or "")),
        external_state=state or None,
        details={name: row[name] for name in DETAILS if row.get(name) not in (None, [])},
        deleted=state == "DELETED",
    )


def listing(call: Call) -> Outcome:
    """One page of all campaigns of the account, ended ones too. A page that is too large is asked for in halves."""
    walk = _resumed(call)
    try:
        params = {**CAMPAIGNS.asked(walk["rows"], walk["after"]), "summary": "true"}
        answer, page = read(call, graph(call).get(f"{account(call)}/campaigns", params), page_of)
    except TooMuchData:
        if walk["rows"] <= 1:
            raise
        return Wait(0, {**walk, "rows": walk["rows"] // 2})
    done = walk["done"] + len(page.rows)
    walk |= {"after": page.after, "done": done, "of": max(page.total or 0, done), "at": call.now.isoformat()}
    walk |= {"served_version": served_version(call, answer) or walk.get("served_version")}
    links = tuple(link_of_row(row) for row in page.rows if row.get("id"))
    if page.after is not None:
        return Wait(usage_of(answer).pause_s, walk, records=Records(links=links))
    return Done(
        result={"campaigns": done, **served(walk)},
        records=Records(
            links=links,
            cursor=Cursor("campaigns", {"listed_at": walk["since"]}, finished=True),
            listed_since=datetime.fromisoformat(walk["since"]),
        ),
    )


def _resumed(call: Call) -> dict[str, Any]:
    """The walk so far; from the beginning where its page is too old."""
    walk = dict(call.progress)
    if walk and call.now - datetime.fromisoformat(walk["at"]) < STALE:
        return walk
    now = call.now.isoformat()
    return {"since": now, "at": now, "after": None, "rows": PAGE_ROWS, "done": 0, "of": 0}
