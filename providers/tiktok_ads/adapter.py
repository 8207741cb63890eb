"""TikTok Ads: what the mesh does there, Business API v1.3.

https://business-api.tiktok.com/portal/docs
Errors come with HTTP 200 and a code in the body. Ids exceed 2^53 and are always strings. Money is in major units of
the account's currency. Tokens never expire.
"""

from __future__ import annotations

from providers.contract import Action, Field, Provider, Rate, Repeat, Stream
from providers.streams import walk
from providers.tiktok_ads.api import BASE_URL, VERSION
from providers.tiktok_ads.campaigns import create, find, status_of, update
from providers.tiktok_ads.conversions import report, report_many
from providers.tiktok_ads.errors import REFUSALS
from providers.tiktok_ads.inbound import INBOUND
from providers.tiktok_ads.listing import CAMPAIGNS, read_campaigns
from providers.tiktok_ads.oauth import OAUTH
from providers.tiktok_ads.reports import INSIGHTS, read_insights

PIXEL = "pixel_code"

PROVIDER = Provider(
    name="tiktok_ads",
    title="TikTok Ads",
    base_url=BASE_URL,
    docs_url="https://business-api.tiktok.com/portal/docs",
    api_version=VERSION,
    auth="oauth2",
    actions={
        "campaign.created": Action(create, Repeat.LOOKUP, find),
        "campaign.updated": Action(update),
        "campaign.paused": Action(status_of("paused")),
        "campaign.resumed": Action(status_of("active")),
        "campaign.archived": Action(status_of("archived")),
        "campaign.completed": Action(status_of("completed")),
        "attribution.event": Action(report, needs=PIXEL),
        "attribution.batch": Action(report_many, needs=PIXEL),
        "sync.due": Action(walk({CAMPAIGNS: read_campaigns, INSIGHTS: read_insights})),
    },
    fields=(
        Field(
            PIXEL,
            "Pixel code",
            required=False,
            help="Of the pixel that takes the conversions, as the Events Manager shows it. Without it none are sent.",
        ),
    ),
    refusals=REFUSALS,
    oauth=OAUTH,
    inbound=INBOUND,
    streams=(Stream(CAMPAIGNS, 3600.0), Stream(INSIGHTS, 3600.0)),
    app_rate=Rate(9, 1.0),  # a basic app has 10, over all accounts; one is left for who arrives early
    deadline_s=60.0,
)
