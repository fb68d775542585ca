"""The register of connections: who is in it, in which order, and under which name."""

from isthmus.broker.connections import Channel, ChannelFigures, Connection, Connections


def connection(port: int = 40_000, host: str = "10.0.0.1") -> Connection:
    return Connection(
        protocol="AMQP 0-9-1",
        peer=(host, port),
        here=("10.0.0.9", 5_672),
        principal="ada",
        namespace="default",
        since_ms=7,
        close=lambda _: None,
    )


def test_connections_are_listed_in_the_order_in_which_they_came() -> None:
    known, first, second = Connections(), connection(1), connection(2)
    known.enter(first)
    known.enter(second)

    assert list(known) == [first, second]
    assert len(known) == 2


def test_one_that_is_gone_is_listed_no_more_however_often_that_is_said() -> None:
    known, gone, never = Connections(), connection(1), connection(2)
    known.enter(gone)

    known.leave(gone)
    known.leave(gone)
    known.leave(never)

    assert list(known) == []


def test_the_list_may_change_while_it_is_walked() -> None:
    known = Connections()
    for port in (1, 2, 3):
        known.enter(connection(port))

    for each in known:
        known.leave(each)

    assert len(known) == 0


def test_a_connection_is_found_by_both_its_ends() -> None:
    known, wanted = Connections(), connection(2)
    known.enter(connection(1))
    known.enter(wanted)

    assert wanted.name == "10.0.0.1:2 -> 10.0.0.9:5672"
    assert known.find(wanted.name) is wanted
    assert known.find("nobody") is None


def test_connections_without_ports_are_told_apart_by_number() -> None:
    known, first, second = Connections(), connection(0, ""), connection(0, "")
    known.enter(first)
    known.enter(second)

    assert (first.name, second.name) == ("local 1", "local 2")


def test_channels_tell_how_they_stand_when_asked() -> None:
    one, unsettled = connection(), [1]
    one.channels[1] = Channel(1, 5, 8, lambda: ChannelFigures(unsettled=len(unsettled)))

    unsettled.append(2)

    assert one.channels[1].figures().unsettled == 2
