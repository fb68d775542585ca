"""Membership of consumer groups, as Kafka's classic protocol asks for it: find, join, sync, heartbeat, leave.

The group's state machine decides (`lenses/stream/group.py`); this file only translates. A connection that is lost
takes nobody out of a group: a member's session does.
"""

from typing import Final

from isthmus.errors import (
    InvalidArgument,
    InvalidName,
    MemberIdRequired,
    Overloaded,
    RequestError,
    UnknownGroup,
)
from isthmus.lenses.stream.membership import Join, Joined, Sync
from isthmus.lenses.stream.offsets import ConsumerGroup
from isthmus.protocols.kafka import messages as m
from isthmus.protocols.kafka.errors import Code, code_of
from isthmus.protocols.kafka.handlers.call import Call

GROUP_KEY: Final = 0
"""Key type of a consumer group in FindCoordinator; 1 is a transaction, 2 a share group."""


def code_for(error: RequestError) -> Code:
    """The code for a refusal of a group: where the general table says another thing, what Kafka's groups say."""
    match error:
        case InvalidArgument(argument="session_ms"):
            return Code.INVALID_SESSION_TIMEOUT
        case InvalidName():
            return Code.INVALID_GROUP_ID
        case UnknownGroup():
            return Code.UNKNOWN_MEMBER_ID
        case Overloaded():
            return Code.GROUP_MAX_SIZE_REACHED
        case _:
            return code_of(error, "group")


def group_of(call: Call, name: str) -> ConsumerGroup:
    """A group that must be there.

    Raises:
        InvalidName: the name is empty.
        UnknownGroup: it is not there.
        AccessDenied: it is none of the session's business.
    """
    if not name:
        raise InvalidName(name, "it is empty")
    call.broker.access.check(call.session, "consume", name)
    return call.broker.catalog.group(call.namespace, name)


# ---- where -----------------------------------------------------------------------------------------------------------


def find_coordinator(call: Call) -> m.FindCoordinatorResponse:
    """Every group is coordinated here.

    Spec: FindCoordinator (10). Deviation: transactions and share groups are refused, by key.
    """
    asked: m.FindCoordinatorRequest = call.request
    keys = asked.coordinator_keys if call.version >= 4 else (asked.key,)
    rows = [_coordinator(call, key, asked.key_type) for key in keys]
    if call.version >= 4:
        return m.FindCoordinatorResponse(coordinators=tuple(rows))
    row = rows[0]
    return m.FindCoordinatorResponse(
        error_code=row.error_code, error_message=row.error_message, node_id=row.node_id, host=row.host, port=row.port
    )


def _coordinator(call: Call, key: str, key_type: int) -> m.FindCoordinatorResponseCoordinator:
    refusal = None
    if key_type != GROUP_KEY:
        refusal = Code.INVALID_REQUEST, "only consumer groups have a coordinator here: no transactions, no share groups"
    elif not call.allows("describe", key):
        refusal = Code.GROUP_AUTHORIZATION_FAILED, f"not authorised to see group {key!r}"
    if refusal is not None:
        return m.FindCoordinatorResponseCoordinator(
            key=key, node_id=-1, host="", port=-1, error_code=refusal[0], error_message=refusal[1]
        )
    node = call.node()
    return m.FindCoordinatorResponseCoordinator(
        key=key, node_id=node.id, host=node.host, port=node.port, error_code=0, error_message=None
    )


# ---- joining ---------------------------------------------------------------------------------------------------------


async def join_group(call: Call) -> m.JoinGroupResponse:
    """Be part of the next generation; answered when all members have joined again.

    Spec: JoinGroup (11). Deviation: session time-outs from one second on are taken.
    """
    asked: m.JoinGroupRequest = call.request
    try:
        group = await _declared(call, asked.group_id)
        joined = await call.broker.coordinator.join(group, _join_of(call, asked))
    except MemberIdRequired as error:
        return _refused(call, Code.MEMBER_ID_REQUIRED, error.member)
    except RequestError as error:
        return _refused(call, code_for(error), asked.member_id)
    return _joined(call, joined)


async def _declared(call: Call, name: str) -> ConsumerGroup:
    if not name:
        raise InvalidName(name, "it is empty")
    return await call.broker.group(call.session, call.namespace, name, expires=True)


