"""CapCut: videos made of drafts, by the services that speak VectCut's protocol."""

from providers.capcut.adapter import PROVIDER

__all__ = ["PROVIDER"]
