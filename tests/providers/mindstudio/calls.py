"""Calls of MindStudio's actions, and walking their steps to the end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from model import Done, Outcome, Wait
from providers.contract import Action, Call, NothingKnown
from providers.mindstudio import PROVIDER
from tests.providers.doubles import NOW, Memory, Scripted, a_call, answer
from worker.catalog import event_types

KEY = "sk_planted_0123456789"
TOKEN = "cb_planted_0123456789"
CALLBACK_URL = "https://mesh.example/hooks/mindstudio/1?delivery=2&token=planted-callback-token"
RUN = {"agent_id": "agent_1", "variables": {"topic": "socks"}}
STARTED = answer(200, {"success": True, "threadId": "th_9", "callbackToken": TOKEN})
PENDING = answer(200, {"status": "pending"})


@dataclass
class Knows(NothingKnown):
    """What was stored of the account, and what came to a callback."""

    streams: Mapping[str, Any] = field(default_factory=dict)
    came: bytes | None = None
    url: str = CALLBACK_URL

    def cursor(self, stream: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.streams.get(stream, {})
        return found

    def callback_url(self) -> str:
        return self.url

    def called_back(self) -> bytes | None:
        return self.came


def action(event_type: str) -> Action:
    found = PROVIDER.action(event_type)
    assert found is not None
    return found


def ms_call(using: Any, event_type: str, data: Mapping[str, Any], **more: Any) -> Call:
    """A call with a key; `data` need not fit the catalog."""
    return a_call(PROVIDER, using, event_type, data, **{"secrets": {"api_key": KEY}, **more})


@dataclass
class Walk:
    """One delivery's steps against a transport, as the engine takes them."""

    using: Any
    event_type: str
    data: Mapping[str, Any]
    known: NothingKnown = field(default_factory=Knows)
    media: Memory = field(default_factory=Memory)
    base_url: str = PROVIDER.base_url
    progress: Mapping[str, Any] = field(default_factory=dict)
    attempts: int = 0
    now: datetime = NOW
    waits: list[Wait] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)
    config: Mapping[str, Any] = field(default_factory=dict)

    def call(self) -> Call:
        self.attempts += 1
        return ms_call(
            self.using,
            self.event_type,
            self.data,
            known=self.known,
            media=self.media,
            base_url=self.base_url,
            progress=self.progress,
            attempt_number=self.attempts,
            now=self.now,
            config=self.config,
        )

    def step(self, call: Call | None = None) -> Outcome:
        """One step; a wait passes at once, by this clock."""
        call = call or self.call()
        return self.took(action(self.event_type).run(call), call)

    def lost(self) -> Outcome | None:
        """What is found out after a lost answer."""
        find = action(self.event_type).find
        assert find is not None
        call = self.call()
        found = find(call)
        return found if found is None else self.took(found, call)

    def took(self, outcome: Outcome, call: Call) -> Outcome:
        if call.exchange is not None:
            self.urls.append(call.exchange.url)
        if isinstance(outcome, Wait):
            self.waits.append(outcome)
            self.progress = outcome.progress
            self.now += timedelta(seconds=outcome.wait_s)
        return outcome

    def end(self, steps: int = 100) -> Done:
        """Steps until it is done, with an event that fits the catalog."""
        for _ in range(steps):
            outcome = self.step()
            if isinstance(outcome, Done):
                for event in outcome.events:
                    assert event_types()[event.type].problem(event.data) is None
                    assert event.data["source_event_id"] == str(self.call().event.id)
                return outcome
        raise AssertionError(f"not done after {steps} steps")

    def repeats(self) -> str:
        """What may be done with a lost answer of the next step."""
        return action(self.event_type).repeat_after(self.progress).value


def body_of(scripted: Scripted, number: int = 0) -> Any:
    """The JSON that a request carried."""
    return json.loads(scripted.requests[number].body)


def at(walk: Walk, seconds: float) -> None:
    """Let time pass."""
    walk.now += timedelta(seconds=seconds)
