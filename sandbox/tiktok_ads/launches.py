"""Ad groups and ads: made, changed, enabled, disabled and deleted, with the rules of the platform.

https://business-api.tiktok.com/portal/docs?id=1739499616346114
https://business-api.tiktok.com/portal/docs?id=1739953377508354
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sandbox.tiktok_ads.campaign_writes import REQUEST_ID_LIFE_S, STATUS_IDS_MAX, check_name, check_not_deleted
from sandbox.tiktok_ads.campaigns import Campaign, Campaigns, Status, utc_text
from sandbox.tiktok_ads.endpoints import Call, Endpoint
from sandbox.tiktok_ads.envelope import Invalid, Refused
from sandbox.tiktok_ads.library import COUNTRIES, Library
from sandbox.tiktok_ads.parameters import ID, PAGING, Args, Parameter, Parameters, checked, paged, selected

FIRST_ID: Final = {"adgroup": 1_802_000_000_000_000_000, "ad": 1_803_000_000_000_000_000}
BUDGET_MIN: Final = {"EUR": 20.0, "USD": 20.0, "JPY": 3000.0}  # a day; unconfirmed
IDENTITIES: Final = frozenset({"CUSTOMIZED_USER", "AUTH_CODE", "TT_USER", "BC_AUTH_TT"})
TEXT: Final = Parameter("text")
WANTED: Final = Parameter("text", required=True)
CHANGEABLE: Final[Parameters] = {
    "adgroup_name": TEXT,
    "budget": Parameter("number"),
    "bid_price": Parameter("number"),
    "conversion_bid_price": Parameter("number"),
    "schedule_start_time": TEXT,
    "schedule_end_time": TEXT,
    "location_ids": Parameter("ids"),
    "age_groups": Parameter("texts"),
    "gender": Parameter("text", choices=("GENDER_FEMALE", "GENDER_MALE", "GENDER_UNLIMITED")),
    "languages": Parameter("texts"),
    "interest_category_ids": Parameter("texts"),
}
CREATE_GROUP: Final[Parameters] = {
    **CHANGEABLE,
    "advertiser_id": ID,
    "campaign_id": ID,
    "adgroup_name": WANTED,
    "promotion_type": Parameter("text", choices=("WEBSITE", "LEAD_GENERATION", "APP_ANDROID", "APP_IOS")),
    "placement_type": Parameter("text", choices=("PLACEMENT_TYPE_AUTOMATIC", "PLACEMENT_TYPE_NORMAL")),
    "placements": Parameter("texts"),
    "location_ids": Parameter("ids", required=True),
    "budget_mode": Parameter("text", required=True, choices=("BUDGET_MODE_DAY", "BUDGET_MODE_TOTAL")),
    "budget": Parameter("number", required=True),
    "schedule_type": Parameter("text", required=True, choices=("SCHEDULE_START_END", "SCHEDULE_FROM_NOW")),
    "schedule_start_time": WANTED,
    "optimization_goal": WANTED,
    "billing_event": Parameter("text", required=True, choices=("CPC", "CPM", "CPV", "OCPM")),
    "bid_type": Parameter("text", choices=("BID_TYPE_NO_BID", "BID_TYPE_CUSTOM")),
    "pacing": Parameter("text", required=True, choices=("PACING_MODE_SMOOTH", "PACING_MODE_FAST")),
    "pixel_id": Parameter("id"),
    "optimization_event": TEXT,
    "app_id": Parameter("id"),
    "operation_status": Parameter("text", choices=("ENABLE", "DISABLE")),
    "request_id": Parameter("id"),
}
UPDATE_GROUP: Final[Parameters] = {"advertiser_id": ID, "adgroup_id": ID, **CHANGEABLE}
CREATE_AD: Final[Parameters] = {
    "advertiser_id": ID,
    "adgroup_id": ID,
    "creatives": Parameter("objects", required=True),
}
CREATIVE: Final[Parameters] = {
    "ad_name": WANTED,
    "ad_format": Parameter("text", required=True, choices=("SINGLE_IMAGE", "SINGLE_VIDEO")),
    "ad_text": WANTED,
    "image_ids": Parameter("texts", required=True),
    "video_id": TEXT,
    "call_to_action": TEXT,
    "landing_page_url": TEXT,
    "identity_type": Parameter("text", required=True, choices=IDENTITIES),
    "identity_id": WANTED,
    "identity_authorized_bc_id": TEXT,
    "display_name": TEXT,
    "operation_status": Parameter("text", choices=("ENABLE", "DISABLE")),
}
UPDATE_AD: Final[Parameters] = {
    "advertiser_id": ID,
    "adgroup_id": ID,
    "patch_update": Parameter("flag"),
    "creatives": Parameter("objects", required=True),
}
CHANGED_CREATIVE: Final[Parameters] = {
    "ad_id": ID,
    **dict.fromkeys(("ad_name", "ad_text", "landing_page_url", "call_to_action"), TEXT),
}
LIST: Final[Parameters] = {
    "advertiser_id": ID,
    "fields": Parameter("texts"),
    "filtering": Parameter("object"),
    **PAGING,
}
FILTERING: Final[Parameters] = {
    "campaign_ids": Parameter("ids"),
    "adgroup_ids": Parameter("ids"),
    "ad_ids": Parameter("ids"),
    "adgroup_name": TEXT,
    "ad_name": TEXT,
    "primary_status": Parameter("text", choices=("STATUS_ALL", "STATUS_NOT_DELETE")),
}


@dataclass(slots=True)
class Child:
    """An ad group, or an ad in one."""

    noun: str
    id: str
    campaign: Campaign
    name: str
    created_at: float
    given: Mapping[str, Any]
    status: Status
    group: Child | None = None
    request_id: str | None = None

    def as_json(self) -> dict[str, Any]:
        """As the API shows it."""
        ids = {"adgroup_id": self.group.id} if self.group else {}
        return {
            **{name: value for name, value in self.given.items() if name not in ("request_id", "operation_status")},
            "advertiser_id": self.campaign.advertiser.id,
            "campaign_id": self.campaign.id,
            **ids,
            f"{self.noun}_id": self.id,
            f"{self.noun}_name": self.name,
            "operation_status": "DISABLE" if self.status == "DELETE" else self.status,
            "secondary_status": f"{self.noun.upper()}_STATUS_{self.status}",
            "create_time": utc_text(self.created_at),
        }


class Launches:
    """All ad groups and ads; `created` counts those made through the API."""

    def __init__(self, campaigns: Campaigns, library: Library) -> None:
        self.created = {"adgroup": 0, "ad": 0}
        self._campaigns = campaigns
        self._library = library
        self._all: dict[str, Child] = {}

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What this part answers."""
        status = {"operation_status": Parameter("text", required=True, choices=("ENABLE", "DISABLE", "DELETE"))}
        groups, ads = (
            {"advertiser_id": ID, f"{noun}_ids": Parameter("ids", required=True), **status} for noun in FIRST_ID
        )
        return (
            Endpoint("POST", "adgroup/create/", self.create_group, CREATE_GROUP),
            Endpoint("POST", "adgroup/update/", self.update_group, UPDATE_GROUP),
            Endpoint("GET", "adgroup/review_info/", lambda call: self.reviewed("adgroup", call), review("adgroup")),
            Endpoint("GET", "ad/review_info/", lambda call: self.reviewed("ad", call), review("ad")),
            Endpoint("POST", "adgroup/status/update/", lambda call: self.turn("adgroup", call), groups),
            Endpoint("GET", "adgroup/get/", lambda call: self.listed("adgroup", call), LIST),
            Endpoint("POST", "ad/create/", self.create_ad, CREATE_AD),
            Endpoint("POST", "ad/update/", self.update_ads, UPDATE_AD),
            Endpoint("POST", "ad/status/update/", lambda call: self.turn("ad", call), ads),
            Endpoint("GET", "ad/get/", lambda call: self.listed("ad", call), LIST),
        )

    def of(self, noun: str, campaign: Campaign) -> list[Child]:
        """Those of a campaign, oldest first, deleted ones too."""
        return [one for one in self._all.values() if one.noun == noun and one.campaign is campaign]

    def create_group(self, call: Call) -> dict[str, Any]:
        """A new ad group, enabled unless the caller says otherwise."""
        args = call.args
        campaign = self._campaigns.get(args["advertiser_id"], args["campaign_id"])
        check_not_deleted(campaign)
        check_name(args["adgroup_name"])
        check_group(args, campaign)
        self._check_repeated(args, campaign, call.now)
        return self._add("adgroup", campaign, args["adgroup_name"], args, call.now).as_json()

    def create_ad(self, call: Call) -> dict[str, Any]:
        """New ads in an ad group; all of them or, when one is refused, none."""
        group = self._get("adgroup", call.args["advertiser_id"], call.args["adgroup_id"])
        creatives = call.args["creatives"]
        if not creatives:
            raise Invalid("creatives: must not be empty.")
        for creative in creatives:
            self._check_creative(checked(creative, CREATIVE), call.args["advertiser_id"])
        made = [self._add("ad", group.campaign, each["ad_name"], each, call.now, group) for each in creatives]
        return {"ad_ids": [one.id for one in made], "creatives": [one.as_json() for one in made]}

    def update_group(self, call: Call) -> dict[str, Any]:
        """Another name, budget, audience …"""
        group = self._get("adgroup", call.args["advertiser_id"], call.args["adgroup_id"])
        if "budget" in call.args:
            check_budget(call.args["budget"], group.campaign)
        return changed(group, call.args, ("advertiser_id", "adgroup_id"))

    def update_ads(self, call: Call) -> dict[str, Any]:
        """Other texts and addresses of ads; only by patch, which leaves the rest as it is."""
        if not call.args.get("patch_update"):
            raise Invalid("patch_update: without it all of a creative is to be sent.")
        shown = []
        for creative in call.args["creatives"]:
            ad = self._get("ad", call.args["advertiser_id"], checked(creative, CHANGED_CREATIVE)["ad_id"])
            if ad.group is None or ad.group.id != call.args["adgroup_id"]:
                raise Refused("not_exist", f"The ad {ad.id} is in another ad group.")
            shown.append(changed(ad, creative, ("ad_id",)))
        return {"creatives": shown}

    def reviewed(self, noun: str, call: Call) -> dict[str, Any]:
        """What the review says: all is well. The shape is made up: it is not published."""
        found = [self._get(noun, call.args["advertiser_id"], one) for one in call.args[f"{noun}_ids"]]
        return {f"{noun}_review_map": {one.id: {"is_approved": True, "reject_info": []} for one in found}}

    def turn(self, noun: str, call: Call) -> dict[str, Any]:
        """Enable, disable or delete up to twenty; all of them or, when one is refused, none."""
        ids, status = call.args[f"{noun}_ids"], call.args["operation_status"]
        if not 1 <= len(ids) <= STATUS_IDS_MAX:
            raise Refused("too_many_ids", f"{noun}_ids: 1 to {STATUS_IDS_MAX} ids.")
        found = [self._get(noun, call.args["advertiser_id"], one) for one in ids]
        for child in found:
            child.status = status
        return {f"{noun}_ids": ids, "status": status}

    def listed(self, noun: str, call: Call) -> dict[str, Any]:
        """One page, newest id first; deleted ones only when a filter asks for them."""
        wanted = checked(call.args.get("filtering", {}), FILTERING)
        found = self._matching(noun, call.args["advertiser_id"], wanted)
        page, info = paged(sorted(found, key=lambda one: int(one.id), reverse=True), call.args)
        return {"list": [selected(one.as_json(), call.args.get("fields")) for one in page], "page_info": info}

    def _matching(self, noun: str, advertiser_id: str, wanted: Args) -> Iterator[Child]:
        for one in self._all.values():
            shown = one.as_json()
            if one.noun != noun or shown["advertiser_id"] != advertiser_id:
                continue
            if one.status == "DELETE" and wanted.get("primary_status") != "STATUS_ALL":
                continue
            lists = all(shown.get(name[:-1]) in ids for name, ids in wanted.items() if name.endswith("_ids"))
            names = all(part in shown.get(name, "") for name, part in wanted.items() if name.endswith("_name"))
            if lists and names:
                yield one

    def _add(
        self, noun: str, campaign: Campaign, name: str, args: Args, now: float, group: Child | None = None
    ) -> Child:
        self.created[noun] += 1
        child_id = str(FIRST_ID[noun] + self.created[noun])
        status: Status = args.get("operation_status", "ENABLE")
        made = Child(noun, child_id, campaign, name, now, dict(args), status, group, args.get("request_id"))
        self._all[child_id] = made
        return made

    def _get(self, noun: str, advertiser_id: str, child_id: str) -> Child:
        found = self._all.get(child_id)
        if (
            found is None
            or found.noun != noun
            or found.campaign.advertiser.id != advertiser_id
            or found.status == "DELETE"
        ):
            raise Refused("not_exist", f"The {noun} {child_id} does not exist.")
        return found

    def _check_repeated(self, args: Args, campaign: Campaign, now: float) -> None:
        for other in self.of("adgroup", campaign):
            if other.status == "DELETE":
                continue
            repeated = "request_id" in args and other.request_id == args["request_id"]
            if repeated and now - other.created_at < REQUEST_ID_LIFE_S:
                raise Refused("duplicate_request")
            if other.name == args["adgroup_name"] and ("request_id" not in args or repeated):
                raise Invalid("adgroup_name: Ad group name already exists. Please try another one.")

    def _check_creative(self, creative: Args, advertiser_id: str) -> None:
        check_name(creative["ad_name"])
        if any(self._library.images.get(one) != advertiser_id for one in creative["image_ids"]):
            raise Invalid("image_ids: there is no such picture in the library.")
        video = creative.get("video_id")
        if (creative["ad_format"] == "SINGLE_VIDEO") != bool(video):
            raise Invalid("video_id: a SINGLE_VIDEO has one, a SINGLE_IMAGE has none.")
        if video and self._library.videos.get(video) != advertiser_id:
            raise Refused("invalid_video")


