"""Shapes that answers share: pages, moments, and what a problem looks like in the API's description."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

from fastapi import Header, HTTPException, Query, Response
from pydantic import BaseModel, ConfigDict, Field, field_validator

MOST_ROWS = 200
NEVER_YEAR = 9999

Item = TypeVar("Item")


class Shape(BaseModel):
    """An answer, or a part of one: read from a row."""

    model_config = ConfigDict(from_attributes=True)


class Body(BaseModel):
    """What is sent to us: a field that we do not know is a mistake, and said."""

    model_config = ConfigDict(extra="forbid")


class Page(BaseModel, Generic[Item]):
    """Some rows, newest first; `next` goes into `before` for those after them, and is null at the end."""

    data: list[Item]
    next: UUID | None = None


class Problem(BaseModel):
    """What went wrong, and what to do (RFC 9457). `message` repeats `detail` for clients that show only that."""

    status: int
    title: str
    detail: str
    message: str


Limit = Annotated[int, Query(ge=1, le=MOST_ROWS, description="Rows at most.")]
Before = Annotated[UUID | None, Query(description="Rows older than this id: `next` of the page before.")]
IfMatch = Annotated[str | None, Header(alias="If-Match", description="The ETag that was read: 412 if it has changed.")]
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": said, "content": {"application/problem+json": {}}}
    for status, said in {
        401: "No good API key was sent.",
        403: "The key is not for this.",
        404: "There is no such thing for this key.",
        409: "It is not in a state for this; the detail says why.",
        412: "It has changed since it was read.",
        413: "The body is too long.",
        415: "The body is of a kind that is not taken.",
        422: "What was sent cannot be taken; the detail says why.",
        503: "The database does not answer: send it again after `Retry-After` seconds.",
    }.items()
}


def paged(rows: Sequence[Any], limit: int, shape: Any) -> dict[str, Any]:
    """A page of rows that were asked for with one more than `limit`."""
    shown = rows[:limit]
    return {"data": [shape(row) for row in shown], "next": shown[-1].id if len(rows) > limit else None}


def etag(response: Response, version: int) -> None:
    """Say which version of a row this is."""
    response.headers["ETag"] = f'"{version}"'


def version_of(if_match: str | None) -> int | None:
    """The version that a change was made to; None = whatever it is."""
    if if_match is None or if_match.strip() == "*":
        return None
    text = if_match.strip().removeprefix("W/").strip('"')
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise HTTPException(412, "If-Match is not an ETag of ours.")
    return int(text)


def changed_meanwhile() -> HTTPException:
    """Somebody else was first."""
    return HTTPException(412, "It has changed since it was read: read it again, then change it.")


class DeliveryShape(Shape):
    """One event on its way to one account or webhook."""

    id: UUID
    event_id: UUID
    tenant_id: str
    provider: str
    event_type: str
    integration_id: UUID
    webhook_id: UUID | None
    state: str = Field(description="pending, running, retrying, waiting, succeeded, failed (a dead letter), cancelled")
    attempt_count: int
    due_at: datetime | None
    error_code: str | None
    error_message: str | None
    created_at: datetime
    settled_at: datetime | None

    @field_validator("due_at")
    @classmethod
    def _parked(cls, value: datetime | None) -> datetime | None:
        """Nobody knows when its account works again."""
        return None if value is not None and value.year >= NEVER_YEAR else value


class AttemptShape(Shape):
    """One call: what was asked, what was answered, how long it took, what it cost."""

    id: UUID
    delivery_id: UUID
    event_id: UUID
    tenant_id: str
    provider: str
    event_type: str
    attempt_number: int
    state: str = Field(description="started, succeeded, retryable, refused, lost")
    started_at: datetime
    finished_at: datetime | None
    duration_ms: int | None
    method: str | None
    url: str | None = Field(description="Masked where it is a credential.")
    http_status: int | None
    answer: str | None = Field(description="The beginning of the answer, without secrets.")
    error_code: str | None
    error_message: str | None
    external_id: str | None
    cost: str | None
    cost_unit: str | None


def attempt(row: Any) -> dict[str, Any]:
    """An attempt's row; amounts as text, so that nothing is rounded on the way."""
    shown = {name: getattr(row, name, None) for name in AttemptShape.model_fields}
    return {**shown, "cost": None if row.cost is None else f"{row.cost.normalize():f}"}


def given(body: BaseModel) -> Mapping[str, Any]:
    """What a change names, and no more."""
    return body.model_dump(exclude_unset=True)
