"""The stream `insights`: what campaigns did, by day of the account's time zone.

https://business-api.tiktok.com/portal/docs?id=1740302848100353 (at once)
https://business-api.tiktok.com/portal/docs?id=1740302781443073 (as a task)
Short windows are read in slices of at most 30 days; long ones as tasks, whose file is fetched when it is ready. A task
that fails is made anew once; then its days are read in slices. The cursor passes a slice with its last rows.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from typing import Any

from model import Done, Metric, Outcome, Records, Wait
from providers.ads import Window, cursor_through, decimal, today, whole, window_due
from providers.contract import Call
from providers.errors import InvalidPayload, OutcomeUnknown, ProviderError, Refused
from providers.tiktok_ads.api import file, page, read, reading, write
from providers.tiktok_ads.errors import (
    INVALID,
    NOT_THERE,
    REPORT_TOO_LARGE,
    TASK_FAILED,
    TASK_NOT_READY,
    text_of,
    unreadable,
)

INSIGHTS = "insights"
DAY = "stat_time_day"
DEFAULT_LEVEL = "campaign"

SLICE_DAYS = 30  # the most with DAY
TASKS_ABOVE_DAYS = 60
TASK_DAYS = 90  # unconfirmed: how long a task's span may be; one that is refused is read in slices
ROWS_A_STEP = 10_000  # of a task's file
TASKS_MADE = 2  # for the same days
POLLS_S = (2.0, 3.0, 5.0, 10.0, 20.0, 40.0, 60.0)  # small reports are made in seconds
POLLS_MAX = 60  # about an hour; then the task counts as failed

COUNTS = ("impressions", "clicks")
DETAILS = ("reach", "result", "complete_payment", "total_purchase_value", "video_play_actions")
METRICS = ["spend", *COUNTS, "conversion", *DETAILS]
FILE: Mapping[str, Any] = {"output_format": "CSV_STRING", "enable_report_title_translation": False}

TASK_LOST = (TASK_FAILED, NOT_THERE)  # it failed, or is kept no longer
TOO_LONG = "answer_truncated"  # our transport's word for a file over the limit
READY = "SUCCESS"
ENDED = ("FAILED", "CANCELED")


@dataclass(frozen=True, slots=True)
class Level:
    """What days are read of."""

    data_level: str
    id: str
    status: str = ""  # the field by which deleted ones are shown too

    def question(self, *dimensions: str) -> dict[str, Any]:
        """What a report on it asks for, but for days and metrics."""
        # Without the filter the days of deleted ones are missing. Its value is JSON in a string.
        status = {"field_name": self.status, "filter_type": "IN", "filter_value": '["STATUS_ALL"]'}
        return {
            "report_type": "BASIC",
            "data_level": self.data_level,
            "dimensions": [self.id, *dimensions],
            **({"filtering": [status]} if self.status else {}),
        }


LEVELS: Mapping[str, Level] = {
    "account": Level("AUCTION_ADVERTISER", "advertiser_id"),
    "campaign": Level("AUCTION_CAMPAIGN", "campaign_id", "campaign_status"),
    "ad_set": Level("AUCTION_ADGROUP", "adgroup_id", "adgroup_status"),
    "ad": Level("AUCTION_AD", "ad_id", "ad_status"),
}


def levels_of(call: Call) -> list[str]:
    """What an account's days are read of. InvalidPayload for a word that is no level."""
    words = str(call.config.get("levels") or DEFAULT_LEVEL).replace(",", " ").split()
    unknown = [word for word in words if word not in LEVELS]
    if unknown:
        raise InvalidPayload(
            f"The account's levels are of {', '.join(LEVELS)}, not {unknown[0]}.", code="unknown_level"
        )
    return list(dict.fromkeys(words))


