"""Reports: rows by campaign or account and period, at once or as a report that is polled for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from sandbox.meta_ads import values
from sandbox.meta_ads.call import Call
from sandbox.meta_ads.errors import invalid, refusal
from sandbox.meta_ads.figures import Figures, delivered
from sandbox.meta_ads.people import Account
from sandbox.meta_ads.rows import row_json
from sandbox.meta_ads.shape import fields_asked, page, project
from sandbox.meta_ads.state import Campaign, Run

RETENTION: Final = timedelta(days=37 * 31)
DEFAULT_FIELDS: Final = ("account_id", "campaign_id", "impressions", "spend")
DEFAULT_PRESET: Final = "last_30d"
LEVELS: Final = frozenset({"account", "campaign"})  # there are no ad sets and ads here
LONGEST_INCREMENT: Final = 90  # days
WINDOWS: Final = frozenset(
    {"1d_click", "1d_ev", "1d_view", "28d_click", "28d_view", "7d_click", "7d_view", "dda", "default"}
)
REPORT_TIMES: Final = frozenset({"conversion", "impression", "mixed"})
RUN_DEFAULT: Final = ("async_status", "async_percent_completion", "is_running", "account_id")
JOB_ERRORS: Final[Mapping[str, tuple[int, str]]] = {
    "Job Failed": (2, "The report could not be made; ask for less."),
    "Job Skipped": (2, "The report has expired."),
}
OUTCOMES: Final = ("Job Completed", *JOB_ERRORS)

READERS: Final[Mapping[str, values.Reader]] = {
    "level": values.one_of(LEVELS),
    "time_range": values.record,
    "time_increment": values.text(10),
    "filtering": values.array,
    "action_attribution_windows": values.some_of(WINDOWS),
    "action_report_time": values.one_of(REPORT_TIMES),
    "use_account_attribution_setting": values.boolean,
    "use_unified_attribution_setting": values.boolean,
}
PARAMETERS: Final = frozenset({*READERS, "date_preset"})


def ago(first: int, last: int) -> Callable[[date], tuple[date, date]]:
    """From so many days ago until so many days ago."""
    return lambda today: (today - timedelta(days=first), today - timedelta(days=last))


def last_month(today: date) -> tuple[date, date]:
    """The whole month before."""
    end = today.replace(day=1) - timedelta(days=1)
    return end.replace(day=1), end


PRESETS: Final[Mapping[str, Callable[[date], tuple[date, date]]]] = {
    "today": ago(0, 0),
    "yesterday": ago(1, 1),
    "last_3d": ago(3, 1),
    "last_7d": ago(7, 1),
    "last_14d": ago(14, 1),
    "last_28d": ago(28, 1),
    "last_30d": ago(30, 1),
    "last_90d": ago(90, 1),
    "this_month": lambda today: (today.replace(day=1), today),
    "last_month": last_month,
    "maximum": lambda today: (today - RETENTION, today),
}


@dataclass(frozen=True, slots=True)
class Query:
    """What a report is to show; both days included, in the account's time zone."""

    account: Account
    campaigns: tuple[Campaign, ...]
    by_campaign: bool
    since: date
    until: date
    step: int | None  # days of a period; None: the whole range
    windows: tuple[str, ...]
    asked: Mapping[str, str]


def of_account(call: Call, account: Account) -> dict[str, Any]:
    """A report on an account, at once."""
    return at_once(call, query(call, account, None))


def of_campaign(call: Call, campaign: Campaign) -> dict[str, Any]:
    """A report on one campaign, at once."""
    return at_once(call, query(call, campaign.account, campaign))


def run_of_account(call: Call, account: Account) -> dict[str, Any]:
    """A report on an account, to be polled for."""
    return begin(call, query(call, account, None))


def run_of_campaign(call: Call, campaign: Campaign) -> dict[str, Any]:
    """A report on one campaign, to be polled for."""
    return begin(call, query(call, campaign.account, campaign))


def at_once(call: Call, wanted: Query) -> dict[str, Any]:
    """One page of rows, unless they are too many."""
    rows = rows_of(call, wanted)
    limits = call.meta.settings
    if limits.query_rows is not None and len(rows) > limits.query_rows:
        raise refusal("query_too_large")
    answer = page(call, list(enumerate(rows)))
    if limits.response_rows is not None and len(answer["data"]) > limits.response_rows:
        raise refusal("data_too_large")
    return answer


def begin(call: Call, wanted: Query) -> dict[str, Any]:
    """A report that takes some polls."""
    settings = call.meta.settings
    run_id = call.meta.next_run_id()
    call.meta.runs[run_id] = Run(
        run_id, wanted.account, rows_of(call, wanted), settings.report_polls, settings.report_outcome
    )
    return {"report_run_id": run_id}


