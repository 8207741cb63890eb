"""What a test or the demo may do here beyond HTTP: change a plan, make things old, send webhooks, look behind."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from sandbox.elevenlabs import studio
from sandbox.elevenlabs.dubbing import OUTCOMES, Dubs
from sandbox.elevenlabs.models import STANDARD, TURBO
from sandbox.elevenlabs.transcripts import Transcript
from sandbox.elevenlabs.webhooks import UNANSWERED, Webhook, deliver, message, receivers
from sandbox.elevenlabs.workspace import QUEUE, Workspace, Workspaces
from sandbox.outgoing import NotSent, send
from sandbox.routes import Action, action

DONE: Final = "speech_to_text_transcription"


class Actions:
    """The actions on one provider; the parameters of each are the fields of its JSON object.

    Without a `key` they are about all workspaces, those to come too."""

    def __init__(self, workspaces: Workspaces, dubs: Dubs) -> None:
        self._workspaces = workspaces
        self._dubs = dubs

    def table(self) -> Mapping[str, Action]:
        """All of them by name."""
        return {name: action(getattr(self, name)) for name in NAMES}

    def set_quota(self, left: int, key: str | None = None) -> None:
        """So many characters are left from now on."""
        check_number("left", left, 0)
        for one in self._chosen(key):
            one.plan = replace(one.plan, character_limit=one.characters + left)
        if key is None:
            self._workspaces.plan = replace(self._workspaces.plan, character_limit=left)

    def set_concurrency(
        self, maximum: int, turbo: int | None = None, queue: int = QUEUE, key: str | None = None
    ) -> None:
        """How many generations run at once, flash and turbo models twice as many unless given; how many wait."""
        check_number("maximum", maximum, 1)
        check_number("queue", queue, 0)
        ceilings = {STANDARD: maximum, TURBO: 2 * maximum if turbo is None else turbo}
        self._adjust(key, ceilings=ceilings, queue=queue)

    def set_pace(self, seconds: float, key: str | None = None) -> None:
        """How long every generation takes from now on."""
        check_number("seconds", seconds, 0)
        self._adjust(key, pace_s=float(seconds))

    def set_voices(
        self,
        limit: int | None = None,
        cloning: bool | None = None,
        library: bool | None = None,
        verification: bool | None = None,
        professional: bool | None = None,
        key: str | None = None,
    ) -> None:
        """Slots for voices; whether the plan clones, adds from the library, trains; whether clones must be verified."""
        given = {
            "voice_limit": limit,
            "cloning": cloning,
            "library": library,
            "verification": verification,
            "professional": professional,
        }
        self._adjust(key, **{name: value for name, value in given.items() if value is not None})

    def verify_voice(self, key: str, voice_id: str) -> None:
        """The speaker of a clone was verified: it may speak."""
        voice = self._workspace(key).voices.get(voice_id)
        if voice is None:
            raise ValueError(f"no voice {voice_id!r} of its own")
        voice.requires_verification = False

    def fail_training(self, key: str, voice_id: str) -> None:
        """The training of a professional clone will fail."""
        voice = self._workspace(key).voices.get(voice_id)
        if voice is None or voice.training is None:
            raise ValueError(f"no professional voice {voice_id!r}")
        voice.training.fails = True

    def set_studio(
        self, allowed: bool = True, polls: int = 2, outcome: str = studio.OUTCOMES[0], key: str | None = None
    ) -> None:
        """Whether podcasts may be made; how those go that are begun from now on: so many looks, then their outcome."""
        if outcome not in studio.OUTCOMES:
            raise ValueError(f"a podcast ends as one of {', '.join(studio.OUTCOMES)}")
        check_number("polls", polls, 0)
        self._adjust(key, studio=allowed, podcast_polls=polls, podcast_outcome=outcome)

    async def finish_podcast(self, key: str, project_id: str) -> int:
        """A podcast has ended, and its callback is told, unsigned; the status that it answered (0: nobody did)."""
        found = self._workspace(key).projects.get(project_id)
        if not isinstance(found, studio.Project):
            raise ValueError(f"no project {project_id!r}")
        found.polls_left = 0
        if found.callback_url is None:
            raise ValueError("this podcast has no callback")
        body = message(studio.CALLED, found.callback(), int(time.time())).encode()
        try:
            status, _ = await send("POST", found.callback_url, {"Content-Type": "application/json"}, body)
        except NotSent:
            return UNANSWERED
        return status

    def set_dubs(self, polls: int = 2, outcome: str = OUTCOMES[0]) -> None:
        """How dubs begun from now on go: so many looks that find them under way, then dubbed or failed."""
        if outcome not in OUTCOMES:
            raise ValueError(f"a dub ends as one of {', '.join(OUTCOMES)}")
        check_number("polls", polls, 0)
        self._dubs.polls, self._dubs.outcome = polls, outcome

    def expire_history(self, key: str | None = None, keep: int = 0) -> int:
        """All but the newest `keep` items of the history are gone; how many went."""
        check_number("keep", keep, 0)
        gone = 0
        for one in self._chosen(key):
            old = list(one.history)[: len(one.history) - keep]
            gone += len(old)
            for item_id in old:
                del one.history[item_id]
        return gone

    def expire_request_ids(self, key: str | None = None) -> int:
        """Everything made so far becomes too old to be stitched to; how many request ids that are."""
        for one in self._chosen(key):
            one.stale.update(one.made)
        return sum(len(one.stale) for one in self._chosen(key))

    def generations(self, key: str) -> list[dict[str, Any]]:
        """Everything that was made and charged, oldest first, what the history does not show too."""
        return [made.summary() for made in self._workspace(key).made.values()]

    def concurrency(self, key: str) -> dict[str, dict[str, int]]:
        """By group of models: the most that ran at once, and how many were refused."""
        lanes = self._workspace(key).lanes
        return {group: {"busiest": lane.busiest, "refused": lane.refused} for group, lane in lanes.items()}

    async def send_webhook(
        self,
        type: str = DONE,
        data: Mapping[str, Any] | None = None,
        key: str | None = None,
        webhook_id: str | None = None,
        url: str | None = None,
        secret: str | None = None,
        event_timestamp: int | None = None,
        at: int | None = None,
        body: str | None = None,
        signed: bool = True,
    ) -> list[dict[str, Any]]:
        """A signed message to the webhooks of a workspace, or to a `url` with its `secret`.

        `event_timestamp` and `at` (of the signature) are unix seconds, now unless given; `body` is sent as it is.
        The same `event_timestamp` and `data` again are the same message again, to the byte."""
        now = int(time.time())
        text = (
            body if body is not None else message(type, data or {}, now if event_timestamp is None else event_timestamp)
        )
        hooks = self._hooks(key, webhook_id, url, secret)
        return await deliver(hooks, text, now if at is None else at, signed)

    async def finish_transcription(self, key: str, transcription_id: str) -> list[dict[str, Any]]:
        """A transcript that was asked for by webhook is done and sent; again, it is sent again."""
        workspace = self._workspace(key)
        found = workspace.transcripts.get(transcription_id)
        if not isinstance(found, Transcript):
            raise ValueError(f"no transcription {transcription_id!r}")
        workspace.transcripts[found.id] = replace(found, pending=False)
        data = {
            "request_id": found.request_id,
            "transcription": found.as_json(),
            "webhook_metadata": found.metadata,
        }
        now = int(time.time())
        return await deliver(receivers(workspace, found.webhook_id), message(DONE, data, now), now)

    def _hooks(self, key: str | None, webhook_id: str | None, url: str | None, secret: str | None) -> list[Webhook]:
        if url is not None and secret is not None:
            return [Webhook("unregistered", "unregistered", url, secret, 0)]
        if key is None:
            raise ValueError("say whose webhooks (key), or where to (url and secret)")
        hooks = receivers(self._workspace(key), webhook_id)
        return [replace(one, secret=secret) for one in hooks] if secret is not None else hooks

    def _workspace(self, key: str) -> Workspace:
        if key not in self._workspaces.by_key:
            raise ValueError("this key was never used here")
        return self._workspaces.by_key[key]

    def _chosen(self, key: str | None) -> Iterator[Workspace]:
        if key is not None:
            self._workspaces.of(key)
        yield from (one for name, one in self._workspaces.by_key.items() if key in (None, name))

    def _adjust(self, key: str | None, **changes: Any) -> None:
        for one in self._chosen(key):
            one.plan = replace(one.plan, **changes)
        if key is None:
            self._workspaces.plan = replace(self._workspaces.plan, **changes)


NAMES: Final = tuple(name for name in vars(Actions) if not name.startswith("_") and name != "table")


def check_number(name: str, value: object, least: float) -> None:
    """Raise ValueError unless it is a number that is large enough."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < least:
        raise ValueError(f"{name} is a number of {least} or more, not {value!r}")
