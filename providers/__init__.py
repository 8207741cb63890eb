"""The outside world, a folder each. `PROVIDERS` is the registry: one line a provider."""

from __future__ import annotations

from collections.abc import Mapping

from providers.autods import PROVIDER as AUTODS
from providers.capcut import PROVIDER as CAPCUT
from providers.contract import Provider
from providers.elevenlabs import PROVIDER as ELEVENLABS
from providers.meta_ads import PROVIDER as META_ADS
from providers.mindstudio import PROVIDER as MINDSTUDIO
from providers.tiktok_ads import PROVIDER as TIKTOK_ADS
from providers.zapier import PROVIDER as ZAPIER

PROVIDERS: Mapping[str, Provider] = {
    "autods": AUTODS,
    "capcut": CAPCUT,
    "elevenlabs": ELEVENLABS,
    "meta_ads": META_ADS,
    "mindstudio": MINDSTUDIO,
    "tiktok_ads": TIKTOK_ADS,
    "zapier": ZAPIER,
}
