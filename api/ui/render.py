"""Templates become pages. A page that keeps itself up to date has a part of its own in `templates/live/`."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from api.parts import Parts
from api.ui import words
from api.ui.guard import BASE, SAID, Visitor
from providers import PROVIDERS

HERE = Path(__file__).parent
SAID_S = 60  # how long a message waits to be shown

# What stands in the navigation, and the path each begins with.
NAVIGATION = (
    ("Overview", "/"),
    ("Integrations", "/integrations"),
    ("Webhooks", "/webhooks"),
    ("Events", "/events"),
    ("Deliveries", "/deliveries"),
    ("Dead letters", "/letters"),
    ("Chains", "/chains"),
    ("Inbox", "/inbox"),
    ("Keys", "/keys"),
    ("Audit", "/audit"),
)


def address(path: str, **query: Any) -> str:
    """The address of a page of ours; what is None or empty is left out."""
    given = {name: str(value) for name, value in query.items() if value not in (None, "")}
    return f"{BASE}{quote(path)}" + (f"?{urlencode(given)}" if given else "")


def title_of(provider: str) -> str:
    """A provider as people call it."""
    facts = PROVIDERS.get(provider)
    return facts.title if facts else provider


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(address=address, navigation=NAVIGATION, base=BASE, many=words.many)
    names = ("ago", "ahead", "clock", "decoded", "lasting", "moment", "own_key", "pretty", "readable", "spoken")
    made.filters.update({name: getattr(words, name) for name in names})
    made.filters.update(tone=words.tone, title_of=title_of)
    made.globals["cost"] = words.cost
    return made


templates = _environment()


def page(
    visitor: Visitor | None, name: str, /, *, status: int = 200, fragment: bool = False, **values: Any
) -> Response:
    """One page, or its part that changes by itself."""
    template = templates.get_template(f"live/{name}.html" if fragment else f"{name}.html")
    answer = HTMLResponse(template.render(visitor=visitor, **values), status)
    if visitor is not None and visitor.said and not fragment:
        answer.delete_cookie(SAID, path=BASE)
    return answer


def problem(request: Request, status: int, said: str) -> Response:
    """A page with one sentence."""
    return page(getattr(request.state, "visitor", None), "problem", status=status, code=status, sentence=said)


def go(shared: Parts, visitor: Visitor, path: str, said: str = "", **query: Any) -> Response:
    """To another page after a change, which says what that came to."""
    answer = RedirectResponse(address(path, **query), 303)
    if said:
        sealed = shared.vault.seal(said, f"ui.said:{visitor.csrf}")
        set_cookie(answer, shared, SAID, sealed, SAID_S)
    return answer


def set_cookie(answer: Response, shared: Parts, name: str, value: str, lasts_s: float | None) -> None:
    """A cookie that no script reads, and that other sites' forms do not bring along."""
    answer.set_cookie(
        name,
        value,
        max_age=None if lasts_s is None else int(lasts_s),
        path=BASE,
        httponly=True,
        samesite="lax",
        secure=shared.public_url.startswith("https:"),
    )
