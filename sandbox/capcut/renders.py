"""Videos that are made of drafts: begun, looked at until they have their end, fetched by a link that expires."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

from sandbox.capcut.drafts import Draft
from sandbox.capcut.mp4 import SECONDS_MAX, video
from sandbox.capcut.shelf import readable
from sandbox.routes import Route
from sandbox.wire import Answer, Request

POLLS: Final = 2
SUCCESS, FAILURE = "SUCCESS", "FAILURE"
OUTCOMES: Final = (SUCCESS, FAILURE)
STAGES: Final = ("PENDING", "DOWNLOADING", "PROCESSING", "EXPORTING", "UPLOADING")
LINK_LIFE_S: Final = 86_400
SIDE_MAX: Final = 4096  # pixels of the file
DENIED: Final = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>Request has expired.</Message></Error>"


@dataclass(slots=True)
class Settings:
    """How renders begun from now on go."""

    polls: int = POLLS  # looks that do not find them at their end
    outcome: str = SUCCESS
    error: str | None = None  # None: as the service usually says it
    link_life_s: int = LINK_LIFE_S
    failures: int = 0  # so many fail, then the outcome above counts again
    failure: str | None = None  # and why they do


@dataclass(slots=True)
class Render:
    """One video on its way; `error` is why it will fail."""

    id: str
    account: str
    width: int
    height: int
    frames_s: int
    seconds: float
    polls: int
    outcome: str
    error: str | None
    begun_at: float  # unix seconds
    looks: int = 0

    @property
    def ended(self) -> bool:
        """Whether the last look found its end."""
        return self.looks > self.polls

    def look(self) -> str:
        """Its status, which each look moves on: a stage, or its outcome."""
        self.looks = min(self.looks + 1, self.polls + 1)
        return self.outcome if self.ended else STAGES[self.stage]

    @property
    def stage(self) -> int:
        """How far it is, from 0 to 4."""
        return max(0, self.looks - 1) * len(STAGES) // max(1, self.polls)


class Renders:
    """All renders, the files they end in, and their bill."""

    def __init__(self) -> None:
        self.settings = Settings()
        self._renders: dict[str, Render] = {}
        self._secret = secrets.token_bytes()
        self._counts: dict[str, Counter[str]] = {}
        self._seconds: dict[str, float] = {}

    def routes(self) -> tuple[Route, ...]:
        """The files behind the links."""
        return readable("/renders/{name}", self.file)

    def begin(
        self, account: str, draft: Draft, size: tuple[int, int], frames_s: int, problem: str | None, now: float
    ) -> Render:
        """A new render, billed. It fails with `problem`, if there is one, or as the settings say."""
        outcome, error = self._fate(problem)
        width, height = (min(side, SIDE_MAX) for side in size)
        render = Render(
            str(uuid4()), account, width, height, frames_s, draft.seconds, self.settings.polls, outcome, error, now
        )
        self._renders[render.id] = render
        counts = self._counts.setdefault(account, Counter())
        counts["renders"] += 1
        counts["failed"] += outcome == FAILURE
        if outcome == SUCCESS:
            self._seconds[account] = self._seconds.get(account, 0.0) + draft.seconds
        return render

    def find(self, render_id: object) -> Render | None:
        """One of them."""
        return self._renders.get(render_id) if isinstance(render_id, str) else None

    def forget(self) -> int:
        """All are gone, their files too: how many there were."""
        count = len(self._renders)
        self._renders.clear()
        return count

    def expire_links(self) -> None:
        """No link given until now is good any more."""
        self._secret = secrets.token_bytes()

    def link(self, render: Render, host: str, now: float) -> str:
        """Where the video is, for a while."""
        expires = int(now) + self.settings.link_life_s
        signature = self._signature(render.id, str(expires))
        return f"http://{host}/capcut/renders/{render.id}.mp4?Expires={expires}&Signature={signature}"

    def file(self, request: Request) -> Answer:
        """The video, for who has a link that is good."""
        render = self.find(request.params["name"].removesuffix(".mp4"))
        if render is None or not render.ended or render.outcome != SUCCESS:
            return Answer(404, b"", {"Content-Type": "application/xml"})
        expires, signature = request.args.get("Expires", ""), request.args.get("Signature", "")
        good = hmac.compare_digest(signature.encode(), self._signature(render.id, expires).encode())
        if not good or float(expires) < request.now:
            return Answer(403, DENIED, {"Content-Type": "application/xml"})
        content = video(render.width, render.height, render.frames_s, min(render.seconds, SECONDS_MAX))
        return Answer(200, content, {"Content-Type": "video/mp4"})

    def bill(self) -> dict[str, Any]:
        """By key (`local` and `mate` without one), what was rendered; seconds of failed ones are not charged."""
        return {
            account: {
                "renders": counts["renders"],
                "failed": counts["failed"],
                "seconds": round(self._seconds.get(account, 0.0), 3),
            }
            for account, counts in self._counts.items()
        }

    def _fate(self, problem: str | None) -> tuple[str, str | None]:
        settings = self.settings
        if problem is not None:
            return FAILURE, problem
        if settings.failures > 0:
            settings.failures -= 1
            return FAILURE, settings.failure
        return settings.outcome, settings.error

    def _signature(self, render_id: str, expires: str) -> str:
        return hmac.new(self._secret, f"{render_id}:{expires}".encode(), hashlib.sha256).hexdigest()
