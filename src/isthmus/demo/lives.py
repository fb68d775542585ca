"""The child's two lives: the first ends by SIGKILL in the middle, the second goes on and finishes.

It listens, keeps what it hears for the witness, and pulls the trigger once. It does not look into the store.
"""

import signal
import time

from isthmus.demo.cast import Staging
from isthmus.demo.lines import Begun, Handled, Line, Stage
from isthmus.demo.processes import lines
from isthmus.demo.progress import Show
from isthmus.demo.witness import Witness
from isthmus.errors import InvariantError

SETTLED_MIN = 20
"""The kill waits for so many settled jobs, so that there is something that could come back."""


class Lives:
    """What is heard of a child that is staged like this, and replays a file of `rows` flights.

    `again_ms` is when the second life began, in milliseconds since 1970 UTC.
    """

    def __init__(self, staging: Staging, rows: int, shown: Show) -> None:
        self._staging = staging
        self._rows = rows
        self._show = shown
        self.witness = Witness()
        self.stages: list[Stage] = []
        self.again_ms = 0

    async def live(self) -> None:
        """Let the child work, kill it in the middle, and let another one finish.

        Raises:
            InvariantError: the first ended otherwise than by the kill, or the second with an error, or one of the
                processes around it before its time.
        """
        code = await self._life(kill=True)
        if code != -signal.SIGKILL:
            raise InvariantError(f"the child was to be killed, but ended with {code}; what it printed says why")
        self.witness.kill()
        witness = self.witness
        self._show.say(
            f"killed it (SIGKILL) with {witness.acknowledged:,} events acknowledged and {witness.settled:,} jobs done"
        )
        self.stages.clear()
        self.again_ms = time.time_ns() // 1_000_000
        code = await self._life(kill=False)
        if code:
            raise InvariantError(f"the child ended with {code}; what it printed says why")

    async def _life(self, *, kill: bool) -> int:
        async with self._staging() as cast:
            async for line in lines(cast.lead):
                self._hear(line)
                if kill and self._is_middle(line):
                    cast.kill()
                    kill = False
            code = await cast.lead.wait()
            cast.check()
            return code

    def _hear(self, line: Line) -> None:
        if isinstance(line, Begun):
            self._show.say(f"broker, producer and handlers run; the log holds {line.resumed:,} events of flights")
        elif isinstance(line, Stage):
            self.stages.append(line)
            self._show.say(f"{line.name}: {line.count:,} in {line.seconds:.1f} s")
        elif isinstance(line, Handled):
            self._show.advance("events handled by all groups", line.events, line.stored)
        else:
            self.witness.hear(line)
            self._show.advance("flights replayed", self.witness.flights, self._rows)
            self._show.advance("rebooking jobs done", self.witness.settled)

    def _is_middle(self, line: Line) -> bool:
        """Half of the flights are acknowledged and some jobs done; in a file too small for that, most flights."""
        part = self.witness.flights / self._rows
        return (part >= 0.5 and self.witness.settled >= SETTLED_MIN) or part >= 0.8 or isinstance(line, Stage)
