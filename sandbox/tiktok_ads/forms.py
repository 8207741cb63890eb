"""multipart/form-data as a client sends it: plain fields by name. Files themselves are not taken: they come by URL."""

from __future__ import annotations

from collections.abc import Mapping
from email.message import Message
from email.parser import BytesParser
from typing import Any

from sandbox.tiktok_ads.envelope import Invalid

KIND = "multipart/form-data"


def is_form(content_type: str) -> bool:
    """Whether a body is one."""
    return content_type.partition(";")[0].strip().lower() == KIND


def fields_of(content_type: str, body: bytes) -> Mapping[str, Any]:
    """The fields of a body; raises Invalid."""
    parsed = BytesParser().parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    if not parsed.is_multipart():
        raise Invalid("The body is not multipart/form-data.")
    found: dict[str, Any] = {}
    for part in parsed.get_payload():
        if isinstance(part, Message):
            name = part.get_param("name", header="content-disposition")
            content = part.get_payload(decode=True)
            if isinstance(name, str) and isinstance(content, bytes):
                found[name] = content.decode("utf-8", "replace")
    return found
