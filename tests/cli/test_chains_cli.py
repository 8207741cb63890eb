"""`mesh chains`, and the tree of what came of an event."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from typer.testing import CliRunner, Result

from cli import chains, events, session, show
from cli.errors import Problem
from cli.tree import cost
from model import Cost, Done, NewEvent
from providers import PROVIDERS
from providers.contract import Action, Call
from tests.mesh import Mesh
from worker.chain_setup import ChainError

SPEAK, SPOKEN = "audio.render_requested", "audio.rendered"
CHAIN = {
    "name": "welcome",
    "steps": [
        {
            "on": "user.signup",
            "where": {"plan": "team"},
            "integration": "elevenlabs/main",
            "do": SPEAK,
            "data": {"text": "Hello {{user_id}}"},
        },
        {"on": SPOKEN, "integration": "elevenlabs/second", "do": SPEAK, "data": {"text": "{{asset_id}}"}},
    ],
}
Run = Callable[..., Result]


def speak(call: Call) -> Done:
    facts = {"asset_id": "a1", "uri": "memory://a1.mp3", "mime": "audio/mpeg", "size_bytes": 2000}
    event = NewEvent(call.event.tenant_id, SPOKEN, facts, f"{SPOKEN}:{call.delivery_id}")
    return Done(facts, events=(event,), cost=Cost(Decimal("1234.50"), "characters"))


@pytest.fixture
def run(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The commands, on a mesh with two accounts that speak at once."""
    monkeypatch.setattr(session, "engine", lambda: mesh.engine)
    monkeypatch.setattr(show.console, "_width", 200)
    action = Action(speak, publishes=(SPOKEN,))
    monkeypatch.setitem(PROVIDERS, "elevenlabs", replace(PROVIDERS["elevenlabs"], actions={SPEAK: action}))
    mesh.account(name="main")
    mesh.account(name="second")

    def invoke(app: Any, *arguments: str, stdin: str | None = None) -> Result:
        return CliRunner().invoke(app, arguments, input=stdin)

    return invoke


def shown(result: Result) -> str:
    assert result.exception is None, result.exception
    return result.stdout


