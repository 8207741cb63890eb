"""Meta Ads: the Marketing API and the Conversions API, v25.0.

https://developers.facebook.com/docs/marketing-apis
Campaigns, ad sets and ads follow the product's events, conversions go to a pixel, leads come from forms, and what the
ads did is read back every hour.
"""

from __future__ import annotations

from providers.contract import Action, Field, Provider, Repeat, Stream
from providers.meta_ads import ad_sets, ads, children, copies, leads, reports, subscriptions
from providers.meta_ads.api import BASE_URL, VERSION
from providers.meta_ads.campaigns import create, find, listing, remove, turn, update
from providers.meta_ads.conversions import send_many, send_one
from providers.meta_ads.errors import REFUSALS
from providers.meta_ads.inbound import INBOUND
from providers.meta_ads.insights import DEFAULT_LEVEL, read_days
from providers.meta_ads.oauth import OAUTH
from providers.streams import walk

HOUR_S = 3600.0

PROVIDER = Provider(
    name="meta_ads",
    title="Meta Ads",
    base_url=BASE_URL,
    docs_url="https://developers.facebook.com/docs/marketing-apis",
    api_version=VERSION,
    auth="oauth2",
    actions={
        "campaign.created": Action(create, Repeat.LOOKUP, find),
        "campaign.updated": Action(update),
        "campaign.paused": Action(turn),
        "campaign.resumed": Action(turn),
        "campaign.completed": Action(turn),
        "campaign.archived": Action(turn),
        "campaign.delete_requested": Action(remove),
        "campaign.copy_requested": Action(copies.copy, copies.repeat, copies.find, publishes=("campaign.copied",)),
        "ad_set.create_requested": Action(ad_sets.create, Repeat.LOOKUP, ad_sets.find, publishes=("ad_set.created",)),
        "ad_set.update_requested": Action(ad_sets.update),
        "ad_set.state_change_requested": Action(children.turn(ad_sets.AD_SET)),
        "ad.create_requested": Action(ads.create, ads.repeat, ads.find, publishes=("ad.created",)),
        "ad.state_change_requested": Action(children.turn(ads.AD)),
        "ad.report_requested": Action(reports.report, publishes=("ad.report_completed",)),
        "lead.fetch_requested": Action(leads.fetch, needs="page_id", publishes=("lead.received",)),
        "subscription.create_requested": Action(subscriptions.create, publishes=("subscription.created",)),
        "subscription.remove_requested": Action(subscriptions.remove),
        "attribution.event": Action(send_one, needs="pixel_id"),
        "attribution.batch": Action(send_many, needs="pixel_id"),
        "sync.due": Action(walk({"campaigns": listing, "insights": read_days}), publishes=("campaign.deleted",)),
    },
    fields=(
        Field("pixel_id", "Pixel", required=False, help="The pixel (dataset) that conversions go to; none = none go."),
        Field(
            "page_id",
            "Page",
            required=False,
            help="The page that ads appear as, and whose leads are fetched; none = each ad names one, no leads come.",
        ),
        Field(
            "levels",
            "Levels",
            required=False,
            default=DEFAULT_LEVEL,
            help="What days are read of, such as `campaign, ad_set, ad`: of account, campaign, ad_set and ad.",
        ),
        Field(
            "test_event_code",
            "Test code",
            required=False,
            help="Conversions are shown under Test Events at Meta, and count for nothing, while there is one.",
        ),
        Field(
            "purchase_action",
            "Purchases",
            required=False,
            help="The action type that counts as a conversion, such as purchase; else the first of omni_purchase,"
            " purchase and offsite_conversion.fb_pixel_purchase that is there.",
        ),
    ),
    refusals=REFUSALS,
    oauth=OAUTH,
    inbound=INBOUND,
    streams=(Stream("campaigns", HOUR_S), Stream("insights", HOUR_S)),
    deadline_s=60.0,  # a page of insights over a week may take half of it
)
