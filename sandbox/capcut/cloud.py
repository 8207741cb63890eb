"""What only the cloud of VectCut has: rendering, and changes to a draft as a whole."""

from __future__ import annotations

from typing import Any, Final

from sandbox.capcut.drafts import Draft, Drafts
from sandbox.capcut.editing import draft_json
from sandbox.capcut.envelope import EXPORT_FAILED, Refused, look_json
from sandbox.capcut.gateway import Call, Operation
from sandbox.capcut.media import unreachable
from sandbox.capcut.renders import STAGES, SUCCESS, Render, Renders

SHORT_SIDES: Final = {"480P": 480, "720P": 720, "1080P": 1080, "2K": 1440, "4K": 2160}  # pixels
RESOLUTION: Final = "720P"
FRAME_RATES: Final = ("24", "25", "30", "50", "60")


class Cloud:
    """The operations."""

    def __init__(self, drafts: Drafts, renders: Renders) -> None:
        self._drafts = drafts
        self._renders = renders

    def operations(self) -> dict[str, Operation]:
        """By path."""
        return {
            "/generate_video": self.generate,
            "/generate_idle_video": self.generate,  # a cheaper queue; only observed
            "/task_status": self.status,
            "/modify_draft": self.modify,
        }

    async def generate(self, call: Call) -> dict[str, Any]:
        """Begin a render: a new one at each call. Media that cannot be fetched make it fail."""
        draft = self.known_draft(call)
        resolution, rate = call.get("resolution", RESOLUTION), call.get("framerate", FRAME_RATES[0])
        if resolution not in tuple(SHORT_SIDES) or rate not in FRAME_RATES:
            raise Refused(f"Unsupported resolution {resolution} or framerate {rate}.")
        render = await render_of(self._renders, call, draft, resolution, rate)
        return {"success": True, "error": None, "task_id": render.id}

    def status(self, call: Call) -> dict[str, Any]:
        """One look at a render; raises Refused."""
        task_id = call.need("task_id")
        render = self._renders.find(task_id)
        if render is None or render.account != call.account:
            raise Refused(f"Task with ID {task_id} not found. Please check if the task ID is correct.")
        status = render.look()
        if not render.ended:
            return look_json(render.id, status, None if status == STAGES[0] else 100 * render.stage // len(STAGES))
        if status == SUCCESS:
            link = self._renders.link(render, call.host, call.request.now)
            return look_json(render.id, status, 100, result=link)
        return look_json(render.id, status, None, error=render.error or EXPORT_FAILED)

    def modify(self, call: Call) -> dict[str, Any]:
        """Another name or cover."""
        draft = self.known_draft(call)
        changes = {name: str(call.data[name]) for name in ("name", "cover") if call.get(name) is not None}
        for name, value in changes.items():
            setattr(draft, name, value)
        return {**draft_json(draft, call), **changes}

    def known_draft(self, call: Call) -> Draft:
        """The draft of a call; raises Refused."""
        draft_id = call.need("draft_id")
        draft = self._drafts.find(draft_id)
        if draft is None:
            raise Refused(f"Draft {draft_id} does not exist in cache.")
        return draft


async def render_of(renders: Renders, call: Call, draft: Draft, resolution: str, rate: str) -> Render:
    """A render of a draft, at a size and a rate that exist."""
    missing = await unreachable(draft.media)
    problem = f"Failed to download {missing[0]}" if missing else None
    scale = SHORT_SIDES[resolution] / min(draft.width, draft.height)
    size = round(draft.width * scale), round(draft.height * scale)
    return renders.begin(call.account, draft, size, int(rate), problem, call.request.now)
