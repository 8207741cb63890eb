"""An account's library of pictures and videos, and the regions in which ads are shown.

https://business-api.tiktok.com/portal/docs?id=1739067433456642
What is uploaded by URL is fetched for real, from this machine only. A video has no cover before it is encoded.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Final

from sandbox.outgoing import NotSent, send
from sandbox.routes import Route
from sandbox.tiktok_ads.endpoints import Call, Endpoint
from sandbox.tiktok_ads.envelope import Refused
from sandbox.tiktok_ads.parameters import ID, Parameter, Parameters
from sandbox.wire import Answer

FIRST_VIDEO: Final = "v10033g50000"
COVER_PATH: Final = "/portal/cover.jpg"
COVER: Final = bytes.fromhex("ffd8ffe000104a46494600010100000100010000ffd9")  # the beginning and the end of a JPEG
LOOKS: Final = 1  # at a video before its cover is there
BY_URL: Final = Parameter("text", required=True, choices=("UPLOAD_BY_URL",))
TEXT: Final = Parameter("text")
IMAGE: Final[Parameters] = {
    "advertiser_id": ID,
    "upload_type": BY_URL,
    "image_url": Parameter("text", required=True),
    "file_name": TEXT,
}
VIDEO: Final[Parameters] = {
    "advertiser_id": ID,
    "upload_type": BY_URL,
    "video_url": Parameter("text", required=True),
    "file_name": TEXT,
}
INFO: Final[Parameters] = {"advertiser_id": ID, "video_ids": Parameter("texts", required=True)}
REGION: Final[Parameters] = {
    "advertiser_id": ID,
    "placements": Parameter("texts", required=True),
    "objective_type": Parameter("text", required=True),
    "level_range": TEXT,
}
COUNTRIES: Final = {"DE": "2921044", "FR": "3017382", "US": "6252001", "GB": "2635167", "JP": "1861060"}


class Library:
    """All accounts' files."""

    def __init__(self) -> None:
        self.images: dict[str, str] = {}  # whose
        self.videos: dict[str, str] = {}
        self._looked: dict[str, int] = {}

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What this part answers."""
        return (
            Endpoint("POST", "file/image/ad/upload/", self.add_image, IMAGE),
            Endpoint("POST", "file/video/ad/upload/", self.add_video, VIDEO),
            Endpoint("GET", "file/video/ad/info/", self.info, INFO),
            Endpoint("GET", "tool/region/", regions, REGION),
            Endpoint("GET", "offline/get/", lambda call: {"event_sets": []}, {"advertiser_id": ID}),
        )

    def routes(self) -> tuple[Route, ...]:
        """The pictures that it takes of videos."""
        return (Route("GET", COVER_PATH, lambda request: Answer(200, COVER, {"Content-Type": "image/jpeg"})),)

    async def add_image(self, call: Call) -> dict[str, Any]:
        """A picture of an address."""
        await fetched(call.args["image_url"])
        image_id = f"ad-site-i18n-sg/{len(self.images) + 1:012d}"
        self.images[image_id] = call.args["advertiser_id"]
        return {"image_id": image_id, "format": "jpeg", "width": 720, "height": 1280}

    async def add_video(self, call: Call) -> dict[str, Any]:
        """A video of an address."""
        await fetched(call.args["video_url"])
        video_id = f"{FIRST_VIDEO}{len(self.videos) + 1:08d}"
        self.videos[video_id] = call.args["advertiser_id"]
        return {"list": [{"video_id": video_id, "format": "mp4"}]}

    def info(self, call: Call) -> dict[str, Any]:
        """What is known of videos; the cover comes with the encoding."""
        shown = []
        for video_id in call.args["video_ids"]:
            if self.videos.get(video_id) != call.args["advertiser_id"]:
                raise Refused("invalid_video")
            looked = self._looked.get(video_id, 0)
            self._looked[video_id] = looked + 1
            cover = f"http://{call.host}{COVER_PATH}" if looked >= LOOKS else ""
            shown.append({"video_id": video_id, "displayable": bool(cover), "video_cover_url": cover})
        return {"list": shown}


def regions(call: Call) -> dict[str, Any]:
    """The countries that ads are shown in."""
    rows = [{"region_code": code, "location_id": of, "region_level": "COUNTRY"} for code, of in COUNTRIES.items()]
    return {"region_info": rows}


def fetched(url: str) -> Awaitable[None]:
    """Fetch a file; raises Refused as the platform does."""

    async def fetch() -> None:
        try:
            status, body = await send("GET", url, {"User-Agent": "TikTok"}, b"")
        except NotSent:
            raise Refused("media_unavailable") from None
        if status != 200 or not body:
            raise Refused("media_fetch_error")

    return fetch()