def _join_of(call: Call, asked: m.JoinGroupRequest) -> Join:
    rebalance_ms = asked.rebalance_timeout_ms if call.version >= 1 else asked.session_timeout_ms
    return Join(
        protocol_type=asked.protocol_type,
        protocols=tuple((row.name, row.metadata) for row in asked.protocols),
        session_ms=asked.session_timeout_ms,
        rebalance_ms=rebalance_ms if rebalance_ms > 0 else max(asked.session_timeout_ms, 1),
        member_id=asked.member_id,
        instance_id=asked.group_instance_id,
        client_id=call.client_id or "",
        host=f"/{call.peer.host}",
        require_id=call.version >= 4,
        initial_ms=call.options.group_initial_delay_ms,
    )


def _joined(call: Call, joined: Joined) -> m.JoinGroupResponse:
    # Before version 9 a leader cannot be told that the assignments stand, so it must not know that it leads.
    hidden = joined.skip_assignment and call.version < 9
    return m.JoinGroupResponse(
        error_code=0,
        generation_id=joined.generation,
        protocol_type=joined.protocol_type,
        protocol_name=joined.protocol,
        leader="" if hidden else joined.leader,
        skip_assignment=joined.skip_assignment,
        member_id=joined.member,
        members=()
        if hidden
        else tuple(
            m.JoinGroupResponseMember(member_id=row.member, group_instance_id=row.instance_id, metadata=row.metadata)
            for row in joined.members
        ),
    )


def _refused(call: Call, code: Code, member: str) -> m.JoinGroupResponse:
    return m.JoinGroupResponse(
        error_code=code,
        generation_id=-1,
        protocol_name=None if call.version >= 7 else "",
        leader="",
        member_id=member,
        members=(),
    )


async def sync_group(call: Call) -> m.SyncGroupResponse:
    """Fetch the assignment; answered when the leader has brought it.

    Spec: SyncGroup (14).
    """
    asked: m.SyncGroupRequest = call.request
    ask = Sync(
        member_id=asked.member_id,
        generation=asked.generation_id,
        assignments={row.member_id: row.assignment for row in asked.assignments},
        instance_id=asked.group_instance_id,
        protocol_type=asked.protocol_type,
        protocol=asked.protocol_name,
    )
    try:
        group = group_of(call, asked.group_id)
        synced = await call.broker.coordinator.sync(group, ask)
    except RequestError as error:
        return m.SyncGroupResponse(error_code=code_for(error), assignment=b"")
    return m.SyncGroupResponse(
        error_code=0,
        protocol_type=group.members.protocol_type,
        protocol_name=synced.protocol,
        assignment=synced.assignment,
    )


# ---- staying and going -----------------------------------------------------------------------------------------------


def heartbeat(call: Call) -> m.HeartbeatResponse:
    """Say that a member lives.

    Spec: Heartbeat (12).
    """
    asked: m.HeartbeatRequest = call.request
    try:
        call.broker.coordinator.heartbeat(
            group_of(call, asked.group_id), asked.member_id, asked.generation_id, asked.group_instance_id
        )
    except RequestError as error:
        return m.HeartbeatResponse(error_code=code_for(error))
    return m.HeartbeatResponse(error_code=0)


def leave_group(call: Call) -> m.LeaveGroupResponse:
    """Take members out at once; with an instance id alone, whoever has it.

    Spec: LeaveGroup (13).
    """
    asked: m.LeaveGroupRequest = call.request
    try:
        group = group_of(call, asked.group_id)
    except RequestError as error:
        return m.LeaveGroupResponse(error_code=code_for(error), members=())
    if call.version < 3:
        return m.LeaveGroupResponse(error_code=_leave(call, group, asked.member_id, None))
    rows = tuple(
        m.LeaveGroupResponseMember(
            member_id=row.member_id,
            group_instance_id=row.group_instance_id,
            error_code=_leave(call, group, row.member_id, row.group_instance_id),
        )
        for row in asked.members
    )
    return m.LeaveGroupResponse(error_code=0, members=rows)


def _leave(call: Call, group: ConsumerGroup, member: str, instance: str | None) -> Code:
    try:
        call.broker.coordinator.leave(group, member, instance)
    except RequestError as error:
        return code_for(error)
    return Code.NONE
