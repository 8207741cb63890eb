"""The doors that providers reach: files by their address, callbacks of deliveries, and what is refused."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import unquote
from uuid import UUID, uuid4

import pytest
import requests

import db.inbox
import db.integrations
import db.media
from model import Done, Wait
from providers import PROVIDERS
from providers.contract import Action, Call
from providers.inbound import Arrival, Forged, Inbound, Malformed, Notice
from tests.mesh import Mesh, eventually
from worker import accounts
from worker.media import MediaFolder

SECRET = "the-hook-secret-of-acme"


def post(url: str, body: bytes = b"{}", **headers: str) -> requests.Response:
    return requests.post(url, data=body, headers=headers, timeout=10)


# ----------------------------------------------------------------------------------------------------------- media


@pytest.fixture
def kept(mesh: Mesh) -> tuple[MediaFolder, Any]:
    """A tenant's folder, and a file in it that is known."""
    mesh.account()
    folder = MediaFolder(mesh.resources.media_url, mesh.tenant(), mesh.engine, mesh.resources.links)
    asset = folder.keep("clip.mp3", b"ID3" + bytes(5000), "audio/mpeg")
    with mesh.engine.begin() as connection:
        db.media.insert(
            connection, [asset], tenant_id="acme", event_id=uuid4(), delivery_id=uuid4(), provider="elevenlabs"
        )
    return folder, asset


def test_a_file_is_fetched_by_its_address(doors: str, kept: Any) -> None:
    folder, asset = kept
    answer = requests.get(folder.link(asset, 60), timeout=10)
    assert (answer.status_code, answer.content) == (200, b"ID3" + bytes(5000))
    assert answer.headers["content-type"] == "audio/mpeg"
    assert answer.headers["x-content-type-options"] == "nosniff"
    look = requests.head(folder.link(asset, 60), timeout=10)
    assert (look.status_code, look.headers["content-length"], look.content) == (200, "5003", b"")
    part = requests.get(folder.link(asset, 60), headers={"Range": "bytes=1-2"}, timeout=10)
    assert (part.status_code, part.content) == (206, b"D3")


def test_an_address_is_good_for_its_time_and_its_file(doors: str, kept: Any, mesh: Mesh) -> None:
    folder, asset = kept
    assert requests.get(folder.link(asset, -1), timeout=10).status_code == 403
    other = folder.link(replace(asset, id=uuid4()), 60)
    assert requests.get(other, timeout=10).status_code == 404
    swapped = f"{doors}/media/{asset.id}?{other.partition('?')[2]}"
    answer = requests.get(swapped, timeout=10)
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == "This address has expired, or is not whole."
    assert requests.get(f"{doors}/media/{asset.id}", timeout=10).status_code == 403
    assert requests.get(f"{doors}/media/nonsense", timeout=10).status_code == 422


def test_a_file_that_is_gone_is_404(doors: str, kept: Any) -> None:
    folder, asset = kept
    folder.drop("clip.mp3")
    assert folder.load(asset) is None
    assert requests.get(folder.link(asset, 60), timeout=10).status_code == 404


def test_a_tenant_finds_only_its_own_files(kept: Any, mesh: Mesh) -> None:
    folder, asset = kept
    assert folder.find(str(asset.id)) == asset
    assert folder.load(asset) == b"ID3" + bytes(5000)
    assert replace(folder, tenant_id="other").find(str(asset.id)) is None
    assert folder.find("not-an-id") is None


def test_a_file_that_replaces_another_keeps_its_id(kept: Any, mesh: Mesh) -> None:
    folder, asset = kept
    again = folder.keep("clip.mp3", b"ID3new", "audio/mpeg")
    assert again.id == asset.id
    with mesh.engine.begin() as connection:
        db.media.insert(
            connection, [again], tenant_id="acme", event_id=uuid4(), delivery_id=uuid4(), provider="elevenlabs"
        )
    assert folder.find(str(asset.id)) == again
    assert folder.read("clip.mp3") == b"ID3new"
    assert folder.read("other.mp3") is None


