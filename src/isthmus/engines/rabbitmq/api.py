"""RabbitMQ's management API, for what AMQP has no question and no command for.

It is used only where the address names it (`?api=`). Requests run in threads, one at a time for each caller.
"""

import asyncio
import base64
import urllib.error
import urllib.request
from typing import Final

import msgspec

from isthmus.engines.rabbitmq.address import Address, quoted
from isthmus.errors import AccessDenied, EngineError

ANSWER_S: Final = 30.0
ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024


class Api:
    """See the module."""

    def __init__(self, address: Address, root: str) -> None:
        self._root = root
        self._vhost = quoted(address.vhost)
        given = f"{address.user}:{address.password}".encode()
        self._login = f"Basic {base64.b64encode(given).decode()}"

    async def put_policy(self, name: str, pattern: str, kind: str, settings: dict[str, object]) -> None:
        """Set a policy of the virtual host; without settings it goes."""
        path = f"policies/{self._vhost}/{quoted(name)}"
        if settings:
            body = {"pattern": pattern, "apply-to": kind, "priority": 0, "definition": settings}
            await self._ask("PUT", path, body)
        else:
            await self._ask("DELETE", path, missing_is_fine=True)

    async def _ask(self, method: str, path: str, body: object = None, *, missing_is_fine: bool = False) -> None:
        await asyncio.get_running_loop().run_in_executor(None, self._request, method, path, body, missing_is_fine)

    def _request(self, method: str, path: str, body: object, missing_is_fine: bool) -> None:  # noqa: FBT001 - by run_in_executor
        data = None if body is None else msgspec.json.encode(body)
        request = urllib.request.Request(f"{self._root}/api/{path}", data, method=method)  # noqa: S310 - http or https, as the address was checked
        request.add_header("Authorization", self._login)
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:  # noqa: S310 - the same
                answer.read(ANSWER_BYTES_MAX)
        except urllib.error.HTTPError as error:
            with error:
                text = error.read(1_000).decode(errors="replace")
            if error.code == 404 and missing_is_fine:
                return
            if error.code in (401, 403):
                raise AccessDenied("this client", f"({error.code})", path) from error
            raise EngineError(f"{self._root}: {method} {path}: {error.code} {text}", retryable=False) from error
        except OSError as error:
            raise EngineError(f"{self._root}: {error}", retryable=True) from error
