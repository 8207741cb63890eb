"""`mesh demo`: the whole mesh at work against receivers that fail, and the ledger that proves nothing was lost."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.live import Live

import db.listen
from cli import demo_ads, demo_chain, demo_ledger, demo_report, demo_world, session
from cli.demo_ads import Ads
from cli.demo_chain import Chain
from cli.demo_progress import Progress, tries
from cli.demo_traffic import Published, publish_all
from cli.demo_world import World
from cli.show import console, say
from cli.stack import Stack
from db.audit import Pulse
from sandbox.control import Control
from settings import load

WORKERS = 2
READY_S = 30.0
ROUND_S = 0.15  # between two rounds of publishing, so that an eye can follow
ARRIVE_S = 20.0  # for everything to be accepted or rejected
SECOND_TRIES_S = 15.0  # for the second tries, which come after five seconds, to be seen
REST_S = 30.0  # then, for a moment in which nothing is in the air: second retries come in a wave of twelve seconds
SCENES_S = 120.0  # for the scenes of the ad platforms and the chain, each of which has limits of its own
QUIET_S = 0.7  # how long that moment must last, to read both sides

app = typer.Typer(add_completion=False)


@app.command()
def demo(
    events: Annotated[int, typer.Option(min=40, max=20_000, help="How many events to publish.")] = 300,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running, until Ctrl-C.")] = False,
) -> None:
    """Start everything in a folder of its own, publish a few hundred events, and check the ledger.

    A minute. Some receivers answer 429 or 500, hang, hang up, or are gone; two ad platforms are connected, take
    permissions back and ask for less; a report becomes a video through five providers. Exit code 0 means that what the
    mesh recorded and what the others saw agree.
    """
    home = (load().mesh_home / "demo").absolute()
    began = time.monotonic()
    with _stack(home) as stack:
        started_s = time.monotonic() - began
        say(f"Started PostgreSQL, Redis, {WORKERS} workers, beat, Flower and the sandbox in {started_s:.1f} s.")
        user, _, password = stack.settings["flower_basic_auth"].partition(":")
        say(f"Flower: {stack.flower_url}   user {user}, password {password}")
        balanced = _show(stack, events)
        say(f"\n[dim]{time.monotonic() - began:.0f} s in all.[/]")
        if keep:
            _stay(stack)
    raise typer.Exit(0 if balanced else 1)


@contextmanager
def _stack(home: Path) -> Iterator[Stack]:
    """Everything running and ready, in its own folder, with an empty database."""
    environment = demo_world.environment(home)
    stack = Stack(
        home,
        workers=WORKERS,
        api=True,
        env=environment,
        prepare=lambda database_url: _clear(stack, database_url),
        worker_ready=lambda name: _workers() >= WORKERS,
        say=lambda line: say(line, style="dim"),
    )
    with ExitStack() as ending:
        with console.status("Starting PostgreSQL, Redis, workers, beat, Flower and the sandbox …"):
            ending.enter_context(stack)
            os.environ.update(environment)
            os.environ.update({name.upper(): value for name, value in stack.settings.items()})
            stack.wait_ready(READY_S)
        ending.callback(session.engine().dispose)
        yield stack


def _clear(stack: Stack, database_url: str) -> None:
    """Forget what an earlier demo left."""
    demo_world.fresh_database(database_url)
    if stack.redis is not None:
        stack.redis.flushall()
    shutil.rmtree(stack.home / "media", ignore_errors=True)
    for log in stack.supervisor.logs.glob("*.log"):
        log.unlink()


def _workers() -> int:
    with session.transaction() as connection:
        return db.listen.listening(connection)


def _show(stack: Stack, events: int) -> bool:
    """Publish, watch, compare, and print. Whether the ledger balances."""
    control = Control(stack.sandbox_url)
    with session.transaction() as connection:
        world = demo_world.create(connection, stack.sandbox_url)
    demo_world.arm(control)
    say(f"Two tenants, {world.hooks} webhooks, two ElevenLabs accounts; one with two ad platforms, one with a chain.")
    say("These receivers are not well:")
    for broken in world.broken.values():
        say(f"  [dim]{broken.event_type:<20}[/] of {broken.tenant:<7} {broken.fault}")
    say()
    ads = Ads(demo_ads.TENANT, control, stack.sandbox_url)
    chain = Chain(demo_chain.TENANT, control, stack.sandbox_url)
    published = _run(world, events, [ads, chain])
    ledger = _both_sides(control)
    checks = [*demo_ledger.judge(ledger, published), *ads.checks, *chain.checks]
    balanced = all(check.ok for check in checks)
    with session.transaction() as connection:
        say("\n[bold]What was done[/]   [dim]latency from accepted to settled[/]")
        demo_report.numbers(console, connection)
        demo_report.accounts(console, ads.accounts)
        say("\n[bold]The ledger of the mesh against what the receivers saw[/]")
        demo_report.checks(console, checks)
        say("  [bold green]It balances.[/]" if balanced else "  [bold red]It does not balance.[/]")
        say("\n[bold]One report, and all that came of it[/]")
        demo_report.tree(console, connection, chain.event_id)
    _where(stack, demo_report.audio_file(ledger))
    return balanced


def _run(world: World, events: int, scenes: Sequence[Ads | Chain]) -> Published:
    """Publish everything, and watch it until only waiting is left; beside it the scenes are played."""
    published = Published()
    with Live(console=console, auto_refresh=False, transient=False) as live, ThreadPoolExecutor(2) as stage:
        progress = Progress(console, live)
        for each in scenes:
            each.say = partial(progress.beside, each.tenant)
        played = [stage.submit(each.play) for each in scenes]
        for published in publish_all(events):
            progress.published = len(published.keys)
            doors = published.by_door.items()
            progress.note = "through  " + "   ".join(f"{door} {count}" for door, count in doors)
            progress.look()
            time.sleep(ROUND_S)
        began = time.monotonic()
        progress.until(lambda now: _arrived(now, published), ARRIVE_S)
        patient = [hook for hook, broken in world.broken.items() if broken.tried_twice]
        doors_note, progress.note = progress.note, "waiting for second tries, which come after 5 s"
        progress.until(lambda now: _quiet(now) and tries(patient) >= 2, SECOND_TRIES_S - (time.monotonic() - began))
        progress.note = doors_note
        progress.until(lambda now: all(scene.done() for scene in played), SCENES_S)
        for scene in played:
            scene.result()
        progress.until(_quiet, REST_S)
        return published


def _arrived(now: Pulse, published: Published) -> bool:
    """Everything given to a door is an event or a rejection."""
    rejections = sum(not bad.refused for bad in published.bad)
    return now.events >= len(published.keys) and now.rejected >= rejections and now.unrouted == 0


def _quiet(now: Pulse) -> bool:
    """Nothing is in the air, and nothing is about to be."""
    soon = now.next_due_s is not None and now.next_due_s < QUIET_S
    return now.busy == 0 and now.unrouted == 0 and now.open_attempts == 0 and not soon


def _both_sides(control: Control) -> demo_ledger.Ledger:
    with session.transaction() as connection:
        return demo_ledger.read(connection, control)


def _where(stack: Stack, audio: Path | None) -> None:
    say("\n[bold]Where to look[/]")
    rows = {
        "audio": audio,
        "logs": stack.supervisor.logs,
        "again": "mesh demo --keep leaves everything running: Flower, and the mesh's own commands with"
        f" MESH_HOME={stack.home}",
    }
    for name, value in rows.items():
        if value:
            say(f"  [dim]{name:<6}[/] {value}")


def _stay(stack: Stack) -> None:
    """Leave everything running until a person has seen enough."""
    say(f"Everything runs on: Flower at {stack.flower_url}; Ctrl-C stops it.")
    try:
        while True:
            time.sleep(1)
    except KeyboardInterrupt:
        say("Stopping.")
