"""AutoDS' numbers as words: what its wire counts, events call by name.

https://github.com/AutoDSTools/autods-mcp-public (enums of the manifests). A text in place of a number is refused there.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

from providers.errors import InvalidPayload

PRODUCT_STATUSES: Mapping[str, int] = {
    "draft": 1, "active": 2, "ended": 3, "untracked": 4, "scheduled": 5, "pre_draft": 6,
}  # fmt: skip
SUPPLIERS: Mapping[str, int] = {
    "amazon": 1, "aliexpress": 2, "banggood": 3, "walmart": 4, "homedepot": 5, "wayfair": 6, "costco": 7,
    "overstock": 8, "costway": 9, "chinabrands": 10, "etsy": 11, "lowes": 12, "ebay": 13, "target": 14,
    "cjdropshipping": 15, "samsclub": 16, "vidaxl": 17, "gearbest": 18, "miniinthebox": 19, "lightinthebox": 20,
    "alibaba": 21, "pureformulas": 22, "redbubble": 23, "wish": 24, "kmart": 25, "dhgate": 26,
    "autods_marketplace": 27, "shein": 28, "macys": 29, "kohls": 30, "catch": 31, "shopify": 32,
    "autods_sourcing": 33, "temu": 34, "cdiscount": 35, "print_on_demand": 36, "tiktok": 37, "alibaba_1688": 38,
    "kogan": 39,
}  # fmt: skip
REGIONS: Mapping[str, int] = {
    "us": 1, "uk": 2, "de": 3, "fr": 4, "it": 5, "cn": 6, "all_regions": 7, "th": 8, "es": 9, "au": 10, "ca": 11,
    "pl": 12, "ru": 13, "be": 14, "cz": 15, "vn": 16, "my": 17, "sg": 18, "ph": 19, "id": 20, "br": 21, "ie": 22,
}  # fmt: skip
CREATED, IN_PROGRESS, FINISHED, CANCELED, ERROR = 1, 2, 3, 4, 99  # of a bulk action's item

# What people see of an order (help.autods.com); how the wire writes it is not known: letters' case and spaces are not
# looked at. What is not here is "unknown", and its own word is kept.
ORDER_STATES: Mapping[str, str] = {
    "pending": "pending",
    "standby": "pending",
    "awaitingpayment": "pending",
    "paymentrevision": "pending",
    "ordered": "ordered",
    "inorderprocess": "ordered",
    "processing": "ordered",
    "shipped": "shipped",
    "delivered": "delivered",
    "completed": "delivered",
    "canceled": "cancelled",
    "cancelled": "cancelled",
    "returned": "returned",
    "refunded": "returned",
    "failed": "failed",
    "error": "failed",
}


def number(table: Mapping[str, int], word: str, what: str) -> int:
    """The wire's number of a word. Raises InvalidPayload that names the words that come close."""
    found = table.get(word.lower().replace(" ", "_").replace("-", "_"))
    if found is None:
        close = get_close_matches(word.lower(), table, n=3) or sorted(table)
        raise InvalidPayload(f"AutoDS has no {what} {word!r}: there are {', '.join(close)}.", code="unknown_word")
    return found


def order_state(word: str) -> str:
    """Our word for an order's status."""
    return ORDER_STATES.get("".join(filter(str.isalnum, word.lower())), "unknown")
