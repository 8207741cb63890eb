"""A video step by step, its answers written down: what is sent, what is stored, and what is never sent twice."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from model import Cost, Wait
from providers.capcut import PROVIDER
from providers.capcut.drafts import REBUILDS
from providers.contract import Repeat
from providers.errors import (
    AccountBlocked,
    CredentialsRejected,
    InvalidPayload,
    OutcomeUnknown,
    ProviderError,
    RateLimited,
    Refused,
    TargetForbidden,
    Unavailable,
)
from providers.http import Answer
from sandbox.capcut.mp4 import video as film
from tests.providers.capcut.calls import (
    BASE_URL,
    BUILT,
    DRAFT_ID,
    KEY,
    OTHER_ID,
    PICTURE_ID,
    RENDER,
    RESULT,
    SAVED,
    TASK_ID,
    TITLED,
    VOICE_ID,
    asked,
    body,
    calling,
    done,
    drafted,
    looked,
    media,
    path,
    run,
    said,
    saved,
    status,
    video,
    waiting,
    walked,
)
from tests.providers.doubles import DELIVERY_ID, EVENT_ID, NOW, Memory, Scripted, answer
from worker.catalog import event_types

ACTION = PROVIDER.actions[RENDER]
UNNAMED = (*SAVED, asked())
FETCHED = (*UNNAMED, looked("SUCCESS", result=RESULT), video())


def progress_of(*answers: Any, data: Any = TITLED, **more: Any) -> dict[str, Any]:
    """The progress of a delivery after the exchanges that these answer."""
    progress: Any = {}
    for given in answers:
        progress = waiting(run(calling(Scripted(given), data, progress=progress, **more))).progress
    return dict(progress)


def step(given: Any, progress: Any, data: Any = TITLED, **more: Any) -> Any:
    """One more step; an exception is what it raised."""
    answers = given if isinstance(given, tuple) else (given,)
    try:
        return run(calling(Scripted(*answers), data, progress=progress, **more))
    except ProviderError as error:
        return error


# ------------------------------------------------------------------------------------------------------- the main road


def test_a_voice_and_a_title_become_a_video() -> None:
    film_s = film(64, 64, 24, 3.0)
    using = Scripted(
        drafted(),
        drafted(),
        drafted(),
        drafted(),
        *SAVED[2:],
        asked(),
        looked("PENDING"),
        looked("EXPORTING"),
        looked("SUCCESS", result=RESULT),
        video(film_s),
    )
    store = media()
    data = {"name": "weekly", "audio_asset_id": VOICE_ID, "title": "Your week", "resolution": "1080P"}
    steps, last = walked(using, data, media=store)
    assert [path(each) for each in using.requests] == [
        "create_draft",
        "add_audio",
        "add_text",
        "modify_draft",
        "save_draft",
        "query_draft_status",
        "generate_video",
        "task_status",
        "task_status",
        "task_status",
        "GET videos.example",
    ]
    begun, voice, title, name, *_, rendered = [body(each) for each in using.requests[:7]]
    assert begun == {"width": 1080, "height": 1920}
    link = f"https://media.example/{VOICE_ID}?lasts=6300&token=planted-media-token"
    assert voice == {
        "audio_url": link,
        "duration": 3.004,
        "end": 3.004,
        "track_name": "voice",
        "draft_id": DRAFT_ID,
    }
    assert (title["text"], title["end"]) == ("Your week", 3.004)
    assert name == {"name": "weekly", "draft_id": DRAFT_ID}
    assert rendered == {"draft_id": DRAFT_ID, "resolution": "1080P", "framerate": "24"}
    assert {each.headers["Authorization"] for each in using.requests[:-1]} == {f"Bearer {KEY}"}
    assert "Authorization" not in using.requests[-1].headers
    assert [each.wait_s for each in steps] == [0, 0, 0, 0, 0, 0, 5.0, 6.5, pytest.approx(8.45)]
    (paid,) = [each for each in steps if each.cost]
    assert (paid.cost, paid.external_id, last.cost) == (Cost(Decimal(1), "renders"), TASK_ID, None)
    (asset,) = last.assets
    assert (asset.mime, store.files[f"{DELIVERY_ID}.mp4"]) == ("video/mp4", film_s)
    assert last.result == {
        "asset_id": str(asset.id),
        "uri": asset.uri,
        "mime": "video/mp4",
        "size_bytes": len(film_s),
        "draft_id": DRAFT_ID,
        "draft_url": "https://vectcut.example/draft/1",
        "task_id": TASK_ID,
        "duration_s": 3.0,
        "resolution": "1080P",
        "framerate": "24",
        "name": "weekly",
    }
    (event,) = last.events
    assert (event.type, event.key) == ("video.rendered", f"video.rendered:{DELIVERY_ID}")
    assert event_types()["video.rendered"].problem(event.data) is None
    assert event.data["source_event_id"] == str(EVENT_ID)


def test_no_credential_is_kept_or_shown() -> None:
    using = Scripted(drafted(), drafted(), *SAVED[2:], asked(), looked("SUCCESS", result=RESULT), video())
    steps, last = walked(using, {"audio_asset_id": VOICE_ID}, media=media())
    stored = json.dumps([each.progress for each in steps]) + json.dumps(dict(last.result))
    for secret in ("planted-result-signature", "planted-media-token", KEY):
        assert secret not in stored
        assert secret not in repr(using.requests)


def test_a_render_that_fails_says_why_without_the_links_in_it() -> None:
    progress = progress_of(*UNNAMED)
    why = f"Failed to download https://media.example/{VOICE_ID}?lasts=6300&token=planted-media-token."
    call = calling(Scripted(looked("FAILURE", error=why)), TITLED, progress=progress)
    with pytest.raises(Refused) as failed:
        run(call)
    assert failed.value.code == "render_failed"
    assert f"The render {TASK_ID} failed: Failed to download https://media.example/" in str(failed.value)
    assert "planted" not in f"{failed.value} {call.exchange}"


def test_what_echoes_a_link_is_shown_masked() -> None:
    progress = progress_of(drafted(), data={"audio_asset_id": VOICE_ID}, media=media())
    echo = said(error=f"Unknown thing lasts=6300&token=planted-media-token at https://media.example/{VOICE_ID}")
    error = step(echo, progress, {"audio_asset_id": VOICE_ID}, media=media())
    assert isinstance(error, InvalidPayload)
    assert "planted" not in str(error)


def test_sizes_rates_queue_and_licence() -> None:
    data = {**TITLED, "width": 1920, "height": 1080, "framerate": "60", "queue": "idle", "cover": "https://a.example/c"}
    image = answer(200, headers={"Content-Type": "image/png"})
    using = Scripted(image, *BUILT, drafted(), *SAVED[2:], asked(), looked("SUCCESS", result=RESULT), video())
    walked(using, data, settings={"license_key": "lic_planted_1"})
    sent = {path(each): each for each in using.requests}
    assert body(sent["create_draft"]) == {"width": 1920, "height": 1080}
    assert body(sent["modify_draft"]) == {"cover": "https://a.example/c", "draft_id": DRAFT_ID}
    assert body(sent["generate_idle_video"]) == {
        "draft_id": DRAFT_ID,
        "resolution": "720P",
        "framerate": "60",
        "license_key": "lic_planted_1",
    }
    assert "lic_planted_1" in sent["generate_idle_video"].credentials()


def test_another_service_is_spoken_to_by_its_paths() -> None:
    using = Scripted(drafted())
    run(calling(using, TITLED, paths={**PROVIDER.paths, "create_draft": "/v2/drafts/new"}))
    assert using.requests[0].url == f"{BASE_URL}/v2/drafts/new"


# ------------------------------------------------------------------------------------------------------- only a draft


def test_a_server_of_ones_own_makes_drafts() -> None:
    script = json.dumps({"tracks": []})
    using = Scripted(*BUILT, saved(""), status("processing"), status("completed"), said(script))
    store = Memory()
    data = {**TITLED, "name": "x", "draft_only": True, "keep_draft": True}
    steps, last = walked(using, data, secrets={}, base_url="http://127.0.0.1:9001", media=store)
    assert [each.wait_s for each in steps] == [0, 0, 0, 2.0, 0]
    assert all("Authorization" not in each.headers for each in using.requests)
    assert store.files == {f"{DELIVERY_ID}.draft.json": script.encode()}
    assert last.result == {
        "draft_id": DRAFT_ID,
        "draft_url": f"https://vectcut.example/draft?draft_id={DRAFT_ID}",
        "name": "x",
        "draft_asset_id": str(last.assets[0].id),
    }
    assert (last.events, last.external_id) == ((), DRAFT_ID)


def test_where_a_draft_lies_is_asked_for_and_mended() -> None:
    nowhere = said({"draft_id": DRAFT_ID})
    found = said({"draft_url": f"https://v.example/draft/downloader?={DRAFT_ID}"})
    using = Scripted(nowhere, nowhere, saved(""), status("completed"), found)
    _, last = walked(using, {**TITLED, "draft_only": True})
    assert path(using.requests[-1]) == "generate_draft_url"
    assert last.result["draft_url"] == f"https://v.example/draft/downloader?draft_id={DRAFT_ID}"


def test_a_server_that_cannot_render_says_so() -> None:
    error = step(answer(404, b"<html><title>404 Not Found</title></html>"), progress_of(*SAVED), secrets={})
    assert (type(error), error.code) == (Refused, "not_offered")
    assert "rendering, presets, workflows and agents need VectCut's cloud" in str(error)


def test_a_project_and_a_video_are_both_kept() -> None:
    store = Memory()
    using = Scripted(*SAVED, said("{}"), asked(), looked("SUCCESS", result=RESULT), video())
    _, last = walked(using, {**TITLED, "keep_draft": True}, media=store)
    assert sorted(store.files) == [f"{DELIVERY_ID}.draft.json", f"{DELIVERY_ID}.mp4"]
    assert [each.mime for each in last.assets] == ["video/mp4", "application/json"]


# --------------------------------------------------------------------------------------------------------- lost drafts


@pytest.mark.parametrize(
    ("before", "given"),
    [
        (SAVED[:1], drafted(OTHER_ID)),
        (SAVED[:2], saved(None)),
        (SAVED[:3], status("failed", f"Draft {DRAFT_ID} does not exist in cache")),
        (SAVED[:3], said(error=f"Task with ID {DRAFT_ID} not found. Please check if the task ID is correct.")),
        (SAVED, said(error=f"Draft {DRAFT_ID} does not exist in cache.")),
        (SAVED, said({"success": False, "error": f"Draft {DRAFT_ID} does not exist in cache."})),
    ],
)
def test_a_lost_draft_is_built_anew_from_its_list(before: tuple[Answer, ...], given: Answer) -> None:
    outcome = waiting(step(given, progress_of(*before)))
    assert (outcome.wait_s, outcome.progress["step"], outcome.progress["draft_id"]) == (0, "build", None)
    assert (outcome.progress["at"], outcome.progress["rebuilds"]) == (0, 1)
    using = Scripted(*FETCHED)
    walked(using, TITLED, progress=outcome.progress)
    assert [path(each) for each in using.requests][:3] == ["create_draft", "add_text", "save_draft"]


def test_a_draft_that_is_always_lost_is_given_up() -> None:
    lost = [drafted(), drafted(OTHER_ID)] * (REBUILDS + 1)
    with pytest.raises(Refused, match="built 6 times and lost each time") as failed:
        walked(Scripted(*lost), TITLED)
    assert failed.value.code == "draft_lost"


def test_an_operation_whose_answer_was_lost_is_not_done_twice() -> None:
    progress = progress_of(drafted())
    assert ACTION.repeat_after(progress) is Repeat.LOOKUP
    assert ACTION.find is not None
    found = ACTION.find(calling(Scripted(), TITLED, progress=progress))
    assert isinstance(found, Wait)
    assert (found.progress["draft_id"], found.progress["rebuilds"]) == (None, 1)
    for given in (answer(500), answer(502), answer(504)):
        assert isinstance(step(given, progress), OutcomeUnknown)


def test_what_may_be_repeated() -> None:
    steps = {"look": Repeat.SAFE, "save": Repeat.SAFE, "saved": Repeat.SAFE, "poll": Repeat.SAFE, "agent": Repeat.SAFE}
    steps |= {"render": Repeat.NEVER, "submit": Repeat.NEVER}
    for name, allowed in steps.items():
        assert ACTION.repeat_after({"step": name, "draft_id": DRAFT_ID}) is allowed
    assert ACTION.repeat_after({}) is Repeat.SAFE
    assert ACTION.repeat_after({"step": "build", "draft_id": None}) is Repeat.SAFE


# ------------------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (said(error="Hi, the required parameters 'text', 'start' or 'end' are missing. "), InvalidPayload),
        (
            said(error="Error occurred while processing text: Unsupported font: X . You can click the link"),
            InvalidPayload,
        ),
        (said(error="New segment overlaps with existing segment [start: 1000000, end: 3000000]"), InvalidPayload),
        (said(error="Failed to add keyframe: 不存在名为 'zz' 的轨道."), InvalidPayload),
        (said(error="Something that nobody has seen"), InvalidPayload),
        (said(error="Failed to download the media https://a.example/missing.mp4"), Unavailable),
        (said(error="Connection reset by peer."), Unavailable),
        (said(error="Insufficient credits."), AccountBlocked),
        (said(error="Invalid API key."), CredentialsRejected),
        (said(error="Too many requests."), RateLimited),
        (answer(400, b"<title>400 Bad Request</title>"), InvalidPayload),
        (answer(415, b"<title>415 Unsupported Media Type</title>"), InvalidPayload),
        (answer(401, {"success": False, "error": "no"}), CredentialsRejected),
        (answer(403, b"no"), CredentialsRejected),
        (answer(422, {"success": False, "error": "your api key has ended"}), CredentialsRejected),
        (answer(402, b""), AccountBlocked),
        (answer(429, b"", {"Retry-After": "7"}), RateLimited),
        (answer(200, b"broken"), OutcomeUnknown),
        (answer(200, {"success": True}), OutcomeUnknown),
    ],
)
def test_what_a_no_means(given: Answer, kind: type[ProviderError]) -> None:
    assert type(step(given, progress_of(drafted()))) is kind


def test_a_download_that_keeps_failing_is_given_up_after_a_while() -> None:
    progress, no = progress_of(drafted()), said(error="Failed to download the media.")
    late = NOW + timedelta(minutes=16)
    early = step(no, progress)
    assert (type(early), early.holds) == (Unavailable, False), "the account's other deliveries go on"
    error = step(no, progress, now=late)
    assert (type(error), error.code) == (Refused, "fetch_failed")
    assert "quarter of an hour" in str(error)
    away = step(Unavailable("The service is away."), progress, now=late)
    assert (type(away), away.holds) == (Unavailable, True), "it is waited for as long as deliveries are"


def test_a_save_that_never_ends_is_given_up() -> None:
    progress = progress_of(*SAVED[:3])
    assert isinstance(step(status("processing"), progress), Wait)
    error = step(status("processing"), progress, now=NOW + timedelta(minutes=16))
    assert (type(error), error.code) == (Refused, "save_too_slow")
    assert isinstance(step(status("completed"), progress, now=NOW + timedelta(days=1)), Wait)


def test_a_service_without_names_makes_videos_all_the_same_but_a_cover_is_wanted() -> None:
    for data, kind in (({**TITLED, "name": "x"}, Wait), ({**TITLED, "cover": {"asset_id": PICTURE_ID}}, Refused)):
        progress = progress_of(*BUILT, data=data, media=media())
        assert type(step(answer(404), progress, data, media=media())) is kind


def test_a_project_that_cannot_be_kept_is_asked_for_again() -> None:
    data = {**TITLED, "keep_draft": True}
    error = step(said("{}"), progress_of(*SAVED, data=data), data, media=Memory(OSError("disk full")))
    assert (type(error), error.code) == (Unavailable, "media_not_kept")
    assert isinstance(step(said("no json"), progress_of(*SAVED, data=data), data), OutcomeUnknown)


def test_the_words_for_help_are_left_out() -> None:
    error = step(said(error="Unsupported font: X . You can click the link below for help: "), progress_of(drafted()))
    assert str(error) == "The answer was 200 wrong_payload: Unsupported font: X ."


@pytest.mark.parametrize("url", ["http://open.vectcut.com/cut_jianying", "http://93.184.216.34"])
def test_a_key_is_never_sent_in_clear_over_the_open_net(url: str) -> None:
    using = Scripted()
    with pytest.raises(AccountBlocked) as failed:
        run(calling(using, TITLED, base_url=url))
    assert failed.value.code == "base_url_insecure"
    assert using.requests == []
    for near in ("http://127.0.0.1:9001", "http://10.1.2.3", "http://vectcut:9001", "http://localhost"):
        assert isinstance(step(drafted(), {}, base_url=near), Wait)
    assert isinstance(step(drafted(), {}, base_url=url, secrets={}), Wait)


# ---------------------------------------------------------------------------------------------------------- rendering


@pytest.mark.parametrize(
    "given",
    [
        OutcomeUnknown("lost"),
        answer(500),
        answer(502),
        answer(503),
        answer(504),
        answer(408),
        answer(200, b"{"),
        said(""),
        said({"success": True, "task_id": None}),
        said(error="Connection reset by peer"),
        said({"success": False, "error": "Read timeout"}),
    ],
)
def test_a_render_that_may_have_begun_is_never_asked_for_again(given: Any) -> None:
    progress = progress_of(*SAVED)
    assert ACTION.repeat_after(progress) is Repeat.NEVER
    error = step(given, progress)
    assert isinstance(error, OutcomeUnknown)
    assert "may have been begun, and billed" in str(error)


def test_a_render_that_was_certainly_not_begun_may_be_asked_for_again() -> None:
    progress = progress_of(*SAVED)
    assert type(step(Unavailable("refused", transient=True), progress)) is Unavailable
    assert type(step(answer(429), progress)) is RateLimited
    assert type(step(said(error="Unsupported resolution"), progress)) is InvalidPayload


def test_a_time_out_of_theirs_is_rendered_once_more() -> None:
    using = Scripted(
        *UNNAMED,
        looked("FAILURE", error="Render task timeout"),
        asked("second"),
        looked("SUCCESS", result=RESULT),
        video(),
    )
    steps, last = walked(using, TITLED)
    assert sum(1 for each in steps if each.cost) == 2
    assert last.result["task_id"] == "second"
    again = [*UNNAMED, looked("FAILURE", error="timed out"), asked("second"), looked("FAILURE", error="timed out")]
    with pytest.raises(Refused, match="The render second failed: timed out"):
        walked(Scripted(*again), TITLED)


def test_a_render_is_waited_for_as_long_as_the_event_says() -> None:
    progress = progress_of(*UNNAMED)
    for words, data, minutes in (("45", TITLED, 46), ("120", {**TITLED, "render_within_s": 7200}, 121)):
        early, late = NOW + timedelta(minutes=minutes - 2), NOW + timedelta(minutes=minutes)
        assert isinstance(step(looked("QUEUED_SOMEWHERE"), progress, data, now=early), Wait)
        error = step(looked("QUEUED_SOMEWHERE"), progress, data, now=late)
        assert (type(error), error.code) == (Refused, "render_too_slow")
        assert f"{TASK_ID} is QUEUED_SOMEWHERE after {words} minutes" in str(error)
        done(step((looked("SUCCESS", result=RESULT), video()), progress, data, now=late))  # a replay finds it


def test_looks_grow_rarer() -> None:
    progress, waits = progress_of(*UNNAMED), []
    for _ in range(12):
        outcome = waiting(step(looked("PROCESSING"), progress))
        progress = dict(outcome.progress)
        waits.append(outcome.wait_s)
    assert waits == sorted(waits)
    assert waits[-1] == 30.0


def test_a_render_that_the_service_forgot_is_not_made_again() -> None:
    error = step(said(error=f"Task with ID {TASK_ID} not found."), progress_of(*UNNAMED))
    assert (type(error), error.code) == (Refused, "task_gone")


# ----------------------------------------------------------------------------------------------------------- fetching


@pytest.mark.parametrize(
    "given",
    [
        answer(403, b"<Error><Message>Request has expired.</Message></Error>"),
        answer(401),
        answer(402),
        answer(404),
        answer(410),
        answer(429),
        answer(500),
        OutcomeUnknown("broke off", code="answer_truncated"),
        Unavailable("no such host"),
        video(b""),
        video(b"<html>maintenance</html>"),
    ],
)
def test_a_download_that_failed_is_tried_with_a_new_address(given: Any) -> None:
    progress = progress_of(*UNNAMED)
    error = step((looked("SUCCESS", result=RESULT), given), progress)
    assert type(error) is Unavailable
    assert error.holds is False
    assert TASK_ID in str(error)
    assert "planted" not in str(error)
    using = Scripted(looked("SUCCESS", result=RESULT + "2"), video())
    done(run(calling(using, TITLED, progress=progress)))
    assert using.requests[1].url == RESULT + "2"


def test_what_a_storage_says_is_not_what_the_service_says() -> None:
    """Neither its words nor its envelope mean anything of the account."""
    page = answer(200, {"success": False, "error": "Insufficient credits."})
    error = step((looked("SUCCESS", result=RESULT), page), progress_of(*UNNAMED))
    assert (type(error), error.code) == (Unavailable, "answer_unusable")


def test_a_save_that_failed_inside_a_success_says_why() -> None:
    error = step(said({"success": False, "error": "Unsupported track"}), progress_of(*BUILT))
    assert (type(error), str(error)) == (InvalidPayload, "VectCut said: Unsupported track.")


def test_a_video_that_is_too_large_is_refused_in_a_sentence() -> None:
    error = step((looked("SUCCESS", result=RESULT), replace(video(), cut=True)), progress_of(*UNNAMED))
    assert (type(error), error.code) == (Refused, "video_too_large")
    assert "larger than 256 MiB" in str(error)


def test_a_result_at_a_forbidden_address_is_not_fetched() -> None:
    error = step((looked("SUCCESS", result="http://10.0.0.1/x.mp4"), TargetForbidden("no")), progress_of(*UNNAMED))
    assert isinstance(error, TargetForbidden)


def test_a_video_that_cannot_be_kept_is_fetched_again() -> None:
    full = Memory(OSError("disk full"))
    error = step((looked("SUCCESS", result=RESULT), video()), progress_of(*UNNAMED), media=full)
    assert (type(error), error.code) == (Unavailable, "media_not_kept")


# -------------------------------------------------------------------------------------------------------------- agents


AGENT = {"agent": {"agent_id": "a1", "params": {"video_url": [{"asset_id": PICTURE_ID}], "title": "T"}}, "name": "n"}


def agent_state(word: str, **more: Any) -> Answer:
    return answer(200, {"success": word != "failure", "status": word, "message": "", "error": "", **more})


def clips() -> Memory:
    store = Memory()
    store.stored(PICTURE_ID, film(64, 64, 24, 1.0), "video/mp4")
    return store


def test_an_agent_makes_the_whole_video() -> None:
    made = {"draft_id": DRAFT_ID, "draft_url": "", "video_url": RESULT}
    using = Scripted(
        answer(200, {"task_id": TASK_ID}), agent_state("processing"), agent_state("success", output=made), video()
    )
    steps, last = walked(using, AGENT, media=clips())
    assert [path(each) for each in using.requests] == [
        "agent/submit_agent_task",
        "agent/task_status",
        "agent/task_status",
        "GET videos.example",
    ]
    assert body(using.requests[0])["params"]["video_url"][0].startswith("https://media.example/")
    assert using.requests[1].url.endswith(f"?task_id={TASK_ID}")
    assert [each.progress["step"] for each in steps] == ["submit", "agent", "agent"]
    assert (last.result["agent_id"], last.result["draft_id"]) == ("a1", DRAFT_ID)
    assert event_types()["video.rendered"].problem(last.events[0].data) is None


def test_an_agents_task_is_never_given_twice_and_says_why_it_failed() -> None:
    submit = waiting(run(calling(Scripted(), AGENT, media=clips()))).progress
    assert ACTION.repeat_after(submit) is Repeat.NEVER
    for given in (OutcomeUnknown("lost"), answer(503), answer(200, {"done": 1})):
        assert isinstance(step(given, submit, AGENT, media=clips()), OutcomeUnknown)
    poll = waiting(step(answer(200, {"task_id": TASK_ID}), submit, AGENT, media=clips())).progress
    failed = step(agent_state("failure", error="No speech found"), poll, AGENT)
    assert (type(failed), str(failed)) == (Refused, f"The render {TASK_ID} failed: No speech found.")


def test_nothing_is_added_to_an_agents_video() -> None:
    error = step((), {}, {**AGENT, "title": "T"})
    assert (type(error), error.code) == (InvalidPayload, "agent_alone")
    bad = {"agent": {"agent_id": "a", "params": {"video_url": ["/etc/passwd"]}}}
    assert step((), {}, bad).code == "media_unnamed"


def test_a_step_of_a_day_ago_goes_on() -> None:
    """Progress is all that a step needs: nothing is computed from when the delivery began."""
    call = calling(Scripted(*FETCHED[-2:]), TITLED, progress=progress_of(*UNNAMED))
    call = replace(call, now=NOW + timedelta(days=1), attempt_number=99)
    done(run(call))
