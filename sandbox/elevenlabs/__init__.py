"""ElevenLabs: speech, dialogue, voices, dubbing, transcripts, history, account.

https://elevenlabs.io/docs/api-reference
There is no idempotency key: a repeated generation is made and billed again. Each API key is a workspace here,
with its own history and bill. Keys that start with `bad` are wrong ones, those that start with `empty` have
no characters left; voice ids that start with `missing` do not exist, all others do until they are deleted.
"""
