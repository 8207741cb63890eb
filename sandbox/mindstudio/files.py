"""Files: outputs of steps, and uploads. Their addresses are public, as on the provider's CDN."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any, Final

from sandbox.mindstudio.errors import Refusal
from sandbox.mindstudio.gateway import Call, Gateway
from sandbox.mindstudio.workspaces import new_id
from sandbox.routes import Route
from sandbox.wire import JSON_TYPE, Answer, Request, json_answer, redirect

NAME: Final = "/mindstudio"  # the stand-in's own prefix, so that no other provider's door is met
MP3: Final = "audio/mpeg"


@dataclass(frozen=True, slots=True)
class File:
    """Bytes of a type; or, for what is made of somebody's video, where that video is."""

    content: bytes = field(default=b"", repr=False)
    mime: str = "application/octet-stream"
    elsewhere: str | None = None


class Files:
    """All files by name, and the uploads that are awaited."""

    def __init__(self) -> None:
        self._files: dict[str, File] = {}
        self._awaited: dict[str, str] = {}  # the type that an upload was announced with

    def routes(self, gateway: Gateway) -> tuple[Route, ...]:
        """Announcing an upload needs the key; the upload itself, and reading, do not."""
        return (
            gateway.route("POST", "/account/upload", self.announce),
            Route("PUT", "/uploads/{name}", self.upload),
            Route("GET", "/files/{name}", self.read),
            Route("HEAD", "/files/{name}", lambda request: replace(self.read(request), body=b"")),
        )

    def keep(self, call: Call, file: File, extension: str) -> str:
        """Keep a file and say where it is."""
        name = f"{new_id()}.{extension}"
        self._files[name] = file
        return address(call, "files", name)

    def keep_value(self, call: Call, value: Any) -> str:
        """Keep an output that is too large for an answer."""
        return self.keep(call, File(json.dumps({"value": value}).encode(), JSON_TYPE), "json")

    def announce(self, call: Call) -> Answer:
        """Where to put the bytes, and where they will be."""
        extension, mime = call.text("extension"), call.text("type")
        if not extension.isalnum():
            raise Refusal("invalid_request", "extension must be letters and digits.")
        name = f"{new_id()}.{extension}"
        self._awaited[name] = mime
        return json_answer({"uploadUrl": address(call, "uploads", name), "url": address(call, "files", name)})

    def upload(self, request: Request) -> Answer:
        """Take the bytes, if they have the type that was announced."""
        name = request.params["name"]
        if self._awaited.get(name) != request.headers.get("content-type"):
            return Refusal("forbidden", "The signature does not match the request.").answer()
        self._files[name] = File(request.body, self._awaited[name])
        return Answer()

    def read(self, request: Request) -> Answer:
        """A file, or the way to it."""
        found = self._files.get(request.params["name"])
        if found is None:
            return Refusal("not_found").answer()
        if found.elsewhere is not None:
            return redirect(found.elsewhere)
        return Answer(200, found.content, {"Content-Type": found.mime})


def address(call: Call, kind: str, name: str) -> str:
    """The address of a file, as the client calls this server."""
    return f"http://{call.request.headers.get('host', '127.0.0.1')}{NAME}/{kind}/{name}"
