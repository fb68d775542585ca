"""Connections, channels and consumers, as the management API lists and ends them.

It shows what the doors tell of their connections. Administrators see all, everybody else its own.

Spec: RabbitMQ 4.3 HTTP API reference, `/api/connections`, `/api/channels`, `/api/consumers`.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from isthmus.broker.access import ANYONE
from isthmus.broker.connections import Channel, Connection
from isthmus.errors import AccessDenied
from isthmus.lenses.queue.queue import Queue
from isthmus.protocols.http.messages import Response
from isthmus.web.management.answers import document, done, not_found
from isthmus.web.management.call import NODE, Call, vhost_of
from isthmus.web.management.paging import chosen, listed
from isthmus.web.management.shapes import Row, found_queues
from isthmus.web.management.values import plain

CLOSED: Final = "Closed via management API"

# ---- connections ---------------------------------------------------------------------------------------------------


def seen(call: Call, namespace: str | None = None) -> Iterator[Connection]:
    """The connections that who asks may see."""
    everybodys = is_administrator(call)
    for each in call.broker.connections:
        own = each.principal == call.session.principal
        if (everybodys or own) and (namespace is None or each.namespace == namespace):
            yield each


def is_administrator(call: Call) -> bool:
    """Whether who asks may see what is of others."""
    try:
        call.broker.access.check_admin(call.session, "connections")
    except AccessDenied:
        return False
    return True


def user_of(connection: Connection) -> str:
    """The name by which a peer came: while there are no users, that is guest."""
    return "guest" if connection.principal == ANYONE else connection.principal


def connection_row(connection: Connection) -> Row:
    """A connection for JSON."""
    (peer_host, peer_port), (host, port) = connection.peer, connection.here
    return {
        "name": connection.name,
        "node": NODE,
        "vhost": vhost_of(connection.namespace),
        "user": user_of(connection),
        "user_who_performed_action": user_of(connection),
        "protocol": connection.protocol,
        "type": "network",
        "state": "running",
        "auth_mechanism": connection.mechanism,
        "connected_at": connection.since_ms,
        "host": host,
        "port": port,
        "peer_host": peer_host,
        "peer_port": peer_port,
        "ssl": connection.tls,
        "channels": len(connection.channels),
        "channel_max": connection.terms.get("channels_max", 0),
        "frame_max": connection.terms.get("frame_bytes_max", 0),
        "timeout": connection.terms.get("heartbeat_s", 0),
        "client_properties": plain(dict(connection.about)),
    }


async def connections(call: Call) -> Response:
    """All connections."""
    return document(listed([connection_row(each) for each in seen(call)], call.query))


async def vhost_connections(call: Call) -> Response:
    """The connections to a virtual host."""
    return document(listed([connection_row(each) for each in seen(call, call.namespace)], call.query))


async def user_connections(call: Call) -> Response:
    """The connections of a user."""
    rows = [connection_row(each) for each in seen(call) if user_of(each) == call.given["user"]]
    return document(listed(rows, call.query))


async def close_user_connections(call: Call) -> Response:
    """End the connections of a user."""
    for each in list(seen(call)):
        if user_of(each) == call.given["user"]:
            each.close(CLOSED)
    return done()


async def connection(call: Call) -> Response:
    """One connection."""
    return document(chosen(connection_row(_connection(call)), call.query))


def _connection(call: Call) -> Connection:
    found = call.broker.connections.find(call.given["name"])
    if found is None or found not in seen(call):
        raise not_found()
    return found


async def close_connection(call: Call) -> Response:
    """End a connection."""
    _connection(call).close(CLOSED)
    return done()


# ---- channels ------------------------------------------------------------------------------------------------------


def channel_name(connection: Connection, channel: Channel) -> str:
    """What a channel is called."""
    return f"{connection.name} ({channel.number})"


def channel_row(connection: Connection, channel: Channel, consumers: int) -> Row:
    """A channel for JSON."""
    figures = channel.figures()
    return {
        "name": channel_name(connection, channel),
        "number": channel.number,
        "node": NODE,
        "vhost": vhost_of(connection.namespace),
        "user": user_of(connection),
        "user_who_performed_action": user_of(connection),
        "state": "running",
        "connection_details": {
            "name": connection.name,
            "peer_host": connection.peer[0],
            "peer_port": connection.peer[1],
        },
        "consumer_count": consumers,
        "prefetch_count": figures.prefetch,
        "global_prefetch_count": figures.shared_prefetch,
        "messages_unacknowledged": figures.unsettled,
        "messages_unconfirmed": figures.unconfirmed,
        "messages_uncommitted": 0,
        "acks_uncommitted": 0,
        "confirm": figures.confirms,
        "transactional": figures.transactional,
    }


def _channel_rows(call: Call, found: Iterable[Connection]) -> list[Row]:
    counts: dict[int, int] = {}
    for queue in call.broker.catalog.queues.values():
        for consumer in queue.consumers:
            counts[consumer.session] = counts.get(consumer.session, 0) + 1
    return [
        channel_row(connection, channel, counts.get(channel.session, 0))
        for connection in found
        for channel in list(connection.channels.values())
    ]


async def channels(call: Call) -> Response:
    """All channels."""
    return document(listed(_channel_rows(call, seen(call)), call.query))


async def vhost_channels(call: Call) -> Response:
    """The channels in a virtual host."""
    return document(listed(_channel_rows(call, seen(call, call.namespace)), call.query))


async def connection_channels(call: Call) -> Response:
    """The channels of a connection."""
    return document(listed(_channel_rows(call, [_connection(call)]), call.query))


async def channel(call: Call) -> Response:
    """One channel, with its consumers."""
    for row in _channel_rows(call, seen(call)):
        if row["name"] == call.given["name"]:
            queues = [found.queue for _, found in found_queues(call) if found.queue is not None]
            rows = consumer_rows(call, queues)
            consumers = [each for each in rows if each["channel_details"].get("name") == row["name"]]
            return document(chosen(row | {"consumer_details": consumers}, call.query))
    raise not_found()


# ---- consumers -----------------------------------------------------------------------------------------------------


def consumer_rows(call: Call, queues: Iterable[Queue]) -> Iterator[Row]:
    """The standing consumers of queues; those of whom no channel is known have no details of one."""
    places = {
        channel.session: (connection, channel)
        for connection in call.broker.connections
        for channel in connection.channels.values()
    }
    for queue in queues:
        declared = call.broker.catalog.queue_sets[queue.id]
        for consumer in queue.consumers:
            place = places.get(consumer.session)
            yield {
                "consumer_tag": consumer.name,
                "queue": {"name": queue.name, "vhost": vhost_of(declared.namespace)},
                "channel_details": {} if place is None else _place(*place),
                "active": consumer.active,
                "activity_status": "up" if consumer.active else "waiting",
                "ack_required": not consumer.takes,
                "exclusive": False,
                "prefetch_count": 0 if place is None else place[1].figures().prefetch,
                "arguments": {"x-priority": consumer.priority} if consumer.priority else {},
                "consumer_timeout": queue.config.lease_ms or 0,
            }


def _place(connection: Connection, channel: Channel) -> Row:
    return {
        "name": channel_name(connection, channel),
        "number": channel.number,
        "connection_name": connection.name,
        "node": NODE,
        "peer_host": connection.peer[0],
        "peer_port": connection.peer[1],
        "user": user_of(connection),
    }


async def consumers(call: Call) -> Response:
    """All consumers of the queues that who asks may see."""
    queues = [found.queue for _, found in found_queues(call) if found.queue is not None]
    return document(listed(list(consumer_rows(call, queues)), call.query))


async def vhost_consumers(call: Call) -> Response:
    """The same in a virtual host."""
    queues = [found.queue for _, found in found_queues(call, call.namespace) if found.queue is not None]
    return document(listed(list(consumer_rows(call, queues)), call.query))
