"""The rows of a report, every metric a text."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any, Final

from sandbox.meta_ads.figures import Figures, money
from sandbox.meta_ads.lineage import Node, lineage
from sandbox.meta_ads.people import WHOLE_UNITS

ATTRIBUTION: Final = "7d_click_1d_view"
PURCHASES: Final = ("purchase", "omni_purchase", "offsite_conversion.fb_pixel_purchase")  # the same ones thrice


def row_json(
    node: Node,
    period: tuple[date, date],
    parts: list[Figures],
    windows: tuple[str, ...],
) -> dict[str, Any]:
    """All fields of a row that this stand-in knows, of an account or of what is in it."""
    line: dict[str, Any] = lineage(node)
    account = line["account"]
    campaign, ad_set, ad = (line.get(level) for level in ("campaign", "adset", "ad"))
    whole = sum(parts, Figures())
    reach = whole.reach if len(parts) == 1 else whole.reach * 7 // 10  # people are seen on several days
    currency = account.currency
    return {
        "account_id": account.id,
        "account_name": account.name,
        "account_currency": currency,
        "campaign_id": campaign and campaign.id,
        "campaign_name": campaign and campaign.name,
        "adset_id": ad_set and ad_set.id,
        "adset_name": ad_set and ad_set.name,
        "ad_id": ad and ad.id,
        "ad_name": ad and ad.name,
        "objective": campaign and campaign.objective,
        "buying_type": campaign and campaign.buying_type,
        "attribution_setting": ATTRIBUTION,
        "date_start": str(period[0]),
        "date_stop": str(period[1]),
        "impressions": str(whole.impressions),
        "clicks": str(whole.clicks),
        "inline_link_clicks": str(whole.link_clicks),
        "reach": str(reach),
        "spend": money(whole.spend, currency),
        "frequency": ratio(whole.impressions, reach),
        "ctr": ratio(100 * whole.clicks, whole.impressions),
        "cpc": ratio(major(whole.spend, currency), whole.clicks),
        "cpm": ratio(1000 * major(whole.spend, currency), whole.impressions),
        "actions": actions(whole, windows),
        "action_values": purchases(money(whole.value, currency)) if whole.purchases else None,
        "cost_per_action_type": costs(whole, currency),
        "purchase_roas": roas(whole),
    }


def actions(whole: Figures, windows: tuple[str, ...]) -> list[dict[str, str]] | None:
    """How often what was done, with the attribution windows that were asked for."""
    counts = {"link_click": whole.link_clicks, "landing_page_view": whole.link_clicks * 3 // 4}
    counts |= dict.fromkeys(PURCHASES, whole.purchases)
    rows = [{"action_type": name, "value": str(n), **by_window(n, windows)} for name, n in counts.items() if n]
    return rows or None


def by_window(count: int, windows: tuple[str, ...]) -> dict[str, str]:
    """The part of a count in each window; windows of views beyond a day are no longer answered."""
    viewed = count // 5
    known = {
        "1d_click": (count - viewed) * 3 // 4,
        "7d_click": count - viewed,
        "28d_click": count - viewed,
        "1d_view": viewed,
    }
    return {name: str(known[name]) for name in windows if known.get(name)}


def purchases(value: str) -> list[dict[str, str]]:
    """One value under each of the names that a purchase has."""
    return [{"action_type": name, "value": value} for name in PURCHASES]


def costs(whole: Figures, currency: str) -> list[dict[str, str]] | None:
    """What one of each action cost."""
    rows = actions(whole, ()) or ()
    spend = major(whole.spend, currency)
    return [{"action_type": r["action_type"], "value": ratio(spend, int(r["value"])) or "0"} for r in rows] or None


def roas(whole: Figures) -> list[dict[str, str]] | None:
    """Value by spend."""
    value = ratio(whole.value, whole.spend) if whole.purchases else None
    return None if value is None else [{"action_type": "omni_purchase", "value": value}]


def major(minor: int, currency: str) -> Decimal:
    """An amount in major units."""
    return Decimal(minor) if currency in WHOLE_UNITS else Decimal(minor) / 100


def ratio(part: Decimal | int, whole: int) -> str | None:
    """A quotient with six decimals, None when there is nothing to divide by."""
    return f"{Decimal(part) / whole:.6f}" if whole else None
