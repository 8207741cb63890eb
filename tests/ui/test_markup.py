"""What every page has for those who read it by keyboard, by ear, or on a small screen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

import api.ui
from tests.mesh import Mesh
from tests.ui.conftest import Enter, Visit
from worker import chain_setup

VOID = {"meta", "link", "input", "br", "progress", "line", "rect"}
STATIC = Path(api.ui.__file__).parent / "static"


class Outline(HTMLParser):
    """The tags of a page, and which are not closed as they were opened."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open a tag."""
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID - {"progress", "line", "rect"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A tag without content."""
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """Close a tag."""
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def named(self, *tags: str) -> Iterator[dict[str, str | None]]:
        """The attributes of these tags."""
        return (attrs for tag, attrs in self.tags if tag in tags)


@pytest.fixture
def visit(mesh: Mesh, enter: Enter) -> Visit:
    """An admin, on a mesh with something of everything."""
    mesh.hook()
    mesh.hook("/fault/500/receive/x", event_type="campaign.paused", filters={"a": [1, 2]})
    mesh.account()
    mesh.deliver(mesh.signup())
    mesh.deliver(mesh.publish("campaign.paused", {"campaign_id": "c", "a": 1}).deliveries[0][1])
    does = {"do": "audio.render_requested", "integration": "elevenlabs", "data": {"text": "x"}}
    with mesh.engine.begin() as connection:
        chain_setup.apply(connection, "acme", {"name": "c", "steps": [{"on": "report.generated", **does}]})
    return enter("admin")


def addresses(mesh: Mesh) -> list[str]:
    one = {table: mesh.one(f"select id from {table} limit 1") for table in ("events", "deliveries", "webhooks")}
    account = mesh.one("select id from integrations where provider = 'elevenlabs'")
    return [
        *("/", "/integrations", "/webhooks", "/webhooks/new", "/events", "/rejected", "/deliveries", "/letters"),
        *("/events/publish", "/events/publish?type=user.signup"),
        *(
            "/chains",
            "/chains/new",
            "/chains/one?tenant=acme&name=c",
            "/inbox",
            "/keys",
            "/audit",
            "/people",
            "/tenants",
        ),
        *(f"/events/{one['events']}", f"/deliveries/{one['deliveries']}", f"/webhooks/{one['webhooks']}"),
        *(f"/integrations/{account}", f"/integrations/{account}/reconnect", "/connect/mindstudio", "/nothing"),
    ]


def test_every_page_has_its_landmarks_and_closes_its_tags(mesh: Mesh, visit: Visit) -> None:
    for path in addresses(mesh):
        page = Outline(visit.get(path).text)
        assert (page.wrong, page.open) == ([], []), path
        count = Counter(tag for tag, _ in page.tags)
        assert [count[tag] for tag in ("main", "h1", "header")] == [1, 1, 1], path
        assert next(page.named("html"))["lang"] == "en"
        assert any(attrs.get("role") == "status" for attrs in page.named("p")), path
        assert all(attrs.get("aria-label") for attrs in page.named("nav")), path
        assert next(page.named("a"))["href"] == "#main", "the first link skips the navigation"


def test_every_field_has_a_label_and_every_id_is_there_once(mesh: Mesh, visit: Visit) -> None:
    for path in addresses(mesh):
        page = Outline(visit.get(path).text)
        ids = Counter(attrs["id"] for _, attrs in page.tags if attrs.get("id"))
        assert [name for name, times in ids.items() if times > 1] == [], path
        labels = {attrs.get("for") for attrs in page.named("label")}
        wrapped = _inside_labels(visit.get(path).text)
        for attrs in page.named("input", "select", "textarea"):
            if attrs.get("type") != "hidden":
                assert attrs.get("id") in labels or attrs.get("name") in wrapped, (path, attrs)
        for name in ("aria-labelledby", "aria-describedby"):
            asked = {word for _, attrs in page.tags for word in (attrs.get(name) or "").split()}
            assert asked <= ids.keys(), path


def _inside_labels(text: str) -> set[str | None]:
    found: set[str | None] = set()
    for part in text.split("<label")[1:]:
        inner = Outline("<label" + part.split("</label>")[0])
        found |= {attrs.get("name") for attrs in inner.named("input", "select")}
    return found


def test_tables_name_their_columns_and_rows(mesh: Mesh, visit: Visit) -> None:
    seen = 0
    for path in addresses(mesh):
        page = Outline(visit.get(path).text)
        assert all(attrs.get("scope") in ("col", "row") for attrs in page.named("th")), path
        seen += sum(attrs.get("scope") == "row" for attrs in page.named("th"))
    assert seen > 10


def test_a_part_that_keeps_itself_fresh_is_a_part(mesh: Mesh, visit: Visit) -> None:
    """What the script asks for is the same part, without the page around it."""
    seen = 0
    for path in addresses(mesh):
        for attrs in Outline(visit.get(path).text).named("div", "section"):
            if live := attrs.get("data-refresh"):
                seen += 1
                answer = visit.get(live.removeprefix("/ui"))
                part = Outline(answer.text)
                assert (answer.status_code, part.wrong, part.open) == (200, [], []), live
                assert not list(part.named("html", "main", "h1")), live
    assert seen > 8


def test_focus_is_seen_and_both_schemes_are_there() -> None:
    css = (STATIC / "mesh.css").read_text()
    for needed in (":focus-visible", "prefers-color-scheme: dark", "max-width: 760px", "prefers-reduced-motion"):
        assert needed in css
    assert "url(" not in css
    assert "@import" not in css


def test_the_script_rests_while_nobody_looks_and_asks_nobody_else() -> None:
    script = (STATIC / "mesh.js").read_text()
    assert "document.hidden" in script
    assert "http" not in script.lower().replace("https://", "http") or "://" not in script
    assert not any(word in script for word in ("eval(", "localStorage", "document.write"))
