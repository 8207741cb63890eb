"""What was made is taken away again: an item of the history, a project of Studio; also when it was gone before."""

from __future__ import annotations

from collections.abc import Mapping

from model import Done
from providers.contract import Action, Call, Repeat
from providers.elevenlabs import api
from providers.errors import InvalidPayload
from providers.http import api_request

NOT_THERE = 404


def _removal(id_name: str, operation: str, event_type: str) -> Action:
    """The action that removes what an event names by its id, and tells it."""

    def remove(call: Call) -> Done:
        named = api.required(id_name, call.event.data.get(id_name))
        path = api.path(call, operation, **{id_name: named})
        was_gone = False
        try:
            call.send(api_request("DELETE", call.base_url, path, headers=api.headers(call)))
        except InvalidPayload:
            if call.exchange is None or call.exchange.status != NOT_THERE:
                raise
            was_gone = True
        facts = {id_name: named, "was_gone": was_gone}
        return Done(facts, external_id=named, events=(api.published(call, event_type, facts),))

    return Action(remove, Repeat.SAFE, publishes=(event_type,))


ACTIONS: Mapping[str, Action] = {
    "history_item.remove_requested": _removal("history_item_id", "history_item", "history_item.removed"),
    "studio.project_remove_requested": _removal("project_id", "project", "studio.project_removed"),
}
