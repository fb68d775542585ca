"""The management API of a broker on loopback, and a client that asks it in JSON."""

import asyncio
import base64
import http.client
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from isthmus import scram
from isthmus.broker import accounts
from isthmus.broker.broker import Broker
from isthmus.clock import SystemClock
from isthmus.definition import Grant, UserDefinition
from isthmus.log.storage import RealStorage
from isthmus.web.management.service import Management
from isthmus.web.service import WebService
from support.web import listening

PASSWORD = "pencil"
LISTENERS = [("amqp", "127.0.0.1", 5_672), ("web", "127.0.0.1", 8_321)]


class Said(NamedTuple):
    """What was answered: the status, the document (None for none), and where what was made can be found."""

    status: int
    value: Any
    location: str | None = None


class Desk:
    """A broker with its web port, and requests to it as somebody."""

    def __init__(self, broker: Broker, port: int) -> None:
        self.broker = broker
        self.port = port

    async def ask(
        self, method: str, path: str, body: object = None, *, user: str | None = None, **headers: str
    ) -> Said:
        """One request; bytes are sent as they are, everything else as JSON."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        return await asyncio.to_thread(self._ask, method, f"/api/{path}", data, user, headers)

    def _ask(self, method: str, path: str, data: bytes | None, user: str | None, headers: dict[str, str]) -> Said:
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        if user is not None:
            headers["Authorization"] = "Basic " + base64.b64encode(f"{user}:{PASSWORD}".encode()).decode()
        try:
            client.request(method, path, data, headers)
            response = client.getresponse()
            text = response.read()
            is_json = (response.getheader("Content-Type") or "").startswith("application/json")
            value = json.loads(text) if is_json else text.decode() or None
            return Said(response.status, value, response.getheader("Location"))
        finally:
            client.close()

    async def get(self, path: str, *, user: str | None = None) -> Any:  # noqa: ANN401 - JSON
        """A document that has to be there."""
        said = await self.ask("GET", path, user=user)
        assert said.status == 200, said
        return said.value

    async def make(self, path: str, body: object = None, *, user: str | None = None) -> None:
        """Put something that was not there."""
        said = await self.ask("PUT", path, {} if body is None else body, user=user)
        assert said.status == 201, said

    async def user(self, name: str, grants: Sequence[Grant] = (), *, admin: bool = False) -> None:
        """Make a user."""
        scrams = scram.credentials(PASSWORD, lambda: b"salt" * 4)
        asked = UserDefinition(name=name, scrams=scrams, grants=tuple(grants), admin=admin)
        await accounts.create(self.broker, self.broker.session(), asked)


@asynccontextmanager
async def desk(directory: Path) -> AsyncGenerator[Desk]:
    """A new broker with the API; everything is gone afterwards."""
    broker = Broker(RealStorage(directory / "data"), SystemClock())
    await broker.open()
    management = Management(broker, "1.2", listeners=lambda: LISTENERS)
    async with listening(WebService(broker, "1.2", management=management).open) as port:
        yield Desk(broker, port.listener.port)
    await broker.close()
