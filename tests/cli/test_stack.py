"""The supervisor and the stack, with small processes of our own in the place of workers."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg2
import pytest
import redis
from rich.console import Console

from cli.embedded import Postgres, Redis
from cli.stack import Plan, ProcessSpec, Stack, StackError, Supervisor, specs

ROOT = Path(__file__).parents[2]
SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]
DEAF = "from signal import *; signal(SIGTERM, SIG_IGN); print('up', flush=True); pause()"
STUBBORN = [sys.executable, "-c", DEAF]


def until(true: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def lives(pid: int | None) -> bool:
    try:
        return pid is not None and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(tmp_path: Path, said: list[str]) -> Iterator[Supervisor]:
    supervisor = Supervisor(tmp_path, say=said.append)
    yield supervisor
    supervisor.hurry()
    supervisor.close()


def test_a_killed_process_starts_again_and_a_line_says_so(supervisor: Supervisor, said: list[str]) -> None:
    supervisor.start([ProcessSpec("worker-1", SLEEPER)])
    first = supervisor.pid("worker-1")
    supervisor.kill("worker-1")
    until(lambda: supervisor.pid("worker-1") not in (None, first))
    assert said == [f"worker-1 was ended by SIGKILL; it starts again in 0.2 s, see {supervisor.logs / 'worker-1.log'}"]


def test_a_process_that_keeps_dying_is_started_less_and_less_often(supervisor: Supervisor, said: list[str]) -> None:
    supervisor.start([ProcessSpec("broken", [sys.executable, "-c", "print('no such module'); exit(3)"])])
    until(lambda: len(said) >= 3)
    waits = [line.split(" in ")[1].split(" s,")[0] for line in said[:3]]
    assert waits == ["0.2", "0.4", "0.8"]
    assert said[0].startswith("broken ended with code 3")
    assert "no such module" in read(supervisor.logs / "broken.log")


def test_a_process_that_is_not_to_be_restarted_is_not(supervisor: Supervisor, said: list[str]) -> None:
    supervisor.start([ProcessSpec("once", [sys.executable, "-c", ""], restart=False)])
    until(lambda: bool(said))
    with pytest.raises(StackError, match=r"once did not become ready: see .*once\.log"):
        supervisor.wait_ready(10)
    assert supervisor.pids() == {}


def test_stages_end_from_the_highest_and_nothing_is_left(supervisor: Supervisor, tmp_path: Path) -> None:
    ends = tmp_path / "ends"
    code = (
        "import signal, sys, time\n"
        "def end(number, frame):\n"
        f"    open({str(ends)!r}, 'a').write(sys.argv[1] + ' ')\n"
        "    sys.exit()\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "print('up', flush=True)\n"
        "time.sleep(60)"
    )
    names = {"sandbox": 1, "worker-1": 2, "flower": 3, "beat": 4}

    def up(name: str) -> Callable[[], bool]:
        return lambda: "up" in read(supervisor.logs / f"{name}.log")

    supervisor.start(
        ProcessSpec(name, [sys.executable, "-c", code, name], ready=up(name), stage=stage)
        for name, stage in names.items()
    )
    supervisor.wait_ready(10)
    pids = supervisor.pids()
    assert list(pids) == ["sandbox", "worker-1", "flower", "beat"]
    supervisor.close()
    assert ends.read_text().split() == ["beat", "flower", "worker-1", "sandbox"]
    assert [name for name, pid in pids.items() if lives(pid)] == []


def test_who_does_not_end_in_its_grace_is_killed_with_all_it_started(supervisor: Supervisor, tmp_path: Path) -> None:
    child = tmp_path / "child"
    code = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"started = subprocess.Popen({SLEEPER!r})\n"
        f"open({str(child)!r}, 'w').write(str(started.pid) + '\\n')\n"
        "time.sleep(60)"
    )
    spec = ProcessSpec("worker-1", [sys.executable, "-c", code], grace_s=0.3, ready=lambda: "\n" in read(child))
    supervisor.start([spec])
    supervisor.wait_ready(10)
    began = time.monotonic()
    supervisor.stop()
    assert 0.3 <= time.monotonic() - began < 3
    until(lambda: not lives(int(child.read_text())))


def test_a_hurried_stop_waits_for_nobody(supervisor: Supervisor) -> None:
    log = supervisor.logs / "worker-1.log"
    supervisor.start([ProcessSpec("worker-1", STUBBORN, grace_s=60, ready=lambda: "up" in read(log))])
    supervisor.wait_ready(10)
    threading.Timer(0.2, supervisor.hurry).start()
    began = time.monotonic()
    supervisor.stop()
    assert time.monotonic() - began < 5


def test_a_second_start_in_the_same_home_is_refused_in_one_sentence(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.open()
    with pytest.raises(StackError, match=rf"runs already in .* \(process {os.getpid()}\): stop it with Ctrl-C"):
        Supervisor(tmp_path).open()
    supervisor.close()
    again = Supervisor(tmp_path)
    again.open()
    again.close()


def test_a_guard_that_is_killed_is_replaced(supervisor: Supervisor) -> None:
    supervisor.start([ProcessSpec("worker-1", SLEEPER)])
    before = supervisor.guard_pid
    assert before is not None
    os.kill(before, signal.SIGKILL)
    until(lambda: supervisor.guard_pid not in (None, before))
    assert lives(supervisor.pid("worker-1"))


STACK_PROGRAM = """
import sys, time
from pathlib import Path
from cli.stack import ProcessSpec, Stack
sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
with Stack(Path(sys.argv[1]), durable=False, flower=False, sandbox=False,
           plan=lambda plan: [ProcessSpec("worker-1", sleeper), ProcessSpec("worker-2", sleeper)]):
    print("up", flush=True)
    time.sleep(60)
