"""Campaigns of the product, as TikTok has them.

https://business-api.tiktok.com/portal/docs?id=1739318962329602
`request_id` catches a repeated creation for ten seconds only: after a lost answer the campaign is looked for by the
key in its name. There is no archive: put away is DISABLE, and a flag of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from model import Done, Link, Outcome, Records, Wait
from providers.ads import campaign_of, key_in, link_of, superseded
from providers.contract import Call
from providers.errors import InvalidPayload, OutcomeUnknown
from providers.tiktok_ads.api import Data, page, write
from providers.tiktok_ads.errors import DUPLICATE_REQUEST, NOT_THERE, NOTHING_TO_UPDATE, text_of, unreadable
from providers.tiktok_ads.names import named

ENABLE, DISABLE, DELETE = "ENABLE", "DISABLE", "DELETE"
DELETED = "CAMPAIGN_STATUS_DELETE"  # as `secondary_status` says it
FIELDS = [
    "campaign_id",
    "campaign_name",
    "objective_type",
    "budget_mode",
    "budget",
    "operation_status",
    "secondary_status",
    "create_time",
    "modify_time",
    "campaign_automation_type",
]
SMART_PLUS = "UPGRADED_SMART_PLUS"
SHOWN = (
    "campaign_automation_type",
    *("objective_type", "budget_mode", "budget", "secondary_status", "create_time", "modify_time"),
)


@dataclass(frozen=True, slots=True)
class Objective:
    """TikTok's objective for one of ours, and what it wants beside it."""

    type: str
    more: Mapping[str, str] = field(default_factory=dict)


OBJECTIVES: Mapping[str, Objective] = {
    "awareness": Objective("REACH"),
    "traffic": Objective("TRAFFIC"),
    "engagement": Objective("ENGAGEMENT"),
    "leads": Objective("LEAD_GENERATION"),
    "app_promotion": Objective("APP_PROMOTION", {"app_promotion_type": "APP_INSTALL"}),
    "sales": Objective("WEB_CONVERSIONS"),
}
NO_BUDGET = "BUDGET_MODE_INFINITE"  # the ad groups have their own
BUDGET_MODES = {"daily": "BUDGET_MODE_DAY", "lifetime": "BUDGET_MODE_TOTAL"}
STATUSES = {"active": ENABLE, "paused": DISABLE, "draft": DISABLE, "completed": DISABLE, "archived": DISABLE}


# ------------------------------------------------------------------------------------------------------------- making


def create(call: Call) -> Outcome:
    """campaign.created -> one campaign, which spends nothing unless the event says that it is active."""
    key = call.event.data["campaign_id"]
    known = call.known.link(key)
    if known is not None and not known.deleted:
        return Done(result={"skipped": "This campaign is there already."}, external_id=known.external_id)
    body = _creation(call)
    try:
        made = write(call, "smart_plus/campaign/create/" if _is_smart(call) else "campaign/create/", body)
    except OutcomeUnknown as error:
        found = find(call) if error.code == DUPLICATE_REQUEST else None
        if found is None:
            raise
        return found
    if not text_of(made.get("campaign_id")):
        raise unreadable("it names no campaign")
    return _created(call, link_from({**body, **made}), {})


def find(call: Call) -> Done | None:
    """The outcome of a creation whose answer was lost; None when the campaign is not there."""
    link = find_link(call)
    return None if link is None else _created(call, link, {"recovered": True})


def _created(call: Call, link: Link, more: Mapping[str, Any]) -> Done:
    link = replace(link, key=call.event.data["campaign_id"], applied_at=call.event.occurred_at)
    return Done(
        result={
            "campaign_id": link.external_id,
            "name": link.details.get("name"),
            "status": link.external_state,
            **more,
        },
        external_id=link.external_id,
        records=Records(campaigns=(campaign_of(call),), links=(link,)),
    )


