"""CapCut through VectCut's protocol: the facts and the table of actions.

https://github.com/sun-guannan/VectCutAPI https://github.com/sun-guannan/VectCutSkill
CapCut publishes no API. `CAPCUT_BASE_URL` has no default: the key must not go to a third party unasked.
"""

from __future__ import annotations

from collections.abc import Mapping

from providers.capcut import names, renders, videos, workflows
from providers.capcut.doors import PATHS
from providers.capcut.errors import REFUSALS
from providers.contract import Action, Field, Provider, Repeat, Stream
from providers.streams import Walk, walk

DAY_S = 24 * 3600.0

_STREAMS: Mapping[str, Walk] = {names.STREAM: names.read, workflows.STREAM: workflows.read}

PROVIDER = Provider(
    name="capcut",
    title="CapCut",
    base_url="",
    docs_url="https://github.com/sun-guannan/VectCutAPI",
    api_version="VectCut",
    auth="api_key",
    actions={
        "video.render_requested": Action(videos.render, videos.repeat, videos.find, publishes=(renders.RENDERED,)),
        "video.workflow_publish_requested": Action(workflows.publish, Repeat.LOOKUP, workflows.find),
        "sync.due": Action(walk(_STREAMS)),
    },
    fields=(
        Field(
            "api_key",
            "API key",
            required=False,
            sensitive=True,
            help="Of VectCut's cloud. A server of your own has none, and cannot render.",
        ),
    ),
    refusals=REFUSALS,
    streams=tuple(Stream(name, DAY_S) for name in _STREAMS),
    deadline_s=120.0,  # the longest exchange fetches a video of up to 256 MiB
    paths=PATHS,
    settings=("license_key",),
)
