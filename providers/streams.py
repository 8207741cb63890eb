"""Reading an account's streams: the action for `sync.due` that every provider with streams has."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from model import Outcome
from providers.contract import Call
from providers.errors import Retryable, Unsupported

Walk = Callable[[Call], Outcome]


def walk(streams: Mapping[str, Walk]) -> Walk:
    """The action for `sync.due`: one step of the stream that the event names.

    A step that a provider holds up holds up only this walk, not what else the account is asked to do: reading and
    writing often have budgets of their own.
    """

    def step(call: Call) -> Outcome:
        stream = call.event.data["stream"]
        if stream not in streams:
            raise Unsupported(f"{call.provider.title} has no stream {stream}: there are {', '.join(streams)}.")
        try:
            return streams[stream](call)
        except Retryable as held_up:
            held_up.holds = False
            raise

    return step
