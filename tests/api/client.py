"""A product's backend that uses the API by a key."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import requests

from tests.mesh import Mesh
from worker import api_keys


@dataclass(frozen=True, slots=True)
class Client:
    """Requests with one key, against the doors of a mesh."""

    base_url: str
    key: str

    def __call__(self, method: str, path: str, json: Any = None, **options: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.key}", **options.pop("headers", {})}
        return requests.request(
            method, f"{self.base_url}{path}", json=json, headers=headers, timeout=20, allow_redirects=False, **options
        )

    def get(self, path: str, **params: Any) -> Any:
        """The answer to a question that must succeed."""
        answer = self("GET", path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, json: Any = None, expect: int = 200, **options: Any) -> Any:
        """The answer to a request that must be answered with this status."""
        answer = self("POST", path, json if json is not None else {}, **options)
        assert answer.status_code == expect, answer.text
        return answer.json()


def client(mesh: Mesh, doors: str, tenant: str | None = "acme", scopes: Collection[str] = api_keys.SCOPES) -> Client:
    """One with a new key."""
    if tenant is not None:
        mesh.tenant(tenant)
    with mesh.engine.begin() as connection:
        made = api_keys.create(connection, name="a test", tenant_id=tenant, scopes=scopes)
    return Client(doors, made.key)
