"""Connecting ad accounts: a code becomes a token that never expires and reaches several accounts.

https://business-api.tiktok.com/portal/docs?id=1738373164380162
What the app may do is chosen in its registration and ticked by the advertiser; the authorize URL names no scope.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from providers.errors import Refused
from providers.oauth2 import PERMISSION_MISSING, Client, Code, Grant, OAuth2, Reached
from providers.tiktok_ads.api import data_of, get, post
from providers.tiktok_ads.errors import text_of, unreadable

INFO_BATCH = 100  # accounts in one advertiser/info/
INFO_FIELDS = ["advertiser_id", "name", "currency", "timezone", "status"]

# What the mesh does, and the permissions of which one is enough for it.
NEEDED: Mapping[str, frozenset[str]] = {
    "manage campaigns (2 or 20)": frozenset({"2", "20"}),
    "read reports (4)": frozenset({"4"}),
}
CONVERSIONS = frozenset({"5", "8"})
NO_CONVERSIONS = "Conversions cannot be sent: the permission for measurement (5) or pixels (8) is missing."

# States of an account in which nothing can be done there; one that is not here may be chosen. Unconfirmed.
UNUSABLE: Mapping[str, str] = {
    "STATUS_DISABLE": "It is disabled at TikTok.",
    "STATUS_LIMIT": "TikTok has suspended it.",
    "STATUS_CONFIRM_FAIL": "TikTok has not approved it.",
    "STATUS_CONFIRM_FAIL_END": "TikTok has not approved it.",
    "STATUS_PENDING_CONFIRM": "TikTok has not approved it yet.",
    "STATUS_PENDING_VERIFIED": "TikTok has not verified it yet.",
}
NOT_DESCRIBED = "TikTok does not say which currency and time zone it has."


def exchange(client: Client, code: Code) -> Grant:
    """The token for a code. Refused where a permission is missing that the mesh cannot do without."""
    body = {"app_id": client.client_id, "secret": client.client_secret, "auth_code": code.value}
    data = _posted(client, "oauth2/access_token/", None, body, (client.client_secret, code.value))
    token = data.get("access_token")
    if not isinstance(token, str) or not token:
        raise unreadable("it holds no token")
    scopes = tuple(filter(None, map(text_of, _items(data.get("scope")))))
    _check(scopes)
    details: dict[str, Any] = {"advertiser_ids": [text_of(one) for one in _items(data.get("advertiser_ids"))]}
    if not CONVERSIONS & set(scopes):
        details["note"] = NO_CONVERSIONS
    return Grant(access_token=token, scopes=scopes, details=details)


def _check(scopes: Sequence[str]) -> None:
    missing = [what for what, enough in NEEDED.items() if not enough & set(scopes)]
    if missing:
        raise Refused(
            f"TikTok gave no permission to {' and to '.join(missing)}: ask for it in the app's registration at TikTok,"
            " then connect again and tick it.",
            code=PERMISSION_MISSING,
        )


def revoke(client: Client, grant: Grant) -> None:
    """End a token. Raises CredentialsRejected for one that has ended."""
    body = {"app_id": client.client_id, "secret": client.client_secret, "access_token": grant.access_token}
    _posted(client, "oauth2/revoke_token/", grant.access_token, body, (client.client_secret, grant.access_token))


def accounts(client: Client, grant: Grant) -> list[Reached]:
    """The ad accounts that a token reaches, with currency and time zone."""
    query = {"app_id": client.client_id, "secret": client.client_secret}
    listed = _objects(_got(client, "oauth2/advertiser/get/", grant, query).get("list"))
    names = {text_of(one.get("advertiser_id")): text_of(one.get("advertiser_name")) for one in listed}
    known = dict(_described(client, grant, list(names)))
    return [_reached(account_id, name, known.get(account_id, {})) for account_id, name in names.items()]


def _described(client: Client, grant: Grant, ids: Sequence[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for start in range(0, len(ids), INFO_BATCH):
        query = {"advertiser_ids": ids[start : start + INFO_BATCH], "fields": INFO_FIELDS}
        for one in _objects(_got(client, "advertiser/info/", grant, query).get("list")):
            yield text_of(one.get("advertiser_id")), one


def _reached(account_id: str, name: str, info: Mapping[str, Any]) -> Reached:
    config = {field: text_of(info.get(field)) for field in ("currency", "timezone") if info.get(field)}
    unusable = UNUSABLE.get(text_of(info.get("status")), "") if len(config) == 2 else NOT_DESCRIBED
    return Reached(account_id, text_of(info.get("name")) or name, config, unusable)


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _objects(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in _items(value) if isinstance(one, dict)]


def _got(client: Client, path: str, grant: Grant, query: Mapping[str, Any]) -> Mapping[str, Any]:
    return data_of(client.send(get(client.base_url, client.api_version, path, grant.access_token, query)))


def _posted(
    client: Client, path: str, token: str | None, body: Mapping[str, Any], secrets: tuple[str, ...]
) -> Mapping[str, Any]:
    request = post(client.base_url, client.api_version, path, token, body, secrets=secrets)
    return data_of(client.send(request))


OAUTH = OAuth2(
    authorize_url="https://business-api.tiktok.com/portal/auth",
    client_id_name="app_id",
    code_names=("auth_code", "code"),  # `code` is unconfirmed; a callback with neither means: cancelled
    extra={},
    exchange=exchange,
    revoke=revoke,
    accounts=accounts,
    refreshable=lambda grant: False,
    refresh_on_rejection=False,
)
