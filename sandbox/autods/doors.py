"""All operations as a table, with how well each is known, and the whole provider put together.

Slashes matter there: a path with one at its end is not found without it, and the other way round.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from sandbox.autods import bulks, gateway, orders, products, research, uploads
from sandbox.autods.actions import Actions
from sandbox.autods.assumed import ASSUMED
from sandbox.autods.call import Call, Handler, token_of
from sandbox.autods.errors import FAULTS, Refused
from sandbox.autods.state import AutoDS
from sandbox.routes import Route, StandIn
from sandbox.wire import Answer, Request

OFFICIAL: Final = "official"  # in a file that they publish
OBSERVED: Final = "observed"  # seen in clients that work
QUOTED: Final = "quoted"  # in their description, as third parties quote it
API: Final = "autods_api"
GATEWAY: Final = "gateway"
RESEARCH: Final = "products_research"


@dataclass(frozen=True, slots=True)
class Operation:
    """One of theirs: on which host, where, and how well it is known."""

    base: str
    method: str
    path: str
    handler: Handler
    evidence: str


OPERATIONS: Final[Mapping[str, Operation]] = {
    "list_stores_api": Operation(API, "GET", "/store/list", products.stores, OFFICIAL),
    "get_current_user": Operation(API, "GET", "/users/list/", bulks.user, OFFICIAL),
    "list_products": Operation(API, "POST", "/products/{store_ids}/list/", products.listing, OFFICIAL),
    "upload_products": Operation(API, "POST", "/products/{store_ids}/", uploads.upload, OFFICIAL),
    "publish_drafts_to_marketplace": Operation(
        API, "POST", "/products/{store_ids}/import_to_marketplace", products.import_to_marketplace, OFFICIAL
    ),
    "get_bulk_action_items": Operation(
        API, "POST", "/bulk_actions/{store_ids}/list/{bulk_action_id}", bulks.items, OFFICIAL
    ),
    "count_products": Operation(API, "POST", "/products/{store_ids}/count/", products.count, OBSERVED),
    "bulk_update": Operation(API, "PUT", "/products/{store_id}/bulk", products.bulk_update, OBSERVED),
    "bulk_delete": Operation(API, "DELETE", "/products/{store_id}/bulk", products.bulk_delete, OBSERVED),
    "get_product": Operation(API, "GET", "/products/{store_id}/{product_id}/", products.read, OBSERVED),
    "replace_product": Operation(API, "PUT", "/products/{store_id}/{product_id}/", products.replace, OBSERVED),
    "patch_product": Operation(API, "PATCH", "/products/{store_id}/{product_id}/", products.patch, OBSERVED),
    "list_orders": Operation(API, "POST", "/orders/{store_id}/list/", orders.listing, OBSERVED),
    "get_order": Operation(API, "GET", "/orders/{store_id}/order/{order_id}/", orders.read, OBSERVED),
    "count_orders": Operation(API, "POST", "/orders/{store_id}/count", orders.count, OBSERVED),
    "create_external_order": Operation(
        GATEWAY, "POST", "/auto-order/order/create-external", orders.create_external, OBSERVED
    ),
    "get_external_order": Operation(GATEWAY, "GET", "/auto-order/order/get-external", orders.read_external, OBSERVED),
    "gateway_user_details": Operation(
        GATEWAY, "GET", "/auto-order-v3/users/external/user-details", gateway.user, QUOTED
    ),
    "gateway_current_user": Operation(GATEWAY, "GET", "/v1/users/current", gateway.user, QUOTED),
    "gateway_suppliers": Operation(
        GATEWAY, "GET", "/auto-order-v3/suppliers/external/supported", gateway.suppliers, QUOTED
    ),
    "gateway_product": Operation(GATEWAY, "GET", "/api/products/{product_id}", gateway.product, QUOTED),
    "gateway_wallets": Operation(GATEWAY, "GET", "/auto-order-v3/wallet/external/list", gateway.wallets, QUOTED),
    "gateway_buy_accounts": Operation(GATEWAY, "POST", "/auto-order/buyaccount/filter", gateway.buyer_accounts, QUOTED),
    "gateway_marketplace_search": Operation(GATEWAY, "POST", "/marketplace/api/products/", gateway.catalogue, OBSERVED),
    "search_products": Operation(RESEARCH, "POST", "/products/", research.search, OFFICIAL),
    "get_winning_products": Operation(RESEARCH, "GET", "/products/winning", research.winning, OFFICIAL),
    "get_recommended_products": Operation(
        RESEARCH, "GET", "/products/recommended/{product_id}", research.recommended, OFFICIAL
    ),
    "get_similar_products": Operation(RESEARCH, "GET", "/products/{product_id}/similar", research.similar, OFFICIAL),
    "get_product_by_id": Operation(RESEARCH, "GET", "/products/{product_id}", research.read, OFFICIAL),
}


def door(ours: AutoDS, operation: Operation) -> Callable[[Request], Answer]:
    """An operation behind its slash, its token and its limit; refusals as answers."""

    def answer(request: Request) -> Answer:
        try:
            if request.path.endswith("/") != operation.path.endswith("/"):
                raise Refused("not_found")
            token = token_of(request, operation.base == GATEWAY)
            ours.admit(token, request.now)
            return operation.handler(Call(ours, request, request.params, token))
        except Refused as refused:
            return refused.answer()

    return answer


def stand_in() -> StandIn:
    """A fresh AutoDS."""
    ours = AutoDS()
    return StandIn(
        routes=tuple(
            Route(one.method, ASSUMED[f"path.{one.base}"] + one.path, door(ours, one)) for one in OPERATIONS.values()
        ),
        bill=ours.bill,
        faults=FAULTS,
        actions=Actions(ours).table(),
    )