def _creation(call: Call) -> dict[str, Any]:
    """The body of campaign/create/. InvalidPayload before anything is sent."""
    data = call.event.data
    objective = _objective(data.get("objective"))
    return {
        "campaign_name": named(data["name"], data["campaign_id"]),
        "objective_type": objective.type,
        **objective.more,
        **_budget(call),
        "operation_status": STATUSES.get(data.get("state", "draft"), DISABLE),
        "request_id": str(call.delivery_id.int % 2**63),
        **{name: value for name, value in _own(call).items() if name != "smart_plus"},
    }


def _is_smart(call: Call) -> bool:
    """Whether the event asks for a campaign that TikTok runs by itself: `extra.tiktok_ads.smart_plus`."""
    return bool(_own(call).get("smart_plus"))


def _own(call: Call) -> Mapping[str, Any]:
    extra = call.event.data.get("extra")
    own = extra.get("tiktok_ads") if isinstance(extra, dict) else None
    return own if isinstance(own, dict) else {}


def _objective(name: str | None) -> Objective:
    found = OBJECTIVES.get(name or "")
    if found is None:
        raise InvalidPayload(f"TikTok needs an objective: one of {', '.join(OBJECTIVES)}.", code="missing_objective")
    return found


def _budget(call: Call) -> dict[str, Any]:
    """Mode and amount; a budget without a kind is a daily one."""
    data = call.event.data
    amount = _amount(call)
    if amount is None and data.get("budget_kind"):
        raise InvalidPayload("`budget_kind` needs a `budget`.", code="missing_budget")
    if amount is None:
        return {"budget_mode": NO_BUDGET}
    return {"budget_mode": BUDGET_MODES[data.get("budget_kind") or "daily"], "budget": amount}


def _amount(call: Call) -> float | None:
    """The event's budget in major units of the account's currency."""
    campaign, currency = campaign_of(call), call.config.get("currency")
    if campaign.budget is None:
        return None
    if campaign.currency and currency and campaign.currency != currency:
        raise InvalidPayload(
            f"The budget is in {campaign.currency}, and the account {call.config.get('account_name') or ''} has"
            f" {currency}: publish it in {currency}.".replace("  ", " "),
            code="currency_mismatch",
        )
    return float(campaign.budget)


# ------------------------------------------------------------------------------------------------------------ finding


def find_link(call: Call) -> Link | None:
    """The campaign whose name carries the event's key: the oldest, if it was made twice."""
    key = call.event.data["campaign_id"]
    # The filter finds parts of names. An account has at most 999 campaigns that are not deleted: one page.
    found = page(call, "campaign/get/", {"fields": FIELDS, "filtering": {"campaign_name": key}}, 1)
    ours = [link for row in found.rows if (link := link_from(row)).key == key and not link.deleted]
    return min(ours, key=lambda link: int(link.external_id), default=None)


def link_from(row: Data) -> Link:
    """A campaign as TikTok shows it."""
    campaign_id, name = text_of(row.get("campaign_id")), text_of(row.get("campaign_name"))
    if not campaign_id.isdigit():
        raise unreadable("a campaign has no id")
    deleted = row.get("secondary_status") == DELETED
    return Link(
        external_id=campaign_id,
        key=key_in(name),
        external_state=DELETE if deleted else text_of(row.get("operation_status")) or None,
        details={"name": name, **{field: row[field] for field in SHOWN if row.get(field) is not None}},
        deleted=deleted,
    )


# ----------------------------------------------------------------------------------------------------------- changing


