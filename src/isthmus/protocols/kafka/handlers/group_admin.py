"""Consumer groups as Kafka's tools see them: describe, list, delete.

Groups of the library are shown like any other, with the protocol type of its own; nothing here changes membership.
"""

from isthmus.errors import GroupNotEmpty, RequestError, UnknownGroup
from isthmus.lenses.stream.membership import MembershipView, State
from isthmus.protocols.kafka import messages as m
from isthmus.protocols.kafka.errors import Code
from isthmus.protocols.kafka.handlers.allowed import GROUP_OPERATIONS, NOT_ASKED, operations
from isthmus.protocols.kafka.handlers.call import Call
from isthmus.protocols.kafka.handlers.groups import code_for

CLASSIC = "classic"
"""The one type of group that there is: its members share out partitions among themselves."""


def describe_groups(call: Call) -> m.DescribeGroupsResponse:
    """State, members, and what they were assigned.

    Spec: DescribeGroups (15).
    """
    asked: m.DescribeGroupsRequest = call.request
    return m.DescribeGroupsResponse(groups=tuple(_describe(call, name) for name in asked.groups))


def _describe(call: Call, name: str) -> m.DescribeGroupsResponseGroup:
    if not call.allows("describe", name):
        return _nothing(name, Code.GROUP_AUTHORIZATION_FAILED, "not authorised to describe this group")
    known = call.broker.catalog.group_names.get((call.namespace, name))
    if known is None:
        unknown = Code.GROUP_ID_NOT_FOUND if call.version >= 6 else Code.NONE
        return _nothing(name, unknown, f"no group {name!r}")
    view = call.broker.catalog.groups[known].members.describe()
    wanted = call.request.include_authorized_operations
    return m.DescribeGroupsResponseGroup(
        error_code=0,
        error_message=None,
        group_id=name,
        group_state=view.state.value,
        protocol_type=view.protocol_type,
        protocol_data=view.protocol,
        members=_members(view),
        authorized_operations=operations(call, GROUP_OPERATIONS, name) if wanted else NOT_ASKED,
    )


def _members(view: MembershipView) -> tuple[m.DescribeGroupsResponseGroupMember, ...]:
    return tuple(
        m.DescribeGroupsResponseGroupMember(
            member_id=row.member,
            group_instance_id=row.instance_id,
            client_id=row.client_id,
            client_host=row.host,
            member_metadata=row.metadata,
            member_assignment=row.assignment,
        )
        for row in view.members
    )


def _nothing(name: str, code: Code, message: str) -> m.DescribeGroupsResponseGroup:
    return m.DescribeGroupsResponseGroup(
        error_code=code,
        error_message=message,
        group_id=name,
        group_state=State.DEAD.value,
        protocol_type="",
        protocol_data="",
        members=(),
    )


def list_groups(call: Call) -> m.ListGroupsResponse:
    """All groups that the caller may see, of the states and types that are asked for.

    Spec: ListGroups (16).
    """
    asked: m.ListGroupsRequest = call.request
    states = {state.casefold() for state in asked.states_filter}
    types = {kind.casefold() for kind in asked.types_filter}
    rows = [
        m.ListGroupsResponseGroup(
            group_id=group.name,
            protocol_type=group.members.protocol_type,
            group_state=group.members.state.value,
            group_type=CLASSIC,
        )
        for group in call.broker.catalog.groups.values()
        if group.namespace == call.namespace
        and (not states or group.members.state.value.casefold() in states)
        and (not types or CLASSIC in types)
        and call.allows("describe", group.name)
    ]
    return m.ListGroupsResponse(error_code=0, groups=tuple(rows))


async def delete_groups(call: Call) -> m.DeleteGroupsResponse:
    """Forget groups without members, with their positions; answered when that is durable.

    Spec: DeleteGroups (42).
    """
    asked: m.DeleteGroupsRequest = call.request
    rows = [
        m.DeleteGroupsResponseResult(group_id=name, error_code=await _delete(call, name)) for name in asked.groups_names
    ]
    return m.DeleteGroupsResponse(results=tuple(rows))


async def _delete(call: Call, name: str) -> Code:
    try:
        await call.broker.quiet("group", call.namespace, name)
        await call.broker.remove_group(call.session, call.namespace, name)
    except UnknownGroup:
        return Code.GROUP_ID_NOT_FOUND
    except GroupNotEmpty:
        return Code.NON_EMPTY_GROUP
    except RequestError as error:
        return code_for(error)
    return Code.NONE
