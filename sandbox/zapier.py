"""Zapier's hooks: REST-hook subscriptions and catch hooks.

https://docs.zapier.com/platform/build/hook-trigger
A 200 means accepted, not processed. A REST hook whose subscription is gone answers 410; a catch hook always
answers 200, even when its Zap is off, so 200 there proves nothing.
"""

from __future__ import annotations

from uuid import uuid4

from sandbox.routes import Route, StandIn
from sandbox.wire import Answer, Request, json_answer


class Hooks:
    """The hook URLs of all accounts: every one exists until it is unsubscribed."""

    def __init__(self) -> None:
        self._gone: set[tuple[str, str]] = set()

    def standard(self, request: Request) -> Answer:
        """An event for a REST-hook subscription."""
        if hook(request) in self._gone:
            return json_answer({"message": "This hook is no longer subscribed."}, 410)
        return accepted()

    def unsubscribe(self, request: Request) -> Answer:
        """Reverse unsubscribe: pauses the Zap on Zapier's side."""
        self._gone.add(hook(request))
        return json_answer({"status": "success"})

    def catch(self, request: Request) -> Answer:
        """An event for a catch hook."""
        return accepted()


def hook(request: Request) -> tuple[str, str]:
    """Account and token: what names a hook."""
    return request.params["account"], request.params["token"]


def accepted() -> Answer:
    """Zapier's answer to a hook."""
    return json_answer({"status": "success", "id": str(uuid4()), "request_id": str(uuid4()), "attempt": str(uuid4())})


def stand_in() -> StandIn:
    """A fresh Zapier: every hook is subscribed."""
    hooks = Hooks()
    return StandIn(
        routes=(
            Route("POST", "/hooks/standard/{account}/{token}", hooks.standard),
            Route("DELETE", "/hooks/standard/{account}/{token}", hooks.unsubscribe),
            Route("POST", "/hooks/catch/{account}/{token}", hooks.catch),
        )
    )
