"""Requests to the Graph API, and its pages.

https://developers.facebook.com/docs/graph-api/overview
The token is always in a header; `appsecret_proof` has no header and goes where the other parameters are.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar
from urllib.parse import quote

import jsontext
from providers.contract import Call
from providers.errors import OutcomeUnknown, Refused, Retryable, Unavailable
from providers.http import Answer, Request, api_request, form_request
from providers.meta_ads.errors import PROVIDER_FAULT, TooMuchData
from providers.oauth2 import Client

VERSION = "v25.0"
BASE_URL = "https://graph.facebook.com"
STALE = timedelta(hours=12)  # a page's cursor does not live for days
MAX_PAGE_BYTES = 16 * 1024 * 1024  # a row of insights with all its actions takes a few kilobytes

Params = Mapping[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Graph:
    """The Graph API as one token sees it."""

    base_url: str
    version: str
    secret: str = field(repr=False)  # the app's
    token: str = field(repr=False)

    def get(self, path: str, params: Params) -> Request:
        """A GET. Lists and objects among the parameters are JSON."""
        return self._with_query("GET", path, params)

    def delete(self, path: str) -> Request:
        """A DELETE."""
        return self._with_query("DELETE", path, {})

    def post(self, path: str, params: Params) -> Request:
        """A POST of a form. Lists and objects among the parameters are JSON."""
        return form_request("POST", self.base_url, self._path(path), headers=self._headers(), form=self._signed(params))

    def post_secret(self, path: str, params: Params, secrets: tuple[str, ...]) -> Request:
        """A POST of JSON, some of whose values are credentials of ours."""
        return api_request(
            "POST",
            self.base_url,
            self._path(path),
            headers=self._headers(),
            json_body=self._signed(params),
            secrets=secrets,
        )

    def _with_query(self, method: str, path: str, params: Params) -> Request:
        return api_request(
            method,
            self.base_url,
            self._path(path),
            headers=self._headers(),
            query=self._signed(params),
            max_answer_bytes=MAX_PAGE_BYTES,
            secrets=(self.secret,),  # an app's own token holds it
        )

    def _path(self, path: str) -> str:
        return f"/{self.version}/{path}"

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}", "User-Agent": "AgentMesh/1"}

    def _signed(self, params: Params) -> dict[str, str]:
        return {**plain(params), "appsecret_proof": appsecret_proof(self.secret, self.token)}


def graph(call: Call) -> Graph:
    """The Graph API for a call's account."""
    secret = call.secrets.get("secret")
    if not secret:
        raise Refused("META_ADS_SECRET is not set: set it to the secret of the app at Meta.", code="app_misconfigured")
    return Graph(call.base_url, version(call), secret, call.secrets["access_token"])


def version(call: Call) -> str:
    """The API version that is asked for."""
    return call.api_version or call.provider.api_version


def app_graph(client: Client, token: str) -> Graph:
    """The same while an account is being connected, with any token of its login."""
    return Graph(client.base_url, client.api_version, client.client_secret, token)


def account(call: Call) -> str:
    """The node of the ad account that the call is for. A bare number is another node."""
    digits = str(call.config.get("account_id") or "").removeprefix("act_")
    if not digits:
        raise Refused("No ad account is chosen: connect the account again and choose one.", code="no_account")
    return f"act_{digits}"


def node(external_id: Any) -> str:
    """An id as one piece of a path, whatever an event gives as one."""
    return quote(str(external_id).strip(), safe="")


def appsecret_proof(secret: str, token: str) -> str:
    """What shows that the caller of a token knows the app's secret too."""
    return hmac.digest(secret.encode(), token.encode(), hashlib.sha256).hex()


def plain(params: Params) -> dict[str, str]:
    """Parameters as texts, those that are None left out."""
    return {name: _plain(value) for name, value in params.items() if value is not None}


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else jsontext.text(value)


def own_parameters(data: Mapping[str, Any]) -> Params:
    """What an event holds for Meta alone, in Meta's own words."""
    found: Params = _dict(_dict(data.get("extra")).get("meta_ads"))
    return found


def over(ours: Params, theirs: Params) -> dict[str, Any]:
    """Parameters with others over them, down to the single field of an object."""
    merged = dict(ours)
    for name, value in theirs.items():
        both = isinstance(value, dict) and isinstance(ours.get(name), dict)
        merged[name] = over(ours[name], value) if both else value
    return merged


# An answer that came and did not say what was asked: nothing was changed by asking, so nothing is unknown.
_READING: Mapping[str, type[Retryable]] = {
    PROVIDER_FAULT: Unavailable,
    "answer_unreadable": Unavailable,
    "answer_truncated": TooMuchData,
}


def read(call: Call, request: Request, understood: Callable[[Answer], T]) -> tuple[Answer, T]:
    """Make a request that changes nothing: the answer, and what was understood of it.

    A fault of theirs leaves nothing unknown.
    """
    try:
        answer = call.send(request)
        return answer, understood(answer)
    except OutcomeUnknown as error:
        if error.code not in _READING:
            raise
        raise _READING[error.code](str(error), code=error.code) from error


def object_in(answer: Answer) -> Mapping[str, Any]:
    """The answer's body, which must be an object."""
    body = answer.json()
    if not isinstance(body, dict):
        raise OutcomeUnknown("Meta answered with something that is no object.", code="answer_unreadable")
    return body


def created_id(answer: Answer, name: str = "id") -> str:
    """The id of what was just made."""
    found = object_in(answer).get(name)
    if not found:
        raise OutcomeUnknown(f"Meta answered without `{name}`.", code="answer_unreadable")
    return str(found)


def confirmed(answer: Answer) -> None:
    """Whether it was done, of which the answer says only yes."""
    if object_in(answer).get("success") is not True:
        raise OutcomeUnknown("Meta did not say whether it was done.", code="answer_unreadable")


def made(answer: Answer, form: Params) -> str | None:
    """The id of what was just made; None where it was only to be checked, as a parameter of Meta's own says."""
    if "validate_only" not in str(form.get("execution_options")):
        return created_id(answer)
    confirmed(answer)
    return None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a listing; `after` asks for the next one, None on the last."""

    rows: tuple[Mapping[str, Any], ...]
    after: str | None
    total: int | None = None  # of the whole listing, where it was asked for


def page_of(answer: Answer) -> Page:
    """A page. Only `paging.next` says that there is another: the last page has cursors too, and may be empty."""
    body = object_in(answer)
    rows, paging, summary = body.get("data"), _dict(body.get("paging")), _dict(body.get("summary"))
    after = _dict(paging.get("cursors")).get("after")
    if not isinstance(rows, list) or (paging.get("next") and not after):
        raise OutcomeUnknown("Meta answered with something that is no page of a list.", code="answer_unreadable")
    total = summary.get("total_count")
    return Page(
        rows=tuple(row for row in rows if isinstance(row, dict)),
        after=str(after) if paging.get("next") else None,
        total=total if isinstance(total, int) else None,
    )


def _dict(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def served_version(call: Call, answer: Answer) -> str | None:
    """The API version that answered, where it is not the one that was asked for."""
    served = answer.headers.get("facebook-api-version")
    return served if served and served != version(call) else None


def served(walk: Mapping[str, Any]) -> dict[str, str]:
    """The same for a walk's result, from its progress."""
    return {"served_version": walk["served_version"]} if walk.get("served_version") else {}
