"""OAuth 2 as its standards have it, with an API of three doors behind it: the strictest provider there can be.

https://www.rfc-editor.org/rfc/rfc6749, RFC 7636 (PKCE, S256 only), RFC 7009 (revocation), RFC 9700 section 4.14.
A code works once; used again it ends what came of it. A refresh token works once too, and gives the next one; used
again, it ends the whole family: every token of that login. Secrets that start with `bad` are wrong ones.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from secrets import token_urlsafe
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from sandbox.faults import Fault
from sandbox.routes import Route, StandIn, action
from sandbox.wire import Answer, Request, html_answer, json_answer, redirect

CODE_S: Final = 60.0
EXPIRES_IN_S: Final = 3600.0
ACCOUNTS: Final[tuple[Mapping[str, Any], ...]] = (
    {"id": "1001", "name": "North", "currency": "EUR", "timezone": "Europe/Berlin", "open": True},
    {"id": "1002", "name": "South", "currency": "USD", "timezone": "America/New_York", "open": True},
    {"id": "1003", "name": "Old", "currency": "EUR", "timezone": "Europe/Berlin", "open": False},
)
PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Log in</title></head><body><main>
<h1>{client} asks for access</h1>
<p>It asks for: {scopes}</p>
<form method="post">
<button name="decision" value="allow">Allow</button> <button name="decision" value="deny">Deny</button>
</form></main></body></html>"""


class Refused(Exception):
    """An error of RFC 6749, section 5.2."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.error, self.status = error, status


@dataclass(slots=True)
class Family:
    """Everything that one login led to."""

    client_id: str
    scopes: Sequence[str]
    alive: bool = True
    refresh_token: str = field(default="", repr=False)  # the one that was not used yet
    access_tokens: dict[str, float] = field(default_factory=dict, repr=False)  # until when


@dataclass(slots=True)
class Code:
    """What the browser carries back."""

    client_id: str
    redirect_uri: str
    challenge: str
    scopes: Sequence[str]
    until: float
    family: Family | None = None  # once it was used


class Logins:
    """Logins, their tokens, and what a test may change about both."""

    def __init__(self) -> None:
        self.expires_in_s = EXPIRES_IN_S
        self.withheld: Sequence[str] = ()
        self.accounts: Sequence[Mapping[str, Any]] = ACCOUNTS
        self.codes: dict[str, Code] = {}
        self.families: list[Family] = []
        self.by_refresh: dict[str, Family] = {}
        self.refreshes = 0
        self.reuses = 0
        self.revocations = 0

    # ----------------------------------------------------------------------------------------------------- the dialog

    def show(self, request: Request) -> Answer:
        """The page that asks."""
        problem = link_problem(request.args)
        if problem:
            return html_answer(f"<!doctype html><title>Wrong link</title><h1>{escape(problem)}</h1>", 400)
        args = request.args
        return html_answer(PAGE.format(client=escape(args["client_id"]), scopes=escape(args.get("scope", ""))))

    def decide(self, request: Request) -> Answer:
        """Back to the app."""
        if link_problem(request.args):
            return self.show(request)
        args = request.args
        if request.form.get("decision") != "allow":
            return back(args, error="access_denied", error_description="The user said no.")
        code = token_urlsafe(24)
        scopes = [scope for scope in args.get("scope", "").split() if scope not in self.withheld]
        self.codes[code] = Code(
            args["client_id"], args["redirect_uri"], args.get("code_challenge", ""), scopes, request.now + CODE_S
        )
        return back(args, code=code)

    # ----------------------------------------------------------------------------------------------------- the tokens

    def token(self, request: Request) -> Answer:
        """The token endpoint."""
        grants = {"authorization_code": self._by_code, "refresh_token": self._by_refresh_token}
        try:
            check_client(request.form)
            give = grants.get(request.form.get("grant_type", ""))
            if give is None:
                raise Refused("unsupported_grant_type", "There are authorization_code and refresh_token.")
            return self._given(give(request), request.now)
        except Refused as no:
            return json_answer({"error": no.error, "error_description": str(no)}, no.status)

    def _by_code(self, request: Request) -> Family:
        form = request.form
        code = self.codes.get(form.get("code", ""))
        if code is None or code.client_id != form["client_id"]:
            raise Refused("invalid_grant", "There is no such code.")
        if code.family is not None:
            self._end(code.family)
            raise Refused("invalid_grant", "The code was used before.")
        if code.until < request.now or code.redirect_uri != form.get("redirect_uri"):
            raise Refused("invalid_grant", "The code has expired, or is for another redirect_uri.")
        if code.challenge and code.challenge != s256(form.get("code_verifier", "")):
            raise Refused("invalid_grant", "The code_verifier is not the one of the code_challenge.")
        code.family = Family(code.client_id, code.scopes)
        self.families.append(code.family)
        return code.family

    def _by_refresh_token(self, request: Request) -> Family:
        self.refreshes += 1
        used = request.form.get("refresh_token", "")
        family = self.by_refresh.get(used)
        if family is None or not family.alive or family.client_id != request.form["client_id"]:
            raise Refused("invalid_grant", "There is no such refresh token, or it has ended.")
        if family.refresh_token != used:
            self.reuses += 1
            self._end(family)
            raise Refused("invalid_grant", "The refresh token was used before: all tokens of its login have ended.")
        return family

    def _given(self, family: Family, now: float) -> Answer:
        access, refresh = f"at-{token_urlsafe(24)}", f"rt-{token_urlsafe(24)}"
        family.access_tokens = {access: now + self.expires_in_s}
        family.refresh_token = refresh
        self.by_refresh[refresh] = family
        given = {
            "access_token": access,
            "token_type": "bearer",
            "expires_in": self.expires_in_s,
            "refresh_token": refresh,
            "scope": " ".join(family.scopes),
        }
        return json_answer(given, headers={"Cache-Control": "no-store"})

    def _end(self, family: Family) -> None:
        family.alive = False
        family.access_tokens.clear()

    def revoke(self, request: Request) -> Answer:
        """End a token's whole login; an unknown token is no error."""
        try:
            check_client(request.form)
        except Refused as no:
            return json_answer({"error": no.error, "error_description": str(no)}, no.status)
        self.revocations += 1
        token = request.form.get("token", "")
        family = self.by_refresh.get(token) or self._of_access(token)
        if family is not None:
            self._end(family)
        return Answer()

    # -------------------------------------------------------------------------------------------------------- the API

    def list_accounts(self, request: Request) -> Answer:
        """What a login reaches."""
        return self._allowed(request, {"accounts": list(self.accounts)})

    def take_message(self, request: Request) -> Answer:
        """Something to do with a token."""
        return self._allowed(request, {"id": token_urlsafe(8)})

    def _allowed(self, request: Request, said: Mapping[str, Any]) -> Answer:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        family = self._of_access(token)
        if family is None or family.access_tokens[token] < request.now:
            return json_answer({"error": "invalid_token"}, 401, {"WWW-Authenticate": 'Bearer error="invalid_token"'})
        return json_answer(said)

    def _of_access(self, token: str) -> Family | None:
        return next((family for family in self.families if token in family.access_tokens), None)

    # ------------------------------------------------------------------------------------------------- what tests do

    def change(
        self,
        expires_in_s: float | None = None,
        accounts: Sequence[Mapping[str, Any]] | None = None,
        withheld: Sequence[str] | None = None,
    ) -> None:
        """How long access tokens live from now on; which accounts there are; scopes that logins do not give."""
        self.expires_in_s = self.expires_in_s if expires_in_s is None else expires_in_s
        self.accounts = self.accounts if accounts is None else accounts
        self.withheld = self.withheld if withheld is None else withheld

    def end_access_tokens(self) -> None:
        """All access tokens end now; refresh tokens do not."""
        for family in self.families:
            family.access_tokens.clear()

    def end_logins(self) -> None:
        """Everybody takes their permission back."""
        for family in self.families:
            self._end(family)

    def status(self) -> Mapping[str, int]:
        """What happened so far."""
        return {
            "logins": len(self.families),
            "alive": sum(family.alive for family in self.families),
            "refreshes": self.refreshes,
            "reuses": self.reuses,
            "revocations": self.revocations,
        }


