"""Who calls the API: the holder of a key, for one tenant or for all, and what the key is for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, HTTPException, Query, Request, Security
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from api.parts import Shared
from worker import api_keys, audit

BEARER = HTTPBearer(auto_error=False, description="An API key: `mesh keys create` makes one.")
HEADER = APIKeyHeader(name="X-API-Key", auto_error=False, description="The same key, for clients without Bearer.")
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="mesh"'}


@dataclass(frozen=True, slots=True)
class Caller:
    """One request's key. `tenant_id` None: an operator's, who acts for every tenant."""

    key_id: UUID
    name: str
    tenant_id: str | None
    scopes: frozenset[str]

    def tenant(self, asked: str | None) -> str | None:
        """The tenant that a request is about; None = all, for operators. Another's is as if it did not exist."""
        if self.tenant_id is None or asked in (None, self.tenant_id):
            return self.tenant_id or asked
        raise HTTPException(404, f'There is no tenant "{asked}".')

    def one_tenant(self, asked: str | None) -> str:
        """The same where there has to be one."""
        found = self.tenant(asked)
        if found is None:
            raise HTTPException(422, "Say for which tenant: an operator's key acts for all of them.")
        return found

    def own(self, row: Any | None, what: str) -> Any:
        """A row of the caller's tenant; another tenant's is a 404 like one that does not exist."""
        if row is None or self.tenant_id not in (None, row.tenant_id):
            raise HTTPException(404, f"There is no such {what}.")
        return row


def caller(
    request: Request,
    shared: Shared,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(BEARER)] = None,
    header: Annotated[str | None, Security(HEADER)] = None,
) -> Caller:
    """The caller of a request; 401 without a good key."""
    key = bearer.credentials if bearer else header
    if not key:
        raise HTTPException(401, "Send an API key: `Authorization: Bearer mesh_…`.", CHALLENGE)
    with shared.engine.begin() as connection:
        row = api_keys.find(connection, key)
    if row is None:
        raise HTTPException(401, "The API key is not known, has expired, or was revoked.", CHALLENGE)
    if row.tenant_id is not None and row.tenant_state != "active":
        raise HTTPException(403, f'Tenant "{row.tenant_id}" is {row.tenant_state}.')
    return Caller(row.id, row.name, row.tenant_id, frozenset(row.scopes))


def _having(scope: str) -> Callable[[Caller], Caller]:
    def check(caller: Annotated[Caller, Depends(caller)]) -> Caller:
        if scope not in caller.scopes:
            raise HTTPException(403, f"The API key is not for this: it needs the scope {scope}.")
        return caller

    return check


def _managing(
    request: Request, shared: Shared, caller: Annotated[Caller, Depends(_having("manage"))]
) -> Iterator[Caller]:
    """A caller who changes something: what succeeded is written down before it is answered."""
    yield caller
    if request.method == "GET":
        return
    route, named = request.scope["route"], request.path_params
    with shared.engine.begin() as connection:
        audit.record(
            connection,
            audit.Actor(caller.name, "api"),
            route.name.replace("_", " "),
            tenant_id=caller.tenant_id,
            subject=route.tags[0].lower().removesuffix("s"),
            subject_id=next(iter(named.values()), ""),
            key_id=str(caller.key_id),
        )


Known = Annotated[Caller, Depends(caller)]
Publisher = Annotated[Caller, Depends(_having("publish"))]
Reader = Annotated[Caller, Depends(_having("read"))]
Manager = Annotated[Caller, Depends(_managing, scope="function")]
Tenant = Annotated[str | None, Query(max_length=128, description="Of this tenant: for operators' keys.")]
