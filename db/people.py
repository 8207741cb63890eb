"""people, people_sessions, login_failures: who may look at the pages, and who is logged in. Only hashes are stored."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from db.engine import Rows, count, run

_SHOWN = "p.id, p.name, p.role, p.tenant_id, p.state, p.created_at, p.last_login_at"


def insert(
    connection: Connection, *, person_id: UUID, name: str, role: str, tenant_id: str | None, password_hash: str
) -> bool:
    """Add somebody. False when the name is taken."""
    return bool(
        run(
            connection,
            "insert into people (id, name, role, tenant_id, password_hash) values (%(id)s, %(name)s, %(role)s,"
            " %(tenant)s, %(hash)s) on conflict (name) do nothing returning id",
            id=person_id,
            name=name,
            role=role,
            tenant=tenant_id,
            hash=password_hash,
        )
    )


def every(connection: Connection) -> Rows:
    """Everybody, by name; no hash among the columns."""
    return run(connection, f"select {_SHOWN} from people p order by p.name")


def is_empty(connection: Connection) -> bool:
    """Whether there is nobody yet."""
    return not run(connection, "select 1 from people limit 1")


def by_name(connection: Connection, name: str) -> Any | None:
    """Somebody with the password's hash, or None."""
    rows = run(connection, f"select {_SHOWN}, p.password_hash from people p where p.name = %(name)s", name=name)
    return rows[0] if rows else None


def set_state(connection: Connection, name: str, state: str) -> bool:
    """Let somebody in, or not any more. False when there is nobody of this name."""
    return bool(
        run(
            connection, "update people set state = %(state)s where name = %(name)s returning id", name=name, state=state
        )
    )


def set_password(connection: Connection, name: str, password_hash: str) -> bool:
    """Give somebody another password. False when there is nobody of this name."""
    return bool(
        run(
            connection,
            "update people set password_hash = %(hash)s where name = %(name)s returning id",
            name=name,
            hash=password_hash,
        )
    )


# -------------------------------------------------------------------------------------------------------- sessions


def begin_session(connection: Connection, person_id: UUID, token_hash: bytes, *, lasts_s: float, idle_s: float) -> None:
    """Somebody is in from now on; sessions that have ended are forgotten."""
    run(
        connection,
        "delete from people_sessions where created_at < now() - %(lasts)s * interval '1 second'"
        " or seen_at < now() - %(idle)s * interval '1 second'",
        lasts=lasts_s,
        idle=idle_s,
    )
    run(
        connection,
        "insert into people_sessions (token_hash, person_id) values (%(hash)s, %(id)s)",
        hash=token_hash,
        id=person_id,
    )
    run(connection, "update people set last_login_at = now() where id = %(id)s", id=person_id)


def of_session(connection: Connection, token_hash: bytes, *, lasts_s: float, idle_s: float) -> Any | None:
    """Who holds a session that is good now, or None."""
    rows = run(
        connection,
        f"select {_SHOWN}, s.seen_at < now() - interval '1 minute' as is_stale"
        " from people_sessions s join people p on p.id = s.person_id"
        " where s.token_hash = %(hash)s and p.state = 'active'"
        " and s.created_at > now() - %(lasts)s * interval '1 second'"
        " and s.seen_at > now() - %(idle)s * interval '1 second'",
        hash=token_hash,
        lasts=lasts_s,
        idle=idle_s,
    )
    return rows[0] if rows else None


def seen(connection: Connection, token_hash: bytes) -> None:
    """Note that a session is used."""
    run(connection, "update people_sessions set seen_at = now() where token_hash = %(hash)s", hash=token_hash)


def end_session(connection: Connection, token_hash: bytes) -> None:
    """Somebody has logged out."""
    run(connection, "delete from people_sessions where token_hash = %(hash)s", hash=token_hash)


def end_sessions_of(connection: Connection, name: str) -> int:
    """Log somebody out everywhere. How many sessions that were."""
    return count(
        connection,
        "delete from people_sessions s using people p where p.id = s.person_id and p.name = %(name)s",
        name=name,
    )


# ------------------------------------------------------------------------------------------------- failed log-ins


def may_try(connection: Connection, name: str, *, most: int, lock_s: float) -> bool:
    """Count a try beforehand, so that many at once are many; False when there were too many lately."""
    run(connection, "delete from login_failures where last_at < now() - interval '1 day'")
    return bool(
        run(
            connection,
            "insert into login_failures as f (name, failures) values (%(name)s, 1)"
            " on conflict (name) do update set last_at = now(), failures ="
            " case when f.last_at < now() - %(lock)s * interval '1 second' then 1 else f.failures + 1 end"
            " where f.failures < %(most)s or f.last_at < now() - %(lock)s * interval '1 second' returning failures",
            name=name,
            most=most,
            lock=lock_s,
        )
    )


def forget_failures(connection: Connection, name: str) -> None:
    """This name has the right password, or another one from now on."""
    run(connection, "delete from login_failures where name = %(name)s", name=name)
