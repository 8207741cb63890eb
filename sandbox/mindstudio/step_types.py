"""The single steps that are played: their inputs, and their outputs, which follow from them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sandbox.audio import sound
from sandbox.mindstudio.agents import agent_and_workflow
from sandbox.mindstudio.errors import Refusal
from sandbox.mindstudio.files import MP3, File, Files
from sandbox.mindstudio.gateway import Call

SECONDS_PER_CHARACTER: Final = 0.06
SPEECH: Final = "mp3_44100_128"
SPEECH_MAX_S: Final = 600.0
MODEL_FIELDS: Final = ("model", "temperature", "maxResponseTokens")
RESULTS: Final = 3
RESULTS_MAX: Final = 100
PII: Final[Mapping[str, str]] = {
    "EMAIL_ADDRESS": r"[\w.+-]+@[\w-]+\.[\w.-]*\w",
    "PHONE_NUMBER": r"\+?\d[\d ()/-]{6,}\d",
}
PII_SCORE: Final = 0.99
NOTHING: Final = r"(?!)"  # matches nowhere

Inputs = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """One execution of a step: its inputs, the message's place in the conversation, and where files are kept."""

    inputs: Inputs
    message: int
    call: Call
    files: Files

    def speech(self, seconds: float) -> str:
        """Keep so much silence, up to a limit, and say where it is."""
        return self.files.keep(self.call, File(sound(SPEECH, min(seconds, SPEECH_MAX_S)), MP3), "mp3")

    def link(self, name: str) -> str:
        """What is made of somebody's video is that video: nothing is cut here."""
        url = str(self.inputs[name])
        return self.files.keep(self.call, File(elsewhere=url), url.rpartition(".")[2] if "." in url[-5:] else "mp4")


@dataclass(frozen=True, slots=True)
class Played:
    """A step that is played: the inputs it needs and its output."""

    required: tuple[str, ...]
    output: Callable[[Step], dict[str, Any]]


def user_message(step: Step) -> dict[str, Any]:
    """What the model says; `content` is a text even where JSON was asked for."""
    override = step.inputs.get("modelOverride")
    if override is not None and not (isinstance(override, dict) and all(name in override for name in MODEL_FIELDS)):
        raise Refusal("invalid_step_config", f"modelOverride needs {', '.join(MODEL_FIELDS)}.")
    message = str(step.inputs["message"])
    kind, example = step.inputs.get("structuredOutputType", "text"), step.inputs.get("structuredOutputExample")
    if kind == "json":
        return {"content": example or json.dumps({"text": message}, ensure_ascii=False)}
    if kind == "csv":
        return {"content": example or "text\n" + json.dumps(message, ensure_ascii=False)}
    return {"content": f"Answer {step.message}: {message}"}


def found_pii(step: Step) -> list[dict[str, Any]]:
    """Personal data of the kinds asked for, in the order of the text."""
    text = str(step.inputs["input"])
    found = [
        {"entity_type": kind, "start": match.start(), "end": match.end(), "score": PII_SCORE}
        for kind in step.inputs["entities"]
        for match in re.finditer(PII.get(str(kind), NOTHING), text)
    ]
    return sorted(found, key=lambda one: int(one["start"]))


def detect_pii(step: Step) -> dict[str, Any]:
    """Where personal data is."""
    found = found_pii(step)
    return {"detected": bool(found), "detections": found}


def redact_pii(step: Step) -> dict[str, Any]:
    """The text with the kinds in the place of personal data."""
    text = str(step.inputs["input"])
    for one in reversed(found_pii(step)):
        text = f"{text[: one['start']]}<{one['entity_type']}>{text[one['end'] :]}"
    return {"text": text}


def text_to_speech(step: Step) -> dict[str, Any]:
    """Silence as long as the text takes."""
    return {"audioUrl": step.speech(len(step.inputs["text"]) * SECONDS_PER_CHARACTER)}


def merge_audio(step: Step) -> dict[str, Any]:
    """A second of silence for each part."""
    return {"audioUrl": step.speech(float(len(step.inputs["mp3Urls"])))}


def file_name(url: object) -> str:
    """The last part of an address."""
    return str(url).rstrip("/").rpartition("/")[2]


def extract_text(step: Step) -> dict[str, Any]:
    """A text for each document; one alone for one alone."""
    url = step.inputs["url"]
    if isinstance(url, list):
        return {"text": [f"Text of {file_name(one)}." for one in url]}
    return {"text": f"Text of {file_name(url)}."}


def logic(step: Step) -> dict[str, Any]:
    """The first case whose condition occurs in the context, else the last; counted from 0 (unconfirmed)."""
    cases, context = step.inputs["cases"], str(step.inputs["context"]).casefold()
    conditions = [str(one.get("condition") if isinstance(one, dict) else one).casefold() for one in cases]
    hits = [number for number, condition in enumerate(conditions) if condition in context]
    return {"selectedCase": hits[0] if hits else max(0, len(cases) - 1)}


