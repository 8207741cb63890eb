"""Who is to see the ads of an ad set: an object of many parts, of which these are known here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sandbox.meta_ads import values
from sandbox.meta_ads.errors import invalid

YOUNGEST, OLDEST = 13, 65
GENDERS: Final = (1, 2)
PLATFORMS: Final = frozenset({"audience_network", "facebook", "instagram", "messenger", "threads"})
POSITIONS: Final = tuple(f"{platform}_positions" for platform in sorted(PLATFORMS))
PARTS: Final = frozenset(
    {
        "age_max",
        "age_min",
        "custom_audiences",
        "device_platforms",
        "excluded_custom_audiences",
        "flexible_spec",
        "genders",
        "geo_locations",
        "locales",
        "publisher_platforms",
        "targeting_automation",
        *POSITIONS,
    }
)


def targeting(name: str, value: str) -> dict[str, Any]:
    """A whole targeting; raises Refusal."""
    given = values.record(name, value)
    unknown = sorted(set(given) - PARTS)
    if unknown:
        raise invalid(name, f"an object without {unknown[0]}")
    if not countries(given):
        raise invalid(f"{name}[geo_locations]", 'an object with countries, such as {"countries": ["US"]}')
    if not all(is_country(each) for each in given["geo_locations"]["countries"]):
        raise invalid(f"{name}[geo_locations][countries]", "an array of two-letter codes")
    check_people(name, given)
    check_places(name, given)
    automation = given.get("targeting_automation")
    if not isinstance(automation, dict) or automation.get("advantage_audience") not in (0, 1):
        raise invalid(f"{name}[targeting_automation]", '{"advantage_audience": 0 or 1}')
    return given


def countries(given: Mapping[str, Any]) -> frozenset[str]:
    """The countries; none where there is no such list."""
    places = given.get("geo_locations")
    found = places.get("countries") if isinstance(places, Mapping) else None
    return frozenset(map(str, found)) if isinstance(found, list) else frozenset()


def is_country(value: Any) -> bool:
    """Two capital letters."""
    return isinstance(value, str) and len(value) == 2 and value.isascii() and value.isalpha() and value.isupper()


def check_people(name: str, given: Mapping[str, Any]) -> None:
    """Ages and genders; raises Refusal."""
    ages = [given.get("age_min", YOUNGEST), given.get("age_max", OLDEST)]
    if not all(type(age) is int and YOUNGEST <= age <= OLDEST for age in ages) or ages[0] > ages[1]:
        raise invalid(f"{name}[age_min]", f"{YOUNGEST} to {OLDEST}, and not above age_max")
    genders = given.get("genders", [])
    if not isinstance(genders, list) or not set(map(str, genders)) <= set(map(str, GENDERS)):
        raise invalid(f"{name}[genders]", "an array of 1 (men) and 2 (women)")


def check_places(name: str, given: Mapping[str, Any]) -> None:
    """Platforms, and positions of those only that are named; raises Refusal."""
    platforms = given.get("publisher_platforms", [])
    if not isinstance(platforms, list) or not set(map(str, platforms)) <= PLATFORMS:
        raise invalid(f"{name}[publisher_platforms]", "some of {" + ", ".join(sorted(PLATFORMS)) + "}")
    for part in POSITIONS:
        if part in given and part.removesuffix("_positions") not in platforms:
            raise invalid(f"{name}[{part}]", "of a platform that publisher_platforms names")
