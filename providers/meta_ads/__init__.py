"""Meta Ads: campaigns, insights and conversions."""

from providers.meta_ads.adapter import PROVIDER

__all__ = ["PROVIDER"]
