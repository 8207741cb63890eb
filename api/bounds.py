"""How long a body may be, before anything of it is kept."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import problem

MOST_BYTES: Mapping[str, int] = {"/v1/events": 16 * 1024 * 1024, "/v1": 1024 * 1024, "/ui": 1024 * 1024}


class Bounded:
    """Answers 413 to a longer body; the doors for webhooks have limits of their own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        path = scope.get("path", "")
        most = next((most for start, most in MOST_BYTES.items() if path == start or path.startswith(f"{start}/")), None)
        if scope["type"] != "http" or most is None:
            return await self._app(scope, receive, send)
        body = bytearray()
        while True:
            message = await receive()
            body += message.get("body", b"")
            if len(body) > most:
                return await problem(413, f"The body is longer than {most} bytes.")(scope, receive, send)
            if message["type"] != "http.request" or not message.get("more_body"):
                break
        return await self._app(scope, _once({**message, "body": bytes(body)}, receive), send)


def _once(message: Message, receive: Receive) -> Receive:
    """The whole body, then whatever comes."""
    messages = [message]

    async def next_message() -> Message:
        return messages.pop() if messages else await receive()

    return next_message
