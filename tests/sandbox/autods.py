"""A client of AutoDS' stand-in: there is no official one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection
from typing import Any, Final

from sandbox.process import Sandbox

US: Final = 1001
EU: Final = 1002
TOKYO: Final = 1003
ORDER: Final[Mapping[str, Any]] = {  # what the facts about the gateway have as their example
    "sell_site_order_id": "shop-10042",
    "store_id": US,
    "store_name": "Shop US",
    "first_name": "Ada",
    "last_name": "Byrne",
    "address1": "1 Main St",
    "city": "Austin",
    "state": "TX",
    "zip_code": "78701",
    "country": "US",
    "phone_number": "+15125550100",
    "buy_site_id": "Amazon",
    "supplier": 1,
    "region": 1,
    "buy_item_real_id": "B0EXAMPLE1",
    "buy_item_variant": "B0EXAMPLE1",
    "buy_item_url": "https://www.amazon.com/dp/B0EXAMPLE1",
    "quantity_to_buy": 2,
    "autods_product_id": "65f0c0ffee65f0c0ffee65f0",
    "product_title": "Pet bed",
    "suggested_buy_price": 14.5,
}


class Api:
    """Answers are `(status, JSON)`; redirects are not followed."""

    def __init__(self, sandbox: Sandbox, token: str | None = "tok_1") -> None:
        self.sandbox = sandbox
        self.token = token
        self.headers: Mapping[str, str] = {}  # of the last answer

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """One request below `/autods`; bytes go out as they are."""
        headers = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection = HTTPConnection("127.0.0.1", self.sandbox.port, timeout=5)
        try:
            connection.request(method, f"/autods{path}", data, headers)
            answer = connection.getresponse()
            self.headers = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def get(self, path: str) -> tuple[int, Any]:
        """A GET."""
        return self.ask("GET", path)

    def post(self, path: str, **body: Any) -> tuple[int, Any]:
        """A POST with a JSON object."""
        return self.ask("POST", path, body)

    def products(self, store: int | str = US, product_status: int = 2, **body: Any) -> list[dict[str, Any]]:
        """One page of products that must be answered."""
        status, said = self.post(f"/products/{store}/list/", product_status=product_status, **body)
        assert status == 200, said
        found: list[dict[str, Any]] = said["results"]
        return found

    def orders(self, store: int = US, **body: Any) -> list[dict[str, Any]]:
        """One page of orders that must be answered."""
        status, said = self.post(f"/orders/{store}/list/", **body)
        assert status == 200, said
        found: list[dict[str, Any]] = said["results"]
        return found

    def bulk(self, said: Mapping[str, Any], store: int | str = US) -> Iterator[tuple[int, Any]]:
        """Look after a bulk action until none of its items is under way: every page of items."""
        while True:
            status, found = self.post(f"/bulk_actions/{store}/list/{said['bulk_action']['id']}", limit=1000)
            assert status == 200, found
            yield found["total_results"], found["results"]
            if all(one["status"] not in (1, 2) for one in found["results"]):
                return

    def do(self, action: str, **arguments: Any) -> Any:
        """What may be done beyond the API."""
        return self.sandbox.control.do("autods", action, **arguments)


def where(name: str, op: str, value: Any, value_type: str = "string") -> dict[str, Any]:
    """One filter."""
    given = "value_list" if isinstance(value, list) else "value"
    return {"name": name, "op": op, "value_type": value_type, given: value}
