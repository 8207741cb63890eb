"""The voices of ElevenLabs' stand-in: found, cloned, changed, deleted; pronunciation dictionaries."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError

import pytest

from sandbox.control import SandboxRefused
from sandbox.elevenlabs.voice import VOICES
from sandbox.process import Sandbox, start
from tests.sandbox.elevenlabs_judge import KEY, NEEDS_FOLDER, TEXT, ask, check, client_of, refusal

SAMPLES = [("a.mp3", b"ID3a", "audio/mpeg"), ("b.wav", b"RIFFb", "audio/wav")]
BOUNDARY = "frontier"
DICTIONARIES = "/v1/pronunciation-dictionaries"
FORM = f"multipart/form-data; boundary={BOUNDARY}"


@pytest.fixture(scope="module")
def process() -> Iterator[Sandbox]:
    with start() as running:
        yield running


@pytest.fixture
def sandbox(process: Sandbox) -> Sandbox:
    process.control.reset()
    return process


@pytest.fixture
def client(sandbox: Sandbox) -> Any:
    return client_of(sandbox)


def names(found: Any) -> list[str]:
    return [voice.name for voice in found.voices]


def clone(client: Any, name: str = "Host clone", **options: Any) -> Any:
    return client.voices.ivc.create(name=name, files=SAMPLES, **options)


def form(*parts: tuple[str, bytes]) -> bytes:
    """Parts as (what stands in Content-Disposition after form-data, content)."""
    written = [
        b"--%b\r\nContent-Disposition: form-data; %b\r\n\r\n%b\r\n" % (BOUNDARY.encode(), head.encode(), content)
        for head, content in parts
    ]
    return b"".join([*written, b"--%b--\r\n" % BOUNDARY.encode()])


# ------------------------------------------------------------------------------------------------------------- finding


def test_pages_of_voices_follow_their_token(client: Any) -> None:
    found, token = [], None
    while True:
        page = client.voices.search(page_size=5, next_page_token=token, sort="name", sort_direction="asc")
        found += names(page)
        token = page.next_page_token
        if not page.has_more:
            break
    assert found == sorted(VOICES.values())
    assert (page.total_count, token) == (len(VOICES), None)
    assert refusal(client.voices.search, next_page_token="guessed")[1]["code"] == "invalid_cursor"
    assert refusal(client.voices.search, page_size=101)[0] == 422


def test_the_first_page_has_the_premade_voices_beside_its_own(client: Any) -> None:
    for _ in range(3):
        clone(client)
    first = client.voices.search(page_size=2)
    assert sorted(names(first)) == sorted([*["Host clone"] * 2, *VOICES.values()])
    assert (first.has_more, first.total_count) == (True, 3 + len(VOICES))
    second = client.voices.search(page_size=2, next_page_token=first.next_page_token)
    assert (names(second), second.has_more) == (["Host clone"], False)


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"search": "host"}, ["Host clone", "Host"]),
        ({"search": "PODCAST"}, ["Host clone"]),
        ({"voice_type": "personal"}, ["Host clone"]),
        ({"voice_type": "default", "search": "host"}, ["Host"]),
        ({"voice_type": "community"}, []),
        ({"category": "cloned"}, ["Host clone"]),
        ({"voice_ids": ["v_poet", "v_judge"]}, ["Judge", "Poet"]),
        ({"accent": "irish", "gender": "male"}, ["Poet", "Clerk"]),
        ({"language": "de"}, ["Host clone"]),
        ({"collection_id": "c1"}, []),
    ],
)
def test_voices_are_found_by_what_they_are(client: Any, options: dict[str, Any], found: list[str]) -> None:
    clone(client, description="For the podcast.", labels={"language": "de"})
    page = client.voices.search(**{"page_size": 100, **options})
    assert sorted(names(page)) == sorted(found)
    assert page.total_count == len(found)


def test_voices_sort_by_when_they_were_made(client: Any) -> None:
    clone(client)
    assert names(client.voices.search(sort="created_at_unix", page_size=1)) == ["Host clone"]
    assert names(client.voices.search(sort="created_at_unix", sort_direction="asc", page_size=1)) == ["Host"]
    assert refusal(client.voices.search, sort="mood")[1]["param"] == "sort"
    assert refusal(client.voices.search, voice_type="loud")[1]["param"] == "voice_type"


# ------------------------------------------------------------------------------------------------------------- cloning


def test_an_instant_clone_of_recordings(sandbox: Sandbox, client: Any) -> None:
    made = clone(client, description="For the podcast.", labels={"accent": "british"}, remove_background_noise=True)
    assert (made.voice_id, made.requires_verification) == ("clone000000000000001", False)
    voice = client.voices.get(made.voice_id)
    assert (voice.name, voice.category, voice.labels) == ("Host clone", "cloned", {"accent": "british"})
    assert [(one.file_name, one.mime_type, one.size_bytes) for one in voice.samples] == [
        ("a.mp3", "audio/mpeg", 4),
        ("b.wav", "audio/wav", 5),
    ]
    assert b"".join(client.text_to_speech.convert(made.voice_id, text=TEXT))
    assert made.voice_id in [one.voice_id for one in client.voices.get_all().voices]
    assert sandbox.control.bill()["elevenlabs"][KEY] == {"characters": len(TEXT), "generations": 1, "clones": 1}
    assert client.user.subscription.get().voice_slots_used == 1
    assert names(client_of(sandbox, "sk_other").voices.search(voice_type="personal")) == []


def test_a_clone_without_labels_and_file_names(client: Any) -> None:
    made = client.voices.ivc.create(name="Bare", files=[io.BytesIO(b"ID3a")])
    (sample,) = client.voices.get(made.voice_id).samples
    assert (sample.file_name, sample.mime_type) == ("upload", "application/octet-stream")


def test_sound_with_line_ends_and_boundaries_in_it_arrives_whole(client: Any) -> None:
    content = b"\r\n--x\r\n\r\n--" + bytes(range(256)) + b"\r\n"
    made = client.voices.ivc.create(name="Binary", files=[("x.mp3", content, "audio/mpeg")])
    assert client.voices.get(made.voice_id).samples[0].size_bytes == len(content)


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        (form(('name="name"', b"x")), FORM, 422, "files"),
        (form(('name="files"; filename="a.mp3"', b"ID3")), FORM, 422, "name"),
        (form(('name="name"', b"x"), ('name="files"; filename="a.mp3"', b"")), FORM, 400, "invalid_audio"),
        (form(('name="name"', b"x"), ('name="labels"', b"[1]")), FORM, 422, "labels"),
        (form(('name="name"', b"x"), ('name="labels"', b'{"a": 1}')), FORM, 422, "labels"),
        (
            form(*[('name="files"; filename="a.mp3"', b"ID3")] * 26, ('name="name"', b"x")),
            FORM,
            400,
            "invalid_parameters",
        ),
        (form(("x=1", b"x")), FORM, 400, "bad_request"),
        (b"--frontier\r\n", FORM, 400, "bad_request"),
        (b"{}", "application/json", 400, "invalid_content_type"),
        (b"", "multipart/form-data", 400, "invalid_content_type"),
    ],
)
def test_a_wrong_form_is_refused(sandbox: Sandbox, body: bytes, kind: str, status: int, code: str) -> None:
    with pytest.raises(HTTPError) as raised:
        ask(sandbox, "POST", "/v1/voices/add", body, kind)
    with raised.value as answer:
        detail = json.load(answer)["detail"]
    assert answer.status == status
    assert code in (detail["code"] if isinstance(detail, dict) else detail[0]["loc"])
    assert sandbox.control.bill() == {}


def test_a_plan_without_slots_or_without_cloning(sandbox: Sandbox, client: Any) -> None:
    sandbox.control.do("elevenlabs", "set_voices", limit=1, key=KEY)
    clone(client)
    assert refusal(clone, client, "Second")[1]["status"] == "voice_limit_reached"
    sandbox.control.do("elevenlabs", "set_voices", cloning=False)
    status, detail = refusal(clone, client_of(sandbox, "sk_other"))
    assert (status, detail["status"]) == (403, "can_not_use_instant_voice_cloning")
    assert not client.user.subscription.get().can_use_instant_voice_cloning


def test_a_clone_that_must_be_verified_first(sandbox: Sandbox, client: Any) -> None:
    sandbox.control.do("elevenlabs", "set_voices", verification=True)
    made = clone(client)
    assert made.requires_verification
    assert client.voices.get(made.voice_id).voice_verification.requires_verification
    status, detail = refusal(client.text_to_speech.convert, made.voice_id, text=TEXT)
    assert (status, detail["code"]) == (403, "voice_access_denied")
    sandbox.control.do("elevenlabs", "verify_voice", key=KEY, voice_id=made.voice_id)
    assert b"".join(client.text_to_speech.convert(made.voice_id, text=TEXT))
    with pytest.raises(SandboxRefused, match="no voice"):
        sandbox.control.do("elevenlabs", "verify_voice", key=KEY, voice_id="v_host")


# ------------------------------------------------------------------------------------------------------------ changing


def test_a_voice_is_changed_and_deleted(client: Any) -> None:
    made = clone(client)
    assert client.voices.update(made.voice_id, name="Host 2", labels={"age": "young"}, files=SAMPLES[:1]).status == "ok"
    voice = client.voices.get(made.voice_id)
    assert (voice.name, voice.labels, len(voice.samples)) == ("Host 2", {"age": "young"}, 3)
    assert client.voices.delete(made.voice_id).status == "ok"
    assert refusal(client.voices.get, made.voice_id)[0] == 404
    assert refusal(client.text_to_speech.convert, made.voice_id, text=TEXT)[1]["code"] == "voice_not_found"
    assert client.user.subscription.get().voice_slots_used == 0
    assert clone(client).voice_id == "clone000000000000002"


def test_the_settings_of_a_voice(client: Any) -> None:
    assert client.voices.settings.get("v_host") == client.voices.settings.get_default()
    assert client.voices.settings.update("v_host", request={"stability": 0.25}).status == "ok"
    changed = client.voices.settings.get("v_host")
    assert (changed.stability, changed.similarity_boost) == (0.25, 0.75)
    assert client.voices.get("v_host").settings == changed
    assert client.voices.settings.get("v_guest").stability == 0.5
    assert refusal(client.voices.settings.update, "v_host", request={"style": 3})[1]["code"] == "invalid_voice_settings"


def test_pronunciation_dictionaries(client: Any) -> None:
    rules = [{"type": "alias", "string_to_replace": "EU", "alias": "European Union"}]
    made = client.pronunciation_dictionaries.create_from_rules(name="Terms", rules=rules)
    assert (made.name, made.version_rules_num) == ("Terms", 1)
    locator = {"pronunciation_dictionary_id": made.id, "version_id": made.version_id}
    speak = client.text_to_speech.convert
    assert b"".join(speak("v_host", text=TEXT, pronunciation_dictionary_locators=[locator]))
    unknown = {**locator, "pronunciation_dictionary_id": "guessed"}
    status, detail = refusal(speak, "v_host", text=TEXT, pronunciation_dictionary_locators=[unknown])
    assert (status, detail["code"]) == (404, "pronunciation_dictionary_not_found")
    status, detail = refusal(speak, "v_host", text=TEXT, pronunciation_dictionary_locators=[locator] * 4)
    assert (status, detail["code"]) == (400, "invalid_parameters")
    half = [{"type": "phoneme", "string_to_replace": "x", "phoneme": "y"}]
    assert refusal(client.pronunciation_dictionaries.create_from_rules, name="Half", rules=half)[0] == 422


def test_dictionaries_are_listed_page_by_page(client: Any) -> None:
    rules = [{"type": "alias", "string_to_replace": "EU", "alias": "European Union"}]
    made = [client.pronunciation_dictionaries.create_from_rules(name=f"T{n}", rules=rules * n) for n in (1, 2, 3)]
    first = client.pronunciation_dictionaries.list(page_size=2)
    rest = client.pronunciation_dictionaries.list(page_size=2, cursor=first.next_cursor)
    assert (first.has_more, rest.has_more, rest.next_cursor) == (True, False, None)
    found = [*first.pronunciation_dictionaries, *rest.pronunciation_dictionaries]
    assert [(one.id, one.latest_version_id, one.latest_version_rules_num) for one in found] == [
        (one.id, one.version_id, one.version_rules_num) for one in made
    ]
    assert refusal(client.pronunciation_dictionaries.list, cursor="x")[1]["code"] == "invalid_cursor"


@NEEDS_FOLDER
def test_dictionaries_validate_against_the_schemas(sandbox: Sandbox) -> None:
    rules = [{"type": "alias", "string_to_replace": "EU", "alias": "European Union"}]
    body = json.dumps({"name": "Terms", "rules": rules}).encode()
    check("AddPronunciationDictionaryResponseModel", ask(sandbox, "POST", f"{DICTIONARIES}/add-from-rules", body))
    listed = ask(sandbox, "GET", DICTIONARIES)
    check("GetPronunciationDictionariesMetadataResponseModel", listed)
    check("GetPronunciationDictionaryMetadataResponse", listed["pronunciation_dictionaries"][0])


@NEEDS_FOLDER
def test_voices_validate_against_the_schemas(sandbox: Sandbox, client: Any) -> None:
    body = form(('name="name"', b"Clone"), ('name="files"; filename="a.mp3"', b"ID3"))
    made = ask(sandbox, "POST", "/v1/voices/add", body, FORM)
    check("AddVoiceIvcResponseModel", made)
    check("Voice", ask(sandbox, "GET", f"/v1/voices/{made['voice_id']}"))
    check("GetVoicesV2Response", ask(sandbox, "GET", "/v2/voices?voice_type=personal"))
    check("GetVoicesResponse", ask(sandbox, "GET", "/v1/voices"))
    check("VoiceSettings", ask(sandbox, "GET", f"/v1/voices/{made['voice_id']}/settings"))
    edited = ask(sandbox, "POST", f"/v1/voices/{made['voice_id']}/settings/edit", b'{"speed": 1.1}')
    check("EditVoiceSettingsResponseModel", edited)
    edited = ask(sandbox, "POST", f"/v1/voices/{made['voice_id']}/edit", form(('name="name"', b"New")), FORM)
    check("EditVoiceResponseModel", edited)
    check("DeleteVoiceResponseModel", ask(sandbox, "DELETE", f"/v1/voices/{made['voice_id']}"))
    rules = b'{"name": "T", "rules": [{"type": "alias", "string_to_replace": "a", "alias": "b"}]}'
    made = ask(sandbox, "POST", "/v1/pronunciation-dictionaries/add-from-rules", rules)
    check("AddPronunciationDictionaryResponseModel", made)
