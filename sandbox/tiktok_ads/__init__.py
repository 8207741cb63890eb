"""TikTok Ads: the Marketing API v1.3 of TikTok for Business, with a made-up business behind it.

https://business-api.tiktok.com/portal/docs
"""

from sandbox.tiktok_ads.platform import stand_in

__all__ = ["stand_in"]
