"""A small real consumer on kombu and our transport alone: it writes each message's number to a file, then acknowledges.

`python -m tests.worker.ledger_consumer URL FILE QUEUE…`
"""

from __future__ import annotations

import os
import sys
from typing import Any

import kombu
from kombu.asynchronous import Hub

from worker import transport

OPTIONS = {
    "priority_steps": [0],
    "visibility_timeout": 1,
    "unacked_mutex_expire": 1,
    "unacked_restore_interval": 0.5,
    "unacked_restore_throttle": 1,
    "unacked_key": "ledger.unacked",
    "unacked_index_key": "ledger.unacked_index",
    "unacked_mutex_key": "ledger.unacked_mutex",
}


def main(url: str, path: str, *queues: str) -> None:
    """Consume for ever."""
    transport.install()
    ledger = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(message: Any) -> None:
        os.write(ledger, f"{message.payload}\n".encode())
        message.ack()

    connection = kombu.Connection(url, transport_options=OPTIONS)
    consumer = kombu.Consumer(connection.channel(), [kombu.Queue(name) for name in queues], on_message=write)
    consumer.qos(prefetch_count=8)
    consumer.consume()
    hub = Hub()
    connection.register_with_event_loop(hub)
    print("ready", flush=True)
    hub.run_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
