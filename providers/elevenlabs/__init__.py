"""ElevenLabs: text to speech."""

from providers.elevenlabs.adapter import PROVIDER

__all__ = ["PROVIDER"]
