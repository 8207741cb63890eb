"""Task messages: what we push is what Celery would have sent."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis

from tests.mesh import Mesh
from worker.app import app
from worker.sending import PRIORITY_MARK, Message, Sender

QUEUE = "deliver.zapier"


def on_the_wire(mesh: Mesh, priority: int = 0) -> dict[str, Any]:
    """The next message, without what differs each time."""
    mark = f"{PRIORITY_MARK}{priority}" if priority else ""
    queue = f"{mesh.settings.mesh_key_prefix}{QUEUE}{mark}"
    (raw,) = mesh.redis.lrange(queue, 0, -1)
    mesh.redis.delete(queue)
    message: dict[str, Any] = json.loads(raw)
    ids = {message["headers"].pop("id"), message["headers"].pop("root_id"), message["properties"].pop("correlation_id")}
    assert len(ids) == 1
    assert message["properties"].pop("delivery_tag") not in ids
    message["body"] = json.loads(message["body"])
    return message


def by_celery(sender: Sender, message: Message) -> None:
    app.send_task(
        message.task,
        args=message.args,
        queue=message.queue,
        priority=message.priority,
        argsrepr=message.shown,
        kwargsrepr="{}",
    )


@pytest.mark.parametrize("priority", [0, 9])
@pytest.mark.parametrize(
    ("task", "args"),
    [("deliveries.deliver", (["a", "b"],)), ("events.publish", ({"data": {"ü": [1.5, None, True, 2**70]}},))],
)
def test_it_is_what_celery_sends(mesh: Mesh, task: str, args: tuple[Any, ...], priority: int) -> None:
    sender = Sender(app, mesh.redis, mesh.settings)
    message = Message(task, args, QUEUE, "(2 ids)", priority)
    sender.send(message)
    ours = on_the_wire(mesh, priority)
    by_celery(sender, message)
    assert ours == on_the_wire(mesh, priority)


class Refusing(redis.Redis):
    """A server that is full."""

    def lpush(self, *_: Any, **__: Any) -> Any:
        raise redis.ResponseError("OOM command not allowed")


def test_what_redis_does_not_take_from_us_celery_sends(mesh: Mesh) -> None:
    sender = Sender(app, Refusing(), mesh.settings)
    sent = sender.send(Message("deliveries.deliver", (["a"],), QUEUE, "(1 ids)"))
    raw = mesh.redis.lindex(f"{mesh.settings.mesh_key_prefix}{QUEUE}", 0)
    assert raw is not None
    assert json.loads(raw)["headers"]["id"] == sent
    assert on_the_wire(mesh)["body"][0] == [["a"]]


@pytest.mark.parametrize("changed", [{"mesh_transport": "stock"}, {"redis_url": "sentinel://127.0.0.1:1/0"}])
def test_with_another_transport_it_is_celerys_to_send(mesh: Mesh, changed: dict[str, str]) -> None:
    untouched = Refusing()
    sender = Sender(app, untouched, mesh.settings.model_copy(update=changed))
    assert not sender._plain
    sender.send(Message("deliveries.deliver", (["a"],), QUEUE, "(1 ids)"))
    assert on_the_wire(mesh)["body"][0] == [["a"]]


def test_ids_follow_one_another(mesh: Mesh) -> None:
    sender = Sender(app, mesh.redis, mesh.settings)
    sent = [sender.send(Message("deliveries.deliver", ([],), QUEUE, "()")) for _ in range(50)]
    assert sent == sorted(sent)
    assert len(set(sent)) == 50
