"""TikTok Ads: what the mesh does there, Business API v1.3.

https://business-api.tiktok.com/portal/docs
Errors come with HTTP 200 and a code in the body. Ids exceed 2^53 and are always strings. Money is in major units of
the account's currency. Tokens never expire.
"""

from __future__ import annotations

from providers.contract import Action, Field, Provider, Rate, Repeat, Stream
from providers.streams import walk
from providers.tiktok_ads import ad_groups, ads, files, reviews, subscriptions
from providers.tiktok_ads.api import BASE_URL, VERSION
from providers.tiktok_ads.campaigns import create, find, remove, status_of, update
from providers.tiktok_ads.children import AD, AD_GROUP, turn
from providers.tiktok_ads.conversions import SOURCES, report, report_many
from providers.tiktok_ads.errors import REFUSALS
from providers.tiktok_ads.inbound import INBOUND
from providers.tiktok_ads.listing import CAMPAIGNS, read_campaigns
from providers.tiktok_ads.oauth import OAUTH
from providers.tiktok_ads.pixels import PIXELS, read_pixels
from providers.tiktok_ads.reports import DEFAULT_LEVEL, INSIGHTS, read_insights

PIXEL = "pixel_code"
TAKES_CONVERSIONS = " ".join(dict.fromkeys(field for _, field in SOURCES.values()))
DAY_S = 86_400.0
READERS = {CAMPAIGNS: read_campaigns, INSIGHTS: read_insights, PIXELS: read_pixels}

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
        "campaign.delete_requested": Action(remove),
        "ad_set.create_requested": Action(
            ad_groups.create, ad_groups.repeat, ad_groups.find, publishes=("ad_set.created",)
        ),
        "ad_set.update_requested": Action(ad_groups.update),
        "ad_set.state_change_requested": Action(turn(AD_GROUP)),
        "ad.create_requested": Action(ads.create, ads.repeat, ads.find, publishes=("ad.created",)),
        "ad.update_requested": Action(ads.update),
        "ad.state_change_requested": Action(turn(AD)),
        "ad.check_requested": Action(reviews.check, publishes=("ad.checked",)),
        "ad.report_requested": Action(files.report, publishes=("ad.report_completed",)),
        "subscription.create_requested": Action(
            subscriptions.create, subscriptions.repeat, subscriptions.find, publishes=("subscription.created",)
        ),
        "subscription.remove_requested": Action(subscriptions.remove),
        "attribution.event": Action(report, needs=TAKES_CONVERSIONS),
        "attribution.batch": Action(report_many, needs=TAKES_CONVERSIONS),
        "sync.due": Action(
            walk({CAMPAIGNS: read_campaigns, INSIGHTS: read_insights, PIXELS: read_pixels}),
            publishes=("campaign.deleted",),
        ),
    },
    fields=(
        Field(
            PIXEL,
            "Pixel code",
            required=False,
            help="Of the pixel that takes the conversions, as the Events Manager shows it. Without it none are sent.",
        ),
        Field(
            "levels",
            "Levels",
            required=False,
            default=DEFAULT_LEVEL,
            help="What days are read of, such as `campaign, ad_set, ad`: of account, campaign, ad_set and ad.",
        ),
        Field(
            "identity_id",
            "Identity",
            required=False,
            help="Whom ads appear as: the id of an identity in the Ads Manager; none = each ad names one.",
        ),
        Field(
            "identity_type",
            "Kind of identity",
            required=False,
            help="CUSTOMIZED_USER unless it is AUTH_CODE, TT_USER or BC_AUTH_TT.",
        ),
        Field(
            "offline_event_set_id", "Offline event set", required=False, help="Takes conversions of shops and phones."
        ),
        Field("crm_event_set_id", "CRM event set", required=False, help="Takes conversions that the CRM knows of."),
        Field("app_id", "App", required=False, help="Takes conversions of an app; TikTok has to allow it."),
        Field(
            "test_event_code",
            "Test code",
            required=False,
            help="Conversions are shown under Test Events, and count for nothing, while there is one.",
        ),
    ),
    refusals=REFUSALS,
    oauth=OAUTH,
    inbound=INBOUND,
    streams=(Stream(CAMPAIGNS, 3600.0), Stream(INSIGHTS, 3600.0), Stream(PIXELS, DAY_S)),
    app_rate=Rate(9, 1.0),  # a basic app has 10, over all accounts; one is left for who arrives early
    deadline_s=60.0,
)
