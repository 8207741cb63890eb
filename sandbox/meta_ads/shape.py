"""How an answer is cut to what was asked for: the named fields of a node, one page of a list."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from sandbox.meta_ads import values
from sandbox.meta_ads.call import Call
from sandbox.meta_ads.errors import invalid, refusal

PAGE: Final = 25
PAGE_MAX: Final = 5000
NOT_IN_NEXT: Final = frozenset({"after", "before", "appsecret_proof"})


def fields_asked(call: Call, default: Sequence[str]) -> dict[str, str]:
    """The fields that were asked for, each with what its braces hold: `a,b{c}` or a JSON array of texts."""
    value = call.params.get("fields")
    if not value:
        return dict.fromkeys(default, "")
    names = values.words("fields", value) if value.startswith("[") else list(split(value))
    pairs = (name.partition("{") for name in names)
    return {name.strip(): inner.removesuffix("}") for name, _, inner in pairs if name.strip()}


def split(text: str) -> Iterator[str]:
    """The parts between commas, but for commas within braces."""
    depth, start = 0, 0
    for at, letter in enumerate(text):
        depth += (letter == "{") - (letter == "}")
        if letter == "," and not depth:
            yield text[start:at]
            start = at + 1
    yield text[start:]


def project(node: Mapping[str, Any], asked: Mapping[str, str], type_name: str) -> dict[str, Any]:
    """The asked-for fields that have a value, and the id; `node` names all fields of its type."""
    unknown = [name for name in asked if name not in node]
    if unknown:
        text = f"(#100) Tried accessing nonexisting field ({unknown[0]}) on node type ({type_name})"
        raise refusal("invalid_parameter", text)
    shown = {name: inner_of(node[name], inner) for name, inner in asked.items() if node[name] is not None}
    return shown if "id" not in node else {**shown, "id": node["id"]}


def inner_of(value: Any, inner: str) -> Any:
    """What the braces behind a field leave of an object."""
    if not inner or not isinstance(value, Mapping):
        return value
    wanted = {name.strip() for name in split(inner)}
    return {name: one for name, one in value.items() if name in wanted}


def page(call: Call, items: Sequence[tuple[int, Any]]) -> dict[str, Any]:
    """One page of a list whose items have ascending ranks: `data` and `paging`, `summary` if asked for."""
    limit = page_size(call)
    after, before = cursor(call, "after"), cursor(call, "before")
    if before is not None:
        left = [one for one in items if one[0] < before]
        shown, more = left[-limit:], True
    else:
        left = [one for one in items if after is None or one[0] > after]
        shown, more = left[:limit], len(left) > limit
    answer: dict[str, Any] = {"data": [item for _, item in shown]}
    if shown:
        answer["paging"] = paging(call, shown, more)
    if call.params.get("summary", "").lower() in ("true", "1", '["total_count"]'):
        answer["summary"] = {"total_count": len(items)}
    return answer


def paging(call: Call, shown: Sequence[tuple[int, Any]], more: bool) -> dict[str, Any]:
    """The cursors of a page; `next` only if there is one. It holds the token."""
    cursors = {"before": encoded(shown[0][0]), "after": encoded(shown[-1][0])}
    if not more:
        return {"cursors": cursors}
    params = {name: value for name, value in call.params.items() if name not in NOT_IN_NEXT}
    query = urlencode({**params, "after": cursors["after"]})
    return {"cursors": cursors, "next": f"{call.base_url}/{call.version}/{'/'.join(call.path)}?{query}"}


def page_size(call: Call) -> int:
    """How many items a page may have: what was asked for, unless an action allows fewer."""
    asked = call.read("limit", values.uint)
    if asked == 0:
        raise invalid("limit", "greater than 0")
    size = min(asked or PAGE, PAGE_MAX)
    most = call.meta.settings.page_rows
    return size if most is None else min(size, most)


def encoded(rank: int) -> str:
    """A rank as an opaque cursor."""
    return base64.urlsafe_b64encode(str(rank).encode()).decode().rstrip("=")


def cursor(call: Call, name: str) -> int | None:
    """The rank that a cursor stands for; raises Refusal."""
    value = call.params.get(name)
    if not value:
        return None
    try:
        return int(base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)))
    except ValueError:
        raise refusal("invalid_parameter", f"(#100) Invalid cursors values: {name}", name) from None
