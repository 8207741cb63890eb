"""Advertisers of a made-up business, and the tokens and codes that let apps act for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Final
from uuid import uuid4
from zoneinfo import ZoneInfo

from sandbox.tiktok_ads.envelope import Refused

BUSINESS: Final = "Halden Coffee"
SCOPES: Final = (1, 2, 4, 5, 8)  # account, ads, reports, measurement, pixel: what every app is approved for
CODE_LIFE_S: Final = 3600


@dataclass(frozen=True, slots=True)
class Advertiser:
    """One ad account. Its days are those of its time zone; money is in major units of its currency."""

    id: str
    name: str
    currency: str
    timezone: str
    country: str
    pixel_code: str

    def today(self, now: float) -> date:
        """The day at a unix time."""
        return datetime.fromtimestamp(now, ZoneInfo(self.timezone)).date()


ADVERTISERS: Final[Mapping[str, Advertiser]] = {
    one.id: one
    for one in (
        Advertiser("7311111111111111111", "Halden Coffee EU", "EUR", "Europe/Berlin", "DE", "CHALDENEU0000000001"),
        Advertiser(
            "7311111111111111112", "Halden Coffee US", "USD", "America/Los_Angeles", "US", "CHALDENUS0000000002"
        ),
        Advertiser("7311111111111111113", "Halden Coffee Japan", "JPY", "Asia/Tokyo", "JP", "CHALDENJP0000000003"),
    )
}


@dataclass(slots=True)
class Token:
    """What one connection may do: an app, for some advertisers. It never expires."""

    app_id: str
    advertiser_ids: tuple[str, ...]
    revoked: bool = False

    def check(self, advertiser_id: str) -> None:
        """Raise Refused for an advertiser that is not among them."""
        if advertiser_id not in ADVERTISERS:
            raise Refused("advertiser_missing", f"The advertiser {advertiser_id} does not exist.")
        if advertiser_id not in self.advertiser_ids:
            raise Refused("no_permission", f"No permission to operate advertiser {advertiser_id}.")


@dataclass(slots=True)
class Code:
    """What the dialog hands out: good once, for an hour."""

    app_id: str
    advertiser_ids: tuple[str, ...]
    made_at: float
    used: bool = False


@dataclass(slots=True)
class Grants:
    """All tokens and codes; `exchanges` counts the codes that became tokens."""

    exchanges: int = 0
    _tokens: dict[str, Token] = field(default_factory=dict, repr=False)
    _codes: dict[str, Code] = field(default_factory=dict, repr=False)

    def code(self, app_id: str, advertiser_ids: Iterable[str], now: float) -> str:
        """A code for a token of these advertisers."""
        made = uuid4().hex
        self._codes[made] = Code(app_id, tuple(advertiser_ids), now)
        return made

    def exchange(self, app_id: str, code: str, now: float) -> tuple[str, Token]:
        """The token for a code; raises Refused."""
        found = self._codes.get(code)
        if found is None or found.app_id != app_id:
            raise Refused("wrong_secret")
        if found.used:
            raise Refused("auth_code_used")
        if now - found.made_at > CODE_LIFE_S:
            raise Refused("auth_code_expired")
        found.used = True
        self.exchanges += 1
        made = self.issue(app_id, found.advertiser_ids)
        return made, self._tokens[made]

    def issue(self, app_id: str, advertiser_ids: Iterable[str]) -> str:
        """A new token."""
        made = f"act.{uuid4().hex}"
        self._tokens[made] = Token(app_id, tuple(advertiser_ids))
        return made

    def token(self, text: str) -> Token:
        """The live token of this text; raises Refused."""
        if not text:
            raise Refused("token_missing")
        found = self._tokens.get(text)
        if found is None or found.revoked:
            raise Refused("revoked")
        return found

    def revoke(self, wanted: str | None, app_id: str | None) -> int:
        """End a token, and all tokens of an app; how many live ones it ended."""
        ended = 0
        for text, token in self._tokens.items():
            if not token.revoked and (text == wanted or token.app_id == app_id):
                token.revoked = True
                ended += 1
        return ended


def check_secret(secret: str) -> None:
    """Raise Refused for a secret that starts with `bad`; all others are registered."""
    if secret.startswith("bad"):
        raise Refused("wrong_secret")


def advertiser_json(one: Advertiser) -> dict[str, Any]:
    """An advertiser as advertiser/info/ shows it."""
    return {
        "advertiser_id": one.id,
        "name": one.name,
        "company": BUSINESS,
        "currency": one.currency,
        "timezone": one.timezone,
        "display_timezone": one.timezone,
        "country": one.country,
        "status": "STATUS_ENABLE",
        "role": "ROLE_ADVERTISER",
        "rejection_reason": "",
        "balance": 0.0,
        "create_time": CREATED_AT,
        "owner_bc_id": "7200000000000000001",
    }


CREATED_AT: Final = int(datetime(2024, 1, 2, tzinfo=UTC).timestamp())
