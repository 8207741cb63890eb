"""The message that a run with a `callbackUrl` ends in: sent by itself, held back, repeated, or never.

Neither a signature nor a thread id in the first answer is documented: who is called must know the run by the URL.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from sandbox.mindstudio.workspaces import Run, Settings, Workspace
from sandbox.outgoing import NotSent, send


class Callbacks:
    """Those still to be sent, and those on their way."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._under_way: set[asyncio.Task[None]] = set()

    def due(self, run: Run) -> None:
        """A run with a callback has ended; now, later or never somebody hears of it."""
        run.left = self._settings.callback_after
        if run.left == 0:
            self._begin(run)

    def tick(self, workspace: Workspace) -> None:
        """The key was used once more, which brings its callbacks closer."""
        for run in [one for one in workspace.runs if one.left]:
            assert run.left is not None
            run.left -= 1
            if run.left == 0:
                self._begin(run)

    async def send(self, run: Run) -> dict[str, Any]:
        """Send one message now, and note what became of it."""
        run.left = None
        assert run.callback_url is not None
        body = json.dumps(message(run))
        sent: dict[str, Any] = {"thread_id": run.thread_id, "body": body}
        try:
            headers = {"Content-Type": "application/json"}
            sent["status"], answer = await send("POST", run.callback_url, headers, body.encode())
            sent["answer"] = answer.decode("utf-8", "replace")
        except NotSent as problem:
            sent["problem"] = str(problem)
        run.callbacks.append(sent)
        return sent

    def _begin(self, run: Run) -> None:
        """Send it as often as it is to be sent, behind the answer under way."""
        task = asyncio.get_running_loop().create_task(self._repeat(run, self._settings.callback_times))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _repeat(self, run: Run, times: int) -> None:
        for _ in range(times):
            await self.send(run)


def message(run: Run) -> dict[str, Any]:
    """What the callback is told: the outcome, or the error in one of the two places where it has been seen."""
    if run.end == "complete":
        told: dict[str, Any] = {"success": True, "threadId": run.thread_id, "result": run.result}
    else:
        place = "error" if run.end == "error" else "message"
        told = {"success": False, "threadId": run.thread_id, place: run.error}
    return told | ({"billingCost": f"${run.cost_usd}"} if run.billed else {})
