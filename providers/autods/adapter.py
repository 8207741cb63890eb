"""AutoDS: products and orders of shops, and what sells elsewhere.

There is no open API: see README.md for what is official, what was seen, and what is assumed.
"""

from __future__ import annotations

from providers.autods import bulk, buying, checking, editing, research, shop
from providers.autods.doors import PATHS
from providers.autods.errors import REFUSALS
from providers.autods.inbound import HEADER, INBOUND, TIMESTAMPED
from providers.contract import Field, Provider, Rate

PROVIDER = Provider(
    name="autods",
    title="AutoDS",
    base_url="https://api.autods.com",
    docs_url="https://github.com/AutoDSTools/autods-mcp-public",
    api_version="2026-07",
    auth="api_key",
    actions={
        **research.ACTIONS,
        **bulk.ACTIONS,
        **buying.ACTIONS,
        **editing.ACTIONS,
        **checking.ACTIONS,
        **shop.ACTIONS,
    },
    fields=(
        Field("api_key", "Access token", sensitive=True, help="A bearer token; good for all three hosts."),
        Field("store_ids", "Stores", required=False, help="Their numbers, by commas; empty = all that are open."),
        Field("webhook_secret", "Webhook secret", required=False, sensitive=True, help="Without it none are taken."),
        Field("webhook_header", "Webhook header", required=False, default=HEADER),
        Field("webhook_mode", "Webhook signature", required=False, default=TIMESTAMPED, help="timestamped or body"),
    ),
    refusals=REFUSALS,
    inbound=INBOUND,
    streams=shop.STREAMS,
    rate=Rate(60, 60.0),  # what their own MCP server allows a user; none is published for the rest
    hosts={"gateway": "https://gw.autods.com", "research": "https://products-research.autods.com"},
    paths=PATHS,
    settings=("address_style",),
)
