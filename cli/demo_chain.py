"""The demo's chain: a report becomes a video with a voice, through five providers, as rows of configuration.

AutoDS finds what sells, MindStudio writes a text about it, ElevenLabs speaks it, CapCut makes a video of that, and a
Zapier hook is told. A tenant of its own, so that what it costs can be held against the bill of each provider.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID

import db.attempts
import db.audit
import db.events
import db.tenants
from cli import session
from cli.demo_scenes import NotInTime, Scenes
from cli.demo_world import hook
from settings import current
from tasks.events import publish
from worker import accounts, chain_setup

TENANT, TENANT_NAME = "north", "Studio North"
AGENT = "3f0d1c52-7a4e-4b7e-9c1d-000000000001"
ACCOUNTS: Mapping[str, Mapping[str, str]] = {
    "autods": {"api_key": "demo-north-shop", "store_ids": "1001"},
    "mindstudio": {"api_key": "sk-demo-north", "agent_id": AGENT},
    "elevenlabs": {"api_key": "demo-north", "voice_id": "v_narrator"},
    "capcut": {"api_key": "demo-north-video"},
}
CHAIN: Mapping[str, Any] = {
    "name": "weekly-video",
    "steps": [
        {
            "on": "report.generated",
            "where": {"kind": "weekly"},
            "integration": "autods",
            "do": "product.research_requested",
            "data": {"kind": "winning", "limit": 3},
        },
        {
            "on": "product.research_completed",
            "integration": "mindstudio",
            "do": "agent.run_requested",
            "data": {
                "workflow": "Summarise",
                "variables": {
                    "text": "{{report.generated:summary}} What sells best now is {{products.0.title}}.",
                    "tone": "glad",
                },
            },
        },
        {
            "on": "agent.run_completed",
            "integration": "elevenlabs",
            "do": "audio.render_requested",
            "data": {"text": "{{data.summary}}", "name": "{{report.generated:title}}"},
        },
        {
            "on": "audio.rendered",
            "integration": "capcut",
            "do": "video.render_requested",
            "data": {
                "audio_asset_id": "{{asset_id}}",
                "title": "{{report.generated:title}}",
                "name": "{{report.generated:report_id}}",
            },
        },
    ],
}
REPORT: Mapping[str, Any] = {
    "report_id": "rep_north_48",
    "kind": "weekly",
    "title": "Week 48 in numbers",
    "summary": "Sales rose by four per cent. Returns fell by one.",
}
KEY = "north-week-48"


@dataclass
class Chain(Scenes):
    """The chain, and the event that it began with."""

    event_id: UUID | None = field(default=None)

    def play(self) -> None:
        """Connect the accounts, apply the chain, publish one report twice, and wait for the hook."""
        self.say("a report on its way through five providers")
        try:
            self._set_up()
            for _ in range(2):
                publish("report.generated", TENANT, REPORT, id=KEY)
            self.until(self._told, "the chain's hook is told of the video")
        except NotInTime as late:
            self.check("a report became a video through five providers", [str(late)])
        else:
            self._judge()
        self.say("done")

    def _set_up(self) -> None:
        self.control.do("mindstudio", "set_runs", polls=1)
        self.control.do("capcut", "set_renders", polls=0)
        with session.transaction() as connection:
            db.tenants.create(connection, TENANT, TENANT_NAME)
            for provider, fields in ACCOUNTS.items():
                accounts.connect(
                    connection,
                    session.keys(),
                    tenant_id=TENANT,
                    provider=provider,
                    fields=fields,
                    name="default",
                    base_url=current().provider_base_url(provider),
                )
            hook(connection, TENANT, "video.rendered", self._hook_url)
            chain_setup.apply(connection, TENANT, CHAIN)

    @property
    def _hook_url(self) -> str:
        return f"{self.sandbox_url}{self._hook_path}"

    _hook_path = f"/zapier/hooks/standard/{TENANT}/video"

    def _told(self) -> bool:
        """Whether the hook was told, and everything on the way is settled."""
        with session.transaction() as connection:
            self.event_id = next(iter(db.audit.event_ids(connection, TENANT, [KEY])), None)
            if self.event_id is None:
                return False
            sums = db.attempts.that_came_of(connection, self.event_id)
        return sums.ended_at is not None and self.control.counts(self._hook_path)["requests"] > 0

    def _judge(self) -> None:
        assert self.event_id is not None
        with session.transaction() as connection:
            trace = db.events.of_trace(connection, self.event_id)
            costs = db.attempts.that_came_of(connection, self.event_id).costs
        bill = self.control.bill()
        speech = bill.get("elevenlabs", {}).get(ACCOUNTS["elevenlabs"]["api_key"], {})
        agent = bill.get("mindstudio", {}).get(ACCOUNTS["mindstudio"]["api_key"], {})
        video = bill.get("capcut", {}).get(ACCOUNTS["capcut"]["api_key"], {})
        counted = {
            "told once": (1, self.control.counts(self._hook_path)["requests"]),
            "one trace": (len(trace), sum(row.trace_id == self.event_id for row in trace) + 1),
            "one run": (1, agent.get("runs")),
            "one generation": (1, speech.get("generations")),
            "one render": (1, video.get("renders")),
            "characters": (costs.get("characters"), Decimal(speech.get("characters", 0))),
            "dollars": (costs.get("usd"), Decimal(str(agent.get("usd", 0)))),
        }
        self.check(
            f"a report became a video through five providers: {len(trace)} events of one trace, and what each call cost"
            " is what the providers billed",
            [f"{name}: {ours}, seen {theirs}" for name, (ours, theirs) in counted.items() if ours != theirs],
        )
