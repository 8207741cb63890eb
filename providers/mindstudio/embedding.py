"""Signed links that embed an agent in a page.

https://github.com/youai1/gitbook-docs (developers/api-reference)
Whoever has the link may use the agent: it is a credential, and is kept as a file. What the mesh stores of a delivery,
publishes and logs has the file's id only; the page that shows the agent reads the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlsplit

from model import Done
from providers.contract import Action, Call, Repeat
from providers.errors import InvalidPayload
from providers.mindstudio import api

REQUESTED, MADE = "agent.link_requested", "agent.link_created"
MIME = "text/uri-list"


def make(call: Call) -> Done:
    """agent.link_requested {agent_id?, user_id?} -> a file with the link, and agent.link_created."""
    data = call.event.data
    agent_id = data.get("agent_id") or call.config.get("agent_id")
    if not agent_id:
        raise InvalidPayload("No agent is named: give `agent_id`, or set it for the account.", code="missing_field")
    body = {"agentId": str(agent_id), **({"userId": str(data["user_id"])} if data.get("user_id") else {})}
    answer = api.post(call, api.path(call, "link"), body)
    if call.exchange is not None:
        call.exchange = replace(call.exchange, excerpt="")  # the answer is the link
    link = api.text_in(api.object_in(answer), "url")
    if urlsplit(link).scheme != "https" and not call.base_url.startswith("http:"):
        raise api.unreadable("a link that is not https")
    asset = call.media.keep(f"{call.delivery_id}.url", link.encode(), MIME, agent_id=str(agent_id))
    told = {"agent_id": str(agent_id), "asset_id": str(asset.id), "uri": asset.uri, "mime": asset.mime}
    facts = {**told, **({"user_id": str(data["user_id"])} if data.get("user_id") else {}), **api.named(call)}
    return Done(facts, assets=(asset,), events=(api.published(call, MADE, facts),))


ACTIONS: Mapping[str, Action] = {REQUESTED: Action(make, Repeat.SAFE, publishes=(MADE,))}
