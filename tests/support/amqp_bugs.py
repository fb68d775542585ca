"""Bugs that brokers have had, planted one at a time in a server of its own: `-m support.amqp_bugs BUG serve ...`.

They are planted here and nowhere else; tests/crash/test_amqp_kill.py must catch each.
"""

import sys
import time
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import structs

from isthmus.broker.broker import Broker
from isthmus.broker.publishing import Routed
from isthmus.cli.main import main
from isthmus.lenses.queue.changes import Change
from isthmus.lenses.queue.ledger import Ledger
from isthmus.log.commit import Writer
from isthmus.protocols.amqp.handlers.acks import Settler
from isthmus.protocols.amqp.handlers.publish import Publisher, Run

SLOW_S: Final = 0.02
"""What a disk takes, so that it matters what is done before it has written."""


def confirms_before_it_has_written() -> None:
    def began(self: Publisher, run: Run, routed: Routed) -> None:
        self._channel.began(routed.pending)
        self.answer(run.confirming, ok=True)

    write = Writer._write

    def slowly(self: Writer, buffers: Sequence[bytes], *, sync: bool) -> None:
        time.sleep(SLOW_S)
        write(self, buffers, sync=sync)

    plant(Publisher, "_began", began)
    plant(Writer, "_write", slowly)


def acknowledges_in_memory_only() -> None:
    plant(Settler, "_submit", lambda *_: None)


def forgets_how_often_messages_came() -> None:
    apply = Ledger.apply

    def forgetful(self: Ledger, change: Change) -> object:
        # Only when it opens: a living ledger notices what it did not decide itself.
        return apply(self, change if self._live else structs.replace(change, acquired=0))

    plant(Ledger, "apply", forgetful)


def loses_the_dead() -> None:
    plant(Broker, "bury", lambda *_: None)


def plant(where: object, name: str, what: Callable[..., object]) -> None:
    """Put it there; the name must be one, else the bug would not be there and nobody would know."""
    assert hasattr(where, name), name
    setattr(where, name, what)


BUGS: Final[dict[str, tuple[Callable[[], None], str]]] = {
    "confirms_before_it_has_written": (confirms_before_it_has_written, "A1|A5"),
    "acknowledges_in_memory_only": (acknowledges_in_memory_only, "A2"),
    "forgets_how_often_messages_came": (forgets_how_often_messages_came, "A3"),
    "loses_the_dead": (loses_the_dead, "A7"),
}
"""With the numbers of the rules that each breaks."""


if __name__ == "__main__":
    BUGS[sys.argv.pop(1)][0]()
    main()