def review(noun: str) -> Parameters:
    """What review_info/ takes."""
    return {"advertiser_id": ID, f"{noun}_ids": Parameter("ids", required=True)}


def changed(child: Child, given: Mapping[str, Any], own: tuple[str, ...]) -> dict[str, Any]:
    """Apply what differs from what is there; raises Refused when that is nothing."""
    new = {name: value for name, value in given.items() if name not in own and child.as_json().get(name) != value}
    if not new:
        raise Refused("nothing_to_update")
    child.name = new.get(f"{child.noun}_name", child.name)
    child.given = {**child.given, **new}
    return child.as_json()


def check_group(args: Args, campaign: Campaign) -> None:
    """Raise Invalid where parts of an ad group do not go together."""
    check_budget(args["budget"], campaign)
    if args["schedule_type"] == "SCHEDULE_START_END" and "schedule_end_time" not in args:
        raise Invalid("schedule_end_time: Missing data for required field.")
    if args["budget_mode"] == "BUDGET_MODE_TOTAL" and "schedule_end_time" not in args:
        raise Invalid("schedule_end_time: a total budget needs one.")
    if args["optimization_goal"] in ("CONVERT", "VALUE") and not ({"pixel_id", "optimization_event"} <= args.keys()):
        raise Invalid("pixel_id, optimization_event: Missing data for required field.")
    if not set(args["location_ids"]) <= set(COUNTRIES.values()):
        raise Invalid("location_ids: there is no such location.")
    if args.get("placement_type") == "PLACEMENT_TYPE_NORMAL" and not args.get("placements"):
        raise Invalid("placements: Missing data for required field.")


def check_budget(budget: float, campaign: Campaign) -> None:
    """Raise Invalid for a budget below the minimum of the currency."""
    least = BUDGET_MIN[campaign.advertiser.currency]
    if budget < least:
        raise Invalid(f"budget: must be no less than {least:g} {campaign.advertiser.currency}.")
