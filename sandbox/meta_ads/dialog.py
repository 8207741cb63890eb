"""The page where a person lets an app in, at `dialog/oauth`: plain HTML, no script."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from typing import Final
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from sandbox.meta_ads.oauth import BASIC, SCOPES, new_code
from sandbox.meta_ads.people import ACCOUNTS, PEOPLE, Person
from sandbox.meta_ads.state import Code, Meta
from sandbox.wire import Answer, Request, html_answer, redirect

FRAGMENT: Final = "#_=_"  # what the browser is left with after a success
CARRIED: Final = ("client_id", "redirect_uri", "state", "scope", "response_type")
STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:3rem auto;padding:0 1rem;color:#1c1e21}"
    "fieldset{border:1px solid #8a8d91;border-radius:6px;margin:1rem 0;padding:.75rem 1rem}"
    "label{display:block;padding:.25rem 0}"
    "button{font:inherit;padding:.5rem 1.25rem;margin-right:.75rem;border-radius:6px;border:1px solid #0a56c2}"
    "button[value=continue]{background:#0a56c2;color:#fff}small{color:#4b4f56;display:block}"
)
PAGE: Final = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>{style}</style></head><body><main><h1>{title}</h1>{inner}</main></body></html>
"""
FORM: Final = """<p>This is the sandbox's stand-in of Meta's login; the people and accounts are made up.</p>
<p>The app wants to:</p><ul>{scopes}</ul>
<form method="post" action="{action}">{hidden}
<fieldset><legend>Continue as</legend>{people}</fieldset>
<details><summary>Edit access</summary><fieldset><legend>Do not allow</legend>{declines}</fieldset></details>
<p><button type="submit" name="answer" value="continue">Continue</button>
<button type="submit" name="answer" value="cancel">Cancel</button></p></form>"""


class NotAskable(Exception):
    """A dialog that cannot be shown; the text says why, to the developer."""


def ask(request: Request) -> Answer:
    """The page; or one that says what is wrong with the link."""
    try:
        asked = checked(dict(parse_qsl(request.query, keep_blank_values=True)))
    except NotAskable as problem:
        return refusal_page(problem)
    scopes = sorted(scopes_of(asked))
    inner = FORM.format(
        scopes="".join(f"<li>{escape(scope)}</li>" for scope in scopes),
        action=escape(request.path),
        hidden="".join(hidden(name, asked[name]) for name in CARRIED if name in asked),
        people="".join(choice(person, first=n == 0) for n, person in enumerate(PEOPLE.values())),
        declines="".join(decline(scope) for scope in scopes if scope != BASIC),
    )
    return html_answer(shell(f"Log in to app {asked['client_id']}", inner))


def decide(meta: Meta) -> Callable[[Request], Answer]:
    """What happens when a button is pressed: back to the app, with a code or with a refusal."""

    def decided(request: Request) -> Answer:
        try:
            asked = checked(request.form)
        except NotAskable as problem:
            return refusal_page(problem)
        if asked.get("answer") != "continue":
            return redirect(with_query(asked["redirect_uri"], refused(asked)))
        person = asked.get("person", next(iter(PEOPLE)))
        if person not in PEOPLE:
            return refusal_page(NotAskable(f"Nobody has the id {person}."))
        declined = set(parse_qs(request.body.decode("utf-8", "replace")).get("decline", ()))
        scopes = scopes_of(asked)
        life_s = meta.settings.code_life_s
        code = Code(
            asked["client_id"],
            asked["redirect_uri"],
            person,
            scopes - declined,
            scopes & declined,
            request.now + life_s,
        )
        given = {"code": new_code(meta, code), **state_of(asked)}
        return redirect(with_query(asked["redirect_uri"], given) + FRAGMENT)

    return decided


def checked(asked: Mapping[str, str]) -> Mapping[str, str]:
    """The parameters of the dialog; raises NotAskable."""
    if not asked.get("client_id"):
        raise NotAskable("Invalid App ID: the provided app ID does not look like a valid app ID.")
    if not is_web_address(asked.get("redirect_uri", "")):
        raise NotAskable("The redirect_uri URL is not valid.")
    if asked.get("response_type", "code") != "code":
        raise NotAskable("response_type must be code.")
    unknown = scopes_of(asked) - SCOPES
    if unknown:
        raise NotAskable(f"Invalid Scopes: {', '.join(sorted(unknown))}.")
    return asked


def is_web_address(url: str) -> bool:
    """Whether a URL leads to a web server, and can stand in a header as it is."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    plain = url.isascii() and url.isprintable() and " " not in url
    return plain and parts.scheme in ("http", "https") and bool(parts.hostname)


def scopes_of(asked: Mapping[str, str]) -> set[str]:
    """The scopes that the app asks for."""
    return {scope.strip() for scope in asked.get("scope", "").split(",") if scope.strip()} | {BASIC}


def refused(asked: Mapping[str, str]) -> dict[str, str]:
    """What the app hears when the person says no."""
    return {
        "error": "access_denied",
        "error_code": "200",
        "error_description": "Permissions error",
        "error_reason": "user_denied",
        **state_of(asked),
    }


def state_of(asked: Mapping[str, str]) -> dict[str, str]:
    """The app's own text, given back as it came."""
    return {"state": asked["state"]} if "state" in asked else {}


def with_query(url: str, params: Mapping[str, str]) -> str:
    """A URL with further parameters."""
    return f"{url}{'&' if '?' in url else '?'}{urlencode(params)}"


def hidden(name: str, value: str) -> str:
    """A field that the form carries on."""
    return f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'


def choice(person: Person, first: bool) -> str:
    """One person to continue as, with the accounts."""
    accounts = ", ".join(f"{ACCOUNTS[one].name} ({ACCOUNTS[one].currency})" for one in person.accounts)
    checked_now = " checked" if first else ""
    return (
        f'<label><input type="radio" name="person" value="{person.id}"{checked_now}> {escape(person.name)}'
        f"<small>{escape(accounts)}</small></label>"
    )


def decline(scope: str) -> str:
    """One permission to leave out."""
    return f'<label><input type="checkbox" name="decline" value="{escape(scope)}"> {escape(scope)}</label>'


def shell(title: str, inner: str) -> str:
    """A whole page."""
    return PAGE.format(title=escape(title), style=STYLE, inner=inner)


def refusal_page(problem: NotAskable) -> Answer:
    """A page that says why the dialog cannot be shown."""
    return html_answer(shell("This login cannot be shown", f"<p>{escape(str(problem))}</p>"), 400)
