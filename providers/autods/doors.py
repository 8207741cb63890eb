"""Every operation of AutoDS that is used, with how well it is known: the one place where paths stand.

AutoDS publishes no API for everybody. Official is what its own MCP server calls; the rest was seen in clients that
work. No path here is only assumed. Slashes matter: a path with one at its end is not found without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

OFFICIAL = "official"  # https://github.com/AutoDSTools/autods-mcp-public, manifests
OBSERVED = "observed"  # in independent clients that work
QUOTED = "quoted"  # in the gateway's description, as third parties quote it; what is answered is not known

API, GATEWAY, RESEARCH = "", "gateway", "research"


@dataclass(frozen=True, slots=True)
class Door:
    """One operation: on which host, how, where, and how well that is known."""

    host: str
    method: str
    path: str
    evidence: str


DOORS: Mapping[str, Door] = {
    "list_stores": Door(API, "GET", "/store/list", OFFICIAL),
    "list_products": Door(API, "POST", "/products/{store}/list/", OFFICIAL),
    "upload_products": Door(API, "POST", "/products/{store}/", OFFICIAL),
    "publish_products": Door(API, "POST", "/products/{store}/import_to_marketplace", OFFICIAL),
    "bulk_items": Door(API, "POST", "/bulk_actions/{store}/list/{bulk}", OFFICIAL),
    "get_product": Door(API, "GET", "/products/{store}/{product}/", OBSERVED),
    "patch_product": Door(API, "PATCH", "/products/{store}/{product}/", OBSERVED),
    "replace_product": Door(API, "PUT", "/products/{store}/{product}/", OBSERVED),
    "count_products": Door(API, "POST", "/products/{store}/count/", OBSERVED),
    "change_products": Door(API, "PUT", "/products/{store}/bulk", OBSERVED),
    "remove_products": Door(API, "DELETE", "/products/{store}/bulk", OBSERVED),
    "list_orders": Door(API, "POST", "/orders/{store}/list/", OBSERVED),
    "get_order": Door(API, "GET", "/orders/{store}/order/{order}/", OBSERVED),
    "count_orders": Door(API, "POST", "/orders/{store}/count", OBSERVED),
    "get_external_order": Door(GATEWAY, "GET", "/auto-order/order/get-external", OBSERVED),
    "get_user": Door(API, "GET", "/users/list/", OFFICIAL),
    "gateway_user": Door(GATEWAY, "GET", "/auto-order-v3/users/external/user-details", QUOTED),
    "gateway_current_user": Door(GATEWAY, "GET", "/v1/users/current", QUOTED),
    "gateway_suppliers": Door(GATEWAY, "GET", "/auto-order-v3/suppliers/external/supported", QUOTED),
    "gateway_wallets": Door(GATEWAY, "GET", "/auto-order-v3/wallet/external/list", QUOTED),
    "gateway_buyer_accounts": Door(GATEWAY, "POST", "/auto-order/buyaccount/filter", QUOTED),
    "gateway_product": Door(GATEWAY, "GET", "/api/products/{product}", QUOTED),
    "gateway_catalogue": Door(GATEWAY, "POST", "/marketplace/api/products/", OBSERVED),
    "create_order": Door(GATEWAY, "POST", "/auto-order/order/create-external", OBSERVED),
    "search_research": Door(RESEARCH, "POST", "/products/", OFFICIAL),
    "winning_research": Door(RESEARCH, "GET", "/products/winning", OFFICIAL),
    "similar_research": Door(RESEARCH, "GET", "/products/{product}/similar", OFFICIAL),
    "recommended_research": Door(RESEARCH, "GET", "/products/recommended/{product}", OFFICIAL),
    "read_research": Door(RESEARCH, "GET", "/products/{product}", OFFICIAL),
}
PATHS: Mapping[str, str] = {name: door.path for name, door in DOORS.items()}
