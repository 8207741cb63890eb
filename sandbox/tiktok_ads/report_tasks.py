"""Reports computed in the background: asked for, looked at until they are ready, then fetched as CSV.

https://business-api.tiktok.com/portal/docs?id=1740302781443073
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

from sandbox.routes import Route
from sandbox.tiktok_ads.endpoints import Call, Endpoint
from sandbox.tiktok_ads.envelope import Refused, plain
from sandbox.tiktok_ads.parameters import ID, Parameter, Parameters
from sandbox.tiktok_ads.reports import QUESTION, Question, Reports, question
from sandbox.wire import Answer, Request

FIRST_TASK_ID: Final = 7_423_000_000_000_000_000
POLLS: Final = 2  # looks at a task before it is ready: QUEUING, then PROCESSING
QUEUING, PROCESSING, SUCCESS, FAILED, CANCELED = "QUEUING", "PROCESSING", "SUCCESS", "FAILED", "CANCELED"
TASK_SPAN_MAX_DAYS: Final = {True: 365, False: 365}  # unconfirmed
DOWNLOAD_PATH: Final = "/portal/report/"

CREATE: Final[Parameters] = {
    **QUESTION,
    "output_format": Parameter("text", choices=("CSV_STRING", "CSV_DOWNLOAD")),
    "enable_report_title_translation": Parameter("flag"),
    "file_name": Parameter("blank"),  # a space by default
}
TASK: Final[Parameters] = {"advertiser_id": ID, "task_id": ID}


@dataclass(slots=True)
class Task:
    """A report that is being made; `key` names its file for who holds the link."""

    advertiser_id: str
    asked: Question
    link: bool
    translated: bool
    polls: int
    end: str
    key: str
    status: str = QUEUING
    seen: int = 0

    def look(self) -> str:
        """Its status, which each look moves on."""
        if self.status in (QUEUING, PROCESSING):
            self.seen += 1
            if self.seen > self.polls:
                self.status = self.end
            elif self.seen > 1:
                self.status = PROCESSING
        return self.status


class ReportTasks:
    """All tasks. `polls` and `end` are those of the tasks to come."""

    def __init__(self, reports: Reports) -> None:
        self.polls = POLLS
        self.end = SUCCESS
        self._reports = reports
        self._tasks: dict[str, Task] = {}

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What this part answers."""
        return (
            Endpoint("POST", "report/task/create/", self.create, CREATE),
            Endpoint("GET", "report/task/check/", self.check, TASK),
            Endpoint("GET", "report/task/download/", self.download, TASK),
            Endpoint("POST", "report/task/cancel/", self.cancel, TASK),
        )

    def routes(self) -> tuple[Route, ...]:
        """The files behind `download_url`."""
        return (Route("GET", DOWNLOAD_PATH + "{key}.csv", self.file),)

    def create(self, call: Call) -> dict[str, str]:
        """A new task."""
        asked = question(call.args, call.now, TASK_SPAN_MAX_DAYS)
        task_id = str(FIRST_TASK_ID + len(self._tasks) + 1)
        self._tasks[task_id] = Task(
            advertiser_id=asked.advertiser_ids[0],
            asked=asked,
            link=call.args.get("output_format") == "CSV_DOWNLOAD",
            translated=call.args.get("enable_report_title_translation", True),
            polls=self.polls,
            end=self.end,
            key=uuid4().hex,
        )
        return {"task_id": task_id}

    def check(self, call: Call) -> dict[str, str]:
        """How far it is."""
        return {"status": self._task(call).look()}

    def download(self, call: Call) -> Answer | dict[str, str]:
        """The CSV, or where it lies."""
        task = self._task(call)
        if task.status in (QUEUING, PROCESSING):
            raise Refused("task_not_ready")
        if task.status != SUCCESS:
            raise Refused("task_error", f"The task is {task.status}.")
        if task.link:
            return {"download_url": f"http://{call.host}{DOWNLOAD_PATH}{task.key}.csv"}
        return self._csv(task, call.now)

    def cancel(self, call: Call) -> dict[str, str]:
        """Stop it, unless it has its end."""
        task = self._task(call)
        if task.status not in (QUEUING, PROCESSING):
            raise Refused("task_error", f"The task is {task.status}.")
        task.status = CANCELED
        return {}

    def file(self, request: Request) -> Answer:
        """The file of a link; no token is asked for."""
        for task in self._tasks.values():
            if task.key == request.params["key"] and task.status == SUCCESS:
                return self._csv(task, request.now)
        return plain(404, "404 page not found")

    def _task(self, call: Call) -> Task:
        """The task in question; raises Refused."""
        found = self._tasks.get(call.args["task_id"])
        if found is None or found.advertiser_id != call.args["advertiser_id"]:
            raise Refused("not_exist", f"The task {call.args['task_id']} does not exist.")
        return found

    def _csv(self, task: Task, now: float) -> Answer:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(self._lines(task, now))
        return Answer(200, text.getvalue().encode(), {"Content-Type": "text/csv; charset=utf-8"})

    def _lines(self, task: Task, now: float) -> Iterator[list[Any]]:
        names = [*task.asked.dimensions, *task.asked.metrics]
        yield [title(name) for name in names] if task.translated else names
        for row in self._reports.rows(task.asked, now):
            yield [*row["dimensions"].values(), *row["metrics"].values()]


def title(name: str) -> str:
    """A column's name for people."""
    return name.replace("_", " ").capitalize()
