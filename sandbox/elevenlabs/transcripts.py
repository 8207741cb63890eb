"""Speech to text: at once, or later by webhook.

https://elevenlabs.io/docs/api-reference/speech-to-text
The sandbox does not listen: every recording says the same words.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

from sandbox.elevenlabs.errors import Refusal
from sandbox.elevenlabs.multipart import Form, read_form
from sandbox.elevenlabs.workspace import Call
from sandbox.wire import Answer, json_answer

MODELS: Final = ("scribe_v1", "scribe_v2")
SOURCES: Final = ("source_url", "cloud_storage_url")
WORDS: Final = ("Heard", "by", "the", "sandbox.")
WORD_S: Final = 0.4
METADATA_MAX: Final = 16 * 1024  # characters


@dataclass(frozen=True, slots=True)
class Transcript:
    """One recording's."""

    id: str
    request_id: str
    webhook_id: str | None  # the one it goes to; None: all
    metadata: Any
    pending: bool  # it comes by webhook, and has not been sent yet

    def as_json(self) -> dict[str, Any]:
        """As they answer it."""
        return {
            "language_code": "eng",
            "language_probability": 0.98,
            "text": " ".join(WORDS),
            "words": [word(number) for number in range(2 * len(WORDS) - 1)],
            "transcription_id": self.id,
            "audio_duration_secs": len(WORDS) * WORD_S,
        }


def word(number: int) -> dict[str, Any]:
    """A word, or the space between two."""
    at, spacing = number // 2, number % 2 == 1
    start = (at + 1 if spacing else at) * WORD_S
    return {
        "text": " " if spacing else WORDS[at],
        "start": round(start, 3),
        "end": round(start if spacing else start + WORD_S, 3),
        "type": "spacing" if spacing else "word",
        "speaker_id": "speaker_0",
        "logprob": 0.0,
    }


def convert(call: Call) -> Answer:
    """The transcript, or 202 and its id when it comes by webhook."""
    form = read_form(call.request)
    model_id = form.required("model_id")
    if model_id not in MODELS:
        raise Refusal("unsupported_model", f"{model_id} does not do speech to text.", "model_id")
    if len(form.uploads("file")) + sum(form.text(name) is not None for name in SOURCES) != 1:
        raise Refusal("invalid_parameters", "Send one of file, source_url and cloud_storage_url.", "file")
    by_webhook = form.flag("webhook")
    made = Transcript(uuid4().hex, uuid4().hex, form.text("webhook_id"), metadata_of(form), by_webhook)
    if by_webhook and not call.workspace.webhooks:
        raise Refusal("invalid_parameters", "There is no webhook to send to.", "webhook")
    call.workspace.transcripts[made.id] = made
    call.workspace.count("transcriptions")
    if not by_webhook:
        return json_answer(made.as_json(), headers={"request-id": made.request_id})
    said = {"message": "Request processed.", "request_id": made.request_id, "transcription_id": made.id}
    return json_answer(said, 202, {"request-id": made.request_id})


def metadata_of(form: Form) -> Any:
    """What comes back with the webhook; raises Refusal."""
    text = form.text("webhook_metadata") or "null"
    try:
        found = json.loads(text)
    except ValueError:
        raise Refusal("invalid_parameters", "webhook_metadata is JSON.", "webhook_metadata") from None
    if len(text) > METADATA_MAX:
        raise Refusal("invalid_parameters", "webhook_metadata is longer than 16 KB.", "webhook_metadata")
    return found


def read(call: Call) -> Answer:
    """A transcript that is there."""
    return json_answer(transcript_of(call).as_json())


def delete(call: Call) -> Answer:
    """Forget one."""
    del call.workspace.transcripts[transcript_of(call).id]
    return json_answer({"message": "Delete completed successfully."})


def transcript_of(call: Call) -> Transcript:
    """The transcript of the path; raises Refusal."""
    found = call.workspace.transcripts.get(call.params["transcription_id"])
    if not isinstance(found, Transcript) or found.pending:
        raise Refusal("transcript_not_found", "No such transcript.", "transcription_id")
    return found
