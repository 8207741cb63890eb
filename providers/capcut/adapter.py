"""CapCut through VectCut's protocol: the facts and the table of actions.

https://github.com/sun-guannan/VectCutAPI https://github.com/sun-guannan/VectCutSkill
CapCut publishes no API. `CAPCUT_BASE_URL` has no default: the key must not go to a third party unasked.
"""

from __future__ import annotations

from collections.abc import Mapping

from model import Outcome
from providers.capcut import mate, names, renders, videos, workflows
from providers.capcut.doors import PATHS
from providers.capcut.errors import REFUSALS
from providers.contract import Action, Call, Field, Provider, Repeat, Stream
from providers.streams import Walk, walk

DAY_S = 24 * 3600.0


def _of_vectcut(read: Walk) -> Walk:
    """A stream that only VectCut's servers have."""
    return lambda call: mate.read_nothing(call) if call.config.get("dialect") == mate.DIALECT else read(call)


def _publish(call: Call) -> Outcome:
    return mate.publish_nothing(call) if call.config.get("dialect") == mate.DIALECT else workflows.publish(call)


_STREAMS: Mapping[str, Walk] = {
    names.STREAM: _of_vectcut(names.read),
    workflows.STREAM: _of_vectcut(workflows.read),
}

PROVIDER = Provider(
    name="capcut",
    title="CapCut",
    base_url="",
    docs_url="https://github.com/sun-guannan/VectCutAPI",
    api_version="VectCut",
    auth="api_key",
    actions={
        "video.render_requested": Action(videos.render, videos.repeat, videos.find, publishes=(renders.RENDERED,)),
        "video.workflow_publish_requested": Action(_publish, Repeat.LOOKUP, workflows.find),
        "sync.due": Action(walk(_STREAMS)),
    },
    fields=(
        Field(
            "api_key",
            "API key",
            required=False,
            sensitive=True,
            help="Of VectCut's cloud, or capcut-mate's vendor. VectCut's own server has none, and cannot render.",
        ),
        Field(
            "dialect",
            "Server",
            required=False,
            default=videos.VECTCUT,
            help="vectcut or capcut-mate: what the server at CAPCUT_BASE_URL speaks.",
        ),
    ),
    refusals=REFUSALS,
    streams=tuple(Stream(name, DAY_S) for name in _STREAMS),
    deadline_s=120.0,  # the longest exchange fetches a video of up to 256 MiB
    paths=PATHS,
    settings=("license_key",),
)
