"""The publisher of `bench.memory`: `python -m bench.unread DIRECTORY BYTES`; says each time that 64 MiB are on disk."""

import asyncio
import sys
from typing import Final

from isthmus import Notification, Stream, connect
from isthmus.limits import KIB, MIB

VALUE_BYTES: Final = 64 * KIB
SAY_BYTES: Final = 64 * MIB
CALLERS: Final = 64


class Blob(Notification):
    text: str


async def publish(path: str, total: int) -> None:
    """Callers side by side, so that the broker's buffers fill as far as they may."""
    stream = Stream[Blob]("blobs", key=None)
    count, acknowledged = total // VALUE_BYTES, 0
    left = iter(range(count))

    async with connect(path) as bus:
        await bus.declare(stream)

        async def caller() -> None:
            nonlocal acknowledged
            for number in left:
                await bus.publish(stream, Blob(text=f"{number:064}" + "x" * (VALUE_BYTES - 64)))
                acknowledged += VALUE_BYTES
                if acknowledged % SAY_BYTES < VALUE_BYTES:
                    print(acknowledged, flush=True)

        await asyncio.gather(*(caller() for _ in range(CALLERS)))
        print(acknowledged, flush=True)


if __name__ == "__main__":
    asyncio.run(publish(sys.argv[1], int(sys.argv[2])))
