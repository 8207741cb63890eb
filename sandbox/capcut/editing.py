"""What puts something into a draft of VectCut. Times are seconds. Media is looked at when the draft is saved."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from uuid import uuid4

from sandbox.capcut.drafts import Draft, Drafts, Overlap, Segment
from sandbox.capcut.envelope import HELP, Refused
from sandbox.capcut.gateway import Call, Operation
from sandbox.capcut.names import EFFECTS, FONTS, SUBTITLE_FONT, TEXT_FONT

WIDTH, HEIGHT = 1080, 1920
SIDE_MAX: Final = 4096  # pixels
LENGTH_S: Final = 5.0  # of media whose length nobody said: nothing is probed here
TIME_MAX: Final = 86_400.0
CUE: Final = re.compile(r"(\d+):(\d\d):(\d\d)[,.](\d{3})\s*-->\s*(\d+):(\d\d):(\d\d)[,.](\d{3})")

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Addition:
    """One operation that adds a segment: what it needs, how it complains, and where the segment lies."""

    kind: str
    required: tuple[str, ...]
    missing: str
    failed: str  # what its errors begin with
    ended: str  # and end with
    track: str
    span: Callable[[Call], Span]
    url: str | None = None
    check: Callable[[Call], None] = lambda call: None


def seconds(call: Call, name: str, default: float) -> float:
    """A time; raises ValueError."""
    value = float(call.get(name, default))
    if not -TIME_MAX <= value <= TIME_MAX:
        raise ValueError(f"{name} is out of range")
    return value


def shown_span(call: Call, default_end: float) -> Span:
    """From `start` to `end` on the timeline."""
    return seconds(call, "start", 0.0), seconds(call, "end", default_end)


def clip_span(call: Call) -> Span:
    """Where a part of a medium lies that is put at `target_start`; an `end` of 0 is the end of the medium."""
    start, end = seconds(call, "start", 0.0), seconds(call, "end", 0.0)
    length = (end or seconds(call, "duration", start + LENGTH_S)) - start
    speed = seconds(call, "speed", 1.0)
    if length <= 0 or speed <= 0:
        raise ValueError("duration must be greater than 0")
    at = seconds(call, "target_start", 0.0)
    return at, at + length / speed


def subtitle_span(call: Call) -> Span:
    """From the first cue to the end of the last; an address or a path in place of cues is 5 seconds."""
    cues = [tuple(map(int, cue.groups())) for cue in CUE.finditer(str(call.data["srt"]))]
    offset = seconds(call, "time_offset", 0.0)
    starts = [moment(*cue[:4]) for cue in cues] or [0.0]
    ends = [moment(*cue[4:]) for cue in cues] or [LENGTH_S]
    return min(starts) + offset, max(ends) + offset


def moment(hours: int, minutes: int, whole: int, thousandths: int) -> float:
    """A time of a cue in seconds."""
    return hours * 3600 + minutes * 60 + whole + thousandths / 1000


def known_font(default: str) -> Callable[[Call], None]:
    """A check that raises ValueError for a font that is not on the list."""

    def check(call: Call) -> None:
        font = call.get("font", default)
        if font not in FONTS:
            raise ValueError(f"Unsupported font: {font} ")

    return check


def known_effect(call: Call) -> None:
    """Raise ValueError for an effect that is not on the list."""
    category = call.get("effect_category", "scene")
    if call.data["effect_type"] not in EFFECTS.get(category, ()):
        raise ValueError(f"Unknown {category} effect type: {call.data['effect_type']}")


def media(kind: str, span: Callable[[Call], Span]) -> Addition:
    """A video, an image or a sound."""
    url = f"{kind}_url"
    return Addition(
        kind,
        (url,),
        f"Hi, the required parameters '{url}' are missing.",
        f"Error occurred while processing {kind}: ",
        f".{HELP}",
        f"{kind}_main",
        span,
        url,
    )


ADDITIONS: Final[Mapping[str, Addition]] = {
    "/add_video": media("video", clip_span),
    "/add_audio": media("audio", clip_span),
    "/add_image": media("image", lambda call: shown_span(call, 3.0)),
    "/add_text": Addition(
        "text",
        ("text",),
        "Hi, the required parameters 'text', 'start' or 'end' are missing. ",
        "Error occurred while processing text: ",
        f".{HELP}",
        "text_main",
        lambda call: shown_span(call, 5.0),
        check=known_font(TEXT_FONT),
    ),
    "/add_subtitle": Addition(
        "subtitle",
        ("srt",),
        "Hi, the required parameters 'srt' are missing.",
        "Error occurred while processing subtitle: ",
        f".{HELP}",
        "subtitle",
        subtitle_span,
        check=known_font(SUBTITLE_FONT),
    ),
    "/add_sticker": Addition(
        "sticker",
        ("sticker_id",),
        "Hi, the required parameters 'sticker_id' are missing. Please add them and try again.",
        "Error occurred while adding sticker: ",
        ". ",
        "sticker_main",
        lambda call: shown_span(call, 5.0),
    ),
    "/add_effect": Addition(
        "effect",
        ("effect_type",),
        "Hi, the required parameters 'effect_type' are missing. Please add them and try again.",
        "Error occurred while adding effect: ",
        ". ",
        "effect_01",
        lambda call: shown_span(call, 3.0),
        check=known_effect,
    ),
}

ACTIONS: Final = (*ADDITIONS, "/add_video_keyframe")  # those that scripts may hold


class Editing:
    """The operations on drafts."""

    def __init__(self, drafts: Drafts) -> None:
        self._drafts = drafts

    def operations(self) -> dict[str, Operation]:
        """By path."""
        return {
            "/create_draft": self.create,
            **{path: partial(self.add, path) for path in ADDITIONS},
            "/add_video_keyframe": self.add_keyframe,
        }

    def create(self, call: Call) -> dict[str, str]:
        """An empty draft."""
        draft = self.new(call)
        draft.name, draft.cover = str(call.get("name", "")), str(call.get("cover", ""))
        return draft_json(draft, call)

    def draft(self, call: Call) -> Draft:
        """The draft of a call; where it is unknown a new one, silently, as there."""
        return self._drafts.find(call.get("draft_id")) or self.new(call)

    def new(self, call: Call) -> Draft:
        """A new draft; raises Refused."""
        width, height = call.get("width", WIDTH), call.get("height", HEIGHT)
        for side in (width, height):
            if not isinstance(side, int) or not 1 <= side <= SIDE_MAX:
                raise Refused(f"Error occurred while creating draft: invalid size {width}x{height}.")
        return self._drafts.keep(Draft(new_draft_id(call.request.now), width, height))

    def add(self, path: str, call: Call) -> dict[str, str]:
        """One segment into a draft, and which draft that was; raises Refused."""
        addition = ADDITIONS[path]
        if not all(call.data.get(name) for name in addition.required):
            raise Refused(addition.missing)
        track = str(call.get("track_name", addition.track))
        url = None if addition.url is None else str(call.data[addition.url])
        try:
            addition.check(call)
            start, end = addition.span(call)
            draft = self.draft(call)
            draft.add(Segment(track, addition.kind, start, end, url))
        except (Overlap, ValueError, TypeError) as problem:
            raise Refused(f"{addition.failed}{problem}{addition.ended}") from None
        return draft_json(draft, call)

    def add_keyframe(self, call: Call) -> dict[str, str]:
        """A keyframe on a track that must be there; raises Refused. It changes nothing that is seen here."""
        draft, track = self.draft(call), str(call.get("track_name", "video_main"))
        if track not in draft.tracks:
            raise Refused(f"Error occurred while adding keyframe: Failed to add keyframe: 不存在名为 '{track}' 的轨道.")
        return draft_json(draft, call)


def draft_json(draft: Draft, call: Call) -> dict[str, Any]:
    """What operations on drafts answer."""
    url = f"http://{call.host}/capcut/draft/downloader?draft_id={draft.id}&is_capcut=1"
    return {"draft_id": draft.id, "draft_url": url}


def new_draft_id(now: float) -> str:
    """An id with the moment in it."""
    return f"dfd_cat_{int(now)}_{uuid4().hex[:8]}"
