"""Codes become tokens, tokens end, and a token's accounts are named.

https://business-api.tiktok.com/portal/docs?id=1738373164380162
A token of an advertiser never expires and there is no refresh token.
"""

from __future__ import annotations

from typing import Any, Final

from sandbox.tiktok_ads.accounts import ADVERTISERS, SCOPES, Grants, advertiser_json, check_secret
from sandbox.tiktok_ads.endpoints import Call, Endpoint
from sandbox.tiktok_ads.envelope import Invalid, Refused
from sandbox.tiktok_ads.parameters import Parameter, Parameters, selected

ADVERTISERS_MAX: Final = 100  # ids in one advertiser/info/

TEXT: Final = Parameter("text", required=True)
APP: Final[Parameters] = {"app_id": TEXT, "secret": TEXT}
EXCHANGE: Final[Parameters] = {**APP, "auth_code": TEXT, "return_advertiser_ids": Parameter("flag")}
REVOKE: Final[Parameters] = {**APP, "access_token": TEXT}
INFO: Final[Parameters] = {"advertiser_ids": Parameter("ids", required=True), "fields": Parameter("texts")}


class OAuth:
    """The endpoints around tokens."""

    def __init__(self, grants: Grants) -> None:
        self._grants = grants

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What this part answers."""
        return (
            Endpoint("POST", "oauth2/access_token/", self.exchange, EXCHANGE, open=True),
            Endpoint("POST", "oauth2/revoke_token/", self.revoke, REVOKE),
            Endpoint("GET", "oauth2/advertiser/get/", self.authorized, APP),
            Endpoint("GET", "advertiser/info/", self.info, INFO),
        )

    def exchange(self, call: Call) -> dict[str, Any]:
        """A token for the code of the dialog."""
        check_secret(call.args["secret"])
        text, token = self._grants.exchange(call.args["app_id"], call.args["auth_code"], call.now)
        advertisers = {"advertiser_ids": list(token.advertiser_ids)}
        if not call.args.get("return_advertiser_ids", True):
            advertisers = {}
        return {"access_token": text, **advertisers, "scope": list(SCOPES)}

    def revoke(self, call: Call) -> dict[str, Any]:
        """End the token."""
        self._check_app(call)
        token = self._grants.token(call.args["access_token"])
        if token.app_id != call.args["app_id"]:
            raise Refused("wrong_secret")
        token.revoked = True
        return {"app_id": token.app_id, "advertiser_ids": list(token.advertiser_ids)}

    def authorized(self, call: Call) -> dict[str, Any]:
        """The accounts of the token."""
        self._check_app(call)
        assert call.token is not None
        found = (ADVERTISERS[one] for one in call.token.advertiser_ids)
        return {"list": [{"advertiser_id": one.id, "advertiser_name": one.name} for one in found]}

    def info(self, call: Call) -> dict[str, Any]:
        """Currency, time zone and more of accounts."""
        asked = call.args["advertiser_ids"]
        if not 1 <= len(asked) <= ADVERTISERS_MAX:
            raise Invalid(f"advertiser_ids: must be 1 to {ADVERTISERS_MAX} ids.")
        shown = [advertiser_json(ADVERTISERS[one]) for one in asked]
        return {"list": [selected(one, call.args.get("fields")) for one in shown]}

    def _check_app(self, call: Call) -> None:
        """Raise Refused unless the token is one of the app's."""
        check_secret(call.args["secret"])
        if call.token is None or call.token.app_id != call.args["app_id"]:
            raise Refused("wrong_secret")
