"""What members of a consumer group ask, what they are answered, and how a group looks to tools, as data.

`group.py` decides; this file only says what fits. Metadata and assignments are opaque bytes here.
"""

import enum
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from isthmus.errors import InvalidArgument, RequestError
from isthmus.limits import (
    MEMBER_METADATA_BYTES_MAX,
    MEMBER_PROTOCOLS_MAX,
    NAME_BYTES_MAX,
    REBALANCE_MS_MAX,
    SESSION_MS_MAX,
    SESSION_MS_MIN,
)

NO_GENERATION: Final = -1
"""What a reader without membership names as its generation; see `Group.check`."""


class State(enum.StrEnum):
    """Where a group stands between two generations."""

    EMPTY = "Empty"
    PREPARING = "PreparingRebalance"
    COMPLETING = "CompletingRebalance"
    STABLE = "Stable"
    DEAD = "Dead"


# ---- what is asked ------------------------------------------------------------------------------------------------


class Join(Struct, frozen=True, kw_only=True, gc=False):
    """A member asks to be part of the next generation.

    `protocols` are (name, metadata) rows, the preferred one first. `member_id` is empty for a newcomer. `session_ms`
    is how long the group keeps a silent member, `rebalance_ms` how long it waits for this one to join again. A
    newcomer without instance id that sets `require_id` is refused with `MemberIdRequired` and returns with that id.
    With `initial_ms` an empty group waits that long for more members before its first generation begins.
    """

    protocol_type: str
    protocols: tuple[tuple[str, bytes], ...]
    session_ms: int
    rebalance_ms: int
    member_id: str = ""
    instance_id: str | None = None
    client_id: str = ""
    host: str = ""
    require_id: bool = False
    initial_ms: int = 0


class Sync(Struct, frozen=True, kw_only=True):
    """A member asks for its assignment; the leader brings everybody's, by member id.

    `protocol_type` and `protocol` are compared with the group's when they are given.
    """

    member_id: str
    generation: int
    assignments: Mapping[str, bytes] = {}
    instance_id: str | None = None
    protocol_type: str | None = None
    protocol: str | None = None


# ---- what is answered ---------------------------------------------------------------------------------------------


class JoinedMember(Struct, frozen=True, gc=False):
    """One row of what the leader gets to know: a member and its metadata for the chosen protocol."""

    member: str
    instance_id: str | None
    metadata: bytes


class Joined(Struct, frozen=True, kw_only=True):
    """A join was granted. `members` is empty unless `member` is the leader.

    `skip_assignment` tells a leader that took over a static place in a stable group that the assignments stand: a
    sync of it changes nothing. A peer that cannot be told so must be told another leader than itself.
    """

    request: int
    member: str
    generation: int
    protocol_type: str
    protocol: str
    leader: str
    members: tuple[JoinedMember, ...]
    skip_assignment: bool = False


class Synced(Struct, frozen=True, kw_only=True, gc=False):
    """A sync was granted: this is the member's assignment in the generation, empty when the leader gave it none."""

    request: int
    member: str
    generation: int
    protocol: str
    assignment: bytes


class Failed(Struct, frozen=True, kw_only=True):
    """A join or a sync was refused, now or while it was parked."""

    request: int
    member: str
    error: RequestError


Reply = Joined | Synced | Failed
"""The answer to one join or sync, named by its `request`."""


class MemberView(Struct, frozen=True, kw_only=True, gc=False):
    """A member as tools show it: metadata and assignment are those of the current generation, or empty."""

    member: str
    instance_id: str | None
    client_id: str
    host: str
    metadata: bytes
    assignment: bytes


class MembershipView(Struct, frozen=True, kw_only=True):
    """A group as tools show it; protocol and leader are those of the current generation, empty when it has none."""

    name: str
    state: State
    generation: int
    protocol_type: str
    protocol: str
    leader: str
    members: tuple[MemberView, ...]


# ---- what fits ----------------------------------------------------------------------------------------------------


def check_join(ask: Join) -> None:
    """Hold a join against the bounds that do not depend on a group.

    Raises:
        InvalidArgument: the field, and what it may be.
    """
    if not SESSION_MS_MIN <= ask.session_ms <= SESSION_MS_MAX:
        raise InvalidArgument("session_ms", f"{ask.session_ms} is not within {SESSION_MS_MIN} to {SESSION_MS_MAX}")
    if not 1 <= ask.rebalance_ms <= REBALANCE_MS_MAX:
        raise InvalidArgument("rebalance_ms", f"{ask.rebalance_ms} is not within 1 to {REBALANCE_MS_MAX}")
    names = [name for name, _ in ask.protocols]
    if len(names) > MEMBER_PROTOCOLS_MAX or len(set(names)) < len(names):
        raise InvalidArgument("protocols", f"offer at most {MEMBER_PROTOCOLS_MAX} protocols, each once")
    if ask.instance_id == "":
        raise InvalidArgument("instance_id", "leave it out or give it a name")
    for field, value in [
        ("protocol_type", ask.protocol_type),
        ("client_id", ask.client_id),
        ("host", ask.host),
        ("instance_id", ask.instance_id or ""),
        *(("protocols", name) for name in names),
    ]:
        if len(value) > NAME_BYTES_MAX or len(value.encode()) > NAME_BYTES_MAX:
            raise InvalidArgument(field, f"longer than {NAME_BYTES_MAX} bytes")
    for _, metadata in ask.protocols:
        check_size("protocols", metadata)


def check_size(argument: str, data: bytes) -> None:
    """Hold one member's metadata or assignment against its bound.

    Raises:
        InvalidArgument: it has too many bytes.
    """
    if len(data) > MEMBER_METADATA_BYTES_MAX:
        raise InvalidArgument(argument, f"{len(data)} bytes for one member, at most {MEMBER_METADATA_BYTES_MAX} fit")
