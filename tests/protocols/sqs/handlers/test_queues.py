"""The actions on queues, asked for as the door does, with a clock that the test moves."""

import json

import pytest

from isthmus.definition import QueueConfig, QueueDefinition
from isthmus.errors import InUse, UnknownTopic
from isthmus.protocols.aws.errors import AwsError
from support.sqs import sqs

pytestmark = pytest.mark.usefixtures("protocol")

DEAD = json.dumps({"deadLetterTargetArn": "arn:aws:sqs:us-east-1:000000000000:dead", "maxReceiveCount": 2})


class TestCreate:
    async def test_the_same_again_finds_the_queue_and_another_is_refused(self) -> None:
        async with sqs() as here:
            url = await here.queue("jobs", DelaySeconds="3")

            assert await here.queue("jobs") == url
            assert await here.queue("jobs", DelaySeconds="3") == url
            with pytest.raises(AwsError, match="different value for attribute DelaySeconds"):
                await here.queue("jobs", DelaySeconds="4")

    async def test_names_and_attributes_are_checked(self) -> None:
        async with sqs() as here:
            with pytest.raises(AwsError, match="QueueName"):
                await here("CreateQueue")
            with pytest.raises(AwsError, match="Can only include"):
                await here.queue("a b")
            with pytest.raises(AwsError, match=r"end with \.fifo"):
                await here.queue("jobs", FifoQueue="true")

    async def test_the_queue_for_the_dead_has_to_be_there_and_of_the_same_kind(self) -> None:
        async with sqs() as here:
            with pytest.raises(AwsError, match="does not exist"):
                await here.queue("jobs", RedrivePolicy=DEAD)
            await here.queue("dead")
            await here.queue("jobs", RedrivePolicy=DEAD)
            with pytest.raises(AwsError, match="same type"):
                await here.queue("jobs.fifo", FifoQueue="true", RedrivePolicy=DEAD)
            with pytest.raises(InUse):
                await here("DeleteQueue", QueueUrl="dead")

    async def test_it_is_there_after_a_crash(self) -> None:
        async with sqs() as here:
            await here("CreateQueue", QueueName="jobs", Attributes={"VisibilityTimeout": "5"}, tags={"team": "a"})
            await here.world.crash()

            found = await here("GetQueueAttributes", QueueUrl="jobs", AttributeNames=["All"])

            assert found["Attributes"]["VisibilityTimeout"] == "5"
            assert await here("ListQueueTags", QueueUrl="jobs") == {"Tags": {"team": "a"}}


class TestDescribe:
    async def test_nothing_is_told_unless_it_is_asked_for(self) -> None:
        async with sqs() as here:
            await here.queue()

            assert await here("GetQueueAttributes", QueueUrl="jobs") == {}
            asked = await here("GetQueueAttributes", QueueUrl="jobs", AttributeNames=["QueueArn", "Policy"])
            assert asked == {"Attributes": {"QueueArn": "arn:aws:sqs:us-east-1:000000000000:jobs"}}
            with pytest.raises(AwsError, match="Unknown Attribute Zed"):
                await here("GetQueueAttributes", QueueUrl="jobs", AttributeNames=["Zed"])

    async def test_queues_of_other_doors_are_there_too(self) -> None:
        async with sqs() as here:
            asked = QueueDefinition(name="native", config=QueueConfig(lease_ms=4_000))
            await here.world.broker.create_queue(here.world.session, asked)

            found = await here("GetQueueAttributes", QueueUrl="native", AttributeNames=["VisibilityTimeout"])

            assert found["Attributes"] == {"VisibilityTimeout": "4"}

    async def test_where_a_queue_is(self) -> None:
        async with sqs() as here:
            url = await here.queue()

            assert await here("GetQueueUrl", QueueName="jobs") == {"QueueUrl": url}
            for given in ({"QueueName": "none"}, {}):
                with pytest.raises(AwsError):
                    await here("GetQueueUrl", **given)

    async def test_lists_come_in_pages(self) -> None:
        async with sqs() as here:
            urls = [await here.queue(f"jobs-{at}") for at in range(5)]
            await here.queue("other")

            first = await here("ListQueues", QueueNamePrefix="jobs", MaxResults=3)
            rest = await here("ListQueues", QueueNamePrefix="jobs", MaxResults=3, NextToken=first["NextToken"])

            assert first["QueueUrls"] + rest["QueueUrls"] == urls
            assert "NextToken" not in rest
            assert await here("ListQueues", QueueNamePrefix="none") == {}
            for given in ({"MaxResults": 0}, {"NextToken": "é"}):
                with pytest.raises(AwsError):
                    await here("ListQueues", **given)

    async def test_a_queue_for_the_dead_knows_its_sources(self) -> None:
        async with sqs() as here:
            await here.queue("dead")
            url = await here.queue("jobs", RedrivePolicy=DEAD)

            assert await here("ListDeadLetterSourceQueues", QueueUrl="dead") == {"queueUrls": [url]}
            assert await here("ListDeadLetterSourceQueues", QueueUrl="jobs") == {"queueUrls": []}


