"""Professional clones: made, given samples, their speaker verified, trained; hours there, some looks here.

https://elevenlabs.io/docs/api-reference/voices/pvc/create
What the captcha looks like, and what they say to a training without verification, is unconfirmed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from sandbox.elevenlabs.errors import Invalid, Refusal
from sandbox.elevenlabs.fields import FLAG, LIST, MAP, NUMBER, TEXT, Kinds, json_body
from sandbox.elevenlabs.models import DEFAULT_MODEL, known_model
from sandbox.elevenlabs.multipart import read_form
from sandbox.elevenlabs.samples import samples_of
from sandbox.elevenlabs.voice import Sample, Training, Voice
from sandbox.elevenlabs.voices import OK, check_slots
from sandbox.elevenlabs.workspace import Call
from sandbox.wire import Answer, json_answer

CREATE: Final[Kinds] = {"name": (str,), "language": (str,), "description": TEXT, "labels": MAP}
SAMPLE: Final[Kinds] = {
    "remove_background_noise": FLAG,
    "selected_speaker_ids": LIST,
    "trim_start_time": NUMBER,
    "trim_end_time": NUMBER,
    "file_name": TEXT,
}
CAPTCHA: Final = b"Say these words: the sandbox is listening."


def create(call: Call) -> Answer:
    """A new one, without samples; its labels are an object here."""
    body = json_body(call.request, CREATE, ("name", "language"))
    check_slots(call.workspace)
    labels = {name: str(value) for name, value in (body.get("labels") or {}).items()}
    number = 1 + sum(one.training is not None for one in call.workspace.voices.values())
    while f"pro{number:017d}" in call.workspace.deleted_voices:
        number += 1
    made = Voice(
        f"pro{number:017d}",
        body["name"],
        "professional",
        body.get("description") or "",
        {"language": body["language"], **labels},
        made_unix=int(call.now),
        requires_verification=True,
        training=Training(),
    )
    call.workspace.voices[made.id] = made
    return json_answer({"voice_id": made.id})


def add_samples(call: Call) -> Answer:
    """Recordings for it: those that were added."""
    voice, form = voice_of(call), read_form(call.request)
    added = samples_of(form.uploads("files"), required=True)
    voice.samples += added
    return json_answer([one.as_json() for one in added])


def edit_sample(call: Call) -> Answer:
    """Another name for a recording; trimming it changes nothing here."""
    voice, body = voice_of(call), json_body(call.request, SAMPLE)
    found = sample_of(voice, call)
    renamed = replace(found, file_name=body.get("file_name") or found.file_name)
    voice.samples = tuple(renamed if one is found else one for one in voice.samples)
    return json_answer({"voice_id": voice.id})


def delete_sample(call: Call) -> Answer:
    """Take a recording away."""
    voice = voice_of(call)
    found = sample_of(voice, call)
    voice.samples = tuple(one for one in voice.samples if one is not found)
    return json_answer(OK)


def captcha(call: Call) -> Answer:
    """What its speaker has to say."""
    voice_of(call)
    return Answer(200, CAPTCHA, {"Content-Type": "text/plain"})


def verify(call: Call) -> Answer:
    """Its speaker said it: any recording that is not empty is believed."""
    voice = voice_of(call)
    files = read_form(call.request).uploads("recording")
    if not files:
        raise Invalid("body", "recording", "Field required", "missing")
    if not files[0].content:
        raise Refusal("invalid_audio", "The recording is empty.", "recording")
    voice.requires_verification = False
    return json_answer(OK)


def ask_verification(call: Call) -> Answer:
    """Their people shall verify its speaker; `verify_voice` plays them."""
    voice = voice_of(call)
    samples_of(read_form(call.request).uploads("files"), required=True)
    if voice.training is not None:
        voice.training.by_hand = True
    return json_answer(OK)


def train(call: Call) -> Answer:
    """Begin; every look at the voice is a step."""
    voice = voice_of(call)
    model_id = json_body(call.request, {"model_id": TEXT}).get("model_id") or DEFAULT_MODEL
    known_model(model_id)
    if not voice.samples:
        raise Refusal("invalid_parameters", "There are no samples to train with.", "voice_id")
    if voice.requires_verification:
        raise Refusal("voice_access_denied", "The speaker is not verified.", "voice_id")
    training = voice.training or Training()
    if training.state(model_id) in ("queued", "fine_tuning"):
        raise Refusal("already_running", "The voice is being trained.", "voice_id")
    training.looks[model_id] = 0
    voice.training = training
    call.workspace.count("trainings")
    return json_answer(OK)


def voice_of(call: Call) -> Voice:
    """The professional clone of the path; raises Refusal."""
    found = call.workspace.voices.get(call.params["voice_id"])
    if found is None or found.training is None:
        raise Refusal("voice_not_found", f"No professional voice {call.params['voice_id']}.", "voice_id")
    return found


def sample_of(voice: Voice, call: Call) -> Sample:
    """The recording of the path; raises Refusal."""
    wanted = call.params["sample_id"]
    found = next((one for one in voice.samples if one.id == wanted), None)
    if found is None:
        raise Refusal("sample_not_found", f"No sample {wanted}.", "sample_id")
    return found
