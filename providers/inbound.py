"""What a provider's own webhooks must prove before they are believed, and what they say.

A provider's `Inbound` facts are pure functions over the raw request: nothing is parsed before it is verified.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


class Forged(Exception):
    """The request does not prove where it comes from; the message says what is wrong, and holds no secret."""


class Malformed(Exception):
    """The request comes from the provider, and is not what its documentation says."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request as it came."""

    headers: Mapping[str, str]  # by lower-case name
    body: bytes = field(repr=False)  # the raw bytes: signatures are over these
    received_at: datetime
    config: Mapping[str, Any] = field(default_factory=dict)  # of the account that it came to


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that a request tells. The same thing told twice has the same `external_id`."""

    external_id: str
    kind: str  # the provider's own word
    account: str = ""  # what it is about there: an account, a page, a person; empty = the account that it came to
    data: Mapping[str, Any] = field(default_factory=dict)
    publishes: tuple[str, Mapping[str, Any]] | None = None  # the type and data of the event that it means to us
    stream: str = ""  # what is read again because of it: a message is only a hint
    proven: bool = True  # False = anybody may have sent it: nothing of it is kept
    forget: bool = False  # the person behind the login left, or wants to be forgotten: the login is


def handshake_token(secret: str) -> str:
    """What our app's settings at a provider have to hold, so that it finds the address to be ours; empty = no secret.

    Made of the app's secret: nothing has to be stored, or set.
    """
    return hmac.digest(secret.encode(), b"mesh webhook handshake", "sha256").hex()[:32] if secret else ""


@dataclass(frozen=True, slots=True)
class Inbound:
    """How a provider's webhooks are verified and read.

    `credential` names the secret that they are verified with: a field of the account, or of our app there. Without
    that secret nothing is believed, unless messages come `unsigned` too. `by_app`: all accounts of our app there have
    one address, and what a notice is about says whose it is. `known_by` are the fields of an account that a notice may
    name it by, beside its id there and the person who logged in.
    """

    verify: Callable[[Arrival, str], None]  # with the secret; raises Forged
    read: Callable[[Arrival], Sequence[Notice]]  # of a verified request; raises Malformed
    handshake: Callable[[Mapping[str, str], str], str | None] = lambda query, token: None  # the text to answer, or None
    credential: str = "secret"
    unsigned: bool = False
    by_app: bool = False
    known_by: Sequence[str] = ()
