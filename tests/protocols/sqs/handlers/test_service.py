"""The SQS door on a real socket, with AWS's own client library."""

import asyncio
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import boto3
import msgspec
import pytest
from botocore.config import Config

from isthmus.broker import accounts
from isthmus.definition import UserDefinition
from isthmus.protocols.sqs.handlers.service import HANDLERS
from isthmus.protocols.sqs.shapes import ACTIONS
from isthmus.server.config import Settings
from support.echo import until
from support.served import Served, served


@asynccontextmanager
async def door() -> AsyncGenerator[tuple[Served, Any]]:
    async with served(settings=Settings(sqs="0")) as here:
        client = boto3.client(
            "sqs",
            endpoint_url=f"http://127.0.0.1:{here.listening.port}",
            region_name="us-east-1",
            aws_access_key_id="anybody",
            aws_secret_access_key="anything",
            config=Config(retries={"total_max_attempts": 1}),
        )
        try:
            yield here, client
        finally:
            client.close()


async def call(function: Callable[..., Any], **given: object) -> Any:  # noqa: ANN401 - what the function gives
    return await asyncio.to_thread(function, **given)


async def post(here: Served, target: str, body: bytes = b"{}", **headers: str) -> tuple[int, Any]:
    """A request by hand."""
    reader, writer = await asyncio.open_connection("127.0.0.1", here.listening.port)
    rows = {"Host": "localhost", "X-Amz-Target": target, "Content-Length": str(len(body)), "Connection": "close"}
    head = "".join(f"{name}: {value}\r\n" for name, value in {**rows, **headers}.items())
    writer.write(f"POST / HTTP/1.1\r\n{head}\r\n".encode() + body)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    first, _, rest = answer.partition(b"\r\n")
    return int(first.split()[1]), msgspec.json.decode(rest.partition(b"\r\n\r\n")[2])


def test_every_action_has_a_handler() -> None:
    assert HANDLERS.keys() == ACTIONS.keys()


async def test_a_message_goes_round() -> None:
    async with door() as (_, client):
        url = (await call(client.create_queue, QueueName="jobs"))["QueueUrl"]
        sent = await call(client.send_message, QueueUrl=url, MessageBody="hello")
        got = (await call(client.receive_message, QueueUrl=url, WaitTimeSeconds=5))["Messages"][0]
        await call(client.delete_message, QueueUrl=url, ReceiptHandle=got["ReceiptHandle"])

        assert (got["Body"], got["MessageId"]) == ("hello", sent["MessageId"])
        with pytest.raises(client.exceptions.QueueDoesNotExist) as told:
            await call(client.get_queue_url, QueueName="none")
        assert told.value.response["Error"]["Code"] == "AWS.SimpleQueueService.NonExistentQueue"


async def test_who_goes_while_it_waits_takes_nothing() -> None:
    async with door() as (here, client):
        url = (await call(client.create_queue, QueueName="jobs"))["QueueUrl"]
        body = msgspec.json.encode({"QueueUrl": url, "WaitTimeSeconds": 20})
        _, writer = await asyncio.open_connection("127.0.0.1", here.listening.port)
        writer.write(
            b"POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: AmazonSQS.ReceiveMessage\r\nContent-Length: "
            + str(len(body)).encode()
            + b"\r\n\r\n"
            + body
        )
        queue = here.broker.queue("default", "jobs")
        await until(lambda: queue.waiting)

        writer.transport.abort()
        await until(lambda: not queue.waiting)
        await call(client.send_message, QueueUrl=url, MessageBody="hello")

        got = await call(client.receive_message, QueueUrl=url, AttributeNames=["ApproximateReceiveCount"])
        assert got["Messages"][0]["Attributes"] == {"ApproximateReceiveCount": "1"}


async def test_what_is_no_action_is_told() -> None:
    async with door() as (here, _):
        status, said = await post(here, "AmazonSQS.Fly")

        assert (status, said["message"]) == (400, "there is no action 'Fly' here")
        assert (await post(here, "Kinesis_20131202.PutRecord"))[0] == 400
        assert (await post(here, "AmazonSQS.SendMessage", b"{"))[1]["__type"].endswith("SerializationException")


async def test_pages_in_a_browser_are_refused() -> None:
    async with door() as (here, _):
        status, said = await post(here, "AmazonSQS.ListQueues", Origin="http://evil.example")

        assert (status, said["__type"]) == (403, "com.amazonaws.sqs#AccessDeniedException")


async def test_when_users_exist_nobody_else_is_let_in() -> None:
    async with door() as (here, _):
        await accounts.create(here.broker, here.broker.session(), UserDefinition(name="anna", admin=True))

        status, said = await post(here, "AmazonSQS.ListQueues")

        assert (status, said["__type"]) == (403, "com.amazonaws.sqs#UnrecognizedClientException")


async def test_the_older_protocol_is_answered_in_xml() -> None:
    async with door() as (here, client):
        await call(client.create_queue, QueueName="jobs")
        address = f"http://127.0.0.1:{here.listening.port}"

        sent = await ask(f"{address}/000000000000/jobs", Action="SendMessage", MessageBody="a <b>")
        got = await ask(f"{address}/000000000000/jobs", Action="ReceiveMessage")
        unknown = await ask(address, Action="Fly")

        assert "<MD5OfMessageBody>" in sent
        assert "<Body>a &lt;b&gt;</Body>" in got
        assert "<Code>InvalidAction</Code>" in unknown


async def ask(address: str, **form: str) -> str:
    """A request in the older protocol, by Python's own client."""

    def asked() -> str:
        data = urllib.parse.urlencode(form).encode()
        try:
            with urllib.request.urlopen(address, data, timeout=30) as answer:  # noqa: S310 - an address of our own
                return str(answer.read().decode())
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.read().decode()

    return await asyncio.to_thread(asked)
