"""All doors as a table: which node, which edge, what they take and need, and the function that answers."""

from __future__ import annotations

from typing import Final

from sandbox.meta_ads import (
    ad_sets,
    ads,
    campaigns,
    conversions,
    copies,
    creatives,
    dialog,
    insights,
    leads,
    nodes,
    oauth,
    webhooks,
)
from sandbox.meta_ads.actions import Actions
from sandbox.meta_ads.call import Door, Doors
from sandbox.meta_ads.errors import FAULTS
from sandbox.meta_ads.graph import Graph
from sandbox.meta_ads.state import Meta
from sandbox.routes import Route, StandIn

MANAGE: Final = frozenset({"ads_management"})
READ: Final = frozenset({"ads_management", "ads_read"})
CREATE: Final = frozenset(campaigns.CREATABLE)
UPDATE: Final = frozenset(campaigns.UPDATABLE)
LEADS: Final = frozenset({"leads_retrieval"})
DEBUG: Final = frozenset({"input_token"})
PERMISSION: Final = frozenset({"permission"})
APP: Final = frozenset({"app_id"})

DOORS: Final[Doors] = {
    ("GET", "", "oauth/access_token"): Door(oauth.exchange, oauth.EXCHANGE, bearer="nobody"),
    ("POST", "", "oauth/access_token"): Door(oauth.exchange, oauth.EXCHANGE, bearer="nobody"),
    ("GET", "", "debug_token"): Door(oauth.debug_token, DEBUG, bearer="nobody"),
    ("GET", "person", ""): Door(oauth.me),
    ("GET", "person", "permissions"): Door(oauth.permissions, PERMISSION),
    ("DELETE", "person", "permissions"): Door(oauth.remove_permissions, PERMISSION),
    ("GET", "person", "adaccounts"): Door(oauth.ad_accounts, scopes=READ),
    ("GET", "account", ""): Door(oauth.ad_account, scopes=READ),
    ("POST", "account", "campaigns"): Door(campaigns.create, CREATE, MANAGE),
    ("GET", "account", "campaigns"): Door(campaigns.listing, nodes.LIST, READ),
    ("GET", "campaign", ""): Door(campaigns.read, scopes=READ),
    ("POST", "campaign", ""): Door(campaigns.update, UPDATE, MANAGE),
    ("DELETE", "campaign", ""): Door(campaigns.delete, scopes=MANAGE),
    ("POST", "campaign", "copies"): Door(copies.copy, copies.PARAMETERS, MANAGE),
    ("POST", "account", "adsets"): Door(ad_sets.create, frozenset(ad_sets.CREATABLE), MANAGE),
    ("GET", "account", "adsets"): Door(ad_sets.of_account, nodes.LIST, READ),
    ("GET", "campaign", "adsets"): Door(ad_sets.of_campaign, nodes.LIST, READ),
    ("GET", "adset", ""): Door(ad_sets.read, scopes=READ),
    ("POST", "adset", ""): Door(ad_sets.update, frozenset(ad_sets.UPDATABLE), MANAGE),
    ("DELETE", "adset", ""): Door(ad_sets.delete, scopes=MANAGE),
    ("POST", "account", "adimages"): Door(creatives.add_image, creatives.IMAGE, MANAGE),
    ("POST", "account", "advideos"): Door(creatives.add_video, creatives.UPLOAD, MANAGE),
    ("GET", "video", ""): Door(creatives.look, scopes=READ),
    ("POST", "account", "adcreatives"): Door(creatives.create, frozenset(creatives.CREATABLE), MANAGE),
    ("GET", "account", "adcreatives"): Door(creatives.of_account, scopes=READ),
    ("GET", "creative", ""): Door(creatives.read, scopes=READ),
    ("POST", "account", "ads"): Door(ads.create, frozenset(ads.CREATABLE), MANAGE),
    ("GET", "account", "ads"): Door(ads.of_account, nodes.LIST, READ),
    ("GET", "campaign", "ads"): Door(ads.of_campaign, nodes.LIST, READ),
    ("GET", "adset", "ads"): Door(ads.of_ad_set, nodes.LIST, READ),
    ("GET", "ad", ""): Door(ads.read, scopes=READ),
    ("POST", "ad", ""): Door(ads.update, frozenset(ads.UPDATABLE), MANAGE),
    ("DELETE", "ad", ""): Door(ads.delete, scopes=MANAGE),
    ("GET", "lead", ""): Door(leads.read, scopes=LEADS),
    **insights.doors(READ),
    ("GET", "run", ""): Door(insights.poll, scopes=READ),
    ("GET", "run", "insights"): Door(insights.run_rows, scopes=READ),
    ("GET", "pixel", ""): Door(conversions.pixel, scopes=READ),
    ("POST", "pixel", "events"): Door(conversions.receive, conversions.PARAMETERS, MANAGE),
    ("POST", "app", "subscriptions"): Door(webhooks.subscribe, webhooks.SUBSCRIBE, bearer="app"),
    ("GET", "app", "subscriptions"): Door(webhooks.subscriptions, bearer="app"),
    ("DELETE", "app", "subscriptions"): Door(webhooks.unsubscribe, webhooks.UNSUBSCRIBE, bearer="app"),
    ("POST", "account", "subscribed_apps"): Door(webhooks.add_app, APP, MANAGE),
    ("GET", "account", "subscribed_apps"): Door(webhooks.apps, scopes=READ),
    ("DELETE", "account", "subscribed_apps"): Door(webhooks.remove_app, APP, MANAGE),
}

VERSION: Final = "/v{major}.0"


def stand_in() -> StandIn:
    """A fresh Meta."""
    meta = Meta()
    graph = Graph(meta, DOORS)
    return StandIn(
        routes=(
            Route("GET", VERSION + "/dialog/oauth", dialog.ask),
            Route("POST", VERSION + "/dialog/oauth", dialog.decide(meta)),
            *(Route(method, VERSION + "/{path*}", graph.handle) for method in ("GET", "POST", "DELETE")),
            Route("POST", VERSION, graph.handle),
            Route("POST", "/", graph.handle),
        ),
        bill=meta.bill,
        faults=FAULTS,
        actions=Actions(meta).table(),
    )
