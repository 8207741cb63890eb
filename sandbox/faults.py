"""Faults as data: what can be wrong with an answer, the rules that choose one, and the faults with a name.

A fault changes the answer (status, headers, body …), the way it is sent (late, slowly, half, not at all), and
whether the provider does its work before: a `drop: "after"` is a provider that did and billed the work, and
whose answer got lost.
"""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from email.utils import formatdate
from functools import lru_cache
from typing import Any, Final, Literal

from sandbox.ledger import path_matches
from sandbox.wire import JSON_TYPE, Answer

MIB: Final = 1024 * 1024
HUGE: Final = 100 * MIB  # bytes of the named faults `huge` and `gzip-bomb`
HTTP_DATE: Final = "http-date:"  # "http-date:+3" as a header value becomes the HTTP date 3 s ahead


class BadRule(ValueError):
    """A rule that means nothing; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Drip:
    """Send so many bytes in a second, the header bytes too if asked."""

    bytes_s: float
    headers: bool = False


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong. All fields may be combined where that makes sense."""

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None  # text as it is, anything else as JSON
    delay_s: float = 0.0  # before answering, after the work
    hang: bool = False  # never answer; ends when the client leaves
    drop: Literal["before", "after"] | None = None  # close without an answer, before or after the work
    reset: bool = False  # close with RST, before the work unless drop is "after"
    drip: Drip | None = None
    huge: int = 0  # bytes of body
    compressed: Literal["gzip"] | None = None  # a small body that inflates to `huge` bytes
    truncate: bool = False  # declare a longer body than is sent, then close
    wrong_json: bool = False
    redirect: str | None = None  # Location of a 302
    work: bool | None = None  # whether the provider does its work; None: as `does_work` says

    @property
    def does_work(self) -> bool:
        """Whether the stand-in is asked at all: not for errors, redirects, hangs and losses "before"."""
        if self.work is not None:
            return self.work
        if self.drop is not None:
            return self.drop == "after"
        refused = self.status is not None and self.status >= 300
        return not (refused or self.reset or self.hang or self.redirect)


@dataclass(frozen=True, slots=True)
class Rule:
    """Which requests get a fault."""

    path: str  # exact, or a prefix ending in *
    fault: Fault
    method: str | None = None
    times: int | None = None  # then it is used up; None: for ever
    skip: int = 0  # let the first n through
    share: float = 1.0  # part of the requests, chosen by a random sequence that `seed` fixes
    seed: int = 0


@dataclass(slots=True)
class LiveRule:
    """A rule at work: how many requests it matched and how many it hit."""

    rule: Rule
    source: Mapping[str, Any]
    dice: random.Random
    seen: int = 0
    fired: int = 0

    def hits(self, method: str, path: str) -> bool:
        """Whether this request gets the fault; counts it."""
        rule = self.rule
        if rule.times is not None and self.fired >= rule.times:
            return False
        if not path_matches(rule.path, path) or rule.method not in (None, method):
            return False
        self.seen += 1
        if self.seen <= rule.skip or (rule.share < 1.0 and self.dice.random() >= rule.share):
            return False
        self.fired += 1
        return True


class Rules:
    """The rules in force, in order; the first live one that matches wins. `by_name` are the faults with a name."""

    def __init__(self, by_name: Mapping[str, Named]) -> None:
        self._by_name = by_name
        self.live: list[LiveRule] = []

    def replace(self, sources: Iterable[object]) -> None:
        """Only these rules from now on; raises BadRule and then changes nothing."""
        self.live = [live_rule(source, self._by_name) for source in sources]

    def append(self, sources: Iterable[object]) -> None:
        """These rules after those in force."""
        self.live += [live_rule(source, self._by_name) for source in sources]

    def pick(self, method: str, path: str) -> Fault | None:
        """The fault for this request, if any."""
        for live in self.live:
            if live.hits(method, path):
                return live.rule.fault
        return None

    def as_json(self) -> list[dict[str, Any]]:
        """The rules as they were given, with how often each fired."""
        return [{**live.source, "seen": live.seen, "fired": live.fired} for live in self.live]


