"""The direct road: who stores a delivery may claim it in the same commit, and call at once.

Nothing is skipped but the queue between two commits: the delivery is born *running*, with its fencing token, its
lease and its attempt row, and whatever dies, its lease ends and the reconciler has it. Only for targets that are well
and have no rate limit or cap, and only while this process has room: everything else waits for its claim as ever.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self
from uuid import UUID

from providers import PROVIDERS
from worker import faults, ids
from worker.calls import KEPT, Slots
from worker.dispatch import FEW
from worker.enqueue import Made
from worker.limits import rate_in_force
from worker.outcomes import Claim
from worker.routing import Recipient
from worker.vault import Vault


class Start(Protocol):
    """Makes the calls of claims after the seconds beside each, before or behind those that wait."""

    def __call__(self, turns: Sequence[tuple[Claim, float]], *, ahead: bool) -> None: ...


class Direct:
    """The claims of one commit. Left without an exception they start; otherwise their slots are free again."""

    def __init__(self, slots: Slots, start: Start, vault: Vault, *, lease_s: float, worker: str) -> None:
        self.lease_s = lease_s
        self.worker = worker
        self._slots = slots
        self._start = start
        self._vault = vault
        self._room = 0
        self._few: set[str] = set()
        self._claims: list[Claim] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        claims = self._claims if kind is None else []
        self._slots.give_back(self._room - len(claims))
        if claims:
            faults.reached("claim")
        for ahead in (True, False):
            turns = [(claim, 0.0) for claim in claims if (claim.event.tenant_id in self._few) is ahead]
            self._start(turns, ahead=ahead)

    def choose(self, made: Sequence[Made]) -> list[UUID | None]:
        """As many as there is room for, of those that may be called at once; who has few in this commit goes first."""
        counts = Counter(each.event.tenant_id for each in made)
        self._few = {tenant_id for tenant_id, count in counts.items() if count <= FEW}
        chosen: list[UUID | None] = [None] * len(made)
        for few in (True, False):
            fit = [
                place
                for place, each in enumerate(made)
                if (each.event.tenant_id in self._few) is few and self._may(each.recipient)
            ]
            room = self._slots.take_at_once(len(fit), keep=0 if few else KEPT)
            self._room += room
            for place in fit[:room]:
                chosen[place] = ids.new()
        return chosen

    def _may(self, place: Recipient) -> bool:
        if not place.well or place.max_in_flight is not None:
            return False
        provider = PROVIDERS.get(place.provider)
        if provider is None or provider.ceiling is not None:
            return False
        return rate_in_force(provider, place.rate_per_s, place.webhook_id, place.url_sealed, self._vault) is None

    def begun(self, made: Sequence[Made], attempt_ids: Sequence[UUID | None], started_at: datetime) -> None:
        """Remember what to call after the commit."""
        self._claims = [
            _claim(each, attempt_id, started_at)
            for each, attempt_id in zip(made, attempt_ids, strict=True)
            if attempt_id is not None
        ]


def _claim(made: Made, attempt_id: UUID, started_at: datetime) -> Claim:
    place = made.recipient
    return Claim(
        delivery_id=made.delivery.id,
        attempt_id=attempt_id,
        attempt_number=1,
        started_at=started_at,
        retry_count=0,
        failures=0,
        unknown=False,
        event=made.event,
        provider=PROVIDERS[place.provider],
        integration_id=place.integration_id,
        webhook_id=place.webhook_id,
        config=place.config,
        secrets_sealed=place.secrets_sealed,
        url_sealed=place.url_sealed,
        signing_secrets=tuple(place.signing_secrets),
        progress={},
        first_attempt_at=started_at,
    )