def poll(call: Call, run: Run) -> dict[str, Any]:
    """How far a report is; every look at it is a step."""
    run.polls += 1
    status, percent = progress(run)
    code, message = JOB_ERRORS.get(status, (None, None))
    node = {
        "id": run.id,
        "account_id": run.account.id,
        "async_status": status,
        "async_percent_completion": percent,
        "is_running": percent < 100 and status not in JOB_ERRORS,
        "error_code": code,
        "error_message": message,
        "error_subcode": None,
    }
    return project(node, fields_asked(call, RUN_DEFAULT), "AdReportRun")


def progress(run: Run) -> tuple[str, int]:
    """Status and percent. Of three steps and more the last is "completed", but not whole: a known trap."""
    if run.polls > run.needed:
        return run.outcome, 100 if run.outcome == "Job Completed" else 0
    if run.polls == 1:
        return "Job Not Started", 0
    if run.polls == run.needed and run.needed > 2 and run.outcome == "Job Completed":
        return "Job Completed", 99
    return "Job Running", 100 * (run.polls - 1) // run.needed


def run_rows(call: Call, run: Run) -> dict[str, Any]:
    """The rows of a report that is complete."""
    if progress(run) != ("Job Completed", 100):
        raise refusal("report_not_ready")
    return page(call, list(enumerate(run.rows)))


def query(call: Call, account: Account, campaign: Campaign | None) -> Query:
    """What was asked for; raises Refusal."""
    given = {name: call.read(name, reader) for name, reader in READERS.items()}
    since, until = days_asked(call, given["time_range"], account)
    chosen = call.meta.of_account(account) if campaign is None else [campaign]
    for wanted in (ids_of(one) for one in given["filtering"] or ()):
        chosen = [one for one in chosen if one.id in wanted]
    level = given["level"] or ("account" if campaign is None else "campaign")
    return Query(
        account=account,
        campaigns=tuple(sorted(chosen, key=lambda one: one.id)),
        by_campaign=level == "campaign",
        since=since,
        until=until,
        step=increment(given["time_increment"]),
        windows=given["action_attribution_windows"] or (),
        asked=fields_asked(call, DEFAULT_FIELDS),
    )


def ids_of(source: Any) -> list[str]:
    """The campaigns that a condition of `filtering` leaves."""
    condition = source if isinstance(source, dict) else {}
    if (condition.get("field"), condition.get("operator")) != ("campaign.id", "IN"):
        raise invalid("filtering", "conditions of campaign.id IN")
    if not isinstance(condition.get("value"), list):
        raise invalid("filtering", "with a list of values for IN")
    return [str(one) for one in condition["value"]]


def days_asked(call: Call, time_range: Mapping[str, Any] | None, account: Account) -> tuple[date, date]:
    """First and last day; raises Refusal."""
    today = datetime.fromtimestamp(call.now, account.zone).date()
    if time_range is None:
        preset = call.params.get("date_preset", DEFAULT_PRESET)
        return PRESETS[values.one_of(PRESETS)("date_preset", preset)](today)
    try:
        since, until = (date.fromisoformat(str(time_range.get(name))) for name in ("since", "until"))
    except ValueError:
        raise invalid("time_range", '{"since": "YYYY-MM-DD", "until": "YYYY-MM-DD"}') from None
    if since > until:
        raise invalid("time_range[since]", "not later than until")
    if since < today - RETENTION:
        raise refusal("too_long_ago")
    return since, until


def increment(value: str | None) -> int | None:
    """The days of a period, None for the whole range; raises Refusal."""
    if value in (None, "all_days"):
        return None
    if not value.isdigit() or not 0 < int(value) <= LONGEST_INCREMENT:
        raise invalid("time_increment", f"all_days or 1 to {LONGEST_INCREMENT} days")
    return int(value)


def rows_of(call: Call, wanted: Query) -> list[dict[str, Any]]:
    """All rows, by period and campaign; none where nothing was delivered."""
    sums: dict[tuple[date, str], list[Figures]] = defaultdict(list)
    for campaign in wanted.campaigns:
        key = campaign.id if wanted.by_campaign else ""
        for day, figures in delivered(call.meta, campaign, wanted.since, wanted.until, call.now):
            sums[period_start(wanted, day), key].append(figures)
    asked = {**wanted.asked, "date_start": "", "date_stop": ""}
    rows = []
    for (start, key), parts in sorted(sums.items()):
        period = start, period_end(wanted, start)
        row = row_json(wanted.account, call.meta.campaigns.get(key), period, parts, wanted.windows)
        rows.append(project(row, asked, "AdsInsights"))
    return rows


def period_start(wanted: Query, day: date) -> date:
    """The first day of the period that a day is in."""
    return wanted.since if wanted.step is None else day - timedelta(days=(day - wanted.since).days % wanted.step)


def period_end(wanted: Query, start: date) -> date:
    """The last day of a period."""
    return wanted.until if wanted.step is None else min(wanted.until, start + timedelta(days=wanted.step - 1))
