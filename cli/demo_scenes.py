"""What the scenes of the demo share: waiting for what they make happen, and keeping what was checked."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import db.audit
from cli import session
from cli.demo_ledger import Check
from sandbox.control import Control

LOOK_S = 0.1
PATIENCE_S = 60.0

Say = Callable[[str], None]


class NotInTime(Exception):
    """Something that the demo waits for did not happen."""


@dataclass
class Scenes:
    """Some scenes of one tenant: where they are played, and what was checked."""

    tenant: str
    control: Control
    sandbox_url: str
    say: Say = lambda scene: None
    checks: list[Check] = field(default_factory=list)

    def check(self, holds: str, wrong: Sequence[str]) -> None:
        """Keep what was checked, with what speaks against it."""
        self.checks.append(Check(holds, tuple(wrong)))

    def until(self, done: Callable[[], bool], what: str) -> None:
        """Wait until something is seen. Raises NotInTime."""
        deadline = time.monotonic() + PATIENCE_S
        while not done():
            if time.monotonic() > deadline:
                raise NotInTime(f"within {PATIENCE_S:.0f} s it was not seen that {what}")
            time.sleep(LOOK_S)

    def until_settled(self, *keys: str) -> None:
        """Until these events are there, and all their deliveries have ended well."""

        def ended() -> bool:
            with session.transaction() as connection:
                ids = db.audit.event_ids(connection, self.tenant, keys)
            return len(ids) == len(keys) and self.settled(ids)

        self.until(ended, f"{keys[0]} is delivered")

    def settled(self, event_ids: Sequence[UUID]) -> bool:
        """Whether all deliveries of these events have ended well."""
        with session.transaction() as connection:
            return db.audit.all_succeeded(connection, event_ids)
