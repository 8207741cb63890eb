"""People who use the pages: passwords, roles, sessions, and what stops those who guess.

A password is kept as scrypt, a session as the SHA-256 of the random token that the browser holds. Failed log-ins are
counted by name, known or not: five in a row close that name for a quarter of an hour.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import threading
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine

import db.people
import db.tenants
from worker import ids
from worker.tenants import unknown as unknown_tenant

SHORTEST = 12  # characters of a password
LONGEST = 1024
SESSION_S = 7 * 24 * 3600.0  # after which everybody logs in again
IDLE_S = 12 * 3600.0  # without a request
MOST_FAILURES = 5
LOCK_S = 15 * 60.0
TOKEN_BYTES = 32

# About 32 MB and a tenth of a second or two for each guess (OWASP's second set of costs).
_LOG_N, _R, _P = 15, 8, 3
_MAX_MEMORY = 64 * 1024 * 1024
_HASHING = threading.BoundedSemaphore(4)  # at once in a process: guesses must not fill its memory
PATIENCE_S = 1.0  # for a turn: those who wait hold threads that the other doors need
_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,99}")  # as table `people` has it


class Role(StrEnum):
    """What somebody may do; each may what those before may."""

    VIEWER = "viewer"  # look
    OPERATOR = "operator"  # change what is there
    ADMIN = "admin"  # people and keys, too

    def may(self, needed: Role) -> bool:
        """Whether this role includes another one."""
        return _RANKS.index(self) >= _RANKS.index(needed)


_RANKS = tuple(Role)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is logged in. `tenant_id` None sees all tenants."""

    id: UUID
    name: str
    role: Role
    tenant_id: str | None


class PeopleError(ValueError):
    """Somebody cannot be added or changed; the message is one sentence that says why."""


class LoginRefused(ValueError):
    """Somebody is not let in; the message is one sentence that gives nothing away."""


# ------------------------------------------------------------------------------------------------------------- people


def add(connection: Connection, name: str, role: str, password: str, tenant_id: str | None = None) -> UUID:
    """Add somebody. Raises PeopleError."""
    known = named(name)
    if not _NAME.fullmatch(known):
        raise PeopleError("A name has up to 100 small letters, digits and ._@+-, and begins with one of the first two.")
    if role not in _RANKS:
        raise PeopleError(f"There is no role {role!r}: there are {', '.join(_RANKS)}.")
    if tenant_id is not None and tenant_id not in db.tenants.states(connection, [tenant_id]):
        raise PeopleError(unknown_tenant(tenant_id))
    person_id, password_hash = ids.new(), hashed(_good(password))
    if not db.people.insert(
        connection, person_id=person_id, name=known, role=role, tenant_id=tenant_id, password_hash=password_hash
    ):
        raise PeopleError(f'"{known}" is there already: `mesh users password {known}` gives another password.')
    return person_id


def add_first(connection: Connection, name: str = "admin") -> str | None:
    """Where there is nobody yet, add an admin of all tenants: the password, which nobody can read again."""
    if not db.people.is_empty(connection):
        return None
    password = secrets.token_urlsafe(SHORTEST)
    add(connection, name, Role.ADMIN, password)
    return password


def set_password(connection: Connection, name: str, password: str) -> None:
    """Give somebody another password, and log them out everywhere. Raises PeopleError."""
    known = named(name)
    if not db.people.set_password(connection, known, hashed(_good(password))):
        raise PeopleError(nobody(known))
    db.people.end_sessions_of(connection, known)
    db.people.forget_failures(connection, known)


def set_state(connection: Connection, name: str, state: str) -> None:
    """Let somebody in again ("active"), or not any more ("disabled"), at once. Raises PeopleError."""
    known = named(name)
    if not db.people.set_state(connection, known, state):
        raise PeopleError(nobody(known))
    if state != "active":
        db.people.end_sessions_of(connection, known)


def named(name: str) -> str:
    """A name as it is stored."""
    return name.strip().lower()


def nobody(name: str) -> str:
    """The sentence for a name that nobody has."""
    return f"There is nobody named {name[:100]!a}: `mesh users list` shows who is."


def _good(password: str) -> str:
    if not SHORTEST <= len(password) <= LONGEST:
        raise PeopleError(f"A password has {SHORTEST} to {LONGEST} characters.")
    return password


# ---------------------------------------------------------------------------------------------------------- passwords


def hashed(password: str) -> str:
    """A password as it is stored."""
    salt = secrets.token_bytes(16)
    key = _scrypt(password, salt, _LOG_N, _R, _P)
    return f"scrypt${_LOG_N}${_R}${_P}${_text(salt)}${_text(key)}"


def fits(password: str, stored: str) -> bool:
    """Whether a password is the one that was stored."""
    _, log_n, r, p, salt, key = stored.split("$")
    made = _scrypt(password, base64.b64decode(salt), int(log_n), int(r), int(p))
    return hmac.compare_digest(made, base64.b64decode(key))


def _scrypt(password: str, salt: bytes, log_n: int, r: int, p: int) -> bytes:
    secret = password.encode("utf-8", "replace")
    if not _HASHING.acquire(timeout=PATIENCE_S):
        raise LoginRefused("Too many people log in at this moment: try again in a few seconds.")
    try:
        return hashlib.scrypt(secret, salt=salt, n=1 << log_n, r=r, p=p, maxmem=_MAX_MEMORY, dklen=32)
    finally:
        _HASHING.release()


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()


@cache
def _nobodys() -> str:
    """What an unknown name's password is held against: it takes as long as a known one's."""
    return hashed(secrets.token_urlsafe(TOKEN_BYTES))


# ----------------------------------------------------------------------------------------------------------- sessions


def log_in(engine: Engine, name: str, password: str) -> tuple[Person, str]:
    """Let somebody in: the token is for their browser. Raises LoginRefused. No transaction is open while hashing."""
    known = named(name)[:100]
    with engine.begin() as connection:
        allowed = db.people.may_try(connection, known, most=MOST_FAILURES, lock_s=LOCK_S)
        row = db.people.by_name(connection, known)
    if not allowed:
        raise LoginRefused(f"Too many log-ins with this name have failed: wait {LOCK_S / 60:.0f} minutes.")
    right = fits(password[: LONGEST + 1], row.password_hash if row else _nobodys())
    if row is None or not right or row.state != "active":
        raise LoginRefused("The name or the password is wrong.")
    token = secrets.token_urlsafe(TOKEN_BYTES)
    with engine.begin() as connection:
        db.people.forget_failures(connection, known)
        db.people.begin_session(connection, row.id, _hash(token), lasts_s=SESSION_S, idle_s=IDLE_S)
    return _person(row), token


def find(connection: Connection, token: str) -> Person | None:
    """Who holds a session; None where it has ended, or never was."""
    row = db.people.of_session(connection, _hash(token), lasts_s=SESSION_S, idle_s=IDLE_S)
    if row is None:
        return None
    if row.is_stale:
        db.people.seen(connection, _hash(token))
    return _person(row)


def log_out(connection: Connection, token: str) -> None:
    """End a session."""
    db.people.end_session(connection, _hash(token))


def _person(row: Any) -> Person:
    return Person(row.id, row.name, Role(row.role), row.tenant_id)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
