"""Requests to the Business API v1.3, and what comes back.

https://business-api.tiktok.com/portal/docs?id=1740579480076290
Paths end in a slash, the token is in `Access-Token`, arrays and objects of a query are JSON.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import jsontext
from providers.contract import Call
from providers.errors import OutcomeUnknown, Unavailable
from providers.http import Answer, Request, api_request
from providers.messages import Part, multipart_request
from providers.tiktok_ads.errors import FAULT_WAIT_S, PARTIAL, code_of, message_of, text_of, unreadable

VERSION = "v1.3"
BASE_URL = "https://business-api.tiktok.com"
PAGE_SIZE = 1000  # the most that is allowed
MAX_PAGE_BYTES = 16 * 1024 * 1024
MAX_FILE_BYTES = 64 * 1024 * 1024  # half a million rows

Data = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing. Pages count from 1 and are positional: what is made meanwhile shifts the rows."""

    rows: tuple[Data, ...]
    number: int
    pages: int  # in all, as of now
    total: int  # rows in all, as of now

    @property
    def is_last(self) -> bool:
        """Whether nothing follows."""
        return self.number >= self.pages


def get(
    base_url: str,
    version: str,
    path: str,
    token: str,
    query: Mapping[str, Any],
    max_answer_bytes: int = MAX_PAGE_BYTES,
) -> Request:
    """A GET; numbers and texts of the query are plain, all else is JSON."""
    return api_request(
        "GET",
        base_url,
        _path(version, path),
        headers=_headers(token),
        query={name: _plain(value) for name, value in query.items()},
        max_answer_bytes=max_answer_bytes,
    )


def post(
    base_url: str, version: str, path: str, token: str | None, body: Data, *, secrets: tuple[str, ...] = ()
) -> Request:
    """A POST with a JSON body. `secrets` are those in the body."""
    return api_request("POST", base_url, _path(version, path), headers=_headers(token), json_body=body, secrets=secrets)


def _path(version: str, path: str) -> str:
    return f"/open_api/{version or VERSION}/{path}"


def _headers(token: str | None) -> dict[str, str]:
    return {"User-Agent": "AgentMesh/1", **({} if token is None else {"Access-Token": token})}


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else jsontext.text(value)


def data_of(answer: Answer, *, partial: bool = False) -> Data:
    """The envelope's `data`. OutcomeUnknown for what is no envelope, and for partial success that is not expected."""
    code = code_of(answer)
    if code is None:
        raise unreadable()
    if code == PARTIAL and not partial:
        said = answer.shown(message_of(answer)).rstrip(".")
        raise OutcomeUnknown(f"TikTok did only a part of it ({code}): {said}.", code="partial")
    data = answer.json().get("data")
    return data if isinstance(data, dict) else {}


def write(call: Call, path: str, body: Data) -> Data:
    """Make a change at the call's advertiser."""
    return data_of(call.send(_post(call, path, {"advertiser_id": account(call), **body})))


def uploaded(call: Call, path: str, fields: Mapping[str, str], *, secret: str) -> Data:
    """Have a file fetched into the advertiser's library. `secret` is the address in it, which is a credential."""
    parts = [Part(name, value.encode()) for name, value in {"advertiser_id": account(call), **fields}.items()]
    request = multipart_request(
        "POST",
        call.base_url,
        _path(call.api_version, path),
        headers=_headers(call.secrets["access_token"]),
        parts=parts,
    )
    return data_of(call.send(replace(request, secrets=(*request.secrets, secret))))


def track(call: Call, body: Data) -> tuple[bool, Data]:
    """Report conversions: whether all were taken, and what is said about those that were not."""
    answer = call.send(_post(call, "event/track/", body))
    data = data_of(answer, partial=True)
    return code_of(answer) != PARTIAL and not data.get("partial_failure"), data


def read(call: Call, path: str, query: Mapping[str, Any]) -> Data:
    """Read of the call's advertiser."""
    with reading(call):
        return data_of(call.send(_get(call, path, query, MAX_PAGE_BYTES)))


def page(call: Call, path: str, query: Mapping[str, Any], number: int) -> Page:
    """Read one page of a listing."""
    with reading(call):
        query = {**query, "page": number, "page_size": PAGE_SIZE}
        data = data_of(call.send(_get(call, path, query, MAX_PAGE_BYTES)))
        rows, info = data.get("list"), data.get("page_info")
        if not isinstance(rows, list) or not isinstance(info, dict) or not all(isinstance(row, dict) for row in rows):
            raise unreadable("it holds no page")
        return Page(tuple(rows), number, int(info.get("total_page") or 0), int(info.get("total_number") or 0))


def file(call: Call, path: str, query: Mapping[str, Any]) -> Answer:
    """Read what comes without an envelope."""
    with reading(call):
        return call.send(_get(call, path, query, MAX_FILE_BYTES))


@contextmanager
def reading(call: Call) -> Iterator[None]:
    """Where an answer came that says nothing, nothing is lost: Unavailable. Without an answer the error stays."""
    try:
        yield
    except OutcomeUnknown as error:
        if call.exchange is None or call.exchange.status is None:
            raise
        raise Unavailable(str(error), code=error.code, wait_s=FAULT_WAIT_S) from error


def app_post(call: Call, path: str, body: Data) -> Data:
    """Have something done for our app, whose secret and a token stand in the body."""
    secrets = tuple(filter(None, (call.secrets.get("secret"), call.secrets.get("access_token"))))
    return data_of(call.send(post(call.base_url, call.api_version, path, None, body, secrets=secrets)))


def app_get(call: Call, path: str, query: Mapping[str, Any]) -> Data:
    """Read something of our app, whose secret stands in the query."""
    request = get(call.base_url, call.api_version, path, call.secrets["access_token"], query)
    with reading(call):
        return data_of(call.send(replace(request, secrets=(*request.secrets, str(call.secrets.get("secret", ""))))))


def account(call: Call) -> str:
    """The advertiser."""
    return text_of(call.config.get("account_id"))


def _get(call: Call, path: str, query: Mapping[str, Any], max_answer_bytes: int) -> Request:
    query = {"advertiser_id": account(call), **query}
    return get(call.base_url, call.api_version, path, call.secrets["access_token"], query, max_answer_bytes)


def _post(call: Call, path: str, body: Data) -> Request:
    return post(call.base_url, call.api_version, path, call.secrets["access_token"], body)
