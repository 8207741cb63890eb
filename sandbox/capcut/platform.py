"""Both services put together: their doors, their bill, and what may be done there by other means."""

from __future__ import annotations

from typing import Any

from sandbox.capcut.cloud import Cloud
from sandbox.capcut.drafts import KEPT, Drafts
from sandbox.capcut.editing import Editing
from sandbox.capcut.envelope import FAULTS
from sandbox.capcut.gateway import Call, Operation, cloud_lists, routes
from sandbox.capcut.mate import Mate
from sandbox.capcut.mate_errors import MATE_FAULTS
from sandbox.capcut.names import LISTS
from sandbox.capcut.renders import LINK_LIFE_S, OUTCOMES, POLLS, Renders
from sandbox.capcut.saving import Saving
from sandbox.capcut.shelf import medium, readable
from sandbox.capcut.templates import Templates
from sandbox.routes import StandIn, action


class CapCut:
    """What the doors and the operator share. VectCut and capcut-mate have drafts of their own."""

    def __init__(self) -> None:
        self.drafts = Drafts()
        self.renders = Renders()
        self.mate = Mate(self.renders)

    def stand_in(self) -> StandIn:
        """Its doors."""
        editing, saving = Editing(self.drafts), Saving(self.drafts)
        templates = Templates(editing, self.renders)
        cloud = Cloud(self.drafts, self.renders)
        parts = (editing, saving, templates, cloud)
        operations = {path: one for part in parts for path, one in part.operations().items()}
        acts = (
            self.set_renders,
            self.fail_next_render,
            self.forget_renders,
            self.expire_links,
            self.keep_drafts,
            self.forget_drafts,
            self.list_drafts,
        )
        return StandIn(
            routes=(
                *routes(operations, {path: listed(path) for path in LISTS}),
                *cloud_lists(templates.lists()),
                *saving.routes(),
                *self.renders.routes(),
                *self.mate.routes(),
                *readable("/media/{name}", medium),
            ),
            bill=self.renders.bill,
            faults={**FAULTS, **MATE_FAULTS},
            actions={one.__name__: action(one) for one in acts},
        )

    def set_renders(
        self,
        polls: int = POLLS,
        outcome: str = OUTCOMES[0],
        error: str | None = None,
        link_life_s: int = LINK_LIFE_S,
    ) -> None:
        """How renders begun from now on go: looks until their end, the end, why they fail, how long links live."""
        if outcome not in OUTCOMES:
            raise ValueError(f"outcome is one of {', '.join(OUTCOMES)}")
        settings = self.renders.settings
        settings.polls = at_least("polls", polls, 0)
        settings.link_life_s = at_least("link_life_s", link_life_s, 0)
        settings.outcome, settings.error = outcome, error

    def fail_next_render(self, error: str | None = None, times: int = 1) -> None:
        """The next ones begun fail, with these words or those that the service usually has."""
        self.renders.settings.failures = at_least("times", times, 1)
        self.renders.settings.failure = error

    def forget_renders(self) -> int:
        """All renders are gone, their files too: how many there were."""
        return self.renders.forget()

    def expire_links(self) -> None:
        """Links to videos given until now are refused; a further look gives a new one."""
        self.renders.expire_links()

    def keep_drafts(self, count: int = KEPT) -> None:
        """So many drafts are remembered by each service; those not used for longest go."""
        for drafts in (self.drafts, self.mate.drafts):
            drafts.kept = at_least("count", count, 1)
            drafts.trim()

    def forget_drafts(self, draft_id: str | None = None) -> int:
        """One draft is gone, or all are, as after a restart: how many went."""
        return self.drafts.forget(draft_id) + self.mate.drafts.forget(draft_id)

    def list_drafts(self) -> list[dict[str, Any]]:
        """The drafts of both services: id, size, seconds, and kind, track, times and media of their segments."""
        return [
            {
                "draft_id": draft.id,
                "width": draft.width,
                "height": draft.height,
                "name": draft.name,
                "seconds": draft.seconds,
                "segments": [
                    {"kind": one.kind, "track": one.track, "start": one.start, "end": one.end, "url": one.url}
                    for one in draft.segments
                ],
            }
            for drafts in (self.drafts, self.mate.drafts)
            for draft in drafts
        ]


def listed(path: str) -> Operation:
    """The door of a list of names."""

    def answer(call: Call) -> list[dict[str, Any]]:
        return LISTS[path]

    return answer


def at_least(name: str, value: int, least: int) -> int:
    """The number, if it is one and not less; raises ValueError."""
    if not isinstance(value, int) or value < least:
        raise ValueError(f"{name} is a whole number of {least} or more")
    return value


def stand_in() -> StandIn:
    """Fresh services: nobody has a draft."""
    return CapCut().stand_in()
