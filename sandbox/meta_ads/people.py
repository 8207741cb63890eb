"""The made-up people, ad accounts, pixels and first campaigns: what every fresh sandbox holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

MADE_DAYS_AGO: Final = 120  # when the first campaigns were made
WHOLE_UNITS: Final = frozenset(  # currencies without a smaller unit
    {"CLP", "COP", "CRC", "HUF", "IDR", "ISK", "JPY", "KRW", "PYG", "TWD", "VND"}
)


@dataclass(frozen=True, slots=True)
class Account:
    """One ad account, with its pixel and the page that its ads appear as; `min_daily_budget` in minor units."""

    id: str
    number: int  # the fifth digit of its campaigns' ids
    name: str
    currency: str
    timezone: str
    min_daily_budget: int
    pixel: str
    page: str

    @property
    def zone(self) -> ZoneInfo:
        """Its time zone, which decides what a day is."""
        return ZoneInfo(self.timezone)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who can log in."""

    id: str
    name: str
    accounts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Seed:
    """A campaign that every account starts with; budgets in minor units, days counted back from the start."""

    name: str
    objective: str
    status: str = "ACTIVE"
    trouble: str | None = None  # an effective status other than `status`
    daily_budget: int | None = None
    lifetime_budget: int | None = None
    spend_cap: int | None = None
    category: str | None = None
    delivered_until: int | None = None  # so many days ago; None: still
    never_ran: bool = False


ACCOUNTS: Final[Mapping[str, Account]] = {
    one.id: one
    for one in (
        Account("1234567890", 1, "Acme Shoes", "USD", "America/Los_Angeles", 100, "987654321098765", "10500001"),
        Account("2345678901", 2, "Acme Europe", "EUR", "Europe/Berlin", 100, "976543210987654", "10500001"),
        Account("3456789012", 3, "Acme Japan", "JPY", "Asia/Tokyo", 100, "965432109876543", "10500001"),
        Account("4567890123", 4, "Harbour Books", "GBP", "Europe/London", 100, "876543210987654", "10500002"),
    )
}

PEOPLE: Final[Mapping[str, Person]] = {
    one.id: one
    for one in (
        Person("10001", "Mira Holm", ("1234567890", "2345678901", "3456789012")),
        Person("10002", "Jonas Reyes", ("4567890123",)),
    )
}

SEEDS: Final = (
    Seed("Spring launch", "OUTCOME_TRAFFIC", daily_budget=7500),
    Seed("Always on", "OUTCOME_SALES", daily_budget=25_000),
    Seed("Summer sale", "OUTCOME_SALES", lifetime_budget=4_000_000),
    Seed("Brand film", "OUTCOME_AWARENESS", daily_budget=12_000, spend_cap=9_000_000),
    Seed("Newsletter sign-up", "OUTCOME_LEADS", daily_budget=5_000),
    Seed("Budgets in the ad sets", "OUTCOME_ENGAGEMENT"),
    Seed("Careers", "OUTCOME_TRAFFIC", daily_budget=3_000, category="EMPLOYMENT"),
    Seed("Paused last month", "OUTCOME_SALES", "PAUSED", daily_budget=6_000, delivered_until=30),
    Seed("Draft", "OUTCOME_TRAFFIC", "PAUSED", daily_budget=2_000, never_ran=True),
    Seed("Card declined", "OUTCOME_SALES", trouble="WITH_ISSUES", daily_budget=8_000, delivered_until=3),
    Seed("Last year's archive", "OUTCOME_TRAFFIC", "ARCHIVED", daily_budget=4_000, delivered_until=60),
    Seed("A mistake", "OUTCOME_LEADS", "DELETED", daily_budget=1_000, delivered_until=90),
)


def person_named(person: str) -> Person:
    """A person by id; raises ValueError."""
    if person not in PEOPLE:
        raise ValueError(f"nobody has the id {person!r}; there are {', '.join(PEOPLE)}")
    return PEOPLE[person]


def account_named(account: str) -> Account:
    """An ad account by its digits, with or without `act_`; raises ValueError."""
    found = ACCOUNTS.get(str(account).removeprefix("act_"))
    if found is None:
        raise ValueError(f"no ad account {account!r}; there are {', '.join(ACCOUNTS)}")
    return found


def owner_of_pixel(pixel: str) -> Account | None:
    """The account that owns a pixel."""
    return next((one for one in ACCOUNTS.values() if one.pixel == pixel), None)
