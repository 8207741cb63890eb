"""What we send of people and conversions is what Meta's own client would send."""

from __future__ import annotations

import json
from typing import Any

import pytest

from providers.meta_ads.conversions import HASHED
from tests.providers.doubles import NOW, Scripted, answer
from tests.providers.meta_ads.calls import calling, params, run

serverside = "facebook_business.adobjects.serverside"
sdk = pytest.importorskip(f"{serverside}.event", reason="NOT CHECKED against Meta's own client: it is not installed")


def theirs(module: str, name: str, **given: Any) -> Any:
    return getattr(pytest.importorskip(f"{serverside}.{module}"), name)(**given)


def ours(conversion: dict[str, Any]) -> dict[str, Any]:
    scripted = Scripted(answer(200, {"events_received": 1}))
    run(calling(scripted, "attribution.event", conversion))
    (event,) = json.loads(params(scripted.requests[0])["data"])
    found: dict[str, Any] = event
    return found


@pytest.mark.parametrize(
    ("field", "name", "value"),
    [
        ("email", "em", " Ann.Lee@Example.com "),
        ("email", "em", "ö.b@exämple.de"),
        ("phone", "ph", "+1 (415) 555-0100"),
        ("phone", "ph", "0044 20 7946-0000"),
        ("phone", "ph", "49 (30) 1234567"),
        ("first_name", "fn", " Ann-Marie "),
        ("last_name", "ln", "O'NEIL"),
        ("city", "ct", "St. Louis (2)"),
        ("city", "ct", "München"),
        ("state", "st", "C.A."),
        ("zip", "zp", " 94110-1234"),
        ("zip", "zp", "SW1A 1AA"),
        ("country", "country", " US "),
        ("country", "country", "d.e"),
        ("external_id", "external_id", " Usr_31 "),
        ("email", "em", "B7E0D8372A47F54BBEFEB251AB9AC1E9E6B2D1983263DE10196101BE3961ED23"),
    ],
)
def test_a_value_is_hashed_as_theirs(field: str, name: str, value: str) -> None:
    normalize = pytest.importorskip(f"{serverside}.normalize").Normalize
    conversion = {"attribution_id": "a", "name": "lead", "channel": "crm", "user": {field: value}}
    assert HASHED[field][0] == name
    assert ours(conversion)["user_data"] == {name: [normalize.normalize_field(name, value)]}


def test_a_purchase_is_theirs() -> None:
    user = {
        "email": "ann.lee@example.com",
        "phone": "+1 415 555 0100",
        "ip": "203.0.113.9",
        "user_agent": "Mozilla/5.0",
    }
    clicks = {"fbc": "fb.1.1791440000123.IwAR2x", "fbp": "fb.1.1791000000000.1234567890"}
    conversion = {
        "attribution_id": "att_1",
        "name": "purchase",
        "value": 59.9,
        "currency": "EUR",
        "order_id": "9917",
        "source_url": "https://shop.example/thanks",
        "limited_data_use": True,
        "user": {**user, **clicks},
        "contents": [{"id": "sku-1", "quantity": 2, "price": 29.95}],
    }
    person = theirs(
        "user_data",
        "UserData",
        email=user["email"],
        phone=user["phone"],
        client_ip_address=user["ip"],
        client_user_agent=user["user_agent"],
        **clicks,
    )
    bought = theirs(
        "custom_data",
        "CustomData",
        value=59.9,
        currency="EUR",
        order_id="9917",
        content_type="product",
        content_ids=["sku-1"],
        contents=[theirs("content", "Content", product_id="sku-1", quantity=2, item_price=29.95)],
    )
    event = sdk.Event(
        event_name="Purchase",
        event_time=int(NOW.timestamp()),
        event_id="att_1:Purchase",
        event_source_url="https://shop.example/thanks",
        action_source=pytest.importorskip(f"{serverside}.action_source").ActionSource.WEBSITE,
        user_data=person,
        custom_data=bought,
        data_processing_options=["LDU"],
        data_processing_options_country=0,
        data_processing_options_state=0,
    )
    expected = event.normalize()
    found = ours(conversion)
    currency = expected["custom_data"].pop("currency")
    assert found["custom_data"].pop("currency").lower() == currency.lower()
    assert found == json.loads(json.dumps(expected))