def update(call: Call) -> Outcome:
    """campaign.updated {name, budget, state} -> what changed; fields first, then, as a step of its own, the state."""
    link = link_of(call, find_link)
    skipped = superseded(call, link)
    if skipped is not None:
        return skipped
    state = call.event.data.get("state")
    body = {} if call.progress.get("fields_done") else _changes(call, link)
    if not body:
        return _set_status(call, link, state) if state else _applied(call, link)
    try:
        shown = write(call, _door(link, "update/"), {"campaign_id": link.external_id, **body})
    except InvalidPayload as error:
        if error.code != NOTHING_TO_UPDATE:
            raise
        shown = body
    details = {**({"name": body["campaign_name"]} if "campaign_name" in body else {}), **_shown(shown)}
    link = replace(link, details={**link.details, **details})
    if state:
        return Wait(0, {"fields_done": True}, external_id=link.external_id, records=_records(call, link))
    return _applied(call, link)


def _changes(call: Call, link: Link) -> dict[str, Any]:
    """The body of campaign/update/; empty when nothing changes there. InvalidPayload for what cannot change."""
    data = call.event.data
    wanted = {
        "objective_type": _objective(data["objective"]).type if data.get("objective") else None,
        "budget_mode": BUDGET_MODES.get(data.get("budget_kind", "")),
    }
    for name, value in wanted.items():
        if value is not None and value != link.details.get(name):
            raise InvalidPayload(
                f"TikTok cannot change a campaign's {name} from {link.details.get(name, 'what it is')} to {value}:"
                " publish a new campaign.",
                code="immutable",
            )
    amount = _amount(call)
    return {
        **({"campaign_name": named(data["name"], data["campaign_id"])} if data.get("name") else {}),
        **({} if amount is None else {"budget": amount}),
    }


def status_of(state: str) -> Callable[[Call], Outcome]:
    """The action that gives a campaign one of our states: campaign.paused, .resumed, .archived, .completed."""

    def step(call: Call) -> Outcome:
        link = link_of(call, find_link)
        return superseded(call, link) or _set_status(call, link, state)

    return step


def remove(call: Call) -> Done:
    """campaign.delete_requested -> the campaign is gone for good, with all that is in it. To repeat it is harmless."""
    key = call.event.data["campaign_id"]
    link = call.known.link(key) or find_link(call)
    if link is None:
        raise InvalidPayload(f"Campaign {key} is not at this account.", code="not_linked")
    try:
        write(call, _door(link, "status/update/"), {"campaign_ids": [link.external_id], "operation_status": DELETE})
    except InvalidPayload as error:
        if error.code not in (NOTHING_TO_UPDATE, NOT_THERE) and not link.deleted:
            raise
    gone = Link(link.external_id, key, DELETE, applied_at=call.event.occurred_at, deleted=True)
    facts = {"campaign_id": key, "external_id": link.external_id, "status": DELETE}
    return Done(result=facts, external_id=link.external_id, records=Records(links=(gone,)))


def _door(link: Link, path: str) -> str:
    """Where a campaign is changed: upgraded Smart+ campaigns have endpoints of their own."""
    smart = link.details.get("campaign_automation_type") == SMART_PLUS
    return f"smart_plus/campaign/{path}" if smart else f"campaign/{path}"


def _set_status(call: Call, link: Link, state: str) -> Done:
    status = STATUSES[state]
    try:
        write(call, _door(link, "status/update/"), {"campaign_ids": [link.external_id], "operation_status": status})
    except InvalidPayload as error:
        if error.code != NOTHING_TO_UPDATE:
            raise
    details = {**link.details, "archived": state == "archived"}
    return _applied(call, replace(link, external_state=status, details=details), state)


def _applied(call: Call, link: Link, state: str | None = None) -> Done:
    return Done(
        result={"campaign_id": link.external_id, "name": link.details.get("name"), "status": link.external_state},
        external_id=link.external_id,
        records=_records(call, link, state),
    )


def _records(call: Call, link: Link, state: str | None = None) -> Records:
    campaign = campaign_of(call)
    link = replace(link, key=campaign.key, applied_at=call.event.occurred_at)
    return Records(campaigns=(replace(campaign, state=state or campaign.state),), links=(link,))


def _shown(row: Data) -> dict[str, Any]:
    return {name: row[name] for name in SHOWN if row.get(name) is not None}