class TestChange:
    async def test_attributes_act_from_now_on(self) -> None:
        async with sqs() as here:
            url = await here.queue()
            await here("SetQueueAttributes", QueueUrl=url, Attributes={"VisibilityTimeout": "1"})
            await here.send(url, "hello")

            await here.receive(url)
            await here.world.clock.advance(1_001)

            assert [each["Body"] for each in await here.receive(url)] == ["hello"]

    async def test_the_kind_of_a_queue_is_fixed(self) -> None:
        async with sqs() as here:
            url = await here.queue()

            with pytest.raises(AwsError, match="Modifying queue type"):
                await here("SetQueueAttributes", QueueUrl=url, Attributes={"FifoQueue": "true"})
            with pytest.raises(AwsError, match=r"Attribute\.Name"):
                await here("SetQueueAttributes", QueueUrl=url)

    async def test_tags_are_set_and_taken_away(self) -> None:
        async with sqs() as here:
            url = await here.queue()
            await here("TagQueue", QueueUrl=url, Tags={"a": "1", "b": "2"})
            await here("UntagQueue", QueueUrl=url, TagKeys=["a", "none"])

            assert await here("ListQueueTags", QueueUrl=url) == {"Tags": {"b": "2"}}
            for action, given in (
                ("TagQueue", {"Tags": {str(at): "" for at in range(51)}}),
                ("TagQueue", {"Tags": {"": "x"}}),
                ("TagQueue", {}),
                ("UntagQueue", {}),
            ):
                with pytest.raises(AwsError):
                    await here(action, QueueUrl=url, **given)

    async def test_permissions_are_kept_under_their_labels(self) -> None:
        async with sqs() as here:
            url = await here.queue()
            given = {"QueueUrl": url, "Label": "l", "AWSAccountIds": ["123456789012"], "Actions": ["SendMessage"]}
            await here("AddPermission", **given)

            with pytest.raises(AwsError, match="Already exists"):
                await here("AddPermission", **given)
            await here("RemovePermission", QueueUrl=url, Label="l")
            with pytest.raises(AwsError, match="can't find label"):
                await here("RemovePermission", QueueUrl=url, Label="l")
            with pytest.raises(AwsError, match="Actions"):
                await here("AddPermission", **{**given, "Actions": []})

    async def test_a_purge_takes_what_is_in_flight_too(self) -> None:
        async with sqs() as here:
            url = await here.queue()
            await here.send(url, "a", "b")
            (held,) = await here.receive(url, 1)

            await here("PurgeQueue", QueueUrl=url)

            assert await here.counts(url) == (0, 0, 0)
            await here.delete(url, held)
            await here.world.clock.advance(60_000)
            assert await here.receive(url) == []

    async def test_a_queue_that_is_deleted_is_gone(self) -> None:
        async with sqs() as here:
            url = await here.queue()

            await here("DeleteQueue", QueueUrl=url)

            with pytest.raises(AwsError, match="does not exist"):
                await here.send(url, "hello")
            with pytest.raises(UnknownTopic):
                here.world.find("jobs")
