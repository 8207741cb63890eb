"""A platform of the tests' own: `numbers`, a stream of pages with ten rows each, and `campaigns`, one listing.

`Pages` is its server, of a real socket: it counts what it is asked and says no where it is told to.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, cast

from model import Cursor, Done, Link, Metric, Outcome, Records, Wait
from providers import PROVIDERS
from providers.contract import Action, Call, Field, Provider, Stream
from providers.errors import InvalidPayload
from providers.http import api_request
from tests.providers.doubles import Peer, Server, serving

NAME = "paged"
PAGES = 6
ROWS = 10  # a page
FIRST_DAY = date(2026, 9, 1)
HOUR_S = 3600.0


# ------------------------------------------------------------------------------------------------------ its adapter


def numbers(call: Call) -> Outcome:
    """A page of a day's rows a step."""
    page = int(call.progress.get("done", 0))
    body = call.send(api_request("GET", call.base_url, f"/numbers/{page}", headers={})).json()
    day = FIRST_DAY + timedelta(days=page)
    rows = tuple(Metric("ad", row["id"], day, impressions=row["seen"], spend=Decimal(row["paid"])) for row in body)
    last = page + 1 == PAGES
    records = Records(metrics=rows, cursor=Cursor("numbers", {"through": day.isoformat()}, finished=last))
    if last:
        return Done({"pages": PAGES}, records=records)
    return Wait(0, {"done": page + 1, "of": PAGES}, records=records)


def campaigns(call: Call) -> Outcome:
    """All campaigns in one page, which is a whole listing."""
    body = call.send(api_request("GET", call.base_url, "/campaigns", headers={})).json()
    links = tuple(Link(row["id"], row.get("key"), row.get("state", "on")) for row in body)
    return Done(records=Records(links=links, listed_since=call.now, cursor=Cursor("campaigns", {}, finished=True)))


def walk(call: Call) -> Outcome:
    """One step of a stream."""
    steps: Mapping[str, Callable[[Call], Outcome]] = {"numbers": numbers, "campaigns": campaigns}
    if call.event.data.get("since", "") > "2026-10":
        raise InvalidPayload("There is nothing so late.", code="too_late")
    return steps[call.event.data["stream"]](call)


def provider(base_url: str, *, needs: str = "") -> Provider:
    """Its facts."""
    return Provider(
        name=NAME,
        title="Paged",
        base_url=base_url,
        docs_url="https://paged.example/docs",
        api_version="1",
        auth="none",
        actions={"sync.due": Action(walk, needs=needs)},
        fields=(Field("account_id", "Account", required=False),),
        streams=(Stream("numbers", HOUR_S), Stream("campaigns", HOUR_S)),
    )


def register(facts: Provider) -> None:
    """Put it into this process's registry."""
    cast(dict[str, Provider], PROVIDERS)[facts.name] = facts


def forget() -> None:
    """Take it out again."""
    cast(dict[str, Provider], PROVIDERS).pop(NAME, None)


# ------------------------------------------------------------------------------------------------------- its server


class Pages:
    """What it holds, how often each thing was asked for, and what it answers instead."""

    def __init__(self) -> None:
        self.server: Server
        self.asked: Counter[str] = Counter()
        self.campaigns: list[dict[str, Any]] = []
        self.failures = 0  # of each path, before it is served
        self.on_request: Callable[[str, int], None] = lambda path, times: None

    def script(self, peer: Peer) -> None:
        """Serve one connection."""
        while request := peer.request():
            path = request.split(b" ", 2)[1].decode()
            self.asked[path] += 1
            self.on_request(path, self.asked[path])
            if self.asked[path] <= self.failures:
                peer.say(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
                continue
            body = json.dumps(self._body(path)).encode()
            peer.say(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body))
            peer.say(body)

    def _body(self, path: str) -> list[dict[str, Any]]:
        if path == "/campaigns":
            return self.campaigns
        page = int(path.rpartition("/")[2])
        return [{"id": f"ad{n}", "seen": 100 * page + n, "paid": f"{page}.{n}0"} for n in range(ROWS)]


@contextmanager
def serving_pages(*, needs: str = "") -> Iterator[Pages]:
    """The platform, for the length of a `with`, in this process's registry."""
    pages = Pages()
    with serving(pages.script) as pages.server:
        register(provider(pages.server.base_url, needs=needs))
        try:
            yield pages
        finally:
            forget()


def connected(mesh: Any, *, name: str = "main", tenant: str = "acme", **config: str) -> Any:
    """A tenant's account there; its id."""
    mesh.tenant(tenant)
    return mesh.one(
        "insert into integrations (tenant_id, provider, name, config)"
        " values (%(tenant)s, %(provider)s, %(name)s, %(config)s::jsonb) returning id",
        tenant=tenant,
        provider=NAME,
        name=name,
        config=json.dumps(config),
    )


def stored(mesh: Any) -> list[tuple[str, str, int, Decimal]]:
    """Every row of numbers that is stored: object, day, impressions, spend."""
    rows = mesh.sql("select external_id, day::text, impressions, spend from ad_metrics order by day, external_id")
    return [tuple(row) for row in rows]


def all_rows() -> list[tuple[str, str, int, Decimal]]:
    """The same as it must be after a whole walk."""
    return [
        (f"ad{n}", (FIRST_DAY + timedelta(days=page)).isoformat(), 100 * page + n, Decimal(f"{page}.{n}0"))
        for page in range(PAGES)
        for n in range(ROWS)
    ]


LAST_DAY = (FIRST_DAY + timedelta(days=PAGES - 1)).isoformat()
