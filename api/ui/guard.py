"""Who looks at a page, and what they may: a session's cookie, roles, one tenant or all, the token of each form."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, HTTPException, Request

from api.parts import Shared
from worker import people
from worker.audit import Actor
from worker.people import Person, Role
from worker.vault import Vault, VaultError

BASE = "/ui"
SESSION = "mesh_session"
SAID = "mesh_said"  # what the last action came to, shown once
MOST_BYTES = 256 * 1024  # of a form
TOO_OLD = "This form is from another session: go back, load the page again, and send it once more."


class NotLoggedIn(Exception):
    """Nobody is logged in; the page is shown after that."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who is logged in, as pages need to know them."""

    person: Person
    csrf: str = field(repr=False)
    path: str
    said: str = ""

    @property
    def actor(self) -> Actor:
        """Who the audit says it was."""
        return Actor(self.person.name, "pages")

    @property
    def changes(self) -> bool:
        """Whether they may change anything."""
        return self.person.role.may(Role.OPERATOR)

    @property
    def manages(self) -> bool:
        """Whether they may manage people and keys."""
        return self.person.role.may(Role.ADMIN)

    def scope(self, asked: str | None) -> str | None:
        """The tenant that a page is about; None = all. Another's is as if it did not exist."""
        own = self.person.tenant_id
        if own is None or asked in (None, "", own):
            return own or asked or None
        raise HTTPException(404, "There is no such tenant.")

    def own(self, row: Any | None, what: str) -> Any:
        """A row that they may see; another tenant's is a 404 like one that does not exist."""
        if row is None or self.person.tenant_id not in (None, row.tenant_id):
            raise HTTPException(404, f"There is no such {what}.")
        return row


@dataclass(frozen=True, slots=True)
class Change:
    """A form that somebody sent who may do so."""

    visitor: Visitor
    form: Mapping[str, str]
    lists: Mapping[str, list[str]]

    def text(self, name: str) -> str:
        """What was filled in, without blanks around it."""
        return self.form.get(name, "").strip()


def visitor(request: Request, shared: Shared) -> Visitor:
    """Who asks. Raises NotLoggedIn."""
    token = request.cookies.get(SESSION, "")
    if not token:
        raise NotLoggedIn
    with shared.engine.begin() as connection:
        person = people.find(connection, token)
    if person is None:
        raise NotLoggedIn
    csrf = token_of(token)
    found = Visitor(person, csrf, request.url.path, _said(request, shared.vault, csrf))
    request.state.visitor = found
    return found


def token_of(secret: str) -> str:
    """What every form has to bring back, made of what only this browser has."""
    return hmac.new(secret.encode(), b"mesh form", hashlib.sha256).hexdigest()


def _said(request: Request, vault: Vault, csrf: str) -> str:
    sealed = request.cookies.get(SAID, "")
    if not sealed or "fragment" in request.query_params:
        return ""
    try:
        return vault.open(sealed, f"ui.said:{csrf}")
    except VaultError:
        return ""


async def form_of(request: Request) -> Mapping[str, list[str]]:
    """A form's fields; files are none of ours."""
    length = request.headers.get("content-length", "")
    if not length.isdigit() or int(length) > MOST_BYTES:
        raise HTTPException(413, "This form is too long.")
    sent = await request.form(max_files=0)
    return {name: [value for value in sent.getlist(name) if isinstance(value, str)] for name in sent}


def matches(form: Mapping[str, list[str]], csrf: str) -> bool:
    """Whether a form was made for this browser."""
    return hmac.compare_digest((form.get("csrf") or [""])[0].encode(), csrf.encode())


def seen_by(role: Role) -> Callable[[Visitor], Visitor]:
    """A dependency that lets in who has a role."""

    def check(visitor: Annotated[Visitor, Depends(visitor)]) -> Visitor:
        if not visitor.person.role.may(role):
            raise HTTPException(403, f"This is for the role {role}: you are {visitor.person.role}.")
        return visitor

    return check


_FORM = Depends(form_of)


def changed_by(role: Role) -> Callable[..., Change]:
    """A dependency that takes a form of who has a role."""
    let_in = Depends(seen_by(role))

    def check(visitor: Visitor = let_in, form: Mapping[str, list[str]] = _FORM) -> Change:
        if not matches(form, visitor.csrf):
            raise HTTPException(403, TOO_OLD)
        return Change(visitor, {name: values[0] for name, values in form.items() if values}, form)

    return check


def local(address: str) -> str:
    """An address of a page of ours, as it may be gone to; anything else leads to the first page."""
    parts = urlsplit(address) if address.isprintable() and "\\" not in address else urlsplit("")
    ours = parts.path == BASE or parts.path.startswith(f"{BASE}/")
    return address if ours and not parts.scheme and not parts.netloc else f"{BASE}/"


Viewer = Annotated[Visitor, Depends(seen_by(Role.VIEWER))]
Administrator = Annotated[Visitor, Depends(seen_by(Role.ADMIN))]
Changed = Annotated[Change, Depends(changed_by(Role.OPERATOR))]
Managed = Annotated[Change, Depends(changed_by(Role.ADMIN))]
LoggedIn = Annotated[Change, Depends(changed_by(Role.VIEWER))]
