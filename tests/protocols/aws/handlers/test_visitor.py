"""What every door of AWS's protocols does before an action is done."""

import asyncio
from typing import Any

import msgspec
import pytest

from isthmus.server.config import Settings
from support.served import Served, served


async def post(here: Served, target: str, **headers: str) -> tuple[int, Any]:
    reader, writer = await asyncio.open_connection("127.0.0.1", here.listening.port)
    rows = {"Host": "localhost", "X-Amz-Target": target, "Content-Length": "2", "Connection": "close", **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in rows.items())
    writer.write(f"POST / HTTP/1.1\r\n{head}\r\n{{}}".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return int(answer.split()[1]), msgspec.json.decode(answer.partition(b"\r\n\r\n")[2])


@pytest.mark.parametrize(
    ("settings", "mine", "other", "space"),
    [
        (Settings(sqs="0"), "AmazonSQS.ListQueues", "Kinesis_20131202.ListStreams", "com.amazonaws.sqs#"),
        (Settings(kinesis="0"), "Kinesis_20131202.ListStreams", "AmazonSQS.ListQueues", ""),
    ],
)
async def test_a_door_does_the_actions_of_its_own_service(
    settings: Settings, mine: str, other: str, space: str
) -> None:
    async with served(settings=settings) as here:
        assert (await post(here, mine))[0] == 200
        assert (await post(here, other))[0] == 400
        status, said = await post(here, mine, Origin="http://evil.example")
        assert (status, said["__type"]) == (403, f"{space}AccessDeniedException")
        assert (await post(here, "nothing"))[1]["__type"] == f"{space}UnknownOperationException"
