"""capcut-mate: another service that writes drafts, with other habits. Identity is a draft's whole address.

It renders on Windows only; here it does, unless a test says otherwise.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

from sandbox.capcut.drafts import Draft, Drafts
from sandbox.capcut.mate_edits import (
    LAYERS,
    add_keyframes,
    add_layer,
    add_masks,
    add_material,
    add_sticker,
    text_style,
    timelines,
)
from sandbox.capcut.mate_errors import INVALID, NOT_FOUND, UNKNOWN_DRAFT, MateRefused, mate_answer
from sandbox.capcut.mate_fields import FIELDS, checked
from sandbox.capcut.renders import SUCCESS, Render, Renders
from sandbox.routes import Handler, Route
from sandbox.wire import Answer, Request, json_answer

PREFIX: Final = "/openapi/capcut-mate/v1"
ACCOUNT: Final = "mate"
WIDTH, HEIGHT = 1920, 1080
SIDE_MAX: Final = 4096  # pixels
FRAMES_S: Final = 30
SECONDS_MIN: Final = 3.0
TOO_SHORT: Final = "The draft is shorter than 3 seconds"  # unconfirmed wording
NOT_WINDOWS: Final = "视频生成功能仅在Windows系统上可用"  # what it says where it cannot render
SUBMITTED: Final = "视频生成任务已提交，请使用draft_url查询进度"  # in this language whatever is asked for
DRAFT_ID: Final = (20, 32)  # characters
FILES: Final = (
    "draft_info.json",
    "template.tmp",
    "draft_agency_config.json",
    "draft_meta_info.json",
    "draft_content.json",
    "attachment_pc_common.json",
)


@dataclass(frozen=True, slots=True)
class MateCall:
    """One request and its fields."""

    request: Request
    data: Mapping[str, Any]

    @property
    def origin(self) -> str:
        """This server, as the client calls it."""
        return f"http://{self.request.headers.get('host', '127.0.0.1')}"

    def draft_url(self, draft: Draft) -> str:
        """The address that a draft is known by."""
        return f"{self.origin}{PREFIX}/get_draft?draft_id={draft.id}"


Operation = Callable[[MateCall], Awaitable[Answer]]
Edit = Callable[[Draft, Mapping[str, Any]], dict[str, Any]]


class Mate:
    """The service: its own drafts, and renders that it shares with nobody."""

    def __init__(self, renders: Renders) -> None:
        self.drafts = Drafts()
        self._renders = renders
        self._latest: dict[str, Render] = {}  # by draft

    def routes(self) -> tuple[Route, ...]:
        """All its doors; whatever else is under its prefix is a 404 in a 200."""
        posted: dict[str, Operation] = {
            "create_draft": self.create,
            **{name: self._layered(name) for name in LAYERS},
            "add_sticker": self._edited(add_sticker),
            "add_keyframes": self._edited(add_keyframes),
            "add_masks": self._edited(add_masks),
            "easy_create_material": self.add_material,
            "add_text_style": self._helped(text_style),
            "timelines": self._helped(timelines),
            "save_draft": self.save,
            "gen_video": self.generate,
            "gen_video_status": self.status,
        }
        read = {"get_draft": self.files, "gen_video_active_count": self.active}
        return (
            *(Route("POST", f"{PREFIX}/{name}", door(name, operation)) for name, operation in posted.items()),
            *(Route("GET", f"{PREFIX}/{name}", door(name, operation)) for name, operation in read.items()),
            *(Route(method, PREFIX + "/{rest*}", lambda request: json_answer(NOT_FOUND)) for method in ("GET", "POST")),
        )

    async def create(self, call: MateCall) -> Answer:
        """An empty draft."""
        sides = {"width": call.data.get("width", WIDTH), "height": call.data.get("height", HEIGHT)}
        for name, side in sides.items():
            if side < 1:
                raise MateRefused(INVALID, f"{name}: Input should be greater than or equal to 1")
            if side > SIDE_MAX:
                raise MateRefused(INVALID, f"{name}: Input should be less than or equal to {SIDE_MAX}")
        moment = datetime.fromtimestamp(call.request.now, UTC)
        draft = self.drafts.keep(Draft(f"{moment:%Y%m%d%H%M%S}{uuid4().hex[:8]}", **sides))
        return mate_answer(call.request, draft_url=call.draft_url(draft), tip_url="https://www.example.org/")

    async def add_material(self, call: MateCall) -> Answer:
        """Everything at once."""
        draft = self._draft(call)
        return self._said(call, draft, await add_material(draft, call.data))

    async def save(self, call: MateCall) -> Answer:
        """The draft is saved already."""
        return self._said(call, self._draft(call), {})

    async def files(self, call: MateCall) -> Answer:
        """The files of a draft, which are only listed."""
        draft_id = call.request.args.get("draft_id", "")
        least, most = DRAFT_ID
        if len(draft_id) < least:
            raise MateRefused(INVALID, f"query.draft_id: String should have at least {least} characters")
        if len(draft_id) > most:
            raise MateRefused(INVALID, f"query.draft_id: String should have at most {most} characters")
        if self.drafts.find(draft_id) is None:
            raise MateRefused(UNKNOWN_DRAFT)
        return mate_answer(call.request, files=[f"{call.origin}/output/draft/{draft_id}/{name}" for name in FILES])

    async def generate(self, call: MateCall) -> Answer:
        """Begin a render; nothing happens while there is one under way."""
        check_key(call.data.get("apiKey"))
        draft = self._draft(call)
        latest = self._last(draft)
        if latest is None or latest.ended:
            problem = TOO_SHORT if draft.seconds < SECONDS_MIN else None
            size = draft.width, draft.height
            self._latest[draft.id] = self._renders.begin(ACCOUNT, draft, size, FRAMES_S, problem, call.request.now)
        return json_answer({"code": 0, "message": SUBMITTED})

    async def status(self, call: MateCall) -> Answer:
        """One look at the last render of a draft; raises MateRefused."""
        draft = self._draft(call)
        render = self._last(draft)
        if render is None:
            raise MateRefused(2031)
        return self._said(call, draft, self._look(call, render))

    async def active(self, call: MateCall) -> Answer:
        """How many renders are under way."""
        known = [one for one in self._latest.values() if self._renders.find(one.id) is not None]
        return mate_answer(call.request, count=sum(not one.ended for one in known))

    def _look(self, call: MateCall, render: Render) -> dict[str, Any]:
        outcome, begun = render.look(), datetime.fromtimestamp(render.begun_at, UTC).replace(tzinfo=None).isoformat()
        shown = {"progress": 20 * render.stage, "video_url": "", "error_message": "", "completed_at": ""}
        first = render.looks == 1
        shown |= {
            "status": "pending" if first else "processing",
            "created_at": begun,
            "started_at": "" if first else begun,
        }
        if not render.ended:
            return shown
        now = datetime.fromtimestamp(call.request.now, UTC).replace(tzinfo=None).isoformat()
        shown |= {"started_at": begun, "completed_at": now}
        if outcome != SUCCESS:
            return shown | {"status": "failed", "progress": 0, "error_message": render.error or NOT_WINDOWS}
        link = self._renders.link(render, call.request.headers.get("host", "127.0.0.1"), call.request.now)
        return shown | {"status": "completed", "progress": 100, "video_url": link}

    def _last(self, draft: Draft) -> Render | None:
        """The last render of a draft, unless it is forgotten."""
        latest = self._latest.get(draft.id)
        return None if latest is None else self._renders.find(latest.id)

    def _draft(self, call: MateCall) -> Draft:
        """The draft of an address; raises MateRefused."""
        try:
            ids = parse_qs(urlsplit(call.data["draft_url"]).query).get("draft_id", [""])
        except ValueError:
            ids = [""]
        draft = self.drafts.find(ids[0])
        if draft is None:
            raise MateRefused(UNKNOWN_DRAFT)
        return draft

    def _said(self, call: MateCall, draft: Draft, more: Mapping[str, Any]) -> Answer:
        return mate_answer(call.request, draft_url=call.draft_url(draft), **more)

    def _layered(self, name: str) -> Operation:
        async def add(call: MateCall) -> Answer:
            draft = self._draft(call)
            return self._said(call, draft, await add_layer(draft, LAYERS[name], call.data))

        return add

    def _edited(self, edit: Edit) -> Operation:
        async def add(call: MateCall) -> Answer:
            draft = self._draft(call)
            return self._said(call, draft, edit(draft, call.data))

        return add

    def _helped(self, helper: Callable[[Mapping[str, Any]], dict[str, Any]]) -> Operation:
        async def answer(call: MateCall) -> Answer:
            return mate_answer(call.request, **helper(call.data))

        return answer


def check_key(key: str | None) -> None:
    """Raise MateRefused for keys `bad…`, and for keys `empty…`, whose points are used up; none is fine."""
    if key is not None and key.startswith("bad"):
        raise MateRefused(2036)
    if key is not None and key.startswith("empty"):
        raise MateRefused(2035)


def door(name: str, operation: Operation) -> Handler:
    """An operation behind the reading of its fields."""

    async def handle(request: Request) -> Answer:
        try:
            data = checked(body_of(request), FIELDS[name]) if request.method == "POST" else {}
            return await operation(MateCall(request, data))
        except MateRefused as refused:
            return mate_answer(request, refused.code, refused.detail)

    return handle


def body_of(request: Request) -> Any:
    """The JSON of a request; raises MateRefused."""
    try:
        return request.json()
    except ValueError:
        raise MateRefused(INVALID, "0: JSON decode error") from None
