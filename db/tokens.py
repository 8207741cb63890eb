"""integration_tokens: what lets us act for an account, and whose turn it is to refresh it.

idle         nobody refreshes
refreshing   refresh_owner does, for as long as refresh_lease_until is ahead
answer_lost  somebody did, and what the provider answered never came: tried once more with the same refresh token
dead         the provider said that the grant is over: never tried again

All times are by the server's clock. Every write of a holder repeats its owner id or the version it began with.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from db.engine import count, run

# After a lease was seen to have ended: its holder, if it lives, stores what it got, or takes the lease back with its
# next beat, which is at most a third of a lease and a connection away.
GRACE_S = 5.0
LONGEST_GRACE_S = 3600.0  # where holder after holder ends: perhaps this refresh kills them


@dataclass(frozen=True, slots=True)
class SealedGrant:
    """What a token endpoint gave, ready to be stored. Without a new refresh token the old one stays in use."""

    access_token_sealed: str = field(repr=False)
    refresh_token_sealed: str | None = field(repr=False)
    scopes: Sequence[str]
    details: Mapping[str, Any]
    expires_in_s: float | None
    refresh_expires_in_s: float | None
    refresh_in_s: float | None  # None = it is not refreshed ahead


def get(connection: Connection, integration_id: UUID) -> Any | None:
    """An account's token with what decides about it, or None.

    `backoff_s`: seconds until a refresh that failed may be tried again.
    """
    rows = run(
        connection,
        """
        select t.*, i.provider, i.tenant_id, i.state as integration_state,
               coalesce(t.expires_at <= now(), false) as expired,
               extract(epoch from t.expires_at - now())::float8 as expires_in_s,
               coalesce(t.next_refresh_at <= now(), false) as due,
               coalesce(t.refresh_lease_until <= now(), false) as lapsed,
               case when t.refresh_failures > 0
                    then greatest(0, extract(epoch from t.next_refresh_at - now()))::float8 else 0 end as backoff_s
        from integration_tokens t join integrations i on i.id = t.integration_id where t.integration_id = %(id)s
        """,
        id=integration_id,
    )
    return rows[0] if rows else None


_IN = "now() + %({0})s::float8 * interval '1 second'"


def put(connection: Connection, integration_id: UUID, grant: SealedGrant) -> int:
    """Store the grant of a new login in place of what is there; its version. Whoever refreshes the old one has lost.

    The first version is that of the integration, so that a token that was deleted does not come back under its number.
    """
    rows = run(
        connection,
        f"""
        insert into integration_tokens as t (integration_id, access_token_sealed, refresh_token_sealed, scopes, details,
            expires_at, refresh_expires_at, next_refresh_at, version)
        select id, %(access)s, %(refresh)s, %(scopes)s::text[], %(details)s::jsonb, {_IN.format("expires_s")},
               {_IN.format("refresh_expires_s")}, {_IN.format("refresh_in_s")}, version
        from integrations where id = %(id)s
        on conflict (integration_id) do update set
            access_token_sealed = excluded.access_token_sealed, refresh_token_sealed = excluded.refresh_token_sealed,
            scopes = excluded.scopes, details = excluded.details, expires_at = excluded.expires_at,
            refresh_expires_at = excluded.refresh_expires_at, next_refresh_at = excluded.next_refresh_at,
            refresh_state = 'idle', refresh_owner = null, refresh_lease_until = null, refresh_failures = 0,
            last_error = null, obtained_at = now(), version = t.version + 1
        returning version
        """,
        id=integration_id,
        **_values(grant),
    )
    return int(rows[0][0])


def delete(connection: Connection, integration_id: UUID) -> None:
    """Forget an account's token. The account's version passes its number, so that it does not come back."""
    run(
        connection,
        "with gone as (delete from integration_tokens where integration_id = %(id)s returning integration_id, version)"
        " update integrations i set version = greatest(i.version, gone.version) + 1"
        " from gone where i.id = gone.integration_id",
        id=integration_id,
    )


def login_is_shared(connection: Connection, integration_id: UUID) -> bool:
    """Whether another account that is connected came by the same person's login (`details.user_id`)."""
    return bool(
        run(
            connection,
            """
            select 1 from integration_tokens t join integrations i on i.id = t.integration_id
            join integrations oi on oi.provider = i.provider and oi.id <> i.id
            join integration_tokens o on o.integration_id = oi.id and o.details->>'user_id' = t.details->>'user_id'
            where t.integration_id = %(id)s limit 1
            """,
            id=integration_id,
        )
    )