@dataclass(frozen=True, slots=True)
class Walk:
    """Where a walk through a window stands. Days before `start` are stored. Kept as the delivery's progress."""

    since: date
    until: date
    start: date
    span: int  # days of a slice, or of a task
    by_task: bool
    page: int = 1
    task_id: str = ""
    ready: bool = False
    offset: int = 0  # rows of the task's file that are stored
    polls: int = 0
    made: int = 0  # tasks for the current days
    level: int = 0  # of the account's levels, the one that is read of the current days

    @classmethod
    def of(cls, call: Call) -> Walk:
        """As the last step left it, or at its beginning."""
        saved = call.progress.get("walk")
        if saved:
            days = {name: date.fromisoformat(saved[name]) for name in ("since", "until", "start")}
            return cls(**{**saved, **days})
        window = window_due(call, INSIGHTS)
        by_task = window.days > TASKS_ABOVE_DAYS
        return cls(window.since, window.until, window.since, TASK_DAYS if by_task else SLICE_DAYS, by_task)

    @property
    def window(self) -> Window:
        """All of it."""
        return Window(self.since, self.until)

    @property
    def slice(self) -> Window:
        """The days that are read now."""
        return next(Window(self.start, self.until).cut(self.span))

    def shorter(self) -> Walk:
        """With slices of half the days."""
        return replace(self, span=self.slice.halves()[0].days, page=1)

    def in_slices(self) -> Walk:
        """Without tasks."""
        return Walk(self.since, self.until, self.start, SLICE_DAYS, by_task=False, level=self.level)

    def at_level(self, level: int) -> Walk:
        """The same days, of something else."""
        return Walk(self.since, self.until, self.start, self.span, self.by_task, level=level)

    def after_slice(self) -> Walk:
        """At the next days."""
        return Walk(self.since, self.until, self.slice.until + timedelta(days=1), self.span, self.by_task)

    def saved(self) -> dict[str, Any]:
        """As progress."""
        days = {name: getattr(self, name).isoformat() for name in ("since", "until", "start")}
        return {"walk": {**asdict(self), **days}, "done": (self.start - self.since).days, "of": self.window.days}


def read_insights(call: Call) -> Outcome:
    """One step of the walk."""
    walk = Walk.of(call)
    if not walk.by_task:
        return _read_page(call, walk)
    try:
        return _task_step(call, walk)
    except ProviderError as error:
        if error.code not in TASK_LOST:
            raise
        return _task_failed(walk)


def _question(call: Call, walk: Walk) -> dict[str, Any]:
    days = {"start_date": walk.slice.since.isoformat(), "end_date": walk.slice.until.isoformat()}
    return {**LEVELS[_level(call, walk)].question(DAY), "metrics": METRICS, **days}


def _level(call: Call, walk: Walk) -> str:
    levels = levels_of(call)
    return levels[min(walk.level, len(levels) - 1)]


def _on(walk: Walk, wait_s: float = 0, records: Records | None = None) -> Wait:
    return Wait(wait_s, walk.saved(), records=records)


def _stored(call: Call, walk: Walk, metrics: Sequence[Metric]) -> Outcome:
    """The last rows of a slice; of its last level, with the cursor that passes it."""
    if walk.level + 1 < len(levels_of(call)):
        return _on(walk.at_level(walk.level + 1), records=Records(metrics=tuple(metrics)))
    finished = walk.slice.until == walk.until
    cursor = cursor_through(call, INSIGHTS, walk.window, walk.slice.until, finished=finished)
    records = Records(metrics=tuple(metrics), cursor=cursor)
    if not finished:
        return _on(walk.after_slice(), records=records)
    since, until = walk.since.isoformat(), walk.until.isoformat()
    return Done(result={"since": since, "until": until, "days": walk.window.days}, records=records)


# --------------------------------------------------------------------------------------------------------- in slices


def _read_page(call: Call, walk: Walk) -> Outcome:
    try:
        got = page(call, "report/integrated/get/", _question(call, walk), walk.page)
    except InvalidPayload as error:
        if error.code != REPORT_TOO_LARGE or walk.slice.days == 1:
            raise
        return _on(walk.shorter())
    with reading(call):
        level = _level(call, walk)
        metrics = [_metric(call, level, _object(row, "dimensions"), _object(row, "metrics")) for row in got.rows]
    if got.is_last:
        return _stored(call, walk, metrics)
    return _on(replace(walk, page=walk.page + 1), records=Records(metrics=tuple(metrics)))


