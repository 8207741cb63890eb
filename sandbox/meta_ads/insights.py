"""Reports: rows by level and period, at once or as a report that is polled for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import product
from typing import Any, Final

from sandbox.meta_ads import values
from sandbox.meta_ads.call import Call, Door, Doors, Kind
from sandbox.meta_ads.errors import invalid, refusal
from sandbox.meta_ads.figures import Figures, delivered_at, shared
from sandbox.meta_ads.lineage import LEVEL_OF, Node, finest, lineage
from sandbox.meta_ads.people import Account
from sandbox.meta_ads.rows import row_json
from sandbox.meta_ads.shape import fields_asked, page, project
from sandbox.meta_ads.state import Run

RETENTION: Final = timedelta(days=37 * 31)
DEFAULT_FIELDS: Final = ("account_id", "campaign_id", "impressions", "spend")
DEFAULT_PRESET: Final = "last_30d"
KINDS: Final[tuple[Kind, ...]] = ("account", "campaign", "adset", "ad")
LEVELS: Final = frozenset(KINDS)
LONGEST_INCREMENT: Final = 90  # days
WINDOWS: Final = frozenset(
    {"1d_click", "1d_ev", "1d_view", "28d_click", "28d_view", "7d_click", "7d_view", "dda", "default"}
)
BREAKDOWNS: Final[Mapping[str, tuple[str, ...]]] = {
    "age": ("18-24", "25-34", "35-44", "45-54", "55-64", "65+"),
    "country": ("CA", "US"),
    "gender": ("female", "male", "unknown"),
    "publisher_platform": ("facebook", "instagram"),
}
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
    "breakdowns": values.some_of(BREAKDOWNS),
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
    within: Node  # whose rows are wanted
    conditions: tuple[tuple[str, frozenset[str]], ...]  # a level, and the ids there that are wanted
    level: str
    since: date
    until: date
    step: int | None  # days of a period; None: the whole range
    windows: tuple[str, ...]
    breakdowns: tuple[str, ...]
    asked: Mapping[str, str]


def doors(scopes: frozenset[str]) -> Doors:
    """The edges of accounts, campaigns, ad sets and ads: a report at once, or one to be polled for."""
    edges: dict[tuple[str, Kind, str], Door] = {}
    for kind in KINDS:
        edges["GET", kind, "insights"] = Door(lambda call, node: at_once(call, query(call, node)), PARAMETERS, scopes)
        edges["POST", kind, "insights"] = Door(lambda call, node: begin(call, query(call, node)), PARAMETERS, scopes)
    return edges


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


def query(call: Call, node: Node) -> Query:
    """What was asked for, of the node's own level unless another is named; raises Refusal."""
    given = {name: call.read(name, reader) for name, reader in READERS.items()}
    account = node if isinstance(node, Account) else node.account
    since, until = days_asked(call, given["time_range"], account)
    return Query(
        account=account,
        within=node,
        conditions=tuple(map(condition, given["filtering"] or ())),
        level=given["level"] or LEVEL_OF[type(node)],
        since=since,
        until=until,
        step=increment(given["time_increment"]),
        windows=given["action_attribution_windows"] or (),
        breakdowns=given["breakdowns"] or (),
        asked=fields_asked(call, DEFAULT_FIELDS),
    )


def condition(source: Any) -> tuple[str, frozenset[str]]:
    """A condition of `filtering`: a level, and the ids of the objects that it leaves."""
    given = source if isinstance(source, dict) else {}
    level, _, field = str(given.get("field")).partition(".")
    if (field, given.get("operator")) != ("id", "IN") or level not in KINDS[1:]:
        raise invalid("filtering", "conditions of campaign.id, adset.id or ad.id IN")
    if not isinstance(given.get("value"), list):
        raise invalid("filtering", "with a list of values for IN")
    return level, frozenset(map(str, given["value"]))


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
    """All rows, by period and object; none where nothing was delivered."""
    sums: dict[tuple[date, str], list[Figures]] = defaultdict(list)
    objects: dict[str, Node] = {}
    for day, node, figures in days_of(call, wanted):
        objects[node.id] = node
        sums[period_start(wanted, day), node.id].append(figures)
    asked = {**wanted.asked, "date_start": "", "date_stop": ""}
    rows = []
    for (start, key), parts in sorted(sums.items(), key=lambda one: one[0]):
        for broken, portion in broken_down(wanted, parts):
            row = row_json(objects[key], (start, period_end(wanted, start)), portion, wanted.windows)
            rows.append({**project(row, asked, "AdsInsights"), **broken})
    return rows


def broken_down(wanted: Query, parts: list[Figures]) -> Iterator[tuple[dict[str, str], list[Figures]]]:
    """The rows that breakdowns make of one: equal parts, and exactly the whole together; empty ones are left out."""
    combinations = list(product(*(BREAKDOWNS[name] for name in wanted.breakdowns)))
    portions = [[part for _, part in shared(one, combinations)] for one in parts]
    for number, values_of in enumerate(combinations):
        portion = [each[number] for each in portions]
        if any(each.impressions for each in portion):
            yield dict(zip(wanted.breakdowns, values_of, strict=True)), portion


def days_of(call: Call, wanted: Query) -> Iterator[tuple[date, Node, Figures]]:
    """What was delivered, day by day, with the object of the wanted level that it counts for."""
    around = LEVEL_OF[type(wanted.within)]
    level = finest("campaign", wanted.level, around, *(level for level, _ in wanted.conditions))
    for campaign in call.meta.of_account(wanted.account):
        for day, node, figures in delivered_at(call.meta, campaign, level, wanted.since, wanted.until, call.now):
            line = lineage(node)
            if line[around] is wanted.within and all(line[at].id in ids for at, ids in wanted.conditions):
                yield day, line[wanted.level], figures


def period_start(wanted: Query, day: date) -> date:
    """The first day of the period that a day is in."""
    return wanted.since if wanted.step is None else day - timedelta(days=(day - wanted.since).days % wanted.step)


def period_end(wanted: Query, start: date) -> date:
    """The last day of a period."""
    return wanted.until if wanted.step is None else min(wanted.until, start + timedelta(days=wanted.step - 1))
