"""The page at `/_sandbox/` for people: what a customer's endpoint received, and how it is broken and mended."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from itertools import islice
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from sandbox.ledger import NO_ANSWER, PathTally
from sandbox.receiver import PREFIX as RECEIVER
from sandbox.wire import Answer, html_answer, redirect

if TYPE_CHECKING:
    from sandbox.server import World

PATH: Final = "/_sandbox/"
CHANGE: Final = "answers"  # below PATH: the forms of the page
FIRST: Final = f"{RECEIVER}hello"  # there from the beginning, so that there is something to register
HOOKS: Final = "/hooks/"  # of the stand-in of Zapier
MOST: Final = 50
# What an endpoint can be told to do, by the fault's name; nothing: it works.
CHOICES: Final = {
    "": "takes everything",
    "404": "answers 404 (gives up at once)",
    "410": "answers 410 (wants no more, ever)",
    "500": "answers 500",
    "503": "answers 503",
    "429": "answers 429, come back in 1 s",
    "slow-2s": "takes 2 s",
    "hang": "never answers",
    "reset": "resets the connection",
}
STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    ":root{color-scheme:light dark}table{border-collapse:collapse;width:100%}"
    "th,td{text-align:left;padding:.5rem .75rem .5rem 0;border-bottom:1px solid #8884;vertical-align:top}"
    "select,button,input{font:inherit}code{overflow-wrap:anywhere}"
)
PAGE: Final = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>The sandbox</title><style>{style}</style></head><body><main>
<h1>The sandbox</h1>
<p>Stand-ins of the providers, and endpoints that play your customer's own server: register one of these addresses as a
webhook. Any name below <code>{receiver}</code> is one.</p>
<table><thead><tr><th scope="col">Endpoint</th><th scope="col">Requests</th><th scope="col">Messages taken</th>
<th scope="col">Answers</th><th scope="col">What it does</th></tr></thead><tbody>
{rows}</tbody></table>
<form method="get"><p><button>Look again</button></p></form>
</main></body></html>
"""
ROW: Final = """<tr><th scope="row"><code>{url}</code></th><td>{requests}</td><td>{taken}</td><td>{answers}</td>
<td><form method="post" action="{action}"><input type="hidden" name="path" value="{path}">
<select name="fault" aria-label="What {path} does">{options}</select> <button>Do so</button></form></td></tr>
"""


def show(world: World, host: str) -> Answer:
    """The page. `host` is how the browser calls us."""
    rows = "".join(_row(world, path, host) for path in islice(_endpoints(world), MOST))
    return html_answer(PAGE.format(style=STYLE, receiver=RECEIVER, rows=rows))


def change(world: World, body: bytes) -> Answer:
    """What a form of the page asks for: an endpoint does something else from now on."""
    given = dict(parse_qsl(body.decode("utf-8", "replace")))
    path, fault = given.get("path", ""), given.get("fault", "")
    if not path.startswith("/") or path.endswith("*") or fault not in CHOICES:
        return html_answer("<!doctype html><title>Not understood</title><p>Say which endpoint, and what it does.", 400)
    world.rules.live = [live for live in world.rules.live if live.rule.path != path]
    world.rules.append([{"path": path, "fault": fault}] if fault else [])
    return redirect(PATH)


def _endpoints(world: World) -> Iterator[str]:
    """The first one, those that were called, and those that do something of their own."""
    ruled = (live.rule.path for live in world.rules.live)
    known = {*world.ledger.paths, *(path for path in ruled if "*" not in path)}
    yield FIRST
    yield from sorted(path for path in known if path != FIRST and (RECEIVER in path or path.startswith(HOOKS)))


def _row(world: World, path: str, host: str) -> str:
    tally = world.ledger.paths.get(path, PathTally())
    answers = ", ".join(f"{number} × {status or NO_ANSWER}" for status, number in tally.by_status.items())
    now = next((live.source.get("fault") for live in world.rules.live if live.rule.path == path), "")
    return ROW.format(
        url=escape(f"http://{host}{path}"),
        path=escape(path),
        action=PATH + CHANGE,
        requests=tally.requests,
        taken=sum(one.ok > 0 for one in tally.by_id.values()),
        answers=answers or "none yet",
        options="".join(_option(name, said, name == now) for name, said in CHOICES.items()),
    )


def _option(name: str, said: str, chosen: bool) -> str:
    return f'<option value="{name}"{" selected" if chosen else ""}>{escape(said)}</option>'
