"""What is sent and what comes back: `Request`, `Answer`, and how both are shown without their secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from urllib3.fields import RequestField
from urllib3.filepost import encode_multipart_formdata

import jsontext
from providers.errors import OutcomeUnknown

MAX_ANSWER_BYTES = 1024 * 1024  # of a decompressed answer, unless the request says otherwise
EXCERPT_CHARS = 500
MASK = "****"

_CREDENTIAL_HEADERS = ("key", "token", "secret", "authorization", "cookie", "signature", "password")
_FORM_CREDENTIALS = ("code", "code_verifier")
_SIGNS = ("key", "token", "secret", "password", "signature", "authorization", "bearer", "whsec_", "wsec_", "sk_", "sk-")
_CREDENTIAL = re.compile(
    r"(?P<named>(?:api[-_]?key|access[-_]?token|refresh[-_]?token|client[-_]?secret|secret|password|token"
    r"|signature|authorization)[\"']?\s*[:=]\s*[\"']?(?:bearer\s+|basic\s+)?)[^\s\"'&,;<>{}]{4,}"
    r"|(?P<bare>bearer\s+|whsec_|wsec_|sk_|sk-)[A-Za-z0-9+/=._~-]{8,}",
    re.IGNORECASE,
)


class Headers(Mapping[str, str]):
    """Header fields by name, in any letter case. Repeated fields are one value, joined by a comma."""

    __slots__ = ("_by_name",)

    def __init__(self, by_lower_name: Mapping[str, str]) -> None:
        self._by_name = by_lower_name

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> Headers:
        """Headers from names in any letter case."""
        return cls({name.lower(): value for name, value in headers.items()})

    def __getitem__(self, name: str) -> str:
        return self._by_name[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def __repr__(self) -> str:
        return f"Headers({', '.join(self._by_name)})"  # names only: a value may be a credential


@dataclass(frozen=True, slots=True)
class Request:
    """One call, ready to send. Only `shown_url` may be shown: address, headers and body carry credentials.

    `trusted` says that the operator wrote the address (a provider's base URL), so it may be a private one. It
    is never true for an address that a tenant or a provider's answer gave. `cut_answer` says that the
    answer's body is not needed whole: one over `max_answer_bytes` is cut, where otherwise the outcome would
    be unknown.
    """

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    shown_url: str
    trusted: bool = False
    max_answer_bytes: int = MAX_ANSWER_BYTES
    cut_answer: bool = False
    secrets: tuple[str, ...] = field(default=(), repr=False)  # credentials in the body

    def credentials(self) -> list[str]:
        """Every value in address and headers that must never be shown, longest first."""
        found = [*self.secrets, *(_in_query(self.url) if self.trusted else _in_url(self.url))]
        for name in _credential_names(tuple(self.headers)):
            value = self.headers[name]
            found = [*found, value, value.partition(" ")[2]]
        return sorted((value for value in found if len(value) >= 4), key=len, reverse=True)


@lru_cache(maxsize=1024)
def _credential_names(headers: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in headers if _is_credential(name))


def _is_credential(header: str) -> bool:
    return any(word in header.lower() for word in _CREDENTIAL_HEADERS)


def _in_query(url: str) -> list[str]:
    """Some APIs take their key as a parameter."""
    return [value for name, value in parse_qsl(urlsplit(url).query) if _is_credential(name)]


@lru_cache(maxsize=4096)
def _in_url(url: str) -> list[str]:
    parts = urlsplit(url)
    return [parts.path.strip("/"), parts.query, max(parts.path.split("/"), key=len)]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whatever its status. `content` is decompressed, and cut where `cut` says so."""

    status: int
    headers: Headers
    content: bytes = field(repr=False)
    elapsed_ms: int = 0
    cut: bool = False
    request: Request | None = field(default=None, repr=False)

    def json(self) -> Any:
        """The body as JSON. A success that cannot be read has still been done: OutcomeUnknown."""
        try:
            return jsontext.decoded(self.content)
        except (ValueError, RecursionError):
            raise OutcomeUnknown(
                f"The provider answered {self.status}, but its body is not the JSON that was expected.",
                code="answer_unreadable",
            ) from None

    def json_or_none(self) -> Any:
        """The body as JSON, or None: for bodies that nothing depends on."""
        try:
            return jsontext.decoded(self.content)
        except (ValueError, RecursionError):
            return None

    def excerpt(self) -> str:
        """The body's first characters for people: printable, on one line, credentials masked."""
        start = self.content[: 4 * EXCERPT_CHARS]
        if b"\0" in start:
            return f"({len(self.content)} bytes of {self.headers.get('content-type', 'something binary')})"
        return self.shown(start.decode("utf-8", "replace"))

    def shown(self, text: str) -> str:
        """A text of the provider's, as it may be shown: it often echoes what it was sent."""
        if not text:
            return ""
        text = text[: 4 * EXCERPT_CHARS]
        for credential in self.request.credentials() if self.request is not None else ():
            text = text.replace(credential, MASK)
        lower = text.lower()
        if any(sign in lower for sign in _SIGNS):
            text = _CREDENTIAL.sub(lambda hit: (hit["named"] or hit["bare"]) + MASK, text)
        if not text.isprintable():
            text = " ".join("".join(char if char.isprintable() else " " for char in text).split())
        return text[:EXCERPT_CHARS].strip()


def webhook_request(method: str, url: str, headers: Mapping[str, str], body: bytes) -> Request:
    """A call to an address that a tenant gave. Only the answer's status matters; a long body is cut."""
    return Request(
        method=method,
        url=url,
        headers={**headers, "Accept-Encoding": "identity"},
        body=body,
        shown_url=masked(url),
        cut_answer=True,
    )


def api_request(
    method: str,
    base_url: str,
    path: str,
    *,
    headers: Mapping[str, str],
    query: Mapping[str, str] | None = None,
    json_body: Any = None,
    max_answer_bytes: int = MAX_ANSWER_BYTES,
    secrets: tuple[str, ...] = (),
) -> Request:
    """A call to a provider's API under the operator's base URL. The caller quotes the path's pieces.

    `secrets` are credentials in the body: what must not be shown when the provider echoes it.
    """
    kind = {} if json_body is None else {"Content-Type": "application/json"}
    body = b"" if json_body is None else compact_json(json_body)
    return _api_request(method, base_url, path, {**headers, **kind}, query, body, secrets, max_answer_bytes)


def form_request(
    method: str,
    base_url: str,
    path: str,
    *,
    headers: Mapping[str, str],
    query: Mapping[str, str] | None = None,
    form: Mapping[str, str],
    max_answer_bytes: int = MAX_ANSWER_BYTES,
) -> Request:
    """The same with a form as its body. Fields that are named like credentials are never shown."""
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    secret = tuple(value for name, value in form.items() if _is_credential(name) or name in _FORM_CREDENTIALS)
    body = urlencode(form).encode()
    return _api_request(method, base_url, path, {**headers, **kind}, query, body, secret, max_answer_bytes)


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a form with files."""

    name: str
    content: bytes = field(repr=False)
    filename: str | None = None  # None = a plain field
    mime: str | None = None


def multipart_request(
    method: str,
    base_url: str,
    path: str,
    *,
    headers: Mapping[str, str],
    query: Mapping[str, str] | None = None,
    parts: Sequence[Part],
    max_answer_bytes: int = MAX_ANSWER_BYTES,
) -> Request:
    """The same with a form that carries files as its body (multipart/form-data); a name may repeat."""
    fields = [RequestField(part.name, part.content, filename=part.filename) for part in parts]
    for made, part in zip(fields, parts, strict=True):
        made.make_multipart(content_type=part.mime)
    body, kind = encode_multipart_formdata(fields)
    sent = {**headers, "Content-Type": kind}
    return _api_request(method, base_url, path, sent, query, body, (), max_answer_bytes)


def media_request(method: str, url: str, max_answer_bytes: int = MAX_ANSWER_BYTES) -> Request:
    """A look at (HEAD) or a download of (GET) a file whose address a tenant or a provider gave: a public one, or one
    of the private networks that are allowed. The address may be a credential and is shown masked.
    """
    return Request(
        method=method,
        url=url,
        headers={"Accept-Encoding": "identity", "User-Agent": "AgentMesh/1"},
        body=b"",
        shown_url=masked(url),
        max_answer_bytes=max_answer_bytes,
        cut_answer=method == "HEAD",
    )


def _api_request(
    method: str,
    base_url: str,
    path: str,
    headers: Mapping[str, str],
    query: Mapping[str, str] | None,
    body: bytes,
    secrets: tuple[str, ...],
    max_answer_bytes: int,
) -> Request:
    url = base_url.rstrip("/") + path
    return Request(
        method=method,
        url=f"{url}?{urlencode(query)}" if query else url,
        headers={**headers, "Accept-Encoding": "gzip"},
        body=body,
        shown_url=url,
        trusted=True,
        max_answer_bytes=max_answer_bytes,
        secrets=secrets,
    )


def compact_json(value: Any) -> bytes:
    """JSON with no spaces, ASCII only, so that every receiver reads the same characters."""
    return jsontext.ascii_encoded(value)


@lru_cache(maxsize=4096)
def masked(url: str) -> str:
    """A webhook's URL as it may be shown: `https://hooks.zapier.com/hooks/…/abc1****`. No query, no user."""
    parts = urlsplit(url)
    place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    pieces = [piece for piece in parts.path.split("/") if piece]
    if not pieces:
        return f"{place}/"
    first = f"/{pieces[0]}/…" if len(pieces) > 1 else ""
    last = pieces[-1]
    return f"{place}{first}/{last[:4] if len(last) >= 8 else ''}{MASK}"
