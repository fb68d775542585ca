"""The server as a whole: what it opens, what it refuses, and how it ends."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from isthmus.broker.broker import Broker
from isthmus.clock import SystemClock
from isthmus.errors import InvalidArgument
from isthmus.log.storage import RealStorage
from isthmus.protocols.door import Service
from isthmus.server import services
from isthmus.server.config import Settings
from isthmus.server.server import Listening, Server, broker_of, check_exposure, tls_of
from support.echo import EchoService, Peer, until


@pytest.fixture
def echoes(monkeypatch: pytest.MonkeyPatch) -> list[EchoService]:
    """The protocols are all the one of the tests."""
    made: list[EchoService] = []

    def make(_: services.Host) -> Service:
        made.append(EchoService())
        return made[-1].open

    for name in ("native", "kafka", "web"):
        monkeypatch.setitem(services.PROTOCOLS, name, services.Protocol(make, binary=name != "web"))
    return made


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    made = Broker(RealStorage(tmp_path / "data"), SystemClock())
    await made.open()
    yield made
    await made.close()


@pytest.mark.usefixtures("echoes")
class TestStart:
    async def test_what_is_named_is_served_and_nothing_else(self, broker: Broker) -> None:
        server = Server(broker, Settings(kafka="0"))

        kafka, unix = await server.start()

        assert kafka.port
        assert str(kafka) == f"kafka 127.0.0.1:{kafka.port}"
        assert str(unix) == f"native unix:{broker.storage.directory}/isthmus.sock"
        await server.stop()

    async def test_a_broker_can_be_reached_by_its_socket_alone(self, broker: Broker) -> None:
        server = Server(broker, Settings())

        assert [each.path is not None for each in await server.start(tcp=False)] == [True]

        await server.stop()

    async def test_an_address_that_is_taken_leaves_nothing_open(self, broker: Broker) -> None:
        first, second = Server(broker, Settings(kafka="0")), None
        (taken,) = await first.start(unix=False)
        second = Server(broker, Settings(native="0", kafka=str(taken.port)))

        with pytest.raises(InvalidArgument, match="Address already in use"):
            await second.start(unix=False)

        await first.stop()


async def test_a_stopping_server_finishes_what_runs(broker: Broker, echoes: list[EchoService]) -> None:
    server = Server(broker, Settings(kafka="0"))
    (kafka,) = await server.start(unix=False)
    peer = Peer(*await asyncio.open_connection(kafka.host, kafka.port))
    peer.send("later\n")
    await until(lambda: echoes[0].doors and echoes[0].doors[0].waiting)

    stopping = asyncio.ensure_future(server.stop())
    await until(lambda: echoes[0].doors[0].draining)
    assert not stopping.done()
    echoes[0].doors[0].answer_waiting()

    await stopping
    assert [await peer.line(), await peer.line()] == ["at last", ""]
    await peer.close()


class TestExposure:
    OUTSIDE = Listening(protocol="kafka", host="0.0.0.0", port=1)  # noqa: S104 - what is refused
    SECURED = Listening(protocol="kafka", host="0.0.0.0", port=1, tls=True)  # noqa: S104 - the same with TLS

    def test_this_machine_needs_nothing(self) -> None:
        inside = [Listening(protocol="kafka", host="127.0.0.1", port=1), Listening(protocol="native", path="/x")]

        check_exposure(inside, Settings(), guarded=False)

    def test_other_machines_need_tls_and_a_user(self) -> None:
        for listening, guarded, missing in (
            (self.OUTSIDE, False, r"TLS \(tls_cert\) and a user"),
            (self.OUTSIDE, True, "TLS"),
            (self.SECURED, False, "a user"),
        ):
            with pytest.raises(InvalidArgument, match=f"kafka: .*which needs {missing}"):
                check_exposure([listening], Settings(), guarded=guarded)
        check_exposure([self.SECURED], Settings(), guarded=True)

    def test_who_asks_for_it_is_warned(self, caplog: pytest.LogCaptureFixture) -> None:
        check_exposure([self.OUTSIDE], Settings(insecure=True), guarded=False)

        assert "INSECURE: kafka 0.0.0.0:1 can be reached from other machines without TLS" in caplog.text


@pytest.mark.parametrize("settings", [Settings(tls_key="x.pem"), Settings(tls_client_ca="x.pem")])
def test_settings_that_mean_nothing_alone_are_refused(settings: Settings) -> None:
    with pytest.raises(InvalidArgument, match="means nothing without tls_cert"):
        tls_of(settings)


def test_a_size_that_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="segment_bytes"):
        broker_of(Settings(directory=str(tmp_path), segment_bytes=1))
