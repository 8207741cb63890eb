"""Templates of the VectCut cloud: presets made in the desktop client, parametrised scripts, ready-made clips."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

from sandbox.capcut.cloud import FRAME_RATES, RESOLUTION, render_of
from sandbox.capcut.drafts import Draft, Overlap, Segment
from sandbox.capcut.editing import ACTIONS, LENGTH_S, Editing, draft_json, seconds
from sandbox.capcut.envelope import EXPORT_FAILED, Refused
from sandbox.capcut.gateway import Call, Operation, check_known
from sandbox.capcut.media import is_web
from sandbox.capcut.renders import SUCCESS, Renders
from sandbox.wire import Answer, json_answer

PLACEHOLDER: Final = re.compile(r"\$\{(\w+)\}")
REPLACED: Final = re.compile(r"(text|image|video|audio)\d+")
PAGE: Final = 100
SCRIPT_NAMES: Final = {("/add_subtitle", "srt_path"): "srt"}  # fields that have another name in scripts


class Templates:
    """The operations, and the scripts that were published."""

    def __init__(self, editing: Editing, renders: Renders) -> None:
        self._editing = editing
        self._renders = renders
        self._published: dict[str, dict[str, Any]] = {}
        self._clips: dict[str, Draft] = {}  # the draft of each ready-made clip, by its task

    def operations(self) -> dict[str, Operation]:
        """By path, those that change something."""
        return {
            "/add_preset": self.add_preset,
            "/execute_workflow": self.execute,
            "/publish_workflow": self.publish,
            "/agent/submit_agent_task": self.submit,
        }

    def lists(self) -> dict[str, Operation]:
        """By path, those that are read."""
        return {
            "/list_workflows": self.published,
            "/get_workflow": self.workflow,
            "/agent/task_status": self.task_status,
        }

    def add_preset(self, call: Call) -> dict[str, Any]:
        """A preset with its places filled, one segment on its track; ids that begin with `missing` do not exist."""
        preset_id = str(call.need("preset_id"))
        if preset_id.startswith("missing"):
            raise Refused(f"Preset {preset_id} does not exist.")
        draft, track = self._editing.draft(call), str(call.get("track_name", "preset_track"))
        urls = [value for value in replacements(call.get("replacements", [])) if is_web(value)]
        try:
            at = seconds(call, "target_start", 0.0)
            end = at + seconds(call, "end", LENGTH_S) - seconds(call, "start", 0.0)
            draft.add(Segment(track, "preset", at, end))
        except (Overlap, ValueError, TypeError) as problem:
            raise Refused(f"Error occurred while adding preset: {problem}. ") from None
        draft.segments.extend(Segment(f"{track}:{n}", "preset", at, end, url) for n, url in enumerate(urls))
        return draft_json(draft, call)

    def execute(self, call: Call) -> dict[str, Any]:
        """A script of actions, one after another into one draft."""
        script, inputs = call.get("script", []), call.get("inputs", {})
        if not isinstance(script, list) or not isinstance(inputs, dict):
            raise Refused("script must be a list and inputs an object.")
        draft = self._editing.draft(call)
        for step in script:
            path, data = action_of(step, inputs)
            self._editing.operations()[path](replace(call, data={**data, "draft_id": draft.id}))
        return draft_json(draft, call)

    def publish(self, call: Call) -> dict[str, str]:
        """Keep a script; its name and description are in the query."""
        call.need("script")
        args, now = call.request.args, datetime.fromtimestamp(call.request.now, UTC).isoformat()
        made = {"workflow_id": str(uuid4()), "name": args.get("name", ""), "description": args.get("description", "")}
        more = {"tags": [], "is_template": False, "created_at": now, "updated_at": now}
        self._published[made["workflow_id"]] = {**made, **more, "script": call.data["script"]}
        return made

    def published(self, call: Call) -> Answer:
        """A page of the scripts, not under `output`."""
        try:
            offset, limit = int(call.data.get("offset", 0)), int(call.data.get("limit", PAGE))
        except ValueError:
            raise Refused("limit and offset are whole numbers.") from None
        listed = [{k: v for k, v in one.items() if k != "script"} for one in self._published.values()]
        return json_answer({"success": True, "total": len(listed), "workflows": listed[offset : offset + limit]})

    def workflow(self, call: Call) -> dict[str, Any]:
        """One of them; raises Refused."""
        found = self._published.get(str(call.need("workflow_id")))
        if found is None:
            raise Refused("Workflow not found.")
        return found

    async def submit(self, call: Call) -> Answer:
        """A ready-made clip: a draft of the videos, rendered. The answer has no envelope."""
        call.need("agent_id")
        params = call.get("params", {})
        urls = params.get("video_url") if isinstance(params, dict) else None
        if not isinstance(urls, list) or not urls:
            raise Refused("Hi, the required parameters 'video_url' are missing.")
        draft = self._editing.new(replace(call, data={}))
        for number, url in enumerate(map(str, urls)):
            draft.add(Segment("video_main", "video", number * LENGTH_S, (number + 1) * LENGTH_S, url))
        render = await render_of(self._renders, call, draft, RESOLUTION, FRAME_RATES[0])
        self._clips[render.id] = draft
        return json_answer({"task_id": render.id})

    def task_status(self, call: Call) -> Answer:
        """One look at such a clip: lower-case, at the top level; raises Refused."""
        task_id = str(call.need("task_id"))
        render, draft = self._renders.find(task_id), self._clips.get(task_id)
        if render is None or draft is None:
            raise Refused(f"Task with ID {task_id} not found. Please check if the task ID is correct.")
        status = render.look()
        told: dict[str, Any] = {"success": True, "status": "processing", "message": "", "error": "", "output": {}}
        if render.ended and status == SUCCESS:
            link = self._renders.link(render, call.host, call.request.now)
            told |= {"status": "success", "output": {**draft_json(draft, call), "video_url": link}}
        elif render.ended:
            told |= {"success": False, "status": "failure", "error": render.error or EXPORT_FAILED}
        return json_answer({**told, "task_id": task_id})


def replacements(given: Any) -> list[str]:
    """What is put in the places of a preset: a list of objects with one key each; raises Refused."""
    if not isinstance(given, list) or not all(isinstance(one, dict) and len(one) == 1 for one in given):
        raise Refused("replacements must be a list of objects with one key.")
    pairs = [pair for one in given for pair in one.items()]
    unknown = [name for name, _ in pairs if not REPLACED.fullmatch(name)]
    if unknown:
        raise Refused(f"Unknown replacement {unknown[0]}.")
    return [str(value) for _, value in pairs]


def action_of(step: Any, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Path and fields of one action of a script; raises Refused. `if`, `for` and `set_var` are not played."""
    if not isinstance(step, dict) or step.get("type") != "action":
        raise Refused("Only steps of type action are played by the sandbox.")
    path = f"/{step.get('action_type')}"
    if path not in ACTIONS:
        raise Refused(f"Unknown action_type {step.get('action_type')}.")
    text = PLACEHOLDER.sub(lambda found: str(inputs.get(found[1], found[0])), str(step.get("params", "")))
    try:
        params = json.loads(text)
    except ValueError:
        raise Refused("params must be a JSON string.") from None
    if not isinstance(params, dict):
        raise Refused("params must hold an object.")
    params = {SCRIPT_NAMES.get((path, name), name): value for name, value in params.items()}
    check_known(params, path, cloud=True)
    return path, params
