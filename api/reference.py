"""`/docs`: the API's description as a page, made of `/openapi.json` here: nothing is loaded from anywhere else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from itertools import groupby
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

CSS = """body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
 color-scheme: light dark } code, pre { font-family: ui-monospace, monospace } details { margin: .5rem 0;
 border: 1px solid color-mix(in srgb, currentColor 25%, transparent); border-radius: .4rem; padding: .4rem .8rem }
 summary { cursor: pointer } table { border-collapse: collapse; width: 100% } th, td { text-align: left;
 padding: .2rem .6rem .2rem 0; vertical-align: top }
 .method { display: inline-block; min-width: 4rem; font-weight: 600 }"""
STYLE_PATH = "/docs/style.css"
HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'self'; frame-ancestors 'none'"}

router = APIRouter(include_in_schema=False)


@router.get("/docs", response_class=HTMLResponse)
def page(request: Request) -> HTMLResponse:
    """Every operation, by what it is about."""
    described = request.app.openapi()
    return HTMLResponse("".join(_page(described)), headers=HEADERS)


@router.get(STYLE_PATH)
def style() -> HTMLResponse:
    """How the page looks."""
    return HTMLResponse(CSS, media_type="text/css")


def _page(described: Mapping[str, Any]) -> Iterator[str]:
    info = described["info"]
    yield '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f'<title>{escape(info["title"])}: API</title><link rel="stylesheet" href="{STYLE_PATH}"></head><body><main>'
    yield f"<h1>{escape(info['title'])}: API</h1>"
    yield "".join(f"<p>{_text(part)}</p>" for part in info["description"].strip().split("\n\n"))
    yield '<p>For machines: <a href="/openapi.json">/openapi.json</a>.</p>'
    operations = [
        (operation["tags"][0], path, method, operation)
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    ]
    for tag, each in groupby(operations, key=lambda one: one[0]):
        yield f"<h2>{escape(tag)}</h2>"
        for _, path, method, operation in each:
            yield from _operation(path, method, operation, described)
    yield "</main></body></html>"


def _operation(path: str, method: str, operation: Mapping[str, Any], described: Mapping[str, Any]) -> Iterator[str]:
    name = f'<span class="method">{method.upper()}</span> <code>{escape(path)}</code>'
    yield f"<details><summary>{name} {escape(operation['summary'])}</summary>"
    yield "".join(f"<p>{_text(part)}</p>" for part in operation.get("description", "").split("\n\n") if part)
    yield _table("Parameters", [_parameter(each) for each in operation.get("parameters", ())])
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    yield _table("Body", [row for shape in _shapes(body, described) for row in _fields(shape)])
    answers = operation["responses"]
    yield _table("Answers", [(status, said.get("description", "")) for status, said in answers.items()])
    yield "</details>"


def _parameter(parameter: Mapping[str, Any]) -> tuple[str, str]:
    needed = ", needed" if parameter.get("required") else ""
    return f"{parameter['name']} ({parameter['in']}{needed})", parameter.get("description", "")


def _shapes(schema: Mapping[str, Any], described: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The objects that a body may be: named ones are looked up, of lists their items."""
    if "$ref" in schema:
        yield described["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    for each in schema.get("anyOf", ()):
        if "$ref" in each:
            yield from _shapes(each, described)


def _fields(shape: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, facts in shape.get("properties", {}).items():
        needed = " (needed)" if name in shape.get("required", ()) else ""
        yield f"{name}{needed}", facts.get("description", "")


def _table(title: str, rows: list[tuple[str, str]]) -> str:
    if not rows:
        return ""
    cells = (f"<th scope=row><code>{escape(name)}</code></th><td>{_text(said)}</td>" for name, said in rows)
    lines = "".join(f"<tr>{each}</tr>" for each in cells)
    return f"<table><caption>{escape(title)}</caption><tbody>{lines}</tbody></table>"


def _text(text: str) -> str:
    """Words with `code` in them."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if place % 2 else part for place, part in enumerate(parts))
