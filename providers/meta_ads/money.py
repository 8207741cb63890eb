"""Money as Meta takes it: whole numbers of an ad account's smallest unit, in the account's own currency.

https://developers.facebook.com/docs/marketing-api/currencies
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal

from providers.contract import Call
from providers.errors import InvalidPayload

BUDGETS: Mapping[str, str] = {"daily": "daily_budget", "lifetime": "lifetime_budget"}
# Budgets in these are whole units, in all others hundredths.
WHOLE_UNITS = frozenset({"CLP", "COP", "CRC", "HUF", "IDR", "ISK", "JPY", "KRW", "PYG", "TWD", "VND"})


def budget(call: Call, amount: Decimal | None, currency: str | None, kind: str) -> dict[str, int]:
    """The parameter of a budget; none where there is no amount."""
    return {} if amount is None else {BUDGETS[kind]: in_units(call, amount, currency)}


def in_units(call: Call, amount: Decimal, given: str | None) -> int:
    """An amount in minor units. InvalidPayload where it is not in the account's own currency."""
    currency = call.config.get("currency") or given
    if not currency:
        raise InvalidPayload("The budget has no `currency`, and neither has the account.", code="missing_field")
    if given not in (None, currency):
        raise InvalidPayload(
            f"The budget is in {given}, but the ad account is kept in {currency}: give it in {currency}.",
            code="currency_mismatch",
        )
    return minor_units(amount, currency)


def minor_units(amount: Decimal, currency: str) -> int:
    """Money as budgets have it: hundredths, or whole units where a currency has no smaller ones."""
    units = amount if currency in WHOLE_UNITS else amount * 100
    return int(units.quantize(Decimal(1), ROUND_HALF_UP))
