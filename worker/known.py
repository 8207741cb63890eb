"""What earlier outcomes of an account left with us, as its adapter may ask for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Engine

import db.cursors
import db.inbox
import db.links
from model import Link
from providers import PROVIDERS
from providers.waiting import aside
from worker.links import Links


@dataclass(frozen=True, slots=True)
class KnownRows:
    """Reads our own tables, beside the loop of calls. While Postgres is away it raises as any query does."""

    engine: Engine
    links: Links = field(repr=False)
    provider: str
    tenant_id: str
    integration_id: UUID
    delivery_id: UUID

    def link(self, key: str) -> Link | None:
        """A campaign of the product at this account; None when it was not made there."""

        def read() -> Link | None:
            with self.engine.begin() as connection:
                row = db.links.of_campaign(connection, self.integration_id, self.tenant_id, key)
            if row is None:
                return None
            return Link(
                external_id=row.external_id,
                key=row.key,
                external_state=row.external_state,
                details=row.details,
                applied_at=row.applied_at,
                deleted=row.deleted_at is not None,
            )

        return aside(read)

    def cursor(self, stream: str) -> Mapping[str, Any]:
        """How far a stream was read; empty before the first walk ended."""

        def read() -> Mapping[str, Any]:
            with self.engine.begin() as connection:
                return db.cursors.get(connection, self.integration_id, stream)

        return aside(read)

    def hooks_url(self) -> str:
        """Where the provider's own webhooks about this account go."""
        inbound = PROVIDERS[self.provider].inbound
        by_app = inbound is not None and inbound.by_app
        return self.links.hooks(self.provider, None if by_app else self.integration_id)

    def callback_url(self) -> str:
        """Where the provider may tell the end of this delivery's work: good for one message. A credential."""
        return self.links.callback(self.provider, self.integration_id, self.delivery_id)

    def seal(self, secret: str) -> str:
        """A credential as it may stand in the progress of this delivery, which is stored in clear."""
        return self.links.vault.seal(secret, self._progress)

    def opened(self, sealed: str) -> str:
        """What `seal` sealed for this delivery. Raises VaultError for anything else."""
        return self.links.vault.open(sealed, self._progress)

    @property
    def _progress(self) -> str:
        return f"deliveries.progress:{self.delivery_id}"

    def called_back(self) -> bytes | None:
        """The body that came to `callback_url`; None when nothing has come yet."""

        def read() -> bytes | None:
            with self.engine.begin() as connection:
                return db.inbox.of_delivery(connection, self.delivery_id)

        return aside(read)
