"""ElevenLabs: speech, podcasts, dialogues, voices and sound, API v1.

https://elevenlabs.io/docs/api-reference/introduction
Everything that is made is paid for in characters, and nothing is deduplicated there: a lost answer is looked up first.
"""

from __future__ import annotations

from providers.contract import Field, Provider
from providers.elevenlabs import (
    cloning,
    dialogue,
    dubbing,
    hooks,
    podcast,
    projects,
    sounds,
    speech,
    streams,
    studio,
    tidying,
    transcripts,
    voices,
)
from providers.elevenlabs.api import BASE_URL, FORMAT, MODEL, PATHS
from providers.elevenlabs.errors import REFUSALS
from providers.elevenlabs.inbound import INBOUND
from providers.elevenlabs.models import CEILING

PROVIDER = Provider(
    name="elevenlabs",
    title="ElevenLabs",
    base_url=BASE_URL,
    docs_url="https://elevenlabs.io/docs/api-reference/introduction",
    api_version="v1",
    auth="api_key",
    actions={
        **speech.ACTIONS,
        **podcast.ACTIONS,
        **dialogue.ACTIONS,
        **voices.ACTIONS,
        **sounds.ACTIONS,
        **transcripts.ACTIONS,
        **dubbing.ACTIONS,
        **studio.ACTIONS,
        **projects.ACTIONS,
        **hooks.ACTIONS,
        **tidying.ACTIONS,
        **streams.ACTIONS,
    },
    fields=(
        Field(
            "api_key",
            "API key",
            sensitive=True,
            help="Needs Text to Speech, History, Voices, Models and User; more for what else it is to make.",
        ),
        Field("voice_id", "Voice", help="Spoken by default, an id or a name; an event may name another."),
        Field("model_id", "Model", required=False, default=MODEL),
        Field("output_format", "Output format", required=False, default=FORMAT),
        Field(
            "webhook_secret",
            "Webhook secret",
            required=False,
            sensitive=True,
            help="wsec_…, shown once when a webhook is made in the workspace's settings; without it none are taken.",
        ),
    ),
    refusals=REFUSALS,
    inbound=INBOUND,
    streams=streams.STREAMS,
    deadline_s=120.0,  # ten thousand characters are ten minutes of speech, made at several times its speed
    ceiling=CEILING,
    paths=PATHS,
    settings=cloning.SETTINGS,
)
