"""docs/api.md, each of its calls tried as it stands there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from tests.api.client import client
from tests.mesh import Mesh

DOCS = Path(__file__).resolve().parents[2] / "docs" / "api.md"
CALLS = re.findall(r"^## \d+\. (.+?)\n\n```sh\n(.+?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
HOOK = "/zapier/hooks/catch/1/abc/"


@pytest.fixture
def environment(mesh: Mesh, doors: str) -> dict[str, str]:
    """What the page's variables stand for."""
    hook = mesh.hook(path=HOOK)
    event = mesh.publish().event_id
    mesh.drain()
    return {
        **os.environ,
        "MESH": doors,
        "KEY": client(mesh, doors).key,
        "WEBHOOK": str(hook.webhook_id),
        "EVENT": str(event),
        "INTEGRATION": str(mesh.account("key-of-acme", name="main")),
    }


def test_the_page_has_the_ten_commonest_calls() -> None:
    assert len(CALLS) == 10


@pytest.mark.parametrize(("title", "commands"), CALLS, ids=[title for title, _ in CALLS])
def test_a_call_works_as_it_stands(mesh: Mesh, environment: dict[str, str], title: str, commands: str) -> None:
    if shutil.which("curl") is None:
        pytest.skip("LOUD: curl is not installed, so the calls of docs/api.md are not tried")
    code, said = bash(
        mesh,
        environment,
        commands.replace("https://hooks.zapier.com/hooks/catch/1", f"{mesh.sandbox.url}/zapier/hooks/catch/2"),
    )
    assert code == 0, said
    assert said.startswith("{"), said


def bash(mesh: Mesh, environment: dict[str, str], commands: str) -> tuple[int, str]:
    """Run commands while a worker works; how they ended, and what they said."""
    with subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", commands],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        while process.poll() is None:
            mesh.drain()
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
        assert process.stdout is not None
        return process.returncode, process.stdout.read()
