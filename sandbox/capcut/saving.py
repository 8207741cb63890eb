"""Saving drafts, which fetches their media, and reading them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sandbox.capcut.drafts import Drafts
from sandbox.capcut.editing import draft_json
from sandbox.capcut.envelope import Refused
from sandbox.capcut.gateway import Call, Operation
from sandbox.capcut.media import unreachable
from sandbox.routes import Route
from sandbox.wire import JSON_TYPE, Answer, Request, json_answer


@dataclass(frozen=True, slots=True)
class Save:
    """What became of a save; media that could not be fetched leave no trace in it, as there."""

    draft_id: str
    found: bool
    files: int
    url: str

    def as_json(self) -> dict[str, Any]:
        """The answer of /query_draft_status."""
        if not self.found:
            told = {"status": "failed", "message": f"Draft {self.draft_id} does not exist in cache", "progress": 0}
        else:
            told = {"status": "completed", "message": "Draft creation completed", "progress": 100}
        return {**told, "completed_files": self.files, "total_files": self.files, "draft_url": self.url}


class Saving:
    """The operations, and the last save of each draft."""

    def __init__(self, drafts: Drafts) -> None:
        self._drafts = drafts
        self._saves: dict[str, Save] = {}

    def operations(self) -> dict[str, Operation]:
        """By path."""
        return {
            "/query_script": self.script,
            "/save_draft": self.save,
            "/query_draft_status": self.status,
            "/generate_draft_url": self.url,
        }

    def routes(self) -> tuple[Route, ...]:
        """The draft behind a `draft_url`."""
        return (Route("GET", "/draft/downloader", self.download),)

    async def save(self, call: Call) -> dict[str, Any]:
        """Fetch the media and keep the draft: a success whatever happens, even to a draft that is unknown."""
        draft_id = str(call.need("draft_id"))
        draft = self._drafts.find(draft_id)
        if draft is None:
            self._saves[draft_id] = Save(draft_id, False, 0, "")
            return {"draft_url": None, "success": True}
        await unreachable(draft.media)
        url = draft_json(draft, call)["draft_url"] if call.cloud else ""
        self._saves[draft_id] = Save(draft_id, True, len(draft.media), url)
        return {"draft_url": url, "success": True}

    def status(self, call: Call) -> dict[str, Any]:
        """What became of a save; raises Refused."""
        task_id = str(call.need("task_id"))
        if task_id not in self._saves:
            raise Refused(f"Task with ID {task_id} not found. Please check if the task ID is correct.")
        return self._saves[task_id].as_json()

    def script(self, call: Call) -> str:
        """The project as a text; raises Refused."""
        draft_id = call.need("draft_id")
        draft = self._drafts.find(draft_id)
        if draft is None:
            raise Refused(f"Draft {draft_id} does not exist in cache.")
        return draft.script()

    def url(self, call: Call) -> dict[str, str]:
        """Where a draft can be downloaded, with the query malformed as it is there."""
        return {"draft_url": f"http://{call.host}/capcut/draft/downloader?={call.need('draft_id')}"}

    def download(self, request: Request) -> Answer:
        """The project of a `draft_url`."""
        draft = self._drafts.find(request.args.get("draft_id"))
        if draft is None:
            return json_answer({"error": "no such draft"}, 404)
        return Answer(200, draft.script().encode(), {"Content-Type": JSON_TYPE})
