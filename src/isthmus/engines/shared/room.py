"""A bound on bytes that are on their way: whoever comes when it is full waits, in order.

It knows nothing of what is on its way.
"""

import asyncio


class Room:
    """See the module. One loop. What is larger than the bound passes alone."""

    __slots__ = ("_free", "_gate", "_limit_bytes", "_queued", "_used_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._used_bytes = 0
        self._queued = 0
        self._gate = asyncio.Lock()
        self._free: asyncio.Future[None] | None = None

    async def enter(self, size: int) -> None:
        """Take room for so many bytes, behind those who came before; without a turn of the loop when there is some."""
        if self._queued or self._is_full(size):
            await self._in_turn(size)
        self._used_bytes += size

    def leave(self, size: int) -> None:
        """Give it back."""
        self._used_bytes -= size
        if self._free is not None and not self._free.done():
            self._free.set_result(None)

    def _is_full(self, size: int) -> bool:
        return bool(self._used_bytes) and self._used_bytes + size > self._limit_bytes

    async def _in_turn(self, size: int) -> None:
        self._queued += 1
        try:
            async with self._gate:
                while self._is_full(size):
                    self._free = asyncio.get_running_loop().create_future()
                    await self._free
        finally:
            self._queued -= 1
