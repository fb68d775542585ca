"""What the handlers of one queue, or of one group of a stream, share: they take events from one source together.

Checked when each handler is declared, and once more as a whole when the app starts. It runs nothing.
"""

from typing import Any, Final

from isthmus.client.destination import Destination, Queue, Stream
from isthmus.client.duration import Duration, StartAt, duration_ms, start_at
from isthmus.client.event import AnyEvent
from isthmus.client.handler import Handler
from isthmus.client.retry import Backoff
from isthmus.definition import check_name
from isthmus.errors import DeclarationError, InvalidArgument
from isthmus.limits import WORKERS_MAX

START: Final = "earliest"
"""Where a new group begins unless told otherwise.

With "latest" an event that is published between the first deployment of a group and its first start would never reach
it, and nobody would notice; a group that is not interested in the past says so.
"""


class Subscription:
    """The handlers of a queue, or of a group of a stream, with the options that hold for all of them.

    `start`, `workers` and `retry` may be given by any of the handlers; those that give one must agree.
    """

    def __init__(self, destination: Destination[Any], group: str | None) -> None:
        self.destination = destination
        self.group = _group(destination, group)
        self.handlers: dict[type[AnyEvent], Handler] = {}
        self._start: StartAt | None = None
        self._workers: int | None = None
        self._retry: Backoff | None = None
        self.wait_ms = 0

    @property
    def name(self) -> str:
        """How it is called in counts and logs: the queue, or stream/group."""
        return self.destination.name if self.group is None else f"{self.destination.name}/{self.group}"

    @property
    def start(self) -> StartAt:
        """Where a new group begins."""
        return START if self._start is None else self._start

    @property
    def workers(self) -> int:
        """How many handler runs there may be side by side."""
        return 1 if self._workers is None else self._workers

    @property
    def retry(self) -> Backoff:
        """How often and how soon a failed event comes again: the queue's own policy, or the group's."""
        if isinstance(self.destination, Queue):
            return self.destination.retry
        return Backoff() if self._retry is None else self._retry

    @property
    def batch(self) -> int | None:
        """How long lists may get; None when events are handled one by one."""
        return next((handler.batch for handler in self.handlers.values()), None)

    @property
    def ordered(self) -> bool:
        """Whether events of one key are handled one after the other."""
        return isinstance(self.destination, Stream) or bool(self.destination.key_fields)

    def tombstones(self) -> Handler | None:
        """The first handler that takes deletions of unknown type."""
        return next((handler for handler in self.handlers.values() if handler.takes_tombstones), None)

    # ---- declaring ------------------------------------------------------------------------------------------------

    def add(
        self,
        handler: Handler,
        *,
        start: StartAt | None,
        wait: Duration,
        workers: int | None,
        retry: Backoff | None,
    ) -> None:
        """Add a handler.

        Raises:
            DeclarationError: one of its types is taken already, or an option does not fit the others.
            InvalidArgument: an option that cannot be.
        """
        self._check_types(handler)
        self._check_options(handler, start, retry)
        if workers is not None and not 1 <= workers <= WORKERS_MAX:
            raise InvalidArgument("workers", f"{workers} is outside 1 to {WORKERS_MAX}")
        self._agree("start", handler, self._start, start)
        self._agree("workers", handler, self._workers, workers)
        self._agree("retry", handler, self._retry, retry)
        self._start = self._start if start is None else start
        self._workers = self._workers if workers is None else workers
        self._retry = self._retry if retry is None else retry
        if handler.batch is not None and self.ordered and self.workers > 1:
            raise DeclarationError(
                f"{handler.whose} takes lists, which are handled one after the other to keep the order of each key;"
                " leave workers= out, and use more partitions and processes to go faster"
            )
        self.wait_ms = duration_ms(wait, "wait")
        for each in handler.types:
            self.handlers[each] = handler

    def _check_types(self, handler: Handler) -> None:
        for each in handler.types:
            other = self.handlers.get(each)
            if other is not None:
                raise DeclarationError(
                    f"{handler.whose}: {each.__name__} is taken by {other.signature.name} already in {self.name!r};"
                    " an event goes to one handler of a group, so give this one a group of its own"
                    if self.group is not None
                    else f"{handler.whose}: {each.__name__} is taken by {other.signature.name} already; an event of a"
                    " queue goes to one handler"
                )
        lists = {other.batch is not None for other in self.handlers.values()} | {handler.batch is not None}
        if len(lists) > 1 or (self.handlers and handler.batch is not None):
            raise DeclarationError(
                f"{handler.whose}: {self.name!r} is handled either one by one or in lists by one handler, so that the"
                " order of each key is kept; take all types in one list handler, or use another group"
            )

    def _check_options(self, handler: Handler, start: StartAt | None, retry: Backoff | None) -> None:
        if isinstance(self.destination, Queue):
            if start is not None:
                raise DeclarationError(f"{handler.whose}: start= is for streams; a queue hands out what is there")
            if retry is not None:
                raise DeclarationError(f"{handler.whose}: the retry policy of a queue is its own: Queue(..., retry=)")
        if start is not None:
            start_at(start, 0)

    def _agree(self, option: str, handler: Handler, known: object, given: object) -> None:
        if given is not None and known not in (None, given):
            raise DeclarationError(
                f"{handler.whose}: {option}={given!r}, but another handler of {self.name!r} says {known!r}; it holds"
                " for all of them, so give it once"
            )

    # ---- at the start ---------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Check what can only be said when all handlers are known.

        Raises:
            DeclarationError: a queue with a type that no handler takes.
        """
        missing = [each.__name__ for each in self.destination.types if each not in self.handlers]
        if missing and isinstance(self.destination, Queue):
            raise DeclarationError(
                f"{self.destination!r} carries {', '.join(missing)}, but no handler takes it, so it would stay for"
                " ever; declare a handler for it"
            )


def _group(destination: Destination[Any], group: str | None) -> str | None:
    if isinstance(destination, Queue):
        if group is not None:
            raise DeclarationError(
                f"{destination!r} has no groups: each of its events goes to one consumer; leave group= out, and use"
                " workers= for more of them"
            )
        return None
    if not isinstance(destination, Stream):
        raise DeclarationError(f"{destination!r} is neither a Stream nor a Queue")
    if group is None:
        raise DeclarationError(f"{destination!r} is a stream, where each group sees every event; name one with group=")
    destination.dead_name(group)
    return check_name(group)