def _object(row: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = row.get(name)
    if not isinstance(value, dict):
        raise unreadable(f"a row has no {name}")
    return value


def _metric(call: Call, level: str, dimensions: Mapping[str, Any], metrics: Mapping[str, Any]) -> Metric:
    """A day of one campaign, ad group …. Values come as text or as numbers; "-" and "" are no value."""
    day, external_id = _day(dimensions.get(DAY)), text_of(dimensions.get(LEVELS[level].id))
    if not external_id:
        raise unreadable(f"a row has no {LEVELS[level].id}")
    details: dict[str, Any] = {
        name: str(value) for name in DETAILS if (value := decimal(metrics.get(name))) is not None
    }
    return Metric(
        level=level,
        external_id=external_id,
        day=day,
        **{name: whole(metrics.get(name)) for name in COUNTS},
        spend=decimal(metrics.get("spend")),
        currency=call.config.get("currency"),
        conversions=decimal(metrics.get("conversion")),
        details={**details, **({"provisional": True} if day >= today(call) else {})},
    )


def _day(value: Any) -> date:
    try:
        return date.fromisoformat(str(value)[:10])
    except ValueError:
        raise unreadable(f"{str(value)[:40]!r} is no day") from None


# ----------------------------------------------------------------------------------------------------------- by tasks


def _task_step(call: Call, walk: Walk) -> Outcome:
    if not walk.task_id:
        return _make_task(call, walk)
    return _fetch(call, walk) if walk.ready else _look(call, walk)


def _make_task(call: Call, walk: Walk) -> Wait:
    """Ask for the file of a slice. A task that nobody knows of, because its answer was lost, does no harm."""
    try:
        data = write(call, "report/task/create/", {**_question(call, walk), **FILE})
    except InvalidPayload as error:
        if error.code not in (INVALID, REPORT_TOO_LARGE):
            raise
        return _on(walk.in_slices())
    task_id = text_of(data.get("task_id"))
    if not task_id:
        raise unreadable("it names no task")
    return _on(replace(walk, task_id=task_id, made=walk.made + 1), POLLS_S[0])


def _look(call: Call, walk: Walk) -> Wait:
    """Whether the file is ready."""
    try:
        status = text_of(read(call, "report/task/check/", {"task_id": walk.task_id}).get("status"))
    except ProviderError as error:
        if error.code != TASK_NOT_READY:
            raise
        status = ""
    if status == READY:
        return _on(replace(walk, ready=True))
    if status in ENDED or walk.polls >= POLLS_MAX:
        return _task_failed(walk)
    polls = walk.polls + 1
    return _on(replace(walk, polls=polls), POLLS_S[min(polls, len(POLLS_S) - 1)])


def _task_failed(walk: Walk) -> Wait:
    if walk.made >= TASKS_MADE:
        return _on(walk.in_slices())
    return _on(replace(walk, task_id="", ready=False, offset=0, polls=0))


def _fetch(call: Call, walk: Walk) -> Outcome:
    """Some rows of the file. The next step fetches it again, and goes on behind them."""
    try:
        answer = file(call, "report/task/download/", {"task_id": walk.task_id})
    except OutcomeUnknown as error:
        if error.code != TOO_LONG:
            raise
        return _on(walk.in_slices())
    level = _level(call, walk)
    rows = rows_of(answer.content, LEVELS[level].id, {DAY, "spend"})
    part = rows[walk.offset : walk.offset + ROWS_A_STEP]
    with reading(call):
        metrics = [_metric(call, level, row, row) for row in part]
    if walk.offset + len(part) >= len(rows):
        return _stored(call, walk, metrics)
    return _on(replace(walk, offset=walk.offset + len(part)), records=Records(metrics=tuple(metrics)))


def rows_of(content: bytes, id_column: str, columns: Collection[str] = ()) -> list[dict[str, Any]]:
    """The rows of a file; a line without an id, such as a sum, is none."""
    reader = csv.DictReader(_lines(content))
    missing = {id_column, *columns} - set(reader.fieldnames or ())
    if missing:
        raise Refused(f"The report's file has no column {', '.join(sorted(missing))}.", code=TASK_FAILED)
    return [row for row in reader if (row[id_column] or "").isdigit()]


def _lines(content: bytes) -> Iterable[str]:
    return content.decode("utf-8-sig", "replace").splitlines()