# ---------------------------------------------------------------------------------------------------------- refreshing


def due(connection: Connection, *, limit: int) -> list[UUID]:
    """Accounts whose tokens are to be refreshed now, the longest due first."""
    rows = run(
        connection,
        "select t.integration_id from integration_tokens t join integrations i on i.id = t.integration_id"
        " where t.refresh_state in ('idle', 'answer_lost') and t.next_refresh_at <= now()"
        " and i.state in ('active', 'paused', 'blocked') order by t.next_refresh_at limit %(limit)s",
        limit=limit,
    )
    return [row.integration_id for row in rows]


def take(
    connection: Connection, integration_id: UUID, owner: UUID, *, version: int, state: str, lease_s: float
) -> bool:
    """Begin to refresh a token that is still of this version and in this state. Not while a failure's wait lasts."""
    return bool(
        count(
            connection,
            "update integration_tokens set refresh_state = 'refreshing', refresh_owner = %(owner)s,"
            f" refresh_lease_until = {_IN.format('lease_s')}"
            " where integration_id = %(id)s and version = %(version)s and refresh_state = %(state)s"
            " and refresh_state in ('idle', 'answer_lost')"
            " and (refresh_failures = 0 or coalesce(next_refresh_at <= now(), true))",
            id=integration_id,
            owner=owner,
            version=version,
            state=state,
            lease_s=lease_s,
        )
    )


def renew(connection: Connection, held: Collection[tuple[UUID, UUID]], *, lease_s: float) -> int:
    """Lengthen leases, given as (integration id, owner); of how many.

    One that was seen to have ended, and that nobody followed yet, is taken back: its holder lives.
    """
    return count(
        connection,
        f"update integration_tokens t set refresh_state = 'refreshing', refresh_lease_until = {_IN.format('lease_s')}"
        " from unnest(%(ids)s::uuid[], %(owners)s::uuid[]) as n(id, owner)"
        " where t.integration_id = n.id and t.refresh_owner = n.owner",
        ids=[str(integration_id) for integration_id, _ in held],
        owners=[str(owner) for _, owner in held],
        lease_s=lease_s,
    )


def lapse(connection: Connection) -> int:
    """Note the leases that have ended: their holders died in the middle of a refresh. How many.

    The owner stays until somebody follows: one that lives takes its lease back.
    """
    return count(
        connection,
        "update integration_tokens set refresh_state = 'answer_lost', refresh_lease_until = null,"
        " refresh_failures = refresh_failures + 1, next_refresh_at = now() + interval '1 second'"
        " * least(%(grace_s)s::float8 * 2 ^ least(refresh_failures, 20), %(longest_s)s::float8),"
        " last_error = 'The worker that refreshed the token ended before the answer came.'"
        " where refresh_state = 'refreshing' and refresh_lease_until <= now()",
        grace_s=GRACE_S,
        longest_s=LONGEST_GRACE_S,
    )