def check_client(form: Mapping[str, str]) -> None:
    """Raise Refused for an app without an id, or with a wrong secret."""
    if not form.get("client_id") or not form.get("client_secret") or form["client_secret"].startswith("bad"):
        raise Refused("invalid_client", "The client is unknown, or its secret is wrong.", 401)


def link_problem(args: Mapping[str, str]) -> str | None:
    """What is wrong with the link of an app, if anything is."""
    if not args.get("client_id") or args.get("response_type") != "code":
        return "client_id and response_type=code are needed."
    target = urlsplit(args.get("redirect_uri", ""))
    if target.scheme not in ("http", "https") or not target.netloc or not args["redirect_uri"].isascii():
        return "redirect_uri is not a web address."
    if args.get("code_challenge") and args.get("code_challenge_method") != "S256":
        return "code_challenge_method must be S256."
    return None


def back(args: Mapping[str, str], **told: str) -> Answer:
    """To the app's redirect_uri, with what it is told and the `state` it sent."""
    state = {"state": args["state"]} if "state" in args else {}
    target = urlsplit(args["redirect_uri"])
    query = "&".join(part for part in (target.query, urlencode({**told, **state})) if part)
    return redirect(target._replace(query=query, fragment="").geturl())


def s256(verifier: str) -> str:
    """The challenge of a verifier."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def stand_in() -> StandIn:
    """The provider."""
    ours = Logins()
    return StandIn(
        routes=(
            Route("GET", "/authorize", ours.show),
            Route("POST", "/authorize", ours.decide),
            Route("POST", "/token", ours.token),
            Route("POST", "/revoke", ours.revoke),
            Route("GET", "/accounts", ours.list_accounts),
            Route("POST", "/messages", ours.take_message),
        ),
        faults={
            "invalid_grant": Fault(status=400, body={"error": "invalid_grant", "error_description": "It has ended."}),
            "unavailable": Fault(status=400, body={"error": "temporarily_unavailable"}),
            "invalid_client": Fault(status=401, body={"error": "invalid_client"}),
        },
        actions={
            "change": action(ours.change),
            "end_access_tokens": action(ours.end_access_tokens),
            "end_logins": action(ours.end_logins),
            "status": action(ours.status),
        },
    )
