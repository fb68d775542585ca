"""What the core is told of a message of AMQP that dies: how it came, and how it looks where it goes."""

from typing import Any

from isthmus.broker import deaths
from isthmus.broker.deaths import FirstDeath
from isthmus.log.headers import append_headers, encode_headers
from isthmus.protocols.amqp import methods as m
from isthmus.protocols.amqp.handlers.records import record, shape, shown
from isthmus.protocols.amqp.handlers.ways import way_of
from isthmus.protocols.amqp.properties import Properties, decode_properties, encode_properties
from isthmus.record import StoredRecord
from support.amqp import amqp_server, declared


def stored(exchange: str, key: bytes, **properties: object) -> StoredRecord:
    made = record(shape(exchange, encode_properties(Properties(**properties))), key, b"body", 0)  # type: ignore[arg-type]
    return StoredRecord(0, 0, made.key, made.value, made.headers)


def test_a_message_came_by_its_exchange_with_its_keys_and_its_expiration() -> None:
    way = way_of(stored("x", b"k", headers={"CC": ["c"], "n": 1}, expiration="50"))

    assert way is not None
    assert (way.exchange, way.keys, way.expiration_ms) == ("x", ("k", "c"), 50)
    assert way.headers()["n"] == 1


def test_an_expiration_counts_for_the_first_death_only() -> None:
    first = stored("x", b"k", expiration="50")
    history = deaths.add((), "q", "expired", exchange="x", keys=("k",), time_s=1)
    headers = append_headers(first.headers, deaths.headers(history, FirstDeath("q", "expired", "x")))

    way = way_of(StoredRecord(0, 0, b"k", b"", headers))

    assert way is not None
    assert way.expiration_ms is None


def test_a_record_of_somebody_else_is_not_claimed() -> None:
    assert way_of(StoredRecord(0, 0, b"k", b"", encode_headers([("amqp", b"no")]))) is None


def test_where_it_goes_it_has_come_by_that_exchange_and_key() -> None:
    way = way_of(stored("x", b"k", headers={"CC": ["c"], "n": 1}, type="t"))

    assert way is not None
    own_key, own_block = way.moved("dlx", None)
    key, block = way.moved("dlx", "gone")

    assert (own_key, shown(own_block).exchange) == (b"k", "dlx")
    assert decode_properties(shown(own_block).properties).headers == {"CC": ["c"], "n": 1}
    assert (key, shown(block).exchange) == (b"gone", "dlx")
    assert decode_properties(shown(block).properties) == Properties(headers={"n": 1}, type="t")


async def test_what_expires_over_a_socket_says_where_it_came_from() -> None:
    async with amqp_server() as server:
        peer = await server.connect()
        await declared(peer, "gone")
        arguments = {"x-message-ttl": 1, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "gone"}
        await declared(peer, "brief", arguments=arguments)
        await peer.ask(m.QueueBind(0, "brief", "amq.direct", "k"))
        await peer.ask(m.BasicConsume(0, "gone", no_ack=True))

        peer.publish("k", b"body", exchange="amq.direct", expiration="1")
        came = await peer.message()

        assert isinstance(came.method, m.BasicDeliver)
        assert (came.method.exchange, came.method.routing_key) == ("", "gone")
        headers: dict[str, Any] = dict(decode_properties(came.properties).headers or {})
        (death,) = headers["x-death"]
        assert {key: value for key, value in death.items() if key != "time"} == {
            "original-expiration": "1",
            "count": 1,
            "reason": "expired",
            "queue": "brief",
            "exchange": "amq.direct",
            "routing-keys": ["k"],
        }
