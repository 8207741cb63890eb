"""The management API, in the order in which a product's developers meet it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
import requests

from providers import PROVIDERS
from tests.api.client import Client, client
from tests.mesh import Mesh
from worker import api_keys, reconcile

SIGNUP = {"type": "user.signup", "data": {"user_id": "usr_31"}}
HOOK = "/zapier/hooks/standard/acme/api"


@pytest.fixture
def acme(mesh: Mesh, doors: str) -> Client:
    """A key of tenant acme for everything."""
    return client(mesh, doors)


@pytest.fixture
def operator(mesh: Mesh, doors: str) -> Client:
    """A key for all tenants."""
    mesh.tenant()
    return client(mesh, doors, tenant=None)


# ------------------------------------------------------------------------------------------------------------- keys


def test_without_a_good_key_nothing_is_answered(mesh: Mesh, doors: str) -> None:
    for headers in ({}, {"Authorization": "Bearer mesh_guessed"}, {"X-API-Key": "x"}, {"Authorization": "Basic eDp5"}):
        answer = requests.get(f"{doors}/v1/events", headers=headers, timeout=10)
        assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
        assert "API key" in answer.json()["detail"]
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_key_is_made_used_and_revoked(mesh: Mesh, acme: Client) -> None:
    assert acme.get("/v1/me") == {
        "id": str(mesh.one("select id from api_keys")),
        "name": "a test",
        "tenant_id": "acme",
        "scopes": ["manage", "publish", "read"],
    }
    assert mesh.one("select last_used_at is not null from api_keys")
    made = acme.post("/v1/keys", {"name": "the product", "scopes": ["publish"]}, 201)
    product = Client(acme.base_url, made["key"])
    assert product.post("/v1/events", SIGNUP, 202)["new"]
    refused = product("GET", "/v1/events")
    assert (refused.status_code, refused.json()["detail"]) == (
        403,
        "The API key is not for this: it needs the scope read.",
    )
    assert made["key"] not in str(acme.get("/v1/keys"))
    assert made["key"] not in str(mesh.sql("select * from api_keys"))
    assert acme("DELETE", f"/v1/keys/{made['id']}").status_code == 204
    assert product("POST", "/v1/events", SIGNUP).status_code == 401


def test_a_key_ends_by_its_time_and_with_its_tenant(mesh: Mesh, acme: Client) -> None:
    mesh.sql("update tenants set state = 'suspended'")
    assert acme("GET", "/v1/me").status_code == 403
    mesh.sql("update tenants set state = 'active'")
    mesh.sql("update api_keys set expires_at = now() - interval '1 second'")
    assert acme("GET", "/v1/me").status_code == 401


def test_a_key_gives_no_more_than_it_has(mesh: Mesh, doors: str) -> None:
    manager = client(mesh, doors, scopes=["manage"])
    answer = manager("POST", "/v1/keys", {"name": "more", "scopes": ["read"]})
    assert (answer.status_code, answer.json()["detail"]) == (403, "The API key has no scope read itself.")
    assert manager("POST", "/v1/keys", {"name": "x", "scopes": ["fly"]}).status_code == 422


# ------------------------------------------------------------------------------------------------ what is not own


def routes(doors: str) -> Iterator[tuple[str, str]]:
    described = requests.get(f"{doors}/openapi.json", timeout=10).json()
    for path, methods in described["paths"].items():
        for method in methods:
            yield method.upper(), path


@pytest.fixture
def theirs(mesh: Mesh, doors: str) -> dict[str, str]:
    """Something of everything, of tenant bolt."""
    hook = mesh.hook(tenant="bolt", path=HOOK)
    event = mesh.publish(tenant="bolt").event_id
    account = mesh.account(tenant="bolt")
    bolt = client(mesh, doors, "bolt")
    key = bolt.get("/v1/me")["id"]
    replay = bolt.post("/v1/replays", {}, 202)["id"]
    campaign, asset = uuid4(), uuid4()
    mesh.sql("insert into campaigns (id, tenant_id, external_key, name) values (%(id)s, 'bolt', 'c', 'c')", id=campaign)
    mesh.sql(
        "insert into media_assets (id, tenant_id, provider, uri, mime, size_bytes, sha256)"
        " values (%(id)s, 'bolt', 'elevenlabs', 'memory://x', 'audio/mpeg', 1, repeat('0', 64))",
        id=asset,
    )
    return {
        "event_id": str(event),
        "webhook_id": str(hook.webhook_id),
        "integration_id": str(account),
        "delivery_id": str(mesh.one("select id from deliveries limit 1")),
        "key_id": key,
        "replay_id": replay,
        "campaign_id": str(campaign),
        "asset_id": str(asset),
        "name": "bolts-chain",
        "stream": "voices",
    }


def test_another_tenant_s_things_are_not_there(mesh: Mesh, doors: str, acme: Client, theirs: dict[str, str]) -> None:
    bodies: dict[str, Any] = {
        "/v1/integrations/{integration_id}/account": {"account_id": "1"},
        "/v1/integrations/{integration_id}/sync": {"streams": []},
    }
    walked = 0
    for method, path in routes(doors):
        if "_id}" not in path and not path.startswith("/v1/chains/{name}"):
            continue
        if (method, path) == ("PUT", "/v1/chains/{name}"):
            continue  # makes one of one's own
        answer = acme(method, path.format(**theirs), bodies.get(path, {}))
        assert answer.status_code == 404, (method, path, answer.text)
        walked += 1
    assert walked >= 30
    owned = Client(doors, client(mesh, doors, "bolt").key)
    for path in ("/v1/events/{event_id}", "/v1/webhooks/{webhook_id}", "/v1/integrations/{integration_id}"):
        assert owned("GET", path.format(**theirs)).status_code == 200


def test_lists_show_only_one_s_own(acme: Client, theirs: dict[str, str], operator: Client) -> None:
    for path in ("events", "integrations", "webhooks", "deliveries", "attempts", "chains", "campaigns", "media"):
        shown = acme.get(f"/v1/{path}")
        assert (shown["data"] if isinstance(shown, dict) else shown) == [], path
        assert acme("GET", f"/v1/{path}", params={"tenant": "bolt"}).status_code == 404
    assert len(operator.get("/v1/events", tenant="bolt")["data"]) == 1
    assert operator("POST", "/v1/events", SIGNUP).status_code == 422, "an operator says whose event it is"
    assert acme("POST", "/v1/events", {**SIGNUP, "tenant_id": "bolt"}).status_code == 404
    assert acme("POST", "/v1/replays", {"webhook_id": theirs["webhook_id"]}).status_code == 404


# ----------------------------------------------------------------------------------------------------------- events


def test_an_event_is_published_once(mesh: Mesh, acme: Client) -> None:
    mesh.hook(path=HOOK)
    first = acme.post("/v1/events", {**SIGNUP, "id": "u-31"}, 202)
    again = acme.post("/v1/events", SIGNUP, 202, headers={"Idempotency-Key": "u-31"})
    assert (first["new"], first["deliveries"], again) == (True, 1, {**first, "new": False, "deliveries": 0})
    mesh.drain()
    assert mesh.sandbox.control.counts(HOOK)["requests"] == 1


def test_a_list_is_stored_whole_or_not_at_all(mesh: Mesh, acme: Client) -> None:
    taken = acme.post("/v1/events", [SIGNUP, {**SIGNUP, "id": "b"}], 202)["events"]
    assert [each["new"] for each in taken] == [True, True]
    answer = acme("POST", "/v1/events", [SIGNUP, {"type": "user.signed", "data": {}}])
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith('Event 2 of 2: Event type "user.signed" is not in the catalog')
    assert answer.json()["message"] == answer.json()["detail"]
    assert acme("POST", "/v1/events", []).status_code == 422
    assert acme("POST", "/v1/events", [SIGNUP] * 1001).status_code == 422
    assert mesh.count("events") == 2


def test_tools_that_send_text_are_understood(mesh: Mesh, acme: Client) -> None:
    form = {"campaign_id": "cmp_7", "name": "Spring", "objective": "sales", "budget_amount": "59.9", "state": ""}
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    schema = acme.get("/v1/event-types/campaign.created")["schema"]["properties"]
    form = {name: value for name, value in form.items() if name in schema}
    answer = acme("POST", "/v1/events/campaign.created?key=campaign_id", data=form, headers=headers)
    assert answer.status_code == 202, answer.text
    event = mesh.sql("select data, idempotency_key from events")[0]
    assert event.idempotency_key == "campaign.created:cmp_7"
    assert "state" not in event.data
    again = acme.post("/v1/events/campaign.created?key=campaign_id", event.data, 202)
    assert not again["new"]
    assert acme("POST", "/v1/events/user.signup?key=user_id", {"plan": "pro"}).status_code == 422
    assert acme("POST", "/v1/events/user.signup", data="<x/>", headers={"Content-Type": "text/xml"}).status_code == 415
    assert acme("POST", "/v1/events/nothing.such", {}).status_code == 404


def test_a_body_that_is_too_long_is_refused(acme: Client) -> None:
    assert acme("POST", "/v1/webhooks", data=b"x" * 1_100_000).status_code == 413
    assert acme("POST", "/v1/events", data=iter([b"x" * 1_000_000] * 17)).status_code == 413


def test_everything_that_came_of_an_event_is_shown(mesh: Mesh, acme: Client) -> None:
    mesh.hook(path=HOOK)
    event = acme.post("/v1/events", SIGNUP, 202)["id"]
    mesh.drain()
    tree = acme.get(f"/v1/events/{event}/tree")
    (delivery,) = tree["root"]["deliveries"]
    assert (delivery["state"], [each["http_status"] for each in delivery["attempts"]]) == ("succeeded", [200])
    assert tree["sums"]["calls"] == 1
    assert acme.get(f"/v1/events/{event}")["data"] == SIGNUP["data"]
    (listed,) = acme.get("/v1/attempts")["data"]
    assert listed["delivery_id"] == delivery["id"]
    assert acme.get(f"/v1/deliveries/{delivery['id']}")["attempts"] == [listed]


def test_pages_go_to_the_end(mesh: Mesh, acme: Client) -> None:
    acme.post("/v1/events", [SIGNUP] * 5, 202)
    found: list[str] = []
    before: dict[str, str] = {}
    for _ in range(3):
        page = acme.get("/v1/events", limit=2, **before)
        found += [each["id"] for each in page["data"]]
        before = {"before": page["next"]}
    assert page["next"] is None
    assert found == [str(row.id) for row in mesh.sql("select id from events order by id desc")]
    of_type = acme.get("/v1/events", type="user.signup", limit=5)
    assert [each["id"] for each in of_type["data"]] == found
    assert acme.get("/v1/events", type="campaign.created") == {"data": [], "next": None}
    assert acme("GET", "/v1/events", params={"limit": 1000}).status_code == 422


# ----------------------------------------------------------------------------------------------------- integrations


def test_an_account_is_connected_changed_and_ended(mesh: Mesh, acme: Client) -> None:
    fields = {"api_key": "key-of-acme", "voice_id": "v_host"}
    made = acme.post("/v1/integrations", {"provider": "elevenlabs", "fields": fields}, 201)["integration"]
    assert (made["state"], made["fields"]["api_key"], made["fields"]["voice_id"]) == ("active", "****", "v_host")
    path = f"/v1/integrations/{made['id']}"
    read = acme("GET", path)
    etag = read.headers["etag"]
    assert "key-of-acme" not in read.text
    changed = acme("PATCH", path, {"fields": {"api_key": "****", "voice_id": "v_guest"}}, headers={"If-Match": etag})
    assert (changed.status_code, changed.json()["fields"]["voice_id"]) == (200, "v_guest")
    late = acme("PATCH", path, {"max_in_flight": 3}, headers={"If-Match": etag})
    assert (late.status_code, "read it again" in late.json()["detail"]) == (412, True)
    limited = acme("PATCH", path, {"max_in_flight": 3, "event_types": []}).json()
    assert (limited["max_in_flight"], limited["event_types"], limited["rate_per_s"]) == (3, [], None)
    secrets = mesh.resources.installed["elevenlabs"].credentials
    assert isinstance(secrets, dict)
    assert acme.post(f"{path}/pause")["state"] == "paused"
    assert acme.post(f"{path}/resume") == {"due": 0}
    assert acme("DELETE", path).status_code == 204
    assert acme.get(path)["state"] == "disconnected"
    assert acme("POST", f"{path}/pause").status_code == 422


def test_the_masked_secret_keeps_what_is_there(mesh: Mesh, acme: Client) -> None:
    account = mesh.account("key-of-acme")
    acme("PATCH", f"/v1/integrations/{account}", {"fields": {"api_key": "****", "voice_id": "v_guest"}})
    mesh.speak("Hello.")
    mesh.drain()
    assert mesh.sandbox.control.bill()["elevenlabs"]["key-of-acme"]["generations"] == 1


def test_what_is_wrong_with_an_account_is_one_sentence(acme: Client) -> None:
    for body, said in (
        ({"provider": "nobody"}, "There is no provider 'nobody'"),
        ({"provider": "elevenlabs", "fields": {"nose": "long"}}, "has no field 'nose'"),
        ({"provider": "elevenlabs"}, "ElevenLabs needs"),
        ({"provider": "meta_ads"}, "META_ADS_API_KEY"),
        ({"provider": "elevenlabs", "colour": "red"}, "colour: Extra inputs are not permitted"),
    ):
        answer = acme("POST", "/v1/integrations", body)
        assert (answer.status_code, said in answer.json()["detail"]) == (422, True), answer.text


def test_streams_are_read_on_demand_and_what_they_left_is_shown(mesh: Mesh, acme: Client) -> None:
    account = mesh.account("key-of-acme")
    (started,) = acme.post(f"/v1/integrations/{account}/sync", {"streams": ["voices"]}, 202)
    assert started["new"]
    mesh.drain()
    assert acme.get(f"/v1/integrations/{account}/streams/voices")
    whole = acme.get(f"/v1/integrations/{account}")
    assert next(each for each in whole["streams"] if each["name"] == "voices")["read_at"]
    assert acme("POST", f"/v1/integrations/{account}/sync", {"streams": ["noise"]}).status_code == 409
    assert acme("GET", f"/v1/integrations/{account}/streams/noise").status_code == 404


# --------------------------------------------------------------------------------------------------------- webhooks


def test_a_webhook_is_registered_tested_rotated_and_ended(mesh: Mesh, acme: Client) -> None:
    wanted = {"url": f"{mesh.sandbox.url}{HOOK}", "event_type": "user.signup", "filters": {"user_id": "usr_31"}}
    made = acme.post("/v1/webhooks", wanted, 201)
    assert made["secret"].startswith("whsec_")
    assert acme.post("/v1/webhooks", wanted)["id"] == made["id"], "the same again is the first one"
    path = f"/v1/webhooks/{made['id']}"
    tested = acme.post(f"{path}/test")
    assert (tested["ok"], tested["http_status"]) == (True, 200)
    acme.post("/v1/events", [SIGNUP, {**SIGNUP, "data": {"user_id": "another"}}], 202)
    mesh.drain()
    assert mesh.sandbox.control.counts(HOOK)["requests"] == 2, "the test, and what the filter lets through"
    assert acme.post(f"{path}/rotate-secret", {"overlap_s": 60})["secret"] != made["secret"]
    etag = acme("GET", path).headers["etag"]
    assert acme("PATCH", path, {"filters": {}}, headers={"If-Match": etag}).json()["filters"] == {}
    assert acme("PATCH", path, {"filters": {}}, headers={"If-Match": etag}).status_code == 412
    assert acme.post(f"{path}/disable")["state"] == "disabled"
    assert acme.post(f"{path}/enable")["state"] == "active"
    assert [acme("DELETE", path).status_code for _ in range(2)] == [204, 204]
    assert acme.get("/v1/webhooks") == []
    assert acme("POST", f"{path}/enable").status_code == 422


def test_an_address_that_is_not_called_is_refused(acme: Client) -> None:
    answer = acme("POST", "/v1/webhooks", {"url": "http://10.0.0.1/x", "event_type": "*"})
    assert answer.status_code == 422
    assert "secret" not in answer.text


def test_who_changed_what_is_written_down(mesh: Mesh, acme: Client) -> None:
    account = mesh.account("key-of-acme")
    acme.post(f"/v1/integrations/{account}/pause")
    acme("PATCH", f"/v1/integrations/{account}", {"fields": {"nose": "long"}})
    acme.get(f"/v1/integrations/{account}")
    (row,) = mesh.sql("select * from audit_log")
    said = (row.door, row.actor, row.tenant_id, row.action, row.subject, row.subject_id)
    assert said == ("api", "a test", "acme", "pause", "integration", str(account)), "what failed changed nothing"


# ------------------------------------------------------------------------------------------------------- dead letters


def test_dead_letters_are_found_by_words_and_replayed(mesh: Mesh, acme: Client) -> None:
    mesh.sandbox.control.add_rule(HOOK, {"status": 422, "body": "quota of teapots exceeded"})
    mesh.hook(path=HOOK)
    acme.post("/v1/events", [SIGNUP] * 3, 202)
    mesh.drain()
    dead = acme.get("/v1/deliveries", state="failed")["data"]
    assert len(dead) == 3
    word = dead[0]["error_code"]
    assert len(acme.get("/v1/deliveries", error=word)["data"]) == 3
    assert acme.get("/v1/deliveries", error="nonsense")["data"] == []
    mesh.sandbox.control.reset()
    assert acme.post("/v1/replays", {"dry_run": True}) == {"dead_letters": 3}
    assert acme.post(f"/v1/deliveries/{dead[0]['id']}/replay", expect=202)["state"] == "pending"
    replay = acme.post("/v1/replays", {"provider": "zapier"}, 202)
    reconcile.replay(mesh.engine)
    assert acme.get(f"/v1/replays/{replay['id']}")["finished_at"]
    mesh.drain()
    assert acme.get("/v1/deliveries", state="failed")["data"] == []
    assert acme.get("/v1/replays")[0]["replayed"] == 2
    again = acme("POST", f"/v1/deliveries/{dead[0]['id']}/replay")
    assert (again.status_code, "can be tried again" in again.json()["detail"]) == (409, True)


# ----------------------------------------------------------------------------------------------- chains and the rest


def test_a_chain_is_stored_shown_stopped_and_removed(mesh: Mesh, acme: Client) -> None:
    mesh.account("key-of-acme")
    step = {"on": "user.signup", "integration": "elevenlabs", "do": "audio.render_requested", "data": {"text": "Hi"}}
    assert acme("PUT", "/v1/chains/hello", {"steps": [step]}).json()["what"] == "set up"
    shown = acme.get("/v1/chains/hello")
    assert acme("PUT", "/v1/chains/hello", {"steps": shown["steps"]}).json()["what"] == "as it was"
    assert acme.post("/v1/chains/hello/disable")["state"] == "disabled"
    assert acme.post("/v1/chains/hello/enable")["state"] == "active"
    wrong = acme("PUT", "/v1/chains/hello", {"steps": [{**step, "do": "audio.render"}]})
    assert (wrong.status_code, "did you mean" in wrong.json()["detail"]) == (422, True)
    assert acme("DELETE", "/v1/chains/hello").status_code == 204
    assert acme("GET", "/v1/chains/hello").status_code == 404


def test_what_providers_made_can_be_fetched(mesh: Mesh, acme: Client) -> None:
    mesh.account("key-of-acme")
    mesh.speak("Hello.")
    mesh.drain()
    (asset,) = acme.get("/v1/media")["data"]
    whole = acme.get(f"/v1/media/{asset['id']}")
    assert requests.get(whole["url"], timeout=10).headers["content-type"] == asset["mime"]
    there = acme("GET", f"/v1/media/{asset['id']}/content")
    assert there.status_code == 307
    assert len(requests.get(there.headers["location"], timeout=10).content) == asset["size_bytes"]


def test_campaigns_are_shown_with_what_platforms_hold(mesh: Mesh, acme: Client) -> None:
    campaign: UUID = mesh.one(
        "insert into campaigns (tenant_id, external_key, name, budget, currency)"
        " values ('acme', 'cmp_1', 'Spring', 12.5, 'EUR') returning id"
    )
    account = mesh.one(
        "insert into integrations (tenant_id, provider, name) values ('acme', 'meta_ads', 'main') returning id"
    )
    mesh.sql(
        "insert into campaign_links (campaign_id, integration_id, external_id, external_state)"
        " values (%(campaign)s, %(account)s, '77', 'ACTIVE')",
        campaign=campaign,
        account=account,
    )
    mesh.sql(
        "insert into ad_metrics (integration_id, level, external_id, day, clicks, spend, currency)"
        " values (%(account)s, 'campaign', '77', current_date, 5, 1.25, 'EUR')",
        account=account,
    )
    (listed,) = acme.get("/v1/campaigns", key="cmp_1")["data"]
    assert listed["budget"] == "12.5000"
    whole = acme.get(f"/v1/campaigns/{campaign}")
    assert [(each["provider"], each["external_id"]) for each in whole["links"]] == [("meta_ads", "77")]
    assert [(each["clicks"], each["spend"]) for each in whole["days"]] == [(5, "1.2500")]


def test_the_catalog_says_what_can_be_connected_and_published(acme: Client) -> None:
    providers = {each["name"]: each for each in acme.get("/v1/providers")}
    assert providers.keys() == PROVIDERS.keys()
    assert providers["meta_ads"]["connects_by"] == "login"
    assert [field["name"] for field in providers["elevenlabs"]["fields"] if field["sensitive"]]
    kind = acme.get("/v1/event-types/user.signup")
    assert acme.post("/v1/events", {"type": kind["name"], "data": kind["example"]}, 202)["new"]


def test_a_tool_sees_samples_just_as_webhooks_get_them(mesh: Mesh, acme: Client) -> None:
    (example,) = acme.get("/v1/event-types/user.signup/recent")
    mesh.hook(path=HOOK)
    acme.post("/v1/events", [SIGNUP] * 4, 202)
    mesh.drain()
    recent = acme.get("/v1/event-types/user.signup/recent")
    assert len(recent) == 3
    assert [set(each) for each in recent] == [set(example)] * 3
    assert recent[0]["id"] == str(mesh.one("select id from events order by id desc limit 1"))


def test_scopes_are_all_used() -> None:
    assert set(api_keys.SCOPES) == {"publish", "read", "manage"}


# ---------------------------------------------------------------------------------------------------------- tenants


def test_tenants_are_added_by_an_operator_and_seen_by_themselves(mesh: Mesh, doors: str, operator: Client) -> None:
    answer = operator("PUT", "/v1/tenants/bolt", {"name": "Bolt & Co."})
    assert (answer.status_code, answer.json()["name"], answer.json()["state"]) == (201, "Bolt & Co.", "active")
    again = operator("PUT", "/v1/tenants/bolt", {"name": "another"})
    assert (again.status_code, again.json()) == (200, answer.json())
    assert operator("PUT", "/v1/tenants/c.1").json()["name"] == "c.1"
    assert [row["id"] for row in operator.get("/v1/tenants")] == ["acme", "bolt", "c.1"]
    bolt = client(mesh, doors, "bolt")
    assert [row["id"] for row in bolt.get("/v1/tenants")] == ["bolt"]
    refused = bolt("PUT", "/v1/tenants/more")
    assert (refused.status_code, "operator" in refused.json()["detail"]) == (403, True)
    assert operator("PUT", "/v1/tenants/a%20b").status_code == 422
    assert mesh.count("tenants") == 3
