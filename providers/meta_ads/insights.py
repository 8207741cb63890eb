"""Insights: what campaigns, ad sets and ads did each day, read in slices of the window that is due.

https://developers.facebook.com/docs/marketing-api/insights
A short window is read at once, a page a step. For a long one Meta makes reports: asked for, polled, then read the same
way. Each level that the account wants is read by itself, before the next slice. What is too much is asked for in
halves: of the slice, then of the page. Rows are stored as they come; the cursor moves past a slice in the commit of its
last rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from model import Done, Metric, Outcome, Records, Wait
from providers.ads import Window, cursor_through, decimal, whole, window_due
from providers.contract import Call
from providers.errors import InvalidPayload, Unavailable
from providers.http import Answer, Request
from providers.meta_ads.api import STALE, account, created_id, graph, object_in, page_of, read, served, served_version
from providers.meta_ads.errors import OBJECT_MISSING, TooMuchData
from providers.meta_ads.usage import usage_of

STREAM = "insights"
SLICE_DAYS = 7
REPORT_DAYS = 31  # of one report; a window that is no longer is read without
PAGE_ROWS, REPORT_PAGE_ROWS = 100, 500
POLL_S, POLL_GROWS, LONGEST_POLL_S = 2.0, 1.5, 60.0  # small reports are made in seconds, large ones in minutes
REPORT_TAKES = timedelta(minutes=60)  # at the most; then a smaller one is asked for
FAILED = ("Job Failed", "Job Skipped")
COMPLETED = "Job Completed"
STATUS_FIELDS = "async_status,async_percent_completion,error_code,error_message"

LEVELS: Mapping[str, str] = {"account": "account", "campaign": "campaign", "ad_set": "adset", "ad": "ad"}  # by ours
DEFAULT_LEVEL = "campaign"
WHOSE: Mapping[str, tuple[str, ...]] = {  # what says whose a row is; the first names it
    "account": ("account_id",),
    "campaign": ("campaign_id", "campaign_name", "objective"),
    "ad_set": ("adset_id", "adset_name", "campaign_id", "campaign_name", "objective"),
    "ad": ("ad_id", "ad_name", "adset_id", "adset_name", "campaign_id", "campaign_name", "objective"),
}
FIELDS = (
    "account_currency",
    "impressions",
    "clicks",
    "inline_link_clicks",
    "spend",
    "reach",
    "frequency",
    "actions",
    "action_values",
    "attribution_setting",
)
KEPT = ("inline_link_clicks", "reach", "frequency", "attribution_setting")  # as they come
WINDOWS = ["7d_click", "1d_view"]  # of attribution
PURCHASES = ("omni_purchase", "purchase", "offsite_conversion.fb_pixel_purchase")  # they overlap: the first one counts


def read_days(call: Call) -> Outcome:
    """One step of reading the days that are due."""
    progress = _resumed(call)
    try:
        return _STEPS[_step(progress)](call, progress)
    except TooMuchData as error:
        return _smaller(progress, error)
    except InvalidPayload as error:
        if error.code != OBJECT_MISSING or not progress["run"]:
            raise
        gone = Unavailable(str(error), code=error.code)  # reports are not kept for ever
        return _smaller({**progress, "ready": False}, gone)


def _step(progress: Mapping[str, Any]) -> str:
    if not progress["reports"]:
        return "page"
    if not progress["run"]:
        return "ask"
    return "page" if progress["ready"] else "poll"


def _resumed(call: Call) -> dict[str, Any]:
    """The walk so far. A slice whose page or report is too old is begun anew."""
    progress = {"levels": [DEFAULT_LEVEL], "level": 0, **call.progress} if call.progress else _begun(call)
    if call.now - datetime.fromisoformat(progress["at"]) > STALE:
        progress |= _SLICE_BEGINS
    return progress | {"at": call.now.isoformat()}


def _begun(call: Call) -> dict[str, Any]:
    window = window_due(call, STREAM)
    reports = window.days > REPORT_DAYS
    return {
        "since": window.since.isoformat(),
        "until": window.until.isoformat(),
        "from": window.since.isoformat(),  # the first day of the slice that is being read
        "days": REPORT_DAYS if reports else SLICE_DAYS,
        "limit": REPORT_PAGE_ROWS if reports else PAGE_ROWS,
        "levels": levels(call),
        "reports": reports,
        "at": call.now.isoformat(),
        "rows": 0,
        "done": 0,
        "of": window.days,
        **_SLICE_BEGINS,
    }


_LEVEL_BEGINS: Mapping[str, Any] = {
    "after": None,
    "run": None,  # the report, and whether it can be read
    "ready": False,
    "asked_at": None,
    "poll_s": POLL_S,
}
_SLICE_BEGINS: Mapping[str, Any] = {**_LEVEL_BEGINS, "level": 0, "read": 0}  # rows of the slice, of all its levels


def levels(call: Call) -> list[str]:
    """The levels that the account wants days of."""
    words = str(call.config.get("levels") or DEFAULT_LEVEL).replace(",", " ").split()
    unknown = [word for word in words if word not in LEVELS]
    if unknown:
        known = ", ".join(LEVELS)
        raise InvalidPayload(f"The account's `levels` names {unknown[0]}: there are {known}.", code="invalid_config")
    return list(dict.fromkeys(words))


def _level(progress: Mapping[str, Any]) -> str:
    return str(progress["levels"][progress["level"]])


def _window(progress: Mapping[str, Any]) -> Window:
    return Window(date.fromisoformat(progress["since"]), date.fromisoformat(progress["until"]))


def _slice(progress: Mapping[str, Any]) -> Window:
    rest = Window(date.fromisoformat(progress["from"]), date.fromisoformat(progress["until"]))
    return next(rest.cut(progress["days"]))


# -------------------------------------------------------------------------------------------------------------- steps


def _page(call: Call, progress: dict[str, Any]) -> Outcome:
    """Read one page, and end the slice with the last one."""
    answer, page = read(call, _page_asked(call, progress), page_of)
    level = _level(progress)
    metrics = tuple(metric for row in page.rows if (metric := metric_of(call, row, level)) is not None)
    _note(call, progress, answer)
    progress |= {"after": page.after, "read": progress["read"] + len(metrics)}
    if page.after is not None:
        return Wait(usage_of(answer).pause_s, progress, records=Records(metrics=metrics))
    if progress["level"] + 1 < len(progress["levels"]):
        following = {**progress, **_LEVEL_BEGINS, "level": progress["level"] + 1}
        return Wait(usage_of(answer).pause_s, following, records=Records(metrics=metrics))
    return _slice_read(call, progress, metrics, usage_of(answer).pause_s)


def _page_asked(call: Call, progress: Mapping[str, Any]) -> Request:
    pages = {"limit": str(progress["limit"]), "after": progress["after"]}
    if progress["run"]:
        return graph(call).get(f"{progress['run']}/insights", pages)
    asked = {**_asked(progress), "fields": ",".join(_fields(progress))}
    return graph(call).get(f"{account(call)}/insights", {**asked, **pages})


def _fields(progress: Mapping[str, Any]) -> tuple[str, ...]:
    return (*WHOSE[_level(progress)], *FIELDS)


def _asked(progress: Mapping[str, Any]) -> dict[str, Any]:
    window = _slice(progress)
    return {
        "level": LEVELS[_level(progress)],
        "time_increment": "1",
        "time_range": {"since": window.since.isoformat(), "until": window.until.isoformat()},
        "action_attribution_windows": WINDOWS,
    }


def _slice_read(call: Call, progress: dict[str, Any], metrics: tuple[Metric, ...], pause_s: float) -> Outcome:
    """All rows of a slice are there: the cursor moves with the last of them."""
    window, last = _window(progress), _slice(progress).until
    finished, rows = last == window.until, progress["rows"] + progress["read"]
    cursor = cursor_through(call, STREAM, window, last, finished=finished)
    records = Records(metrics=metrics, cursor=cursor)
    if finished:
        facts = {"since": progress["since"], "until": progress["until"], "rows": rows}
        return Done(result={**facts, **served(progress)}, records=records)
    following = last + timedelta(days=1)
    counts = {"rows": rows, "done": (following - window.since).days}
    return Wait(pause_s, {**progress, **_SLICE_BEGINS, **counts, "from": following.isoformat()}, records=records)


def _ask(call: Call, progress: dict[str, Any]) -> Outcome:
    """Ask for a report of the slice."""
    asked = {**_asked(progress), "fields": _fields(progress)}
    request = graph(call).post(f"{account(call)}/insights", asked)
    answer, run = read(call, request, lambda answer: created_id(answer, "report_run_id"))
    _note(call, progress, answer)
    progress |= {"run": run, "asked_at": call.now.isoformat()}
    return Wait(max(POLL_S, usage_of(answer).pause_s), progress, external_id=run)


def _poll(call: Call, progress: dict[str, Any]) -> Outcome:
    """See how far the report is. What failed or takes too long is asked for in halves."""
    answer, report = read(call, graph(call).get(progress["run"], {"fields": STATUS_FIELDS}), object_in)
    status, percent = report.get("async_status"), report.get("async_percent_completion")
    if status in FAILED:
        said = answer.shown(str(report.get("error_message") or status))
        return _smaller(progress, Unavailable(f"Meta could not make a report: {said}.", code="report_failed"))
    if status == COMPLETED and str(percent) == "100":
        return Wait(usage_of(answer).pause_s, progress | {"ready": True}, external_id=progress["run"])
    if call.now - datetime.fromisoformat(progress["asked_at"]) > REPORT_TAKES:
        return _smaller(progress, Unavailable("A report took Meta more than an hour.", code="report_too_slow"))
    wait_s = min(progress["poll_s"] * POLL_GROWS, LONGEST_POLL_S)
    return Wait(max(wait_s, usage_of(answer).pause_s), progress | {"poll_s": wait_s}, external_id=progress["run"])


_STEPS: Mapping[str, Callable[[Call, dict[str, Any]], Outcome]] = {"page": _page, "ask": _ask, "poll": _poll}


def _smaller(progress: Mapping[str, Any], error: Exception) -> Outcome:
    """The same again, but less: half the slice, or no report where that is one day; then half the page.

    The rows of a report that is made already can only be read in smaller pages. Raises where nothing can be halved.
    """
    days, limit = _slice(progress).days, progress["limit"]
    if days > 1 and not progress["ready"]:
        return Wait(0, {**progress, **_SLICE_BEGINS, "days": days // 2})
    if _step(progress) != "page":
        return Wait(0, {**progress, **_SLICE_BEGINS, "reports": False, "limit": PAGE_ROWS})
    if limit > 1 and isinstance(error, TooMuchData):
        return Wait(0, {**progress, "limit": limit // 2})
    raise error


def _note(call: Call, progress: dict[str, Any], answer: Answer) -> None:
    progress["served_version"] = served_version(call, answer) or progress.get("served_version")


# --------------------------------------------------------------------------------------------------------------- rows


def metric_of(call: Call, row: Mapping[str, Any], level: str = DEFAULT_LEVEL) -> Metric | None:
    """A row as one day of a campaign, or what the level is; None for what is no such row."""
    day, (whose, *rest) = _day(row.get("date_start")), WHOSE[level]
    if day is None or not row.get(whose):
        return None
    actions, values = _by_type(row.get("actions")), _by_type(row.get("action_values"))
    bought = purchase_key(call, actions)
    details = {name: row[name] for name in (*rest, *KEPT) if row.get(name) is not None}
    details |= {"actions": actions} if actions else {}
    details |= {"purchase_action": bought, "purchase_value": values.get(bought)} if bought else {}
    return Metric(
        level=level,
        external_id=str(row[whose]),
        day=day,
        impressions=whole(row.get("impressions")),
        clicks=whole(row.get("clicks")),
        spend=decimal(row.get("spend")),
        currency=row.get("account_currency") or call.config.get("currency"),
        conversions=_count(actions, bought),
        details=details,
    )


def purchase_key(call: Call, actions: Mapping[str, Any]) -> str | None:
    """The one kind of action that is counted as a conversion: they overlap, so they are never summed."""
    wanted = call.config.get("purchase_action")
    return next((key for key in ((wanted,) if wanted else PURCHASES) if key in actions), None)


def _count(actions: Mapping[str, Any], key: str | None) -> Decimal | None:
    return None if key is None else decimal(actions[key])


def _by_type(actions: Any) -> dict[str, Any]:
    """A list of actions by their type; `value` is the sum of the attribution windows."""
    many = [each for each in actions if isinstance(each, dict)] if isinstance(actions, list) else []
    return {str(each["action_type"]): each.get("value") for each in many if each.get("action_type")}


def _day(text: Any) -> date | None:
    try:
        return date.fromisoformat(str(text))
    except ValueError:
        return None