"""


def test_nothing_outlives_a_killed_stack_and_the_next_one_starts(tmp_path: Path) -> None:
    stack = subprocess.Popen(
        [sys.executable, "-c", STACK_PROGRAM, str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        env=clean_env(),
    )
    assert stack.stdout is not None
    assert stack.stdout.readline() == b"up\n"
    pids = [*json.loads(read(tmp_path / "stack.json"))["processes"].values()]
    pids += [Postgres(tmp_path).pid, Redis(tmp_path).pid]
    assert [lives(pid) for pid in pids] == [True] * 4
    stack.kill()
    stack.communicate()
    with Stack(tmp_path, durable=False, flower=False, sandbox=False, env=clean_env(), plan=lambda plan: []) as fresh:
        assert [pid for pid in pids if lives(pid)] == []
        assert fresh.postgres is not None
        assert fresh.postgres.pid is not None


def clean_env() -> dict[str, str]:
    """Our environment without what would point a stack to other servers."""
    return {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}


def test_the_stack_file_says_where_everything_is_and_goes_with_the_stack(tmp_path: Path) -> None:
    prepared: list[str] = []
    seen: list[Plan] = []

    def plan(plan: Plan) -> list[ProcessSpec]:
        seen.append(plan)
        dump = "import json, os, time; print(json.dumps(dict(os.environ)), flush=True); time.sleep(60)"
        return [ProcessSpec("worker-1", [sys.executable, "-c", dump], plan.env)]

    env = {**clean_env(), "ELEVENLABS_BASE_URL": "https://api.example.com"}
    with Stack(tmp_path, durable=False, env=env, prepare=prepared.append, plan=plan) as stack:
        assert stack.file.stat().st_mode & 0o777 == 0o600
        content = json.loads(stack.file.read_text())
        settings = content["settings"]
        assert content["pid"] == os.getpid()
        assert content["processes"] == {"worker-1": stack.supervisor.pid("worker-1")}
        assert content["sandbox_url"] == stack.sandbox_url == f"http://127.0.0.1:{seen[0].sandbox_port}"
        assert content["flower_url"] == f"http://127.0.0.1:{seen[0].flower_port}"
        assert prepared == [settings["database_url"]]
        assert settings["zapier_base_url"] == stack.sandbox_url + "/zapier"
        assert settings["elevenlabs_base_url"] == "https://api.example.com"
        assert settings["mesh_private_targets"] == "127.0.0.0/8"
        psycopg2.connect(settings["database_url"]).close()
        assert redis.Redis.from_url(settings["redis_url"]).ping()
        log = stack.supervisor.logs / "worker-1.log"
        until(lambda: read(log).endswith("}\n"))
        child = json.loads(read(log))
        assert {name: child[name.upper()] for name in settings} == settings
        assert (child["MESH_HOME"], child["PYTHONUNBUFFERED"]) == (str(tmp_path), "1")
        for secret in ("encryption.keys", "flower.auth", "flower.cookie"):
            assert (tmp_path / secret).stat().st_mode & 0o777 == 0o600
        before = content["processes"]["worker-1"]
        stack.supervisor.kill("worker-1")
        until(lambda: json.loads(stack.file.read_text())["processes"].get("worker-1", 0) not in (0, before))
    assert not stack.file.exists()
    assert stack.postgres is not None
    assert stack.redis is not None
    assert (stack.postgres.pid, stack.redis.pid) == (None, None)


def test_servers_that_the_environment_names_are_used_and_none_is_started(tmp_path: Path) -> None:
    env = {"DATABASE_URL": "postgresql://db.example.com/mesh", "REDIS_URL": "redis://redis.example.com/0"}
    prepared: list[str] = []
    with Stack(tmp_path, env=env, prepare=prepared.append, plan=lambda plan: []) as stack:
        assert (stack.postgres, stack.redis) == (None, None)
        assert stack.settings["redis_url"] == env["REDIS_URL"]
    assert prepared == [env["DATABASE_URL"]]


def test_a_failed_preparation_ends_what_was_started(tmp_path: Path) -> None:
    def fail(database_url: str) -> None:
        raise ZeroDivisionError

    stack = Stack(tmp_path, durable=False, env=clean_env(), prepare=fail)
    with pytest.raises(ZeroDivisionError):
        stack.start()
    assert (Postgres(tmp_path).pid, Redis(tmp_path).pid) == (None, None)
    assert not stack.file.exists()


def test_run_forever_ends_with_0_after_ctrl_c(tmp_path: Path) -> None:
    env = {"DATABASE_URL": "postgresql://db.example.com/mesh", "REDIS_URL": "redis://redis.example.com/0"}
    stack = Stack(tmp_path, env=env, plan=lambda plan: [ProcessSpec("worker-1", SLEEPER)])
    screen = io.StringIO()
    pids: list[int] = []

    def press_ctrl_c() -> None:
        until(lambda: "Ctrl-C stops it" in screen.getvalue())
        pids.extend(stack.supervisor.pids().values())
        os.kill(os.getpid(), signal.SIGINT)

    presser = threading.Thread(target=press_ctrl_c)
    presser.start()
    handler = signal.getsignal(signal.SIGINT)
    assert stack.run_forever(Console(file=screen, width=200)) == 0
    presser.join()
    assert signal.getsignal(signal.SIGINT) is handler
    assert len(pids) == 1
    assert not lives(pids[0])
    for word in ("worker-1", stack.flower_url, stack.sandbox_url, str(stack.supervisor.logs)):
        assert word in screen.getvalue()


def test_no_secret_stands_on_a_command_line(tmp_path: Path) -> None:
    plan = Plan(
        tmp_path,
        {"FLOWER_BASIC_AUTH": "mesh:pa55", "DATABASE_URL": "pa55"},
        flower_port=1,
        sandbox_port=2,
        flower_cookie_secret="pa55",
    )
    found = specs(plan)
    assert [spec.name for spec in found] == ["sandbox", "worker-1", "worker-2", "flower", "beat"]
    assert [spec.stage for spec in found] == sorted(spec.stage for spec in found)
    assert "pa55" not in " ".join(" ".join(spec.argv) for spec in found)
    assert "pa55" not in repr(found)
