"""The recordings of a clone, checked and counted."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from sandbox.elevenlabs.errors import Invalid, Refusal
from sandbox.elevenlabs.multipart import File
from sandbox.elevenlabs.voice import Sample

# Both are hearsay, not in their description.
SAMPLES_MAX: Final = 25
SAMPLE_MAX_BYTES: Final = 10 * 1024 * 1024


def samples_of(files: Sequence[File], required: bool) -> tuple[Sample, ...]:
    """The samples of an upload; raises Refusal."""
    if required and not files:
        raise Invalid("body", "files", "Field required", "missing")
    if len(files) > SAMPLES_MAX:
        raise Refusal("invalid_parameters", f"files takes {SAMPLES_MAX} of them.", "files")
    for one in files:
        if not one.content:
            raise Refusal("invalid_audio", f"{one.name} is empty.", "files")
        if len(one.content) > SAMPLE_MAX_BYTES:
            raise Refusal("request_too_large", f"{one.name} is larger than 10 MB.", "files")
    return tuple(sample(one) for one in files)


def sample(one: File) -> Sample:
    """A sample from its file; the same file is the same sample."""
    digest = hashlib.sha256(one.content).hexdigest()
    return Sample(digest[:20], one.name, one.content_type, len(one.content), digest[:32])
