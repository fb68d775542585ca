"""How a caller names a queue."""

import pytest

from isthmus.protocols.aws.errors import AwsError
from isthmus.protocols.sqs.handlers.caller import Caller
from support.sqs import BASE, sqs


async def test_the_last_part_of_an_address_names_the_queue() -> None:
    async with sqs() as here:
        url = await here.queue("jobs")
        caller = Caller(here.world.broker, here.world.session, BASE)

        assert url == f"{BASE}/000000000000/jobs"
        for each in (url, "jobs", "https://sqs.eu-west-1.amazonaws.com/123456789012/jobs", f"{url}/"):
            assert caller.find(each).name == "jobs"


async def test_what_names_no_queue_is_told() -> None:
    async with sqs() as here:
        caller = Caller(here.world.broker, here.world.session, BASE)

        with pytest.raises(AwsError, match="QueueUrl"):
            caller.find(None)
        with pytest.raises(AwsError, match="not valid for this endpoint"):
            caller.find("http://localhost/")
        with pytest.raises(AwsError, match="does not exist"):
            caller.find("nothing")
        assert caller.topic_named("nothing") is None
