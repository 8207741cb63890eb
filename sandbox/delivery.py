"""How an answer gets to the client, or does not: at once, late, slowly, half, as a reset, or never."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final, Protocol

from sandbox.faults import Drip, Fault
from sandbox.ledger import Exchange
from sandbox.wire import Answer, chunk, encode, encode_head

PIECE: Final = bytes(64 * 1024)
UNSENT: Final = 1000  # bytes that a truncated answer promises and keeps
TICK_S: Final = 0.1  # between two pieces of a dripped answer, when more than one byte fits into it


class Line(Protocol):
    """The connection to a client, as far as an answer needs it."""

    def write(self, data: bytes) -> None:
        """Send, or buffer what the client does not take yet."""

    async def drained(self) -> None:
        """Wait until nothing is buffered."""

    def close(self) -> None:
        """Send what is buffered, then FIN."""

    def reset(self) -> None:
        """Send RST, whatever is buffered."""


async def deliver(line: Line, exchange: Exchange, answer: Answer, fault: Fault, keep_alive: bool) -> None:
    """Send the answer as the fault says; the exchange tells what has gone out.

    Cancelled when the client leaves.
    """
    if fault.delay_s:
        await asyncio.sleep(fault.delay_s)
    if fault.hang:
        await asyncio.Event().wait()
    if fault.reset:
        return line.reset()
    if fault.drop is not None:
        return line.close()
    exchange.status = answer.status
    async for piece in pieces(answer, fault, keep_alive):
        line.write(piece)
        await line.drained()
    exchange.complete = not fault.truncate
    if fault.truncate or not keep_alive:
        line.close()
    return None


async def pieces(answer: Answer, fault: Fault, keep_alive: bool) -> AsyncIterator[bytes]:
    """The answer's bytes, in the pieces and at the pace of the fault."""
    if fault.truncate:
        yield truncated(answer)
    elif fault.huge and not fault.compressed:
        yield encode_head(answer, keep_alive, None)
        for start in range(0, fault.huge, len(PIECE)):
            yield chunk(PIECE[: fault.huge - start])
        yield chunk(b"")
    elif fault.drip is not None:
        async for piece in dripped(encode(answer, keep_alive), fault.drip):
            yield piece
    else:
        yield encode(answer, keep_alive)


def truncated(answer: Answer) -> bytes:
    """An answer that promises more than it sends."""
    if answer.chunked:
        return encode(answer, keep_alive=False).removesuffix(chunk(b""))
    return encode_head(answer, False, len(answer.body) + UNSENT) + answer.body


async def dripped(data: bytes, drip: Drip) -> AsyncIterator[bytes]:
    """The bytes at so many a second; the head at once unless it is to drip too."""
    start = 0 if drip.headers else data.index(b"\r\n\r\n") + 4
    if start:
        yield data[:start]
    step = max(1, round(drip.bytes_s * TICK_S))
    for at in range(start, len(data), step):
        await asyncio.sleep(step / drip.bytes_s)
        yield data[at : at + step]