def store(connection: Connection, integration_id: UUID, owner: UUID, *, version: int, grant: SealedGrant) -> int | None:
    """Put the answer of a refresh in place of the token it was for; its version. None when somebody was faster.

    A holder whose lease ended, and whom nobody followed yet, may still store.
    """
    rows = run(
        connection,
        f"""
        update integration_tokens set
            access_token_sealed = %(access)s,
            refresh_token_sealed = coalesce(%(refresh)s, refresh_token_sealed),
            scopes = case when cardinality(%(scopes)s::text[]) > 0 then %(scopes)s::text[] else scopes end,
            details = details || %(details)s::jsonb,
            expires_at = {_IN.format("expires_s")},
            refresh_expires_at = case when %(refresh)s::text is null and %(refresh_expires_s)s::float8 is null
                                      then refresh_expires_at else {_IN.format("refresh_expires_s")} end,
            next_refresh_at = {_IN.format("refresh_in_s")},
            refresh_state = 'idle', refresh_owner = null, refresh_lease_until = null, refresh_failures = 0,
            last_error = null, obtained_at = now(), version = version + 1
        where integration_id = %(id)s and version = %(version)s
          and (refresh_owner = %(owner)s or refresh_state = 'answer_lost')
        returning version
        """,
        id=integration_id,
        owner=owner,
        version=version,
        **_values(grant),
    )
    return int(rows[0][0]) if rows else None


def give_back(
    connection: Connection, integration_id: UUID, owner: UUID, *, state: str, wait_s: float, error: str
) -> bool:
    """A refresh failed: the old token stays, and is tried again after a wait. False when the lease is not ours."""
    return bool(
        count(
            connection,
            "update integration_tokens set refresh_state = %(state)s, refresh_owner = null, refresh_lease_until = null,"
            f" refresh_failures = refresh_failures + 1, next_refresh_at = {_IN.format('wait_s')},"
            " last_error = %(error)s where integration_id = %(id)s and refresh_owner = %(owner)s",
            id=integration_id,
            owner=owner,
            state=state,
            wait_s=wait_s,
            error=error,
        )
    )


def postpone(connection: Connection, integration_id: UUID, *, version: int, wait_s: float, error: str) -> None:
    """A token that is due cannot even be asked for: others go before it until this wait is over."""
    run(
        connection,
        "update integration_tokens set refresh_failures = refresh_failures + 1,"
        f" next_refresh_at = {_IN.format('wait_s')}, last_error = %(error)s"
        " where integration_id = %(id)s and version = %(version)s and refresh_state in ('idle', 'answer_lost')",
        id=integration_id,
        version=version,
        wait_s=wait_s,
        error=error,
    )


def bury(connection: Connection, integration_id: UUID, owner: UUID, *, version: int, error: str) -> bool:
    """The grant is over. False when somebody stored a newer one, or refreshes by now."""
    return bool(
        count(
            connection,
            "update integration_tokens set refresh_state = 'dead', refresh_owner = null, refresh_lease_until = null,"
            " next_refresh_at = null, last_error = %(error)s"
            " where integration_id = %(id)s and version = %(version)s"
            " and (refresh_owner = %(owner)s or refresh_state = 'answer_lost')",
            id=integration_id,
            owner=owner,
            version=version,
            error=error,
        )
    )


def logins_ending(connection: Connection, *, within_days: int) -> int:
    """How many active accounts need a new login by then; nothing else keeps them alive."""
    rows = run(
        connection,
        "select count(*) from integration_tokens t join integrations i on i.id = t.integration_id"
        " where i.state = 'active' and least((t.details->>'login_again_by')::timestamptz,"
        " case when t.next_refresh_at is null then t.expires_at end) < now() + %(days)s * interval '1 day'",
        days=within_days,
    )
    return int(rows[0][0])


def _values(grant: SealedGrant) -> dict[str, Any]:
    return {
        "access": grant.access_token_sealed,
        "refresh": grant.refresh_token_sealed,
        "scopes": list(grant.scopes),
        "details": json.dumps(dict(grant.details)),
        "expires_s": grant.expires_in_s,
        "refresh_expires_s": grant.refresh_expires_in_s,
        "refresh_in_s": grant.refresh_in_s,
    }
