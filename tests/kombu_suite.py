"""kombu's own tests of its Redis transport, run against ours: `python -m tests.kombu_suite [--integration]`.

They are in kombu's source distribution, which is fetched by pip for exactly the version that is installed, and kept in
`.mesh/kombu-<version>`. A plugin puts our classes where the tests find kombu's. A test that passes with kombu's own
classes must pass with ours, except those that look at how the stock transport waits (`ON_PURPOSE`).

`--integration` also runs those that need a Redis, against an empty embedded one; they take some minutes.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from xml.etree import ElementTree

import redis

from cli.embedded import Redis

ROOT = Path(__file__).resolve().parents[1]
VERSION = importlib.metadata.version("kombu")
FOLDER = ROOT / ".mesh" / f"kombu-{VERSION}"
FETCH_S = 120
RUN_S = 900

UNIT = ("t/unit/transport/test_redis.py",)
INTEGRATION = ("t/integration/test_redis.py", "t/integration/test_redis_brpop_qos.py")

ENDS_THE_BRPOP = "it cuts or watches the connection of a BRPOP; ours waits on connections of `worker.wakeups`"
PAUSES_THE_BRPOP = "it watches a BRPOP's message being kept while there is no room; our wake-ups bring no message"

# Beginning of a test's id -> why it cannot pass with ours.
ON_PURPOSE: Mapping[str, str] = {
    "t.unit.transport.test_redis.test_Channel::test_sentinel_inherits_publish_batch_support": (
        "it asks whether the channel of sentinel:// is a subclass of the one of redis://: that one stays kombu's"
    ),
    "t.integration.test_redis::test_event_loop_consumes_after_connection_reconnect": ENDS_THE_BRPOP,
    "t.integration.test_redis.test_RedisBrpopHealthCheck::": ENDS_THE_BRPOP,
    "t.integration.test_redis_brpop_qos::": PAUSES_THE_BRPOP,
}

PLUGIN = """
import kombu.transport.redis as stock
from kombu.utils import eventio

import worker.transport as ours

for name in ("Channel", "QoS", "Transport"):
    setattr(stock, name, getattr(ours, name))
stock.poll = lambda: eventio.poll()  # the tests replace it before they import the transport; it is imported already
ours.install()
"""


class NotFetched(Exception):
    """The source distribution could not be fetched."""


def fetch() -> Path:
    """The folder of kombu's tests, fetched when it is not there yet. Raises NotFetched with pip's last line."""
    if not FOLDER.is_dir():
        FOLDER.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=FOLDER.parent) as temporary:
            _unpack(_download(Path(temporary)), Path(temporary) / "tests")
            shutil.copytree(Path(temporary) / "tests" / f"kombu-{VERSION}" / "t", FOLDER / "t", dirs_exist_ok=True)
    return FOLDER


def _download(folder: Path) -> Path:
    options = ["--no-deps", "--no-binary", ":all:", "--disable-pip-version-check", "--quiet", "--dest", str(folder)]
    command = [sys.executable, "-m", "pip", "download", *options, f"kombu=={VERSION}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_S, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        raise NotFetched(f"pip did not answer within {FETCH_S} s") from None
    found = list(folder.glob("kombu-*.tar.gz"))
    if done.returncode or not found:
        raise NotFetched((done.stderr.strip().splitlines() or ["pip said nothing"])[-1])
    return found[0]


def _unpack(archive: Path, folder: Path) -> None:
    with tarfile.open(archive) as sources:
        sources.extractall(folder, filter="data")


def run(tests: Collection[str], *, ours: bool, port: int = 0) -> dict[str, str]:
    """How each of these tests of kombu's ended (passed, failed, skipped), by its id.

    `port` is that of a Redis without a password, for those that need one.
    """
    folder = fetch()
    with tempfile.TemporaryDirectory() as temporary:
        plugins = Path(temporary)
        (plugins / "our_transport.py").write_text(PLUGIN)
        report = plugins / "report.xml"
        arguments = ["-q", "-c", os.devnull, "--rootdir", str(folder), "-p", "no:cacheprovider", "-W", "ignore"]
        arguments += ["-o", "python_classes=test_*", "--junit-xml", str(report)]
        if ours:
            arguments += ["-p", "our_transport"]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *arguments, *tests],
            cwd=folder,
            env=_environment(plugins, port),
            capture_output=True,
            text=True,
            timeout=RUN_S,
            stdin=subprocess.DEVNULL,
        )
        if not report.exists():
            raise RuntimeError(f"kombu's tests did not run: {(done.stdout + done.stderr)[-2000:]}")
        return _outcomes(report)


def _environment(plugins: Path, port: int) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    where = {"REDIS_HOST": "127.0.0.1", "REDIS_6379_TCP": str(port)} if port else {}
    return {**kept, "PYTHONPATH": f"{plugins}{os.pathsep}{ROOT}", **where}


def _outcomes(report: Path) -> dict[str, str]:
    cases = ElementTree.parse(report).getroot().iter("testcase")
    return {f"{case.get('classname')}::{case.get('name')}": _outcome(case) for case in cases}


def _outcome(case: ElementTree.Element) -> str:
    kinds = {part.tag for part in case}
    if kinds & {"failure", "error"}:
        return "failed"
    return "skipped" if "skipped" in kinds else "passed"


def passed(outcomes: Mapping[str, str]) -> set[str]:
    """Ids of the tests that passed."""
    return {name for name, outcome in outcomes.items() if outcome == "passed"}


def reason(name: str) -> str | None:
    """Why a test cannot pass with ours; None when it must."""
    return next((why for beginning, why in ON_PURPOSE.items() if name.startswith(beginning)), None)


def main() -> int:
    """Run both ways and print what differs. 1 when a test fails that must pass."""
    worst = _compare(UNIT)
    if "--integration" in sys.argv[1:]:
        worst |= _compare(INTEGRATION)
    return worst


def _compare(tests: Collection[str]) -> int:
    stock, ours = (_run_on_empty_redis(tests, ours=ours) for ours in (False, True))
    lost = sorted(passed(stock) - passed(ours))
    print(f"{' '.join(tests)}: {len(passed(stock))} pass with kombu's own, {len(passed(ours))} with ours")
    for name in lost:
        print(f"  {name}: {reason(name) or 'MUST PASS'}")
    return int(any(reason(name) is None for name in lost))


def _run_on_empty_redis(tests: Collection[str], *, ours: bool) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        server = Redis(Path(folder), persist=False)
        server.start()
        try:
            with redis.Redis.from_url(server.url()) as client:
                client.config_set("requirepass", "")  # kombu's tests know no password
            return run(tests, ours=ours, port=server.port)
        finally:
            server.stop()


if __name__ == "__main__":
    sys.exit(main())
