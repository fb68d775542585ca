"""The actions on messages, as they behave over time: the clock is the test's."""

import asyncio
import json
from typing import Any

import pytest

from isthmus.protocols.aws.errors import AwsError
from support.sqs import Sqs, sqs

pytestmark = pytest.mark.usefixtures("protocol")

DEAD = json.dumps({"deadLetterTargetArn": "arn:aws:sqs:us-east-1:000000000000:dead", "maxReceiveCount": 2})
FIFO = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}


def bodies(messages: list[dict[str, Any]]) -> list[str]:
    return [each["Body"] for each in messages]


async def waiting(here: Sqs, url: str) -> "asyncio.Task[list[dict[str, Any]]]":
    """A receive that has begun to wait."""
    task = asyncio.ensure_future(here.receive(url, WaitTimeSeconds=20))
    await here.world.clock.drain()
    return task


class TestSend:
    async def test_a_message_comes_back_with_its_attributes_and_digests(self) -> None:
        async with sqs() as here:
            url = await here.queue()
            attributes = {"n": {"DataType": "Number", "StringValue": "12"}}
            (sent,) = await here.send(url, "hello", MessageAttributes=attributes)

            (got,) = await here.receive(url, MessageAttributeNames=["All"], AttributeNames=["All"])

            assert (got["MessageId"], got["MD5OfBody"]) == (sent["MessageId"], sent["MD5OfMessageBody"])
            assert got["MessageAttributes"] == attributes
            assert got["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]
            assert got["Attributes"]["ApproximateReceiveCount"] == "1"
            (again,) = await here.send(url, "plain")
            assert "MD5OfMessageAttributes" not in again

    async def test_a_delay_is_the_messages_own_or_the_queues(self) -> None:
        async with sqs() as here:
            url = await here.queue(DelaySeconds="10")
            await here.send(url, "later")
            await here.send(url, "now", DelaySeconds=0)

            assert bodies(await here.receive(url)) == ["now"]
            assert await here.counts(url) == (0, 1, 1)
            await here.world.clock.advance(10_001)
            assert bodies(await here.receive(url)) == ["later"]

    async def test_in_a_batch_each_message_succeeds_or_fails_by_itself(self) -> None:
        async with sqs() as here:
            url = await here.queue(MaximumMessageSize="1024")
            entries = [
                {"Id": "good", "MessageBody": "hello"},
                {"Id": "large", "MessageBody": "x" * 1_025},
                {"Id": "late", "MessageBody": "x", "DelaySeconds": 901},
            ]

            done = await here("SendMessageBatch", QueueUrl=url, Entries=entries)

            assert [each["Id"] for each in done["Successful"]] == ["good"]
            assert [(each["Id"], each["Code"]) for each in done["Failed"]] == [
                ("large", "InvalidParameterValue"),
                ("late", "InvalidParameterValue"),
            ]

    async def test_what_goes_with_fifo_only_is_refused(self) -> None:
        async with sqs() as here:
            url = await here.queue()

            with pytest.raises(AwsError, match="not valid for this queue type"):
                await here.send(url, "x", MessageDeduplicationId="d")
            await here.send(url, "x", MessageGroupId="fair")  # allowed, and locks nothing
            (got,) = await here.receive(url, AttributeNames=["MessageGroupId"])
            assert got["Attributes"] == {"MessageGroupId": "fair"}


class TestReceive:
    async def test_a_message_is_back_when_its_time_is_over(self) -> None:
        async with sqs() as here:
            url = await here.queue()
            await here.send(url, "hello")
            (first,) = await here.receive(url, VisibilityTimeout=2)

            assert await here.receive(url) == []
            task = await waiting(here, url)
            await here.world.clock.advance(2_001)

            (second,) = await task
            assert second["ReceiptHandle"] != first["ReceiptHandle"]

    async def test_waiting_ends_with_a_message_or_with_the_time(self) -> None:
        async with sqs() as here:
            url = await here.queue()
            task = await waiting(here, url)
            await here.send(url, "hello")
            assert bodies(await task) == ["hello"]

            task = await waiting(here, url)
            await here.world.clock.advance(20_001)
            assert await task == []

    async def test_a_change_to_no_time_wakes_who_waits(self) -> None:
        async with sqs() as here:
            url = await here.queue()
            await here.send(url, "hello")
            (held,) = await here.receive(url)
            task = await waiting(here, url)

            await here(
                "ChangeMessageVisibility", QueueUrl=url, ReceiptHandle=held["ReceiptHandle"], VisibilityTimeout=0
            )

            assert bodies(await task) == ["hello"]

    @pytest.mark.parametrize(
        "given", [{"MaxNumberOfMessages": 11}, {"WaitTimeSeconds": 21}, {"VisibilityTimeout": 43_201}]
    )
    async def test_what_is_out_of_range_is_told(self, given: dict[str, int]) -> None:
        async with sqs() as here:
            url = await here.queue()

            with pytest.raises(AwsError, match=f"for parameter {next(iter(given))} is invalid"):
                await here("ReceiveMessage", QueueUrl=url, **given)

    async def test_after_so_many_receives_it_goes_to_the_dead_with_its_id(self) -> None:
        async with sqs() as here:
            dead = await here.queue("dead")
            url = await here.queue(RedrivePolicy=DEAD)
            (sent,) = await here.send(url, "bad")
            for _ in range(2):
                assert bodies(await here.receive(url, VisibilityTimeout=1)) == ["bad"]
                await here.world.clock.advance(1_001)

            assert await here.receive(url) == []
            await here.world.clock.advance(1_000)
            (got,) = await here.receive(dead, AttributeNames=["All"])

            assert got["MessageId"] == sent["MessageId"]
            assert got["Attributes"]["DeadLetterQueueSourceArn"] == "arn:aws:sqs:us-east-1:000000000000:jobs"


class TestDelete:
    async def test_any_handle_deletes_also_after_its_time(self) -> None:
        async with sqs() as here:
            url = await here.queue()
            await here.send(url, "hello")
            (first,) = await here.receive(url, VisibilityTimeout=1)
            await here.world.clock.advance(1_001)
            (second,) = await here.receive(url, VisibilityTimeout=1)

            await here.delete(url, first)
            await here.delete(url, second)

            await here.world.clock.advance(5_000)
            assert await here.receive(url) == []

    async def test_what_was_deleted_stays_so_after_a_crash(self) -> None:
        async with sqs() as here:
            url = await here.queue()
            await here.send(url, "a", "b")
            first, _ = await here.receive(url)
            await here.delete(url, first)

            await here.world.crash()

            await here.world.clock.advance(60_000)
            assert bodies(await here.receive(url)) == ["b"]

    async def test_in_a_batch_each_succeeds_or_fails_by_itself(self) -> None:
        async with sqs() as here:
            url = await here.queue()
            await here.send(url, "a")
            (held,) = await here.receive(url)
            entries = [{"Id": "1", "ReceiptHandle": held["ReceiptHandle"]}, {"Id": "2", "ReceiptHandle": "x"}]

            done = await here("DeleteMessageBatch", QueueUrl=url, Entries=entries)

            assert done["Successful"] == [{"Id": "1"}]
            assert done["Failed"][0]["Code"] == "ReceiptHandleIsInvalid"

    async def test_a_handle_has_to_be_given(self) -> None:
        async with sqs() as here:
            url = await here.queue()

            with pytest.raises(AwsError, match="ReceiptHandle"):
                await here("DeleteMessage", QueueUrl=url)


class TestVisibility:
    async def test_a_message_stays_in_flight_as_long_as_is_asked_for(self) -> None:
        async with sqs() as here:
            url = await here.queue()
            await here.send(url, "hello")
            (held,) = await here.receive(url, VisibilityTimeout=1)
            handle = held["ReceiptHandle"]

            await here("ChangeMessageVisibility", QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=10)
            await here.world.clock.advance(9_000)
            assert await here.receive(url) == []
            await here.world.clock.advance(1_001)

            assert bodies(await here.receive(url)) == ["hello"]
            with pytest.raises(AwsError, match="not available for visibility timeout change"):
                await here("ChangeMessageVisibility", QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=10)

    async def test_twelve_hours_since_the_receive_are_the_most(self) -> None:
        async with sqs() as here:
            url = await here.queue()
            await here.send(url, "hello")
            (held,) = await here.receive(url, VisibilityTimeout=40_000)
            await here.world.clock.advance(10_000_000)

            with pytest.raises(AwsError, match="beyond the limit"):
                await here(
                    "ChangeMessageVisibility",
                    QueueUrl=url,
                    ReceiptHandle=held["ReceiptHandle"],
                    VisibilityTimeout=40_000,
                )

    async def test_in_a_batch_each_succeeds_or_fails_by_itself(self) -> None:
        async with sqs() as here:
            url = await here.queue()
            await here.send(url, "a")
            (held,) = await here.receive(url)
            entries = [
                {"Id": "1", "ReceiptHandle": held["ReceiptHandle"], "VisibilityTimeout": 5},
                {"Id": "2", "ReceiptHandle": held["ReceiptHandle"]},
            ]

            done = await here("ChangeMessageVisibilityBatch", QueueUrl=url, Entries=entries)

            assert (done["Successful"], done["Failed"][0]["Id"]) == ([{"Id": "1"}], "2")


class TestFifo:
    async def test_a_duplicate_is_told_the_first_ones_id_also_after_that_was_deleted(self) -> None:
        async with sqs() as here:
            url = await here.queue("jobs.fifo", **FIFO)
            (first,) = await here.send(url, "hello", MessageGroupId="g")
            (held,) = await here.receive(url)
            await here.delete(url, held)

            (second,) = await here.send(url, "hello", MessageGroupId="g")

            assert second == first
            assert await here.receive(url) == []

    async def test_a_group_waits_for_what_is_in_flight_and_others_do_not(self) -> None:
        async with sqs() as here:
            url = await here.queue("jobs.fifo", **FIFO)
            for group, body in (("g", "g1"), ("g", "g2"), ("h", "h1")):
                await here.send(url, body, MessageGroupId=group)

            (first,) = await here.receive(url, 1)
            second = await here.receive(url, 1)
            assert bodies([first, *second]) == ["g1", "h1"]
            assert await here.receive(url) == []
            await here.delete(url, first)

            assert bodies(await here.receive(url)) == ["g2"]

    async def test_a_handle_deletes_only_while_the_message_is_in_flight(self) -> None:
        async with sqs() as here:
            url = await here.queue("jobs.fifo", **FIFO)
            await here.send(url, "hello", MessageGroupId="g")
            (held,) = await here.receive(url, VisibilityTimeout=1)
            await here.world.clock.advance(1_001)

            with pytest.raises(AwsError, match="The receipt handle has expired"):
                await here.delete(url, held)

    async def test_what_a_message_needs_is_told(self) -> None:
        async with sqs() as here:
            url = await here.queue("jobs.fifo", FifoQueue="true")

            with pytest.raises(AwsError, match="MessageGroupId"):
                await here.send(url, "x")
            with pytest.raises(AwsError, match="ContentBasedDeduplication enabled or"):
                await here.send(url, "x", MessageGroupId="g")
            with pytest.raises(AwsError, match="DelaySeconds"):
                await here.send(url, "x", MessageGroupId="g", MessageDeduplicationId="d", DelaySeconds=2)
            with pytest.raises(AwsError, match="MessageGroupId"):
                await here("SendMessageBatch", QueueUrl=url, Entries=[{"Id": "1", "MessageBody": "x"}])

    async def test_sequence_numbers_rise(self) -> None:
        async with sqs() as here:
            url = await here.queue("jobs.fifo", **FIFO)

            first, second = await here.send(url, "a", "b", MessageGroupId="g")

            assert int(first["SequenceNumber"]) < int(second["SequenceNumber"])

    async def test_only_what_was_received_blocks_a_group_what_is_delayed_does_not(self) -> None:
        async with sqs() as here:
            url = await here.queue("jobs.fifo", DelaySeconds="60", **FIFO)
            await here.send(url, "late", MessageGroupId="a")
            await here("SetQueueAttributes", QueueUrl=url, Attributes={"DelaySeconds": "0"})
            await here.send(url, "now", MessageGroupId="a")

            (got,) = await here.receive(url)
            await here.delete(url, got)
            await here.world.clock.advance(60_001)

            assert got["Body"] == "now"
            assert bodies(await here.receive(url)) == ["late"]

    async def test_sending_changes_nothing_of_how_long_a_group_is_in_flight(self) -> None:
        async with sqs() as here:
            url = await here.queue("jobs.fifo", **FIFO)
            await here.send(url, "one", MessageGroupId="a")
            await here.receive(url, VisibilityTimeout=30)

            await here.world.clock.advance(20_000)
            await here.send(url, "two", MessageGroupId="a")

            assert await here.receive(url) == []
            await here.world.clock.advance(10_001)
            assert bodies(await here.receive(url)) == ["one", "two"]


async def test_what_is_older_than_the_retention_is_gone() -> None:
    async with sqs() as here:
        url = await here.queue(MessageRetentionPeriod="60")
        await here.send(url, "old")
        await here.world.clock.advance(40_000)
        await here.send(url, "young")

        await here.world.clock.advance(20_001)

        assert bodies(await here.receive(url)) == ["young"]
