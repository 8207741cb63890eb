"""The history: page by page, item by item, its sound again at no cost, several sounds as a zip.

https://elevenlabs.io/docs/api-reference/history
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import Any, Final

from sandbox.audio import sound
from sandbox.elevenlabs.errors import FlatRefusal, Invalid, Refusal
from sandbox.elevenlabs.fields import TEXT, json_body, page_size, whole_number
from sandbox.elevenlabs.generation import Generation
from sandbox.elevenlabs.workspace import Call, Workspace
from sandbox.wire import Answer, json_answer

PAGE: Final = (100, 1000)  # default and greatest page size
WAV: Final = "wav_44100"
AUDIO: Final = {"Content-Type": "audio/mpeg"}


def listing(call: Call) -> Answer:
    """One page, newest first unless asked otherwise."""
    args = call.args
    if "model_id" in args and "source" not in args:
        raise Invalid("query", "source", "source is required with model_id", "missing")
    size = page_size(args, PAGE)
    items = [one for one in call.workspace.history.values() if wanted(one, args)]
    if args.get("sort_direction", "desc") != "asc":
        items.reverse()
    start = after(items, args.get("start_after_history_item_id"))
    page = items[start : start + size]
    return json_answer(
        {
            "history": [one.as_json(call.now) for one in page],
            "last_history_item_id": page[-1].id if page else None,
            "has_more": start + size < len(items),
            "scanned_until": None,
        }
    )


def read(call: Call) -> Answer:
    """One item."""
    return json_answer(item(call.workspace, call.params["history_item_id"]).as_json(call.now))


def audio(call: Call) -> Answer:
    """Its sound again."""
    found = item(call.workspace, call.params["history_item_id"])
    check_ready(found, call.now)
    return Answer(200, found.audio(), AUDIO)


def delete(call: Call) -> Answer:
    """Forget one item; the bill stays."""
    del call.workspace.history[item(call.workspace, call.params["history_item_id"]).id]
    return json_answer({"status": "ok"})


def download(call: Call) -> Answer:
    """The sound of one item, or a zip of several."""
    body = json_body(call.request, {"history_item_ids": (list,), "output_format": TEXT}, ("history_item_ids",))
    if body.get("output_format") not in (None, "wav", "default"):
        raise FlatRefusal("invalid_output_format", "output_format must be wav or none")
    if not body["history_item_ids"]:
        raise FlatRefusal("no_history_items", "Ask for one history item or more.")
    items = [item(call.workspace, str(one)) for one in body["history_item_ids"]]
    for one in items:
        check_ready(one, call.now)
    as_wav = body.get("output_format") == "wav"
    if len(items) == 1:
        return Answer(200, file_of(items[0], as_wav)[1], {"Content-Type": "audio/wav"} if as_wav else AUDIO)
    return Answer(200, zipped(items, as_wav), {"Content-Type": "application/zip"})


def zipped(items: list[Generation], as_wav: bool) -> bytes:
    """One file for each item."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for one in items:
            archive.writestr(*file_of(one, as_wav))
    return data.getvalue()


def file_of(made: Generation, as_wav: bool) -> tuple[str, bytes]:
    """Name and content of a download."""
    if as_wav:
        return f"{made.id}.wav", sound(WAV, made.seconds)
    return f"{made.id}.{made.output_format.partition('_')[0]}", made.audio()


def item(workspace: Workspace, item_id: str) -> Generation:
    """An item that is there; raises Refusal."""
    found = workspace.history.get(item_id)
    if found is None:
        raise Refusal("history_item_not_found", "No such history item.", "history_item_id")
    return found


def check_ready(made: Generation, now: float) -> None:
    """Raise Refusal for an item that is still being made; which code they say is unconfirmed."""
    if now < made.ready_at:
        raise Refusal("already_processing", "The audio is still being made.", "history_item_id")


def wanted(one: Generation, args: Mapping[str, str]) -> bool:
    """Whether an item is among those asked for."""
    shown: dict[str, Any] = one.as_json(one.ready_at)
    return (
        all(args.get(name, shown[name]) == shown[name] for name in ("voice_id", "model_id", "source"))
        and args.get("search", "").lower() in one.text.lower()
        and int(one.made_at) >= whole_number(args, "date_after_unix", 0)
        and int(one.made_at) < whole_number(args, "date_before_unix", 2**62)
    )


def after(items: list[Generation], history_item_id: str | None) -> int:
    """Where the page after an item starts; an unknown item ends the list."""
    if history_item_id is None:
        return 0
    return next((n for n, one in enumerate(items, start=1) if one.id == history_item_id), len(items))
