"""The page on which an advertiser lets an app act for ad accounts. Works without a script.

https://business-api.tiktok.com/portal/docs?id=1738373164380162
"Confirm" leads back with `auth_code` and `state`, "Cancel" with the `state` alone, which is unconfirmed: no page says
what a refusal looks like.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from html import escape
from typing import Final
from urllib.parse import parse_qs, urlencode, urlsplit

from sandbox.routes import Route
from sandbox.tiktok_ads.accounts import ADVERTISERS, BUSINESS, Advertiser, Grants
from sandbox.wire import Answer, Request, html_answer, redirect

PATH: Final = "/portal/auth"
STYLE: Final = """
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 34rem; margin: 3rem auto; padding: 0 1rem; color: #161823 }
fieldset { border: 1px solid #8a8b91; border-radius: .5rem; margin: 1.5rem 0; padding: 1rem }
label { display: block; padding: .25rem 0 }
button { font: inherit; padding: .5rem 1.5rem; margin-right: .5rem; border-radius: .25rem; border: 1px solid #161823 }
button[value=confirm] { background: #161823; color: #fff }
.problem { color: #a1001e; font-weight: bold }
"""
PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
{content}
</main>
</body>
</html>
"""
FORM: Final = """<h1>Authorize app {app_id}</h1>
<p>The app asks to manage ads, read reports and send events for ad accounts of <strong>{business}</strong>.</p>
{problem}<form method="post">
<fieldset>
<legend>Ad accounts</legend>
{choices}
</fieldset>
<button type="submit" name="decision" value="confirm">Confirm</button>
<button type="submit" name="decision" value="cancel">Cancel</button>
</form>
<p><small>This is a stand-in of TikTok for Business; nobody is asked for a password.</small></p>"""
CHOICE: Final = (
    '<label><input type="checkbox" name="advertiser_ids" value="{id}"{checked}> {name} ({currency}, {timezone})</label>'
)
PROBLEM: Final = '<p class="problem" role="alert">{text}</p>\n'


class Dialog:
    """The page and what its buttons do."""

    def __init__(self, grants: Grants) -> None:
        self._grants = grants

    def routes(self) -> tuple[Route, ...]:
        """The page, and its form."""
        return Route("GET", PATH, self.show), Route("POST", PATH, self.decide)

    def show(self, request: Request) -> Answer:
        """The page, all accounts ticked; one that says why when the link is incomplete."""
        problem = link_problem(request.args)
        if problem:
            return html_answer(page("Wrong link", f"<h1>Wrong link</h1>\n<p>{escape(problem)}</p>"), 400)
        return html_answer(form(request.args["app_id"], ADVERTISERS))

    def decide(self, request: Request) -> Answer:
        """Back to the app with a code, or without one."""
        if link_problem(request.args):
            return self.show(request)
        given = parse_qs(request.body.decode("utf-8", "replace"))
        chosen = [one for one in ADVERTISERS if one in given.get("advertiser_ids", ())]
        if given.get("decision") != ["confirm"]:
            return back(request.args)
        if not chosen:
            return html_answer(form(request.args["app_id"], (), "Choose at least one ad account."), 400)
        return back(request.args, auth_code=self._grants.code(request.args["app_id"], chosen, request.now))


def link_problem(args: Mapping[str, str]) -> str | None:
    """What is wrong with the link of an app, if anything is."""
    if not args.get("app_id"):
        return "app_id is missing."
    target = args.get("redirect_uri", "")
    if not target.isascii() or urlsplit(target).scheme not in ("http", "https") or not urlsplit(target).netloc:
        return "redirect_uri is not a web address."
    return None


def back(args: Mapping[str, str], **told: str) -> Answer:
    """To the app's redirect_uri, with what it is told and the `state` it sent."""
    state = {"state": args["state"]} if "state" in args else {}
    target = urlsplit(args["redirect_uri"])
    query = "&".join(part for part in (target.query, urlencode({**told, **state})) if part)
    return redirect(target._replace(query=query, fragment="").geturl())


def form(app_id: str, ticked: Collection[str], problem: str = "") -> str:
    """The page with the accounts to choose from."""
    content = FORM.format(
        app_id=escape(app_id),
        business=escape(BUSINESS),
        problem=PROBLEM.format(text=escape(problem)) if problem else "",
        choices="\n".join(choice(one, one.id in ticked) for one in ADVERTISERS.values()),
    )
    return page(f"Authorize app {app_id}", content)


def choice(one: Advertiser, ticked: bool) -> str:
    """One account with its tick box."""
    checked = " checked" if ticked else ""
    return CHOICE.format(
        id=one.id, checked=checked, name=escape(one.name), currency=one.currency, timezone=one.timezone
    )


def page(title: str, content: str) -> str:
    """A whole page."""
    return PAGE.format(title=escape(title), style=STYLE, content=content)
