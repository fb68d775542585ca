"""Which sessions have consumers or leases at which queues, so that the end of a session touches no other queue. Pure.

It remembers ids only; what ends with a session is the queues' business.
"""


class Holders:
    """See the module text. A row may outlive what it stands for: then the queue finds nothing to end."""

    __slots__ = ("_queues", "_sessions")

    def __init__(self) -> None:
        self._queues: dict[int, dict[int, None]] = {}
        self._sessions: dict[int, set[int]] = {}

    def hold(self, queue: int, session: int) -> None:
        """A session has a consumer or leases without time limit at a queue."""
        self._queues.setdefault(session, {})[queue] = None
        self._sessions.setdefault(queue, set()).add(session)

    def forget(self, queue: int) -> None:
        """The queue is gone."""
        for session in self._sessions.pop(queue, ()):
            queues = self._queues[session]
            del queues[queue]
            if not queues:
                del self._queues[session]

    def queues(self, session: int) -> list[int]:
        """The queues of a session, in the order in which it came to them."""
        return list(self._queues.get(session, ()))

    def take(self, session: int) -> list[int]:
        """The same of a session that is over; nothing of it is remembered."""
        queues = self.queues(session)
        self._queues.pop(session, None)
        for queue in queues:
            sessions = self._sessions[queue]
            sessions.remove(session)
            if not sessions:
                del self._sessions[queue]
        return queues
