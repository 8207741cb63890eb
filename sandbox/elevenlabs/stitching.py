"""Request stitching: a piece that sounds as if it followed others of the same workspace.

https://elevenlabs.io/docs/developer-guides/how-to-use-request-stitching
What they say to an id that is unknown or too old is unconfirmed: 400 `invalid_parameters` here, with `param`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sandbox.elevenlabs.errors import Refusal
from sandbox.elevenlabs.models import Model
from sandbox.elevenlabs.workspace import Workspace

IDS_MAX: Final = 3  # on each side
AGE_MAX_S: Final = 2 * 3600
SIDES: Final = ("previous_request_ids", "next_request_ids")


def neighbours(
    body: Mapping[str, Any], workspace: Workspace, now: float, model: Model, dialogue: bool
) -> tuple[tuple[str, ...], ...]:
    """The request ids before and after; raises Refusal for those that cannot be stitched to."""
    sides = tuple(tuple(map(str, body.get(side) or ())) for side in SIDES)
    for side, ids in zip(SIDES, sides, strict=True):
        if ids and not dialogue and not model.stitches:
            raise Refusal("unsupported_model", f"{model.name} does not take {side}.", side)
        if len(ids) > IDS_MAX:
            raise Refusal("invalid_parameters", f"{side} takes {IDS_MAX} ids, not {len(ids)}.", side)
        for request_id in ids:
            check(workspace, request_id, now, dialogue, side)
    return sides


def check(workspace: Workspace, request_id: str, now: float, dialogue: bool, side: str) -> None:
    """Raise Refusal for a generation that is not there, not kept, of the other kind, or too old."""
    found = workspace.made.get(request_id)
    if found is None or not found.logged or found.dialogue != dialogue:
        raise Refusal("invalid_parameters", f"There is no request {request_id} to stitch to.", side)
    if now - found.made_at > AGE_MAX_S or request_id in workspace.stale:
        raise Refusal("invalid_parameters", f"Request {request_id} is more than 2 hours old.", side)
