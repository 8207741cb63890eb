"""The streams: agents with their workflows, the account, models, connectors; and the ceiling."""

from __future__ import annotations

from typing import Any

import pytest

from model import Done, Wait
from providers.errors import CredentialsRejected, Unavailable, Unsupported
from providers.mindstudio import PROVIDER
from providers.mindstudio.doors import ASSUMED, DOORS, OFFICIAL
from tests.providers.doubles import Scripted, answer
from tests.providers.mindstudio.calls import Walk


def sync(stream: str, *answers: Any) -> Walk:
    return Walk(Scripted(*answers), "sync.due", {"integration_id": "x", "stream": stream})


def stored(done: Done) -> Any:
    assert done.records is not None
    cursor = done.records.cursor
    assert cursor is not None
    assert cursor.finished
    return cursor.value


def test_agents_are_read_with_their_workflows_a_few_at_a_time() -> None:
    apps = [{"id": f"a{n}", "name": f"Agent {n}", "slug": f"agent-{n}", "description": "long"} for n in range(12)]
    flow = {"id": "w", "name": "Main", "slug": "main", "launchVariables": ["topic"], "outputVariables": ["text"]}
    walk = sync(
        "agents",
        answer(200, {"orgId": "o", "apps": [*apps, {"name": "no id"}]}),
        *[answer(200, {"workflows": [flow, {"name": ""}]})] * 11,
        answer(404, {"message": "Gone."}),
    )
    walk.step()
    walk.step()
    assert (walk.progress["done"], walk.progress["of"]) == (10, 12)
    value = stored(walk.end())
    assert value["agents"]["a0"] == {
        "name": "Agent 0",
        "slug": "agent-0",
        "workflows": [{"id": "w", "name": "Main", "slug": "main", "takes": ["topic"], "gives": ["text"]}],
    }
    assert value["agents"]["a11"]["workflows"] == []
    assert len(walk.waits) == 2
    assert walk.using.requests[1].url.endswith("/developer/v2/workers/a0/workflows")


def test_an_account_without_agents() -> None:
    assert stored(sync("agents", answer(200, {"apps": []})).end())["agents"] == {}


def test_who_the_key_belongs_to_and_nobody_else() -> None:
    said = {
        "userId": "u",
        "displayName": "Key",
        "organizationId": "o",
        "organizationName": "Acme",
        "members": [{"x": 1}],
    }
    done = sync("account", answer(200, said)).end()
    assert stored(done) == {"user_id": "u", "name": "Key", "organization_id": "o", "organization": "Acme"}
    with pytest.raises(CredentialsRejected):
        sync("account", answer(401)).step()


def test_models_and_connectors() -> None:
    models = sync("models", answer(200, {"models": [{"id": "m", "name": "M", "type": "llm_chat", "tags": ""}]})).end()
    assert stored(models) == {"models": [{"id": "m", "name": "M", "type": "llm_chat"}]}
    walk = sync(
        "connectors",
        answer(200, {"services": [{"id": "chat", "name": "Team Chat", "actions": []}]}),
        answer(200, {"connections": [{"id": "c1", "name": "Ours", "secret": "x"}]}),
    )
    assert isinstance(walk.step(), Wait)
    assert stored(walk.end()) == {
        "services": [{"id": "chat", "name": "Team Chat"}],
        "connections": [{"id": "c1", "name": "Ours"}],
    }


def test_a_reading_that_is_held_up_holds_nothing_else_up() -> None:
    for given in (answer(503), answer(200, {"apps": "x"})):
        with pytest.raises(Unavailable) as failed:
            sync("agents", given).step()
        assert not failed.value.holds


def test_a_stream_that_there_is_not() -> None:
    with pytest.raises(Unsupported, match="no stream insights: there are agents, account, models, connectors"):
        sync("insights").step()


@pytest.mark.parametrize(("said", "most"), [("35", 35), ("", None), ("0", None), ("many", None), ("-3", None)])
def test_how_many_at_once_is_what_answers_say(said: str, most: int | None) -> None:
    assert PROVIDER.ceiling is not None
    assert PROVIDER.ceiling.first == 20
    assert PROVIDER.ceiling.read(answer(200, headers={"X-RateLimit-Concurrency-Limit": said})) == most
    assert PROVIDER.ceiling.lane("agent.run_requested", {}, {}) != ""


def test_each_path_says_how_well_it_is_known() -> None:
    assert set(PROVIDER.paths) == set(DOORS)
    assert DOORS["run"].evidence == OFFICIAL
    assert [name for name, door in DOORS.items() if door.evidence == ASSUMED] == [
        "estimate",
        "models",
        "connectors",
        "connections",
    ]
