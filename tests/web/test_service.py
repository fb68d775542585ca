"""The web port as clients see it: real sockets, Python's own client, another reader of the metrics."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from isthmus import scram
from isthmus.broker import accounts
from isthmus.broker.broker import Broker
from isthmus.clock import SystemClock
from isthmus.definition import Grant, TopicDefinition, UserDefinition
from isthmus.limits import METRICS_RUNNING_MAX
from isthmus.log.commit import Space
from isthmus.log.storage import RealStorage
from isthmus.server.config import Settings
from isthmus.server.server import Server
from isthmus.web.exposition import CONTENT_TYPE
from isthmus.web.service import WebService
from support.openmetrics import families
from support.web import Port, ask, listening


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    made = Broker(RealStorage(tmp_path / "data"), SystemClock())
    await made.open()
    yield made
    await made.close()


@pytest.fixture
async def port(broker: Broker) -> AsyncIterator[Port]:
    async with listening(WebService(broker, "1.2").open) as made:
        yield made


async def a_user(broker: Broker, name: str, *grants: Grant) -> str:
    asked = UserDefinition(name=name, scrams=scram.credentials("pencil", lambda: b"salt" * 4), grants=grants)
    await accounts.create(broker, broker.session(), asked)
    return "Basic " + base64.b64encode(f"{name}:pencil".encode()).decode()


class TestHealth:
    async def test_a_process_that_answers_is_alive_and_its_open_store_ready(self, port: Port) -> None:
        alive, ready = await port.ask("/healthz"), await port.ask("/readyz?verbose")

        assert (alive.status, alive.body) == (200, b"ok\n")
        assert (ready.status, ready.body) == (200, b"ready\n")

    async def test_a_full_disk_is_no_reason_to_start_again(
        self, broker: Broker, port: Port, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(broker.journal, "space", Space(full=True))

            alive, ready = await port.ask("/healthz"), await port.ask("/readyz")

        assert alive.status == 200
        assert (ready.status, ready.body) == (503, b"the disk is full\n")

    async def test_strangers_may_ask_whether_it_is_well_and_no_more(self, broker: Broker, port: Port) -> None:
        await a_user(broker, "ada")

        alive, figures = await port.ask("/healthz"), await port.ask("/metrics")

        assert (alive.status, alive.headers["Connection"]) == (200, "close")
        assert figures.status == 401
        assert figures.headers["WWW-Authenticate"].startswith("Basic ")


class TestMetrics:
    async def test_another_reader_of_the_format_takes_them(self, broker: Broker, port: Port) -> None:
        await broker.create_topic(broker.session(), TopicDefinition(name="orders"))

        answer = await port.ask("/metrics")

        assert answer.headers["Content-Type"] == CONTENT_TYPE
        found = {family.name: family for family in families(answer.body)}
        assert found["isthmus_partition_high_watermark_offset"].samples[0].labels["topic"] == "orders"
        assert found["isthmus_build"].samples[0].labels == {"version": "1.2"}

    async def test_a_user_sees_what_it_may_describe(self, broker: Broker, port: Port) -> None:
        for name in ("orders", "secrets"):
            await broker.create_topic(broker.session(), TopicDefinition(name=name))
        ada = await a_user(broker, "ada", Grant(operations=("describe",), pattern="ord*"))
        bob = await a_user(broker, "bob")

        seen, refused = await port.ask("/metrics", Authorization=ada), await port.ask("/metrics", Authorization=bob)

        assert b'topic="orders"' in seen.body
        assert b"secrets" not in seen.body
        assert refused.status == 403

    async def test_only_so_many_pages_are_made_at_a_time(self, broker: Broker) -> None:
        service = WebService(broker, "1.2")
        service.running = METRICS_RUNNING_MAX
        async with listening(service.open) as port:
            busy = await port.ask("/metrics")
            service.running -= 1
            first, second = await port.ask("/metrics"), await port.ask("/metrics")

        assert (busy.status, busy.headers["Retry-After"]) == (503, "1")
        assert (first.status, second.status) == (200, 200)

    async def test_several_requests_on_one_connection_are_answered_in_order(self, port: Port) -> None:
        said = await port.say(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3)

        assert said.count(b"# EOF\n") == 3

    async def test_a_server_tells_of_itself(self, broker: Broker) -> None:
        server = Server(broker, Settings(web="0"))
        web = next(each for each in await server.start() if each.protocol == "web")

        answer = await ask(web.port or 0, "/metrics")
        await server.stop()

        assert b"\nisthmus_connections 1\n" in answer.body
        assert b"\nisthmus_connections_unknown 0\n" in answer.body


class TestWhatElseIsAsked:
    @pytest.mark.parametrize(
        ("path", "method", "status"),
        [("/", "GET", 200), ("/nothing", "GET", 404), ("/healthz", "POST", 405), ("/metrics", "DELETE", 405)],
    )
    async def test_other_paths_and_methods(self, port: Port, path: str, method: str, status: int) -> None:
        assert (await port.ask(path, method)).status == status

    async def test_head_tells_the_size(self, port: Port) -> None:
        answer = await port.ask("/healthz", "HEAD")

        assert (answer.status, answer.headers["Content-Length"], answer.body) == (200, "3", b"")

    async def test_a_page_in_a_browser_gets_nothing(self, port: Port) -> None:
        rebound = await port.ask("/metrics", Host="evil.example:8321")
        foreign = await port.ask("/metrics", Origin="https://evil.example")

        assert (rebound.status, foreign.status) == (421, 403)

    async def test_answers_are_of_now_and_are_what_they_say(self, port: Port) -> None:
        headers = (await port.ask("/nothing")).headers

        assert (headers["Cache-Control"], headers["X-Content-Type-Options"]) == ("no-store", "nosniff")