def search_google(step: Step) -> dict[str, Any]:
    """So many made-up pages about the query."""
    query, count = str(step.inputs["query"]), min(step.inputs.get("numResults", RESULTS), RESULTS_MAX)
    return {
        "results": [
            {"title": f"{query} {n}", "description": f"Page {n} about {query}.", "url": f"https://example.org/{n}"}
            for n in range(1, count + 1)
        ]
    }


def http_request(step: Step) -> dict[str, Any]:
    """A success that tells what was asked; nothing is sent."""
    asked = {"method": step.inputs["method"], "url": step.inputs["url"]}
    return {"ok": True, "status": 200, "statusText": "OK", "response": json.dumps(asked)}


def query_data_source(step: Step) -> dict[str, Any]:
    """So many chunks about the query."""
    query = str(step.inputs["query"])
    count = min(step.inputs["maxResults"], RESULTS_MAX)
    chunks = [f"Chunk {n} about {query}." for n in range(1, count + 1)]
    return {"text": "\n".join(chunks), "chunks": chunks, "query": query, "citations": [], "latencyMs": 12}


def run_packaged_workflow(step: Step) -> dict[str, Any]:
    """What the agent's main workflow makes of the variables; workflow ids of theirs are not known here."""
    _, workflow = agent_and_workflow(str(step.inputs["appId"]), None)
    return {"data": workflow.result(step.inputs["inputVariables"])}


PLAYED: Final[Mapping[str, Played]] = {
    "userMessage": Played(("message",), user_message),
    "detectPII": Played(("input", "language", "entities"), detect_pii),
    "redactPII": Played(("input", "language", "entities"), redact_pii),
    "textToSpeech": Played(("text",), text_to_speech),
    "transcribeAudio": Played(
        ("audioUrl", "prompt"), lambda step: {"text": f"Transcript of {file_name(step.inputs['audioUrl'])}."}
    ),
    "extractText": Played(("url",), extract_text),
    "analyzeImage": Played(
        ("prompt", "imageUrl"),
        lambda step: {"analysis": f"{step.inputs['prompt']}: {file_name(step.inputs['imageUrl'])}"},
    ),
    "analyzeVideo": Played(
        ("prompt", "videoUrl"),
        lambda step: {"analysis": f"{step.inputs['prompt']}: {file_name(step.inputs['videoUrl'])}"},
    ),
    "logic": Played(("context", "cases"), logic),
    "scrapeUrl": Played(("url",), lambda step: {"content": f"Text of {step.inputs['url']}."}),
    "searchGoogle": Played(("query", "exportType"), search_google),
    "httpRequest": Played(
        ("url", "method", "headers", "queryParams", "body", "bodyItems", "contentType", "customContentType"),
        http_request,
    ),
    "queryDataSource": Played(("dataSourceId", "query", "maxResults"), query_data_source),
    "runPackagedWorkflow": Played(
        ("appId", "workflowId", "inputVariables", "outputVariables", "name"), run_packaged_workflow
    ),
    "mergeAudio": Played(("mp3Urls",), merge_audio),
    "mixAudioIntoVideo": Played(("videoUrl", "audioUrl", "options"), lambda step: {"videoUrl": step.link("videoUrl")}),
    "addSubtitlesToVideo": Played(
        (
            "videoUrl",
            "language",
            "fontName",
            "fontSize",
            "fontWeight",
            "fontColor",
            "highlightColor",
            "strokeWidth",
            "strokeColor",
            "backgroundColor",
            "backgroundOpacity",
            "position",
            "yOffset",
            "wordsPerSubtitle",
            "enableAnimation",
        ),
        lambda step: {"videoUrl": step.link("videoUrl")},
    ),
    "trimMedia": Played(("inputUrl",), lambda step: {"mediaUrl": step.link("inputUrl")}),
}
# Inputs of a type other than text, where a wrong one would make no sense.
TYPES: Final[Mapping[str, type | tuple[type, ...]]] = {
    "entities": list,
    "cases": list,
    "mp3Urls": list,
    "url": (str, list),
    "inputVariables": dict,
    "numResults": int,
    "maxResults": int,
    "structuredOutputExample": str,
    "message": str,
    "text": str,
}


def performed(step_type: str, step: Step) -> dict[str, Any]:
    """The output of a step; raises Refusal."""
    played = PLAYED.get(step_type)
    if played is None:
        raise Refusal("invalid_step_config", f"The step {step_type} is not played by the sandbox.")
    missing = [name for name in played.required if step.inputs.get(name) is None]
    if missing:
        raise Refusal("invalid_step_config", f"{step_type} needs {', '.join(missing)}.")
    for name, kind in TYPES.items():
        if name in step.inputs and not isinstance(step.inputs[name], kind):
            raise Refusal("invalid_step_config", f"{name} of {step_type} has the wrong type.")
    return played.output(step)
