"""ElevenLabs: speech, podcasts, dialogues, voices and sound."""

from providers.elevenlabs.adapter import PROVIDER

__all__ = ["PROVIDER"]
