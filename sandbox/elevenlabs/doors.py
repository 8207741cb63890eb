"""All doors as a table, and the whole provider put together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sandbox.elevenlabs import (
    account,
    dialogue,
    dictionaries,
    dubbing,
    effects,
    history,
    library,
    professional,
    projects,
    speech,
    studio,
    transcripts,
    voice_changer,
    voices,
    webhooks,
)
from sandbox.elevenlabs.actions import Actions
from sandbox.elevenlabs.errors import FAULTS
from sandbox.elevenlabs.workspace import Door, Workspaces, behind_key
from sandbox.routes import Route, StandIn

CHAPTERS: Final = "/v1/studio/projects/{project_id}/chapters"
CHAPTER: Final = f"{CHAPTERS}/{{chapter_id}}"
DOORS: Final[Mapping[tuple[str, str], Door]] = {
    ("POST", "/v1/text-to-speech/{voice_id}"): speech.convert,
    ("POST", "/v1/text-to-speech/{voice_id}/stream"): speech.stream,
    ("POST", "/v1/text-to-speech/{voice_id}/with-timestamps"): speech.with_timestamps,
    ("POST", "/v1/text-to-speech/{voice_id}/stream/with-timestamps"): speech.stream_with_timestamps,
    ("POST", "/v1/text-to-dialogue"): dialogue.convert,
    ("POST", "/v1/text-to-dialogue/stream"): dialogue.stream,
    ("POST", "/v1/text-to-dialogue/with-timestamps"): dialogue.with_timestamps,
    ("POST", "/v1/text-to-dialogue/stream/with-timestamps"): dialogue.stream_with_timestamps,
    ("POST", "/v1/voice-changer/{voice_id}"): voice_changer.convert,
    ("POST", "/v1/voice-changer/{voice_id}/stream"): voice_changer.stream,
    ("POST", "/v1/speech-to-speech/{voice_id}"): voice_changer.convert,
    ("POST", "/v1/speech-to-speech/{voice_id}/stream"): voice_changer.stream,
    ("POST", "/v1/sound-generation"): effects.effect,
    ("POST", "/v1/music"): effects.music,
    ("POST", "/v1/music/stream"): effects.music,
    ("POST", "/v1/music/plan"): effects.plan,
    ("POST", "/v1/audio-isolation"): effects.isolate,
    ("POST", "/v1/audio-isolation/stream"): effects.isolate,
    ("GET", "/v1/dubbing"): dubbing.listing,
    ("GET", "/v1/dubbing/{dubbing_id}"): dubbing.read,
    ("DELETE", "/v1/dubbing/{dubbing_id}"): dubbing.delete,
    ("GET", "/v1/dubbing/{dubbing_id}/audio/{language_code}"): dubbing.audio,
    ("POST", "/v1/speech-to-text"): transcripts.convert,
    ("GET", "/v1/speech-to-text/transcripts/{transcription_id}"): transcripts.read,
    ("DELETE", "/v1/speech-to-text/transcripts/{transcription_id}"): transcripts.delete,
    ("GET", "/v1/history"): history.listing,
    ("POST", "/v1/history/download"): history.download,
    ("GET", "/v1/history/{history_item_id}"): history.read,
    ("DELETE", "/v1/history/{history_item_id}"): history.delete,
    ("GET", "/v1/history/{history_item_id}/audio"): history.audio,
    ("GET", "/v1/voices"): voices.everything,
    ("GET", "/v2/voices"): voices.page,
    ("POST", "/v1/voices/add"): voices.add,
    ("GET", "/v1/shared-voices"): library.listing,
    ("POST", "/v1/voices/add/{public_user_id}/{voice_id}"): library.add,
    ("POST", "/v1/text-to-voice/design"): library.design,
    ("POST", "/v1/text-to-voice"): library.create,
    ("POST", "/v1/voices/pvc"): professional.create,
    ("POST", "/v1/voices/pvc/{voice_id}/samples"): professional.add_samples,
    ("POST", "/v1/voices/pvc/{voice_id}/samples/{sample_id}"): professional.edit_sample,
    ("DELETE", "/v1/voices/pvc/{voice_id}/samples/{sample_id}"): professional.delete_sample,
    ("GET", "/v1/voices/pvc/{voice_id}/captcha"): professional.captcha,
    ("POST", "/v1/voices/pvc/{voice_id}/captcha"): professional.verify,
    ("POST", "/v1/voices/pvc/{voice_id}/verification"): professional.ask_verification,
    ("POST", "/v1/voices/pvc/{voice_id}/train"): professional.train,
    ("GET", "/v1/voices/settings/default"): voices.default_settings,
    ("GET", "/v1/voices/{voice_id}"): voices.read,
    ("DELETE", "/v1/voices/{voice_id}"): voices.delete,
    ("POST", "/v1/voices/{voice_id}/edit"): voices.edit,
    ("GET", "/v1/voices/{voice_id}/settings"): voices.settings,
    ("DELETE", "/v1/voices/{voice_id}/samples/{sample_id}"): voices.delete_sample,
    ("POST", "/v1/voices/{voice_id}/settings/edit"): voices.edit_settings,
    ("GET", "/v1/pronunciation-dictionaries"): dictionaries.listing,
    ("POST", "/v1/pronunciation-dictionaries/add-from-rules"): dictionaries.add_from_rules,
    ("GET", "/v1/workspace/webhooks"): webhooks.listing,
    ("POST", "/v1/workspace/webhooks"): webhooks.create,
    ("PATCH", "/v1/workspace/webhooks/{webhook_id}"): webhooks.update,
    ("DELETE", "/v1/workspace/webhooks/{webhook_id}"): webhooks.delete,
    ("GET", "/v1/models"): account.models,
    ("GET", "/v1/user"): account.user,
    ("GET", "/v1/user/subscription"): account.subscription,
    ("GET", "/v1/usage/character-stats"): account.character_stats,
    ("POST", "/v1/studio/podcasts"): studio.create,
    ("GET", "/v1/studio/projects"): studio.listing,
    ("POST", "/v1/studio/projects"): projects.create,
    ("GET", "/v1/studio/projects/{project_id}"): projects.read,
    ("DELETE", "/v1/studio/projects/{project_id}"): projects.delete,
    ("POST", "/v1/studio/projects/{project_id}/content"): projects.replace_content,
    ("POST", "/v1/studio/projects/{project_id}/convert"): projects.convert,
    ("GET", "/v1/studio/projects/{project_id}/snapshots"): projects.snapshots,
    ("POST", "/v1/studio/projects/{project_id}/snapshots/{project_snapshot_id}/stream"): projects.stream,
    ("POST", "/v1/studio/projects/{project_id}/snapshots/{project_snapshot_id}/archive"): projects.archive,
    ("GET", CHAPTERS): projects.chapters,
    ("POST", CHAPTERS): projects.add_chapter,
    ("GET", CHAPTER): projects.read_chapter,
    ("POST", f"{CHAPTER}/convert"): projects.convert_chapter,
    ("GET", f"{CHAPTER}/snapshots"): projects.chapter_snapshots,
    ("POST", f"{CHAPTER}/snapshots/{{chapter_snapshot_id}}/stream"): projects.stream_chapter,
}


def stand_in() -> StandIn:
    """A fresh ElevenLabs: no workspace has generated anything."""
    workspaces, dubs = Workspaces(), dubbing.Dubs()
    doors: Mapping[tuple[str, str], Door] = {
        **DOORS,
        ("POST", "/v1/dubbing"): dubbing.DubbingDoors(dubs).create,
    }
    return StandIn(
        routes=tuple(
            Route(method, template, behind_key(workspaces, door)) for (method, template), door in doors.items()
        ),
        bill=workspaces.bill,
        faults=FAULTS,
        actions=Actions(workspaces, dubs).table(),
    )
