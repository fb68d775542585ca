"""A caller of a consumer group as a door would be: it owns time and request numbers and keeps what was answered."""

import itertools
from collections.abc import Iterable, Mapping
from typing import TypedDict, Unpack

from isthmus.errors import RequestError
from isthmus.lenses.stream.group import Group
from isthmus.lenses.stream.membership import Failed, Join, Joined, Reply, Sync, Synced

Protocols = tuple[tuple[str, bytes], ...]

SESSION_MS = 10_000
REBALANCE_MS = 60_000
RANGE: Protocols = (("range", b"wants flights"),)


class JoinOptions(TypedDict, total=False):
    protocol_type: str
    protocols: Protocols
    session_ms: int
    rebalance_ms: int
    instance_id: str | None
    client_id: str
    host: str
    require_id: bool
    initial_ms: int


class Caller:
    """Holds a group, and every request and answer so far; each request must be answered at most once."""

    def __init__(self, group: Group | None = None, *, initial_delay_ms: int = 0) -> None:
        self.group = group or Group("billing", Ids(), initial_delay_ms=initial_delay_ms)
        self.now_ms = 0
        self.answers: dict[int, Reply] = {}
        self.waiting: set[int] = set()
        self._requests = itertools.count(1)

    def join(self, member_id: str = "", **options: Unpack[JoinOptions]) -> int:
        """Returns the number of the request."""
        request = self._next()
        merged: JoinOptions = {
            "protocol_type": "consumer",
            "protocols": RANGE,
            "session_ms": SESSION_MS,
            "rebalance_ms": REBALANCE_MS,
            **options,
        }
        self.note(self.group.join(request, Join(member_id=member_id, **merged), self.now_ms))
        return request

    def sync(
        self,
        member_id: str,
        assignments: Mapping[str, bytes] | None = None,
        *,
        generation: int | None = None,
        instance_id: str | None = None,
        protocol_type: str | None = None,
        protocol: str | None = None,
    ) -> int:
        """Returns the number of the request; the generation is the current one unless given."""
        request = self._next()
        ask = Sync(
            member_id=member_id,
            generation=self.group.generation if generation is None else generation,
            assignments=assignments or {},
            instance_id=instance_id,
            protocol_type=protocol_type,
            protocol=protocol,
        )
        self.note(self.group.sync(request, ask, self.now_ms))
        return request

    def heartbeat(self, member_id: str, *, generation: int | None = None, instance_id: str | None = None) -> None:
        current = self.group.generation if generation is None else generation
        self.group.heartbeat(member_id, current, self.now_ms, instance_id)

    def leave(self, member_id: str, *, instance_id: str | None = None) -> None:
        self.note(self.group.leave(member_id, self.now_ms, instance_id))

    def pass_time(self, ms: int) -> None:
        """Move on, stopping wherever the group has something to do."""
        end_ms = self.now_ms + ms
        while (deadline_ms := self.group.next_deadline_ms()) is not None and deadline_ms <= end_ms:
            assert deadline_ms >= self.now_ms, "a deadline was overlooked"
            self.now_ms = deadline_ms
            self.note(self.group.expire(self.now_ms))
            after_ms = self.group.next_deadline_ms()
            assert after_ms is None or after_ms > self.now_ms, "time passed a deadline that stayed"
        self.now_ms = end_ms

    def note(self, replies: Iterable[Reply]) -> None:
        for reply in replies:
            assert reply.request in self.waiting, f"{reply} answers nothing that waits"
            self.waiting.remove(reply.request)
            self.answers[reply.request] = reply

    def joined(self, request: int) -> Joined:
        reply = self.answers[request]
        assert isinstance(reply, Joined), reply
        return reply

    def synced(self, request: int) -> Synced:
        reply = self.answers[request]
        assert isinstance(reply, Synced), reply
        return reply

    def error(self, request: int) -> RequestError:
        reply = self.answers[request]
        assert isinstance(reply, Failed), reply
        return reply.error

    def _next(self) -> int:
        request = next(self._requests)
        self.waiting.add(request)
        return request


class Ids:
    """Member ids that are easy to read: prefix and running number."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def __call__(self, prefix: str) -> str:
        return f"{prefix or 'member'}-{next(self._numbers)}"