def test_a_chain_is_set_up_shown_and_changed(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "welcome.json"
    file.write_text(json.dumps(CHAIN))
    said = shown(run(chains.app, "apply", str(file), "--tenant", "acme"))
    assert said == "Chain welcome of acme is set up, with 2 steps.\n"
    rows = shown(run(chains.app, "list")).splitlines()
    assert rows[1].split() == ["acme", "welcome", "active", "1", "user.signup", "elevenlabs/main", SPEAK]
    assert rows[2].split() == ["acme", "welcome", "active", "2", "1", SPOKEN, "elevenlabs/second", SPEAK]
    exported = shown(run(chains.app, "show", "welcome", "--tenant", "acme"))
    assert json.loads(exported) == CHAIN, "what is shown can be applied"
    again = shown(run(chains.app, "apply", "-", "--tenant", "acme", stdin=exported))
    assert again == "Chain welcome of acme is as it was, with 2 steps.\n"


def test_what_is_wrong_is_one_sentence(run: Run, tmp_path: Path) -> None:
    missing = run(chains.app, "apply", str(tmp_path / "no.json"), "--tenant", "acme")
    assert isinstance(missing.exception, Problem)
    assert "no.json cannot be read: No such file or directory." in str(missing.exception)
    broken = run(chains.app, "apply", "-", "--tenant", "acme", stdin="{")
    assert "is not JSON" in str(broken.exception)
    wrong = run(chains.app, "apply", "-", "--tenant", "acme", stdin='{"name": "x", "steps": []}')
    assert isinstance(wrong.exception, ChainError)
    nobody = run(chains.app, "show", "nothing", "--tenant", "acme")
    assert 'has no chain "nothing"' in str(nobody.exception)
    assert shown(run(chains.app, "list")) == "No chains yet: set one up with `mesh chains apply`.\n"


def test_a_slip_that_is_allowed_is_noted(run: Run) -> None:
    slip = {"name": "x", "steps": [{**CHAIN["steps"][0], "data": {"text": "{{nick}}"}}]}  # type: ignore[dict-item]
    said = shown(run(chains.app, "apply", "-", "--tenant", "acme", stdin=json.dumps(slip)))
    assert "Note: Step 1: {{nick}} is not among what the catalog says of user.signup" in said


def test_trying_a_chain_publishes_nothing(run: Run, mesh: Mesh) -> None:
    run(chains.app, "apply", "-", "--tenant", "acme", stdin=json.dumps(CHAIN))
    event = str(mesh.publish(data={"user_id": "u7", "plan": "free"}).event_id)
    said = shown(run(chains.app, "try", "welcome", event, "--tenant", "acme"))
    assert "Step 1: elevenlabs/main would get audio.render_requested" in said
    assert '"text": "Hello u7"' in said
    assert mesh.count("events") == 1
    nothing = run(chains.app, "try", "welcome", str(uuid4()), "--tenant", "acme")
    assert "There is no event" in str(nothing.exception)


def test_a_chain_rests_and_goes(run: Run, mesh: Mesh) -> None:
    run(chains.app, "apply", "-", "--tenant", "acme", stdin=json.dumps(CHAIN))
    assert "is disabled" in shown(run(chains.app, "disable", "welcome", "--tenant", "acme"))
    assert mesh.count("chain_steps", "state = 'disabled'") == 2
    assert "is active" in shown(run(chains.app, "enable", "welcome", "--tenant", "acme"))
    assert "is removed" in shown(run(chains.app, "remove", "welcome", "--tenant", "acme"))
    assert shown(run(chains.app, "list")).startswith("No chains yet")


def test_the_tree_shows_every_step_with_its_cost_and_the_sum(run: Run, mesh: Mesh) -> None:
    run(chains.app, "apply", "-", "--tenant", "acme", stdin=json.dumps(CHAIN))
    event = mesh.publish(data={"user_id": "u7", "plan": "team"}).event_id
    mesh.drain()
    lines = shown(run(events.app, "show", str(event))).splitlines()
    assert "chain welcome, step 1: audio.render_requested of acme" in lines[1]
    assert "1,234.5 characters" in lines[3]
    assert any("chain welcome, step 2:" in line for line in lines)
    assert lines[-1].startswith("In all: 2 calls in ")
    assert lines[-1].endswith(", 2,469 characters")
    child = mesh.one("select id from events where type = %(type)s limit 1", type=SPOKEN)
    assert shown(run(events.app, "show", str(child))).splitlines()[-1] == (
        f"It came of another event: mesh events show {event}"
    )


def test_a_step_that_was_not_followed_stands_in_the_tree(run: Run, mesh: Mesh) -> None:
    broken = {"name": "x", "steps": [{**CHAIN["steps"][0], "where": {}, "data": {"text": "{{nick}}"}}]}  # type: ignore[dict-item]
    run(chains.app, "apply", "-", "--tenant", "acme", stdin=json.dumps(broken))
    event = mesh.publish().event_id
    said = shown(run(events.app, "show", str(event)))
    assert "a chain stopped here: Step 1 of chain x: {{nick}} is not in the data of user.signup." in said


def test_many_attempts_are_counted_rather_than_listed(run: Run, mesh: Mesh) -> None:
    mesh.hook("/fault/500/receive/x")
    delivery = mesh.signup()
    mesh.deliver(delivery)
    mesh.sql(
        "insert into integration_sync_logs (id, delivery_id, event_id, tenant_id, provider, integration_id, event_type,"
        " attempt_number, state, started_at, finished_at, error_code, worker)"
        " select mesh_uuid(), delivery_id, event_id, tenant_id, provider, integration_id, event_type, n, 'retryable',"
        " started_at + n * interval '1 second', started_at + n * interval '1 second', 'x', 'w'"
        " from integration_sync_logs, generate_series(2, 30) as n"
    )
    said = shown(run(events.app, "show", str(mesh.one("select id from events"))))
    assert f"… 18 attempts more: mesh deliveries show {delivery}" in said
    assert sum("attempt " in line for line in said.splitlines()) == 12


@pytest.mark.parametrize(
    ("amount", "unit", "written"),
    [
        ("0.0031", "usd", "$0.0031"),
        ("12", "usd", "$12"),
        ("2345", "characters", "2,345 characters"),
        ("41000", "nano_credits", "41,000 nano credits"),
        ("1E+3", "characters", "1,000 characters"),
        ("0.50", "credits", "0.5 credits"),
        ("1.0", "renders", "1 render"),
    ],
)
def test_costs_are_written_as_people_write_them(amount: str, unit: str, written: str) -> None:
    assert cost(Decimal(amount), unit) == written
