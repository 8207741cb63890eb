"""multipart/form-data as a client sends it: fields by name, files in their order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message

from sandbox.elevenlabs.errors import Invalid, Refusal
from sandbox.wire import Request

NOTHING = ("", "null")  # their own client sends the text `null` for a field that was not given


@dataclass(frozen=True, slots=True)
class File:
    """One uploaded file."""

    part: str
    name: str
    content_type: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Form:
    """The parts of a body."""

    fields: Mapping[str, str]
    files: tuple[File, ...]

    def text(self, name: str) -> str | None:
        """A field that says something, or None."""
        value = self.fields.get(name, "")
        return None if value.strip() in NOTHING else value

    def required(self, name: str) -> str:
        """A field that must be there; raises Invalid."""
        value = self.text(name)
        if value is None:
            raise Invalid("body", name, "Field required", "missing")
        return value

    def flag(self, name: str) -> bool:
        """A yes or no, no unless given."""
        return (self.text(name) or "false").lower() == "true"

    def uploads(self, part: str) -> tuple[File, ...]:
        """The files of one part name."""
        return tuple(one for one in self.files if one.part == part)


def read_form(request: Request) -> Form:
    """The form of a request; raises Refusal."""
    header = Message()
    header["Content-Type"] = request.headers.get("content-type", "")
    boundary = header.get_boundary()
    if header.get_content_type() != "multipart/form-data" or not boundary:
        raise Refusal("invalid_content_type", "Send multipart/form-data with a boundary.")
    fields: dict[str, str] = {}
    files: list[File] = []
    for head, content in parts(request.body, boundary.encode("latin-1")):
        name, file_name = named(head)
        if file_name is None:
            fields[name] = content.decode("utf-8", "replace")
        else:
            files.append(File(name, file_name, head.get_content_type(), content))
    return Form(fields, tuple(files))


def parts(body: bytes, boundary: bytes) -> Iterator[tuple[Message, bytes]]:
    """Headers and content of every part."""
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary)
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):
        raise Refusal("bad_request", "The last part of the form is missing.")
    for piece in pieces[1:-1]:
        lines, _, content = piece.partition(b"\r\n\r\n")
        head = Message()
        for line in lines.decode("utf-8", "replace").split("\r\n"):
            name, colon, value = line.partition(":")
            if colon:
                head[name.strip()] = value.strip()
        yield head, content


def named(head: Message) -> tuple[str, str | None]:
    """The part's name and its file name, if it is a file; raises Refusal."""
    name = head.get_param("name", None, "content-disposition")
    if not isinstance(name, str):
        raise Refusal("bad_request", "A part of the form has no name.")
    file_name = head.get_param("filename", None, "content-disposition")
    return name, file_name if isinstance(file_name, str) else None
