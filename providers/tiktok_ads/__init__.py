"""TikTok Ads: campaigns, conversions and reports of an advertiser."""

from providers.tiktok_ads.adapter import PROVIDER

__all__ = ["PROVIDER"]