# ------------------------------------------------------------------------------------------------------- callbacks


def waiting(call: Call) -> Wait | Done:
    """An action that hands out its callback's address, and ends when something came there."""
    came = call.known.called_back()
    if came is None:
        return Wait(3600.0, {"url": call.known.callback_url()})
    return Done({"said": came.decode()})


@pytest.fixture
def called(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> UUID:
    """A delivery that waits for its callback."""
    facts = replace(PROVIDERS["elevenlabs"], actions={"audio.render_requested": Action(waiting)}, ceiling=None)
    monkeypatch.setitem(PROVIDERS, "elevenlabs", facts)
    mesh.account()
    delivery_id = mesh.speak()
    mesh.deliver(delivery_id)
    assert mesh.delivery(delivery_id).state == "waiting"
    return delivery_id


def test_a_callback_wakes_its_delivery_at_once(doors: str, mesh: Mesh, called: UUID) -> None:
    url = mesh.delivery(called).progress["url"]
    assert url.startswith(f"{doors}/hooks/elevenlabs/")
    answer = post(url, b'{"success":true}')
    assert (answer.status_code, answer.text) == (200, "ok")
    mesh.drain()
    assert mesh.delivery(called).result == {"said": '{"success":true}'}


def test_the_first_callback_counts_and_repeats_are_answered_alike(doors: str, mesh: Mesh, called: UUID) -> None:
    url = mesh.delivery(called).progress["url"]
    assert [post(url, body).status_code for body in (b"first", b"second")] == [200, 200]
    mesh.drain()
    assert mesh.delivery(called).result == {"said": "first"}
    assert post(url, b"late").status_code == 200
    assert mesh.count("inbox") == 1


def test_a_callback_with_a_wrong_token_changes_nothing(doors: str, mesh: Mesh, called: UUID) -> None:
    row = mesh.delivery(called)
    base = f"{doors}/hooks/elevenlabs/{row.integration_id}?delivery={called}"
    other = mesh.resources.links.callback("elevenlabs", row.integration_id, uuid4()).partition("token=")[2]
    for query in ("", "&token=", "&token=v1:k1:AAAA", f"&token={other}"):
        assert post(base + query).status_code == 403, query
    assert post(f"{doors}/hooks/elevenlabs/{uuid4()}?delivery={called}").status_code == 404
    assert mesh.delivery(called).due_at == row.due_at
    assert {(each.verdict, each.reason) for each in mesh.sql("select * from inbox")} == {
        ("refused", "The callback's token is not good.")
    }


def test_a_callback_s_token_ends(doors: str, mesh: Mesh, called: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    links, row = mesh.resources.links, mesh.delivery(called)
    token = unquote(row.progress["url"].partition("token=")[2])
    assert links.opens_callback(row.integration_id, called, token)
    later = time.time() + timedelta(days=8).total_seconds()
    monkeypatch.setattr(time, "time", lambda: later)
    assert not links.opens_callback(row.integration_id, called, token)


# -------------------------------------------------------------------------------------------- a provider's own webhooks


def verify(arrival: Arrival, secret: str) -> None:
    if not secret or arrival.headers.get("x-proof") != secret:
        raise Forged("The header X-Proof does not fit.")


def read(arrival: Arrival) -> list[Notice]:
    if arrival.body == b"broken":
        raise Malformed("The body is not JSON.")
    text = arrival.body.decode()
    event = ("user.signup", {"user_id": text}) if text != "wrong" else ("user.signup", {"nobody": 1})
    return [Notice(text, "hello", publishes=event), Notice(text, "hello", publishes=event)]


@pytest.fixture
def told(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> UUID:
    """An account whose provider sends webhooks that are proven by a header."""
    facts = PROVIDERS["elevenlabs"]
    monkeypatch.setitem(PROVIDERS, "elevenlabs", replace(facts, inbound=Inbound(verify, read, credential="api_key")))
    return mesh.account(SECRET)


def test_a_message_becomes_an_event_once(doors: str, mesh: Mesh, told: UUID) -> None:
    url = f"{doors}/hooks/elevenlabs/{told}"
    assert [post(url, b"u1", **{"X-Proof": SECRET}).status_code for _ in range(3)] == [200] * 3
    (event,) = mesh.sql("select * from events")
    assert (event.tenant_id, event.type, event.data) == ("acme", "user.signup", {"user_id": "u1"})
    (row,) = mesh.sql("select * from inbox")
    assert (row.verdict, bytes(row.body), row.event_id) == ("accepted", b"u1", event.id)
    assert row.handled_at is not None
    assert SECRET not in str(row.headers)


def test_what_is_not_proven_or_not_understood_is_kept_with_the_reason(doors: str, mesh: Mesh, told: UUID) -> None:
    url = f"{doors}/hooks/elevenlabs/{told}"
    assert post(url, b"u1").status_code == 401
    assert post(url, b"u1", **{"X-Proof": "wrong"}).json()["detail"] == "The header X-Proof does not fit."
    assert post(url, b"broken", **{"X-Proof": SECRET}).status_code == 400
    assert mesh.count("events") == 0
    assert [row.reason for row in mesh.sql("select reason from inbox order by id")] == [
        "The header X-Proof does not fit.",
        "The header X-Proof does not fit.",
        "The body is not JSON.",
    ]


def test_a_flood_of_messages_that_are_not_believed_does_not_fill_the_database(
    doors: str, mesh: Mesh, told: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db.inbox, "MOST_REFUSED", 3)
    url = f"{doors}/hooks/elevenlabs/{told}"
    assert {post(url, bytes(10_000)).status_code for _ in range(5)} == {401}
    assert [len(row.body) for row in mesh.sql("select body from inbox")] == [db.inbox.KEPT_BYTES] * 3
    mesh.sql("update inbox set received_at = now() - interval '2 hours'")
    assert post(url).status_code == 401
    assert mesh.count("inbox") == 4


def test_an_event_that_does_not_fit_does_not_lose_its_message(doors: str, mesh: Mesh, told: UUID) -> None:
    assert post(f"{doors}/hooks/elevenlabs/{told}", b"wrong", **{"X-Proof": SECRET}).status_code == 200
    assert mesh.count("events") == 0
    assert mesh.one("select verdict from inbox") == "accepted"


def test_who_is_not_here_is_not_found(doors: str, mesh: Mesh, told: UUID) -> None:
    assert post(f"{doors}/hooks/elevenlabs/{uuid4()}").status_code == 404
    assert post(f"{doors}/hooks/nobody/{told}").status_code == 404
    assert post(f"{doors}/hooks/zapier/{told}").status_code == 404
    assert post(f"{doors}/hooks/elevenlabs/nonsense").status_code == 422
    assert requests.get(f"{doors}/hooks/elevenlabs/{told}", timeout=10).status_code == 405
    with mesh.engine.begin() as connection:
        accounts.disconnect(connection, told)
    assert post(f"{doors}/hooks/elevenlabs/{told}", b"u1", **{"X-Proof": SECRET}).status_code == 404


def test_bodies_that_are_too_long_or_compressed_are_refused(doors: str, mesh: Mesh, told: UUID) -> None:
    url = f"{doors}/hooks/elevenlabs/{told}"
    assert post(url, bytes(1024 * 1024 + 1), **{"X-Proof": SECRET}).status_code == 413
    assert post(url, b"u1", **{"X-Proof": SECRET, "Content-Encoding": "gzip"}).status_code == 415
    assert [(row.verdict, row.reason[:19]) for row in mesh.sql("select * from inbox order by id")] == [
        ("refused", "The body is longer "),
        ("refused", "Send the body as it"),
    ]
    assert post(f"{doors}/hooks/elevenlabs/{uuid4()}", bytes(1024 * 1024 + 1)).status_code == 404
    assert mesh.count("inbox") == 2


def test_the_end_of_paid_work_may_be_long(doors: str, mesh: Mesh, called: UUID) -> None:
    url, long = mesh.delivery(called).progress["url"], json.dumps({"result": "x" * 2 * 1024 * 1024}).encode()
    assert post(url.replace("token=", "token=x"), long).status_code == 413
    assert post(url, long).status_code == 200
    mesh.drain()
    assert mesh.delivery(called).result == {"said": long.decode()}


def test_without_a_secret_nothing_is_believed(
    doors: str, mesh: Mesh, told: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = replace(PROVIDERS["elevenlabs"], inbound=Inbound(lambda *_: None, read, credential="never_set"))
    monkeypatch.setitem(PROVIDERS, "elevenlabs", facts)
    assert post(f"{doors}/hooks/elevenlabs/{told}", b"u1").status_code == 401
    assert mesh.count("events") == 0


def test_what_proves_nothing_is_a_hint_of_which_nothing_is_kept(
    doors: str, mesh: Mesh, told: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hint(arrival: Arrival) -> list[Notice]:
        return [Notice("of this minute", "hint", stream=streams[0], proven=False)]

    streams = [stream.name for stream in PROVIDERS["elevenlabs"].streams]
    unsigned = Inbound(lambda *_: None, hint, credential="never_set", unsigned=True)
    monkeypatch.setitem(PROVIDERS, "elevenlabs", replace(PROVIDERS["elevenlabs"], inbound=unsigned))
    assert {post(f"{doors}/hooks/elevenlabs/{told}", bytes(100_000)).status_code for _ in range(3)} == {200}
    assert [bytes(row.body) for row in mesh.sql("select body from inbox")] == [b""]
    assert [event.type for event in mesh.sql("select type from events")] == ["sync.due"]


def test_a_hint_reads_its_stream_again(mesh: Mesh, monkeypatch: pytest.MonkeyPatch, doors: str, told: UUID) -> None:
    facts = PROVIDERS["elevenlabs"]
    streams = [stream.name for stream in facts.streams]
    hint = Inbound(verify, lambda arrival: [Notice("n1", "changed", stream=streams[0])], credential="api_key")
    monkeypatch.setitem(PROVIDERS, "elevenlabs", replace(facts, inbound=hint))
    assert post(f"{doors}/hooks/elevenlabs/{told}", b"{}", **{"X-Proof": SECRET}).status_code == 200
    (event,) = mesh.sql("select type, data from events")
    assert (event.type, event.data) == ("sync.due", {"integration_id": str(told), "stream": streams[0]})
    with mesh.engine.begin() as connection:
        accounts.pause(connection, told)
    monkeypatch.setitem(
        PROVIDERS,
        "elevenlabs",
        replace(facts, inbound=replace(hint, read=lambda arrival: [Notice("n2", "changed", stream=streams[0])])),
    )
    assert post(f"{doors}/hooks/elevenlabs/{told}", b"{}", **{"X-Proof": SECRET}).status_code == 200


def test_health_tells_the_truth(doors: str) -> None:
    assert requests.get(f"{doors}/healthz", timeout=10).json() == {"status": "ok"}
    assert requests.get(f"{doors}/readyz", timeout=10).json() == {"status": "ok"}


def test_while_the_database_is_away_a_message_is_to_be_sent_again(
    doors: str, mesh: Mesh, told: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy.exc import OperationalError

    def away(*_: Any, **__: Any) -> Any:
        raise OperationalError("select", {}, Exception("gone"))

    monkeypatch.setattr(db.integrations, "get", away)
    answer = post(f"{doors}/hooks/elevenlabs/{told}", b"u1", **{"X-Proof": SECRET})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


def test_an_event_of_a_hook_is_like_any_other(doors: str, mesh: Mesh, told: UUID) -> None:
    mesh.hook("/receive/told")
    assert post(f"{doors}/hooks/elevenlabs/{told}", b"u9", **{"X-Proof": SECRET}).status_code == 200
    mesh.drain()
    eventually(lambda: mesh.sandbox.control.counts("/receive/told")["requests"] == 1)
