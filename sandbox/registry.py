"""The providers that the sandbox plays: one line each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from sandbox import capcut, mindstudio, oauth2, receiver, tiktok_ads, zapier
from sandbox.autods import doors as autods
from sandbox.elevenlabs import doors as elevenlabs
from sandbox.meta_ads import doors as meta_ads
from sandbox.routes import StandIn

STAND_INS: Final[Mapping[str, Callable[[], StandIn]]] = {
    "receive": receiver.stand_in,
    "zapier": zapier.stand_in,
    "elevenlabs": elevenlabs.stand_in,
    "meta_ads": meta_ads.stand_in,
    "tiktok_ads": tiktok_ads.stand_in,
    "mindstudio": mindstudio.stand_in,
    "capcut": capcut.stand_in,
    "autods": autods.stand_in,
    "oauth2": oauth2.stand_in,
}