def live_rule(source: object, by_name: Mapping[str, Named]) -> LiveRule:
    """A rule from JSON, ready to fire; raises BadRule."""
    rule = rule_from_json(source, by_name)
    assert isinstance(source, Mapping)
    return LiveRule(rule, dict(source), random.Random(rule.seed))


def rule_from_json(source: object, by_name: Mapping[str, Named]) -> Rule:
    """A rule from JSON; raises BadRule with the field at fault."""
    given = known_fields(source, Rule, "rule")
    return Rule(**{**given, "fault": fault_from_json(given["fault"], by_name)})


def fault_from_json(source: object, by_name: Mapping[str, Named]) -> Fault:
    """A fault from JSON, or by its name; raises BadRule."""
    if isinstance(source, str):
        if source not in by_name:
            raise BadRule(f"no fault is named {source!r}; there are: {', '.join(by_name)}")
        return by_name[source].fault
    given = known_fields(source, Fault, "fault")
    if given.get("drop") not in (None, "before", "after"):
        raise BadRule('drop is "before" or "after"')
    if given.get("compressed") not in (None, "gzip"):
        raise BadRule('compressed is "gzip"')
    for value in given.get("headers", {}).values():
        check_header(value)
    if given.get("drip") is not None:
        given["drip"] = Drip(**known_fields(given["drip"], Drip, "drip"))
        if given["drip"].bytes_s <= 0:
            raise BadRule("bytes_s of a drip is more than 0")
    return Fault(**given)


def known_fields(source: object, kind: type, name: str) -> dict[str, Any]:
    """The fields of a JSON object, all known to `kind` and of the right type; raises BadRule."""
    if not isinstance(source, Mapping):
        raise BadRule(f"a {name} is a JSON object")
    known = {f.name: f.default is MISSING and f.default_factory is MISSING for f in fields(kind)}
    unknown = sorted(set(source) - set(known))
    if unknown:
        raise BadRule(f"a {name} has no {', '.join(unknown)}; it has: {', '.join(sorted(known))}")
    missing = [key for key, needed in known.items() if needed and source.get(key) is None]
    if missing:
        raise BadRule(f"a {name} needs {' and '.join(missing)}")
    for key, value in source.items():
        if value is not None and key in FIELD_TYPES and not isinstance(value, FIELD_TYPES[key]):
            raise BadRule(f"{key} of a {name} cannot be {value!r}")
    return {key: value for key, value in source.items() if value is not None}


FIELD_TYPES: Final[Mapping[str, type | tuple[type, ...]]] = {
    "path": str,
    "method": str,
    "times": int,
    "skip": int,
    "share": (int, float),
    "seed": int,
    "status": int,
    "headers": (dict, bool),  # a map in a fault, yes or no in a drip
    "delay_s": (int, float),
    "hang": bool,
    "reset": bool,
    "bytes_s": (int, float),
    "huge": int,
    "truncate": bool,
    "wrong_json": bool,
    "redirect": str,
    "work": bool,
}


@dataclass(frozen=True, slots=True)
class Named:
    """A fault that a path can ask for: `/fault/<name>/…`."""

    fault: Fault
    first: int | None = None  # only the first n requests of each webhook-id; None: all

    def hits(self, seen: int) -> bool:
        """Whether the n-th request of an id gets it."""
        return self.first is None or seen <= self.first


NAMED: Final[Mapping[str, Named]] = {
    "ok": Named(Fault()),
    "302": Named(Fault(redirect="/receive/redirected")),
    "404": Named(Fault(status=404)),
    "410": Named(Fault(status=410)),
    "429": Named(Fault(status=429, headers={"Retry-After": "1"})),
    "429-date": Named(Fault(status=429, headers={"Retry-After": "http-date:+3"})),
    "500": Named(Fault(status=500)),
    "500-after": Named(Fault(status=500, work=True)),
    "503": Named(Fault(status=503)),
    "flaky": Named(Fault(status=500), first=2),
    "slow-200ms": Named(Fault(delay_s=0.2)),
    "slow-2s": Named(Fault(delay_s=2.0)),
    "hang": Named(Fault(hang=True)),
    "hang-after": Named(Fault(hang=True, work=True)),
    "drop": Named(Fault(drop="before")),
    "drop-after": Named(Fault(drop="after")),
    "reset": Named(Fault(reset=True)),
    "reset-after": Named(Fault(reset=True, drop="after")),
    "drip": Named(Fault(drip=Drip(bytes_s=2, headers=True))),
    "huge": Named(Fault(huge=HUGE)),
    "gzip-bomb": Named(Fault(huge=HUGE, compressed="gzip")),
    "truncate": Named(Fault(truncate=True)),
    "wrong-json": Named(Fault(wrong_json=True)),
}


