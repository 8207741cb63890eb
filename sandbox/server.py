"""The sandbox as a server: connections, and the world they share."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import partial
from time import time
from typing import Any, Final, cast

from sandbox import console, faults, front, receiver
from sandbox.delivery import deliver
from sandbox.faults import Fault, Rules
from sandbox.ledger import BODY_KEPT, Exchange, Ledger, shown_headers
from sandbox.redaction import without_secrets
from sandbox.registry import STAND_INS
from sandbox.routes import Match, Router
from sandbox.wire import CONTINUE, Answer, Malformed, RawRequest, Request, RequestReader, encode, json_answer

BACKLOG: Final = 4096  # connections waiting to be accepted
AT_ONCE: Final = 64 * 1024  # bytes: larger answers are waited for until the client took them
LINGER_0: Final = struct.pack("ii", 1, 0)  # closing sends RST
PLAIN: Final = Fault()
WEBHOOK_ID: Final = b"\r\nwebhook-id:"
HOST: Final = b"\r\nhost:"


@dataclass(frozen=True, slots=True)
class Visit:
    """One request on its way through the sandbox."""

    raw: RawRequest
    exchange: Exchange
    ledger: Ledger
    fault: Fault
    match: Match | int


class World:
    """Everything the connections share: the stand-ins, the rules, the ledger."""

    def __init__(self) -> None:
        self.record_bodies = False  # of /receive too; others always
        self.connections = 0
        self.reset()

    def reset(self) -> None:
        """Forget records, rules, bills and histories; requests in the air end in the old ledger."""
        self.ledger = Ledger()
        self.stand_ins = {name: make() for name, make in STAND_INS.items()}
        self.faults = {**faults.NAMED}
        for name, stand_in in self.stand_ins.items():
            self.faults |= faults.of_provider(name, stand_in.faults)
        self.rules = Rules(self.faults)
        self.router = Router(self.stand_ins)

    def bill(self) -> Mapping[str, Any]:
        """What the providers would charge, for those that charge."""
        bills = {name: stand_in.bill() for name, stand_in in self.stand_ins.items()}
        return {name: bill for name, bill in bills.items() if bill}

    def enter(self, raw: RawRequest, path: str, query: str, picked: Fault | None, now: float) -> Visit:
        """Write a request down and find out what happens to it."""
        asked = faults.named(path, self.faults)
        inner = path if asked is None else asked[1]
        exchange = self._exchange(raw, path, query, now)
        self.ledger.arrived(exchange, keep=self.record_bodies or not inner.startswith(receiver.PREFIX))
        fault = PLAIN
        if picked is not None:
            fault = picked
        elif asked is not None and asked[0].hits(self.ledger.seen(path, exchange.webhook_id)):
            fault = asked[0].fault
        match = self.router.find(raw.method, inner)
        if isinstance(match, Match):
            self.ledger.busy[match.provider] += 1
        return Visit(raw, exchange, self.ledger, fault, match)

    def answer(self, visit: Visit) -> Answer | Awaitable[Answer]:
        """What the stand-in says, as the fault changes it; its work is done now, or the fault prevents it.

        Awaitable where the provider itself has to call somebody first."""
        if visit.fault is PLAIN:
            return self._work(visit)
        said = self._work(visit) if visit.fault.does_work else faults.without_work(visit.fault)
        if isinstance(said, Answer):
            return faults.disfigure(said, visit.fault, visit.exchange.at)
        return self._disfigured(said, visit)

    async def _disfigured(self, said: Awaitable[Answer], visit: Visit) -> Answer:
        return faults.disfigure(await said, visit.fault, visit.exchange.at)

    def leave(self, visit: Visit) -> None:
        """The request has its end."""
        visit.ledger.ended(visit.exchange)
        if isinstance(visit.match, Match):
            visit.ledger.busy[visit.match.provider] -= 1

    def _work(self, visit: Visit) -> Answer | Awaitable[Answer]:
        match, raw = visit.match, visit.raw
        if isinstance(match, int):
            detail = {404: "Not Found", 405: "Method Not Allowed"}[match]
            return json_answer({"detail": detail}, match)
        in_flight = visit.ledger.busy[match.provider]
        query, at = raw.target.partition("?")[2], visit.exchange.at
        return match.handler(
            Request(raw.method, match.path, query, raw.headers(), raw.body, at, in_flight, match.params)
        )

    def _exchange(self, raw: RawRequest, path: str, query: str, now: float) -> Exchange:
        self.ledger.seq += 1
        return Exchange(
            seq=self.ledger.seq,
            at=now,
            method=raw.method,
            path=path,
            query=without_secrets(query),
            webhook_id=raw.header(WEBHOOK_ID),
            headers=shown_headers(raw.headers()),
            body_size=len(raw.body),
            body=without_secrets(raw.body[:BODY_KEPT].decode("utf-8", "replace")),
        )


class Connection(asyncio.Protocol):
    """One client. Requests are answered in order; a client that leaves ends the answer under way."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._reader = RequestReader()
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self._full: asyncio.Event | None = None  # set again when the client took what was buffered

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=0)  # "drained" means that all has left this process
        self._world.connections += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self._world.connections -= 1
        self._closing = True
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        self._full = asyncio.Event()

    def resume_writing(self) -> None:
        if self._full is not None:
            self._full.set()
            self._full = None

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        if self._task is None:
            self._serve()

    def write(self, data: bytes) -> None:
        """Send, or buffer what the client does not take yet."""
        self._transport.write(data)

    async def drained(self) -> None:
        """Wait until nothing is buffered."""
        if self._full is not None:
            await self._full.wait()
        if self._transport.is_closing():
            await asyncio.Event().wait()  # the client is gone; connection_lost is about to cancel the answer

    def close(self) -> None:
        """Send what is buffered, then FIN."""
        self._closing = True
        self._transport.close()

    def reset(self) -> None:
        """Send RST, whatever is buffered."""
        self._closing = True
        sock: socket.socket = self._transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_0)
        self._transport.abort()

    def _serve(self) -> None:
        """Answer every whole request that is here, until one takes its time."""
        while self._task is None and not self._closing:
            try:
                raw = self._reader.take()
            except Malformed as refusal:
                self.write(encode(json_answer({"detail": str(refusal)}, refusal.status), keep_alive=False))
                return self.close()
            if raw is None:
                return self._ask_for_body()
            self._handle(raw)
        return None

    def _ask_for_body(self) -> None:
        if self._reader.wants_continue:
            self._reader.wants_continue = False
            self.write(CONTINUE)

    def _handle(self, raw: RawRequest) -> None:
        """One request: the plain receiver and the control doors here and now, the others as a visit."""
        world, method = self._world, raw.method
        path, _, query = raw.target.partition("?")
        if path.startswith(console.PREFIX):
            return self._say(self._control(raw, path, query), raw.keep_alive)
        now = time()
        picked = world.rules.pick(method, path) if world.rules.live else None
        if picked is None and method == "POST" and path.startswith(receiver.PREFIX) and not world.record_bodies:
            data = receiver.OK_BYTES if raw.keep_alive else receiver.OK_CLOSE_BYTES
            return world.ledger.quick(path, raw.header(WEBHOOK_ID), now, self._finish(data, raw.keep_alive))
        return self._visit(world.enter(raw, path, query, picked, now))

    def _control(self, raw: RawRequest, path: str, query: str) -> Answer | Awaitable[Answer]:
        """What a control door says, or the page for people."""
        if (raw.method, path) == ("GET", front.PATH):
            return front.show(self._world, raw.header(HOST) or "")
        if (raw.method, path) == ("POST", front.PATH + front.CHANGE):
            return front.change(self._world, raw.body)
        return console.answer(self._world, raw.method, path, query, raw.body)

    def _say(self, said: Answer | Awaitable[Answer], keep_alive: bool) -> None:
        """The answer of a control door, now or when it is there."""
        if isinstance(said, Answer):
            self._finish(encode(said, keep_alive), keep_alive)
        else:
            self._begin(self._say_later(said, keep_alive), self._ended)

    async def _say_later(self, said: Awaitable[Answer], keep_alive: bool) -> None:
        self._finish(encode(await said, keep_alive), keep_alive)

    def _visit(self, visit: Visit) -> None:
        said = self._world.answer(visit)
        if isinstance(said, Answer) and visit.fault is PLAIN and len(said.body) <= AT_ONCE:
            visit.exchange.status = said.status
            visit.exchange.complete = self._finish(encode(said, visit.raw.keep_alive), visit.raw.keep_alive)
            return self._world.leave(visit)
        return self._begin(self._send(visit, said), partial(self._delivered, visit))

    async def _send(self, visit: Visit, said: Answer | Awaitable[Answer]) -> None:
        answer = said if isinstance(said, Answer) else await said
        await deliver(self, visit.exchange, answer, visit.fault, visit.raw.keep_alive)

    def _begin(self, work: Coroutine[Any, Any, None], ended: Callable[[asyncio.Task[None]], None]) -> None:
        """An answer that takes its time; the client's next request waits for its end."""
        self._task = asyncio.get_running_loop().create_task(work)
        self._task.add_done_callback(ended)

    def _finish(self, data: bytes, keep_alive: bool) -> bool:
        """Send a whole answer; whether all of it has left this process."""
        self._transport.write(data)
        sent = self._full is None and not self._transport.is_closing()
        if not keep_alive:
            self.close()
        return sent

    def _delivered(self, visit: Visit, task: asyncio.Task[None]) -> None:
        """An answer that took its time has its end; go on with what the client sent meanwhile."""
        visit.exchange.client_left = task.cancelled()
        self._world.leave(visit)
        self._ended(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Go on with what the client sent meanwhile; after a bug of ours the client gets no answer."""
        self._task = None
        if task.cancelled():
            return
        if task.exception() is not None:
            self._transport.abort()
        task.result()
        self._serve()


def build() -> World:
    """A sandbox that nobody visited yet."""
    return World()


async def listen(world: World, host: str, port: int) -> asyncio.Server:
    """Open the door; port 0 is any free one. Raises OSError."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: Connection(world), host, port, backlog=BACKLOG)
