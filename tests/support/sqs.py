"""SQS's actions on a broker in memory with a clock that the test moves, asked for as its handlers are."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import msgspec

from isthmus.protocols.sqs import query
from isthmus.protocols.sqs.handlers.caller import Caller
from isthmus.protocols.sqs.handlers.service import HANDLERS
from isthmus.protocols.sqs.shapes import ACTIONS
from support.brokers import World, world
from support.sqs_forms import output_of, request_of

BASE = "http://localhost:9324"


class Sqs:
    """See the module text. An action takes its input by AWS's names, and gives its output in the same way.

    `older` says that both go through forms and XML on the way.
    """

    older: ClassVar[bool] = False

    def __init__(self, world: World) -> None:
        self.world = world

    async def __call__(self, action: str, **given: Any) -> Any:  # noqa: ANN401 - its output
        caller = Caller(self.world.broker, self.world.session, BASE)
        asked, told = ACTIONS[action]
        if self.older:
            form = query.read(request_of(action, given))
            output = await HANDLERS[action](caller, query.decode(form, asked))
            return output_of(action, query.answer(form, output), told)
        output = await HANDLERS[action](caller, msgspec.convert(given, asked))
        return None if output is None else msgspec.to_builtins(output)

    async def queue(self, name: str = "jobs", **attributes: str) -> str:
        """A queue; its URL."""
        made = await self("CreateQueue", QueueName=name, Attributes=attributes)
        return str(made["QueueUrl"])

    async def send(self, url: str, *bodies: str, **given: Any) -> list[dict[str, Any]]:
        """Messages, one after the other."""
        return [await self("SendMessage", QueueUrl=url, MessageBody=body, **given) for body in bodies]

    async def receive(self, url: str, count: int = 10, **given: Any) -> list[dict[str, Any]]:
        """What is there."""
        found = await self("ReceiveMessage", QueueUrl=url, MaxNumberOfMessages=count, **given)
        return list(found.get("Messages", []))

    async def delete(self, url: str, message: dict[str, Any]) -> None:
        await self("DeleteMessage", QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    async def counts(self, url: str) -> tuple[int, int, int]:
        """How many are available, in flight and delayed."""
        names = [f"ApproximateNumberOfMessages{state}" for state in ("", "NotVisible", "Delayed")]
        found = (await self("GetQueueAttributes", QueueUrl=url, AttributeNames=names))["Attributes"]
        return int(found[names[0]]), int(found[names[1]]), int(found[names[2]])


@asynccontextmanager
async def sqs() -> AsyncGenerator[Sqs]:
    async with world() as made:
        yield Sqs(made)