def of_provider(provider: str, by_name: Mapping[str, Fault]) -> dict[str, Named]:
    """A provider's own errors under their full names; unless one says otherwise, the work is not done."""
    return {
        f"{provider}:{name}": Named(fault if fault.work is not None else replace(fault, work=False))
        for name, fault in by_name.items()
    }


def named(path: str, by_name: Mapping[str, Named]) -> tuple[Named, str] | None:
    """The fault that a path asks for, and the rest of the path; None when it asks for none."""
    prefix, _, rest = path.removeprefix("/fault/").partition("/")
    if not path.startswith("/fault/") or prefix not in by_name:
        return None
    return by_name[prefix], "/" + rest


def without_work(fault: Fault) -> Answer:
    """The answer of a fault that does not ask the stand-in."""
    status = fault.status or 200
    body = json.dumps({"error": "fault", "status": status}).encode()
    return Answer(status, body, {"Content-Type": JSON_TYPE})


def disfigure(answer: Answer, fault: Fault, now: float) -> Answer:
    """The answer as the fault changes it, before the question of how it is sent."""
    if fault.work and fault.status is not None and fault.status >= 300:
        answer = without_work(fault)
    answer = replace(
        answer,
        status=fault.status or answer.status,
        headers={**answer.headers, **{k: header_value(v, now) for k, v in fault.headers.items()}},
    )
    if fault.body is not None:
        text = fault.body if isinstance(fault.body, str) else json.dumps(fault.body)
        answer = replace(answer, body=text.encode())
    if fault.wrong_json:
        body, headers = b'{"ok": tru', {**answer.headers, "Content-Type": JSON_TYPE}
        answer = replace(answer, body=body, headers=headers)
    if fault.redirect is not None:
        headers = {**answer.headers, "Location": fault.redirect}
        answer = replace(answer, status=302, headers=headers, body=b"")
    if fault.compressed:
        headers = {**answer.headers, "Content-Encoding": fault.compressed}
        answer = replace(answer, headers=headers, body=gzip_bomb(fault.huge or HUGE))
    return answer


def header_value(value: str, now: float) -> str:
    """A header as it is sent: `http-date:+3` is the HTTP date three seconds ahead, all else is itself."""
    if not value.startswith(HTTP_DATE):
        return value
    return formatdate(now + float(value.removeprefix(HTTP_DATE)), usegmt=True)


def check_header(value: object) -> None:
    """Raise BadRule for a header value that cannot be sent."""
    if not isinstance(value, str):
        raise BadRule(f"headers of a fault are texts by name, not {value!r}")
    try:
        header_value(value, 0.0).encode("latin-1")
    except ValueError:
        raise BadRule(f"headers of a fault cannot hold {value!r}") from None


@lru_cache(maxsize=4)
def gzip_bomb(size: int) -> bytes:
    """A gzip file of `size` zero bytes, about a thousandth as long.

    One mebibyte is compressed once: after a full flush the same bytes stand for the same input again.
    """
    block = bytes(MIB)
    whole, rest = divmod(size, MIB)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(block) + packer.flush(zlib.Z_FULL_FLUSH)
    end = packer.compress(bytes(rest)) + packer.flush(zlib.Z_FINISH)
    crc = 0
    for _ in range(whole):
        crc = zlib.crc32(block, crc)
    crc = zlib.crc32(bytes(rest), crc)
    header = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"
    trailer = crc.to_bytes(4, "little") + (size % 2**32).to_bytes(4, "little")
    return header + packed * whole + end + trailer
