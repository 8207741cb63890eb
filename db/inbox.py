"""inbox: what providers sent to us, each message once, and what was refused."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

import jsontext
from db.engine import run

KEPT_BYTES = 4 * 1024  # of the body of a message that was refused
MOST_REFUSED = 1_000  # that are kept of an account in an hour: anybody may send them


def accept(
    connection: Connection,
    *,
    inbox_id: UUID,
    provider: str,
    integration_id: UUID,
    external_id: str,
    headers: Mapping[str, str],
    body: bytes,
    delivery_id: UUID | None = None,
) -> bool:
    """Store one message; False when it is known already. It is handled in the same transaction."""
    return bool(
        run(
            connection,
            "insert into inbox (id, provider, integration_id, external_id, delivery_id, verdict, headers, body,"
            " handled_at) values (%(id)s, %(provider)s, %(account)s, %(external_id)s, %(delivery)s, 'accepted',"
            " %(headers)s::jsonb, %(body)s, now())"
            " on conflict (provider, integration_id, external_id) where verdict = 'accepted' do nothing returning id",
            id=inbox_id,
            provider=provider,
            account=integration_id,
            external_id=external_id,
            delivery=delivery_id,
            headers=jsontext.text(headers),
            body=body,
        )
    )


def refuse(
    connection: Connection,
    *,
    inbox_id: UUID,
    provider: str,
    integration_id: UUID | None,
    reason: str,
    headers: Mapping[str, str],
    body: bytes,
) -> None:
    """Note a message that was not believed, with the reason; of very many in an hour, the first ones."""
    same = "integration_id is null" if integration_id is None else "integration_id = %(account)s"
    run(
        connection,
        "insert into inbox (id, provider, integration_id, external_id, verdict, reason, headers, body)"
        " select %(id)s, %(provider)s, %(account)s, '', 'refused', %(reason)s, %(headers)s::jsonb, %(body)s"
        f" where (select count(*) from (select from inbox where {same} and verdict = 'refused'"
        " and received_at > now() - interval '1 hour' limit %(most)s) lately) < %(most)s",
        most=MOST_REFUSED,
        id=inbox_id,
        provider=provider,
        account=integration_id,
        reason=reason,
        headers=jsontext.text(headers),
        body=body[:KEPT_BYTES],
    )


def led_to(connection: Connection, inbox_id: UUID, event_id: UUID) -> None:
    """The event that a message became."""
    run(connection, "update inbox set event_id = %(event)s where id = %(id)s", id=inbox_id, event=event_id)


def received_at(connection: Connection, provider: str, begins: str) -> datetime | None:
    """When a provider's message whose id begins so was taken first; None for none."""
    rows = run(
        connection,
        "select min(received_at) from inbox where provider = %(provider)s and verdict = 'accepted'"
        " and starts_with(external_id, %(begins)s)",
        provider=provider,
        begins=begins,
    )
    found: datetime | None = rows[0][0]
    return found


def of_delivery(connection: Connection, delivery_id: UUID) -> bytes | None:
    """The body of the message that told the end of a delivery's work; None when none has come."""
    rows = run(
        connection,
        "select body from inbox where delivery_id = %(id)s and verdict = 'accepted' order by id limit 1",
        id=delivery_id,
    )
    return bytes(rows[0][0]) if rows else None
