"""Connections, channels and consumers through the management API."""

from isthmus.broker.connections import Channel, ChannelFigures, Connection
from isthmus.definition import DEFAULT_NAMESPACE
from support.management import Desk

NAME = "10.0.0.1:40000 -> 10.0.0.9:5672"
PATH = "connections/10.0.0.1%3A40000%20-%3E%2010.0.0.9%3A5672"


class Peer:
    """A connection that a door has told of; `reasons` are those with which it was ended."""

    def __init__(self, api: Desk, principal: str = "anyone") -> None:
        self.reasons: list[str] = []
        self.session = api.broker.session("local")
        self.connection = Connection(
            protocol="AMQP 0-9-1",
            peer=("10.0.0.1", 40_000),
            here=("10.0.0.9", 5_672),
            principal=principal,
            namespace=DEFAULT_NAMESPACE,
            since_ms=7,
            close=self.reasons.append,
            about={"product": "a test", "capabilities": {"basic.nack": True}},
            terms={"heartbeat_s": 60, "frame_bytes_max": 131_072, "channels_max": 2_047},
            mechanism="PLAIN",
        )
        api.broker.connections.enter(self.connection)
        figures = ChannelFigures(prefetch=5, unsettled=2, confirms=True)
        self.connection.channels[1] = Channel(1, self.session.id, 8, lambda: figures)


async def test_a_connection_is_shown_with_what_its_door_tells(api: Desk) -> None:
    Peer(api)

    (row,) = await api.get("connections")

    told = {"name": NAME, "vhost": "/", "user": "guest", "protocol": "AMQP 0-9-1", "peer_port": 40_000, "port": 5_672}
    told |= {"channels": 1, "channel_max": 2_047, "frame_max": 131_072, "timeout": 60, "connected_at": 7}
    assert told.items() <= row.items()
    assert row["client_properties"]["capabilities"] == {"basic.nack": True}
    assert await api.get(PATH) == row
    assert await api.get("vhosts/%2F/connections") == [row]
    assert await api.get("connections/username/guest") == [row]


async def test_a_channel_is_shown_with_its_figures_and_consumers(api: Desk) -> None:
    peer = Peer(api)
    await api.make("queues/%2F/orders")
    queue = api.broker.queue(DEFAULT_NAMESPACE, "orders")
    queue.consume("ctag", peer.session.id, 0, lambda _: None, credit=1, max_bytes=100, priority=3)

    (row,) = await api.get("channels")
    channel = await api.get(f"channels/{PATH.removeprefix('connections/')}%20%281%29")
    (consumer,) = await api.get("consumers/%2F")
    orders = await api.get("queues/%2F/orders")

    told = {"name": f"{NAME} (1)", "number": 1, "prefetch_count": 5, "messages_unacknowledged": 2, "confirm": True}
    assert (told | {"consumer_count": 1}).items() <= row.items()
    assert row["connection_details"]["name"] == NAME
    assert channel["consumer_details"] == [consumer] == orders["consumer_details"]
    assert (consumer["consumer_tag"], consumer["ack_required"], consumer["arguments"]) == (
        "ctag",
        True,
        {"x-priority": 3},
    )
    assert consumer["channel_details"]["connection_name"] == NAME
    assert await api.get(f"{PATH}/channels") == [row] == await api.get("vhosts/%2F/channels")


async def test_consumers_of_the_library_have_no_channel(api: Desk) -> None:
    await api.make("queues/%2F/orders")
    queue = api.broker.queue(DEFAULT_NAMESPACE, "orders")
    queue.consume("worker", 99, 0, lambda _: None, credit=1, max_bytes=100)

    (consumer,) = await api.get("consumers")

    assert consumer["channel_details"] == {}


async def test_a_connection_is_ended_with_a_reason(api: Desk) -> None:
    peer = Peer(api)

    one = await api.ask("DELETE", PATH)
    all_ = await api.ask("DELETE", "connections/username/guest")
    none = await api.ask("DELETE", "connections/nobody")

    assert [each.status for each in (one, all_, none)] == [204, 204, 404]
    assert peer.reasons == ["Closed via management API"] * 2


async def test_a_user_sees_and_ends_its_own_connections_only(api: Desk) -> None:
    await api.user("ada")
    await api.user("bob")
    Peer(api, "ada")

    own, others = await api.get("connections", user="ada"), await api.get("connections", user="bob")
    refused = await api.ask("DELETE", PATH, user="bob")

    assert (len(own), others, refused.status) == (1, [], 404)
    assert await api.get("channels", user="bob") == []
