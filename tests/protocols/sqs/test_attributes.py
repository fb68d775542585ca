"""Attributes of queues: the ranges, the words of a refusal, and the queue that they make."""

import pytest

from isthmus.definition import QueueConfig
from isthmus.protocols.aws.errors import AwsError
from isthmus.protocols.sqs import attributes
from isthmus.protocols.sqs.attributes import Own, changed, check, check_name, definition_of, own_of, shown

DEAD = '{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dead","maxReceiveCount":"3"}'


class TestNames:
    @pytest.mark.parametrize("name", ["a", "a-b_C9", "x" * 80])
    def test_these_are_names(self, name: str) -> None:
        check_name(name, fifo=False)

    @pytest.mark.parametrize("name", ["", "a.b", "x" * 81, "a b", "a.fifo"])
    def test_these_are_not(self, name: str) -> None:
        with pytest.raises(AwsError, match="Can only include alphanumeric"):
            check_name(name, fifo=False)

    @pytest.mark.parametrize("name", ["a", ".fifo", "x" * 76 + ".fifo"])
    def test_a_fifo_queue_has_its_ending(self, name: str) -> None:
        with pytest.raises(AwsError, match=r"must end with \.fifo"):
            check_name(name, fifo=True)

    def test_resource_names_there_and_back(self) -> None:
        assert attributes.name_of_arn(attributes.arn_of("jobs")) == "jobs"
        assert attributes.name_of_arn("arn:aws:sns:us-east-1:000000000000:jobs") is None


class TestCheck:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("DelaySeconds", "901"),
            ("VisibilityTimeout", "-1"),
            ("VisibilityTimeout", "43201"),
            ("MaximumMessageSize", "1023"),
            ("MessageRetentionPeriod", "59"),
            ("ReceiveMessageWaitTimeSeconds", "x"),
            ("SqsManagedSseEnabled", "maybe"),
            ("VisibilityTimeout", "9" * 400),
        ],
    )
    def test_a_value_out_of_its_range_is_named(self, name: str, value: str) -> None:
        with pytest.raises(AwsError) as refused:
            check({name: value}, fifo=False)

        assert refused.value.code == "InvalidAttributeValue"
        assert name in refused.value.message

    def test_an_attribute_that_does_not_exist_or_goes_with_fifo_is_named(self) -> None:
        with pytest.raises(AwsError, match="Unknown Attribute Zed"):
            check({"Zed": "1"}, fifo=False)
        with pytest.raises(AwsError, match="DeduplicationScope only when FifoQueue"):
            check({"DeduplicationScope": "queue"}, fifo=False)
        with pytest.raises(AwsError, match="FifoThroughputLimit"):
            check({"FifoThroughputLimit": "perMessageGroupId"}, fifo=True)

    @pytest.mark.parametrize(
        "policy", ["{", "[]", '{"maxReceiveCount":1}', DEAD.replace('"3"', "0"), DEAD.replace(":dead", ":a b")]
    )
    def test_a_redrive_policy_that_is_none_is_refused(self, policy: str) -> None:
        with pytest.raises(AwsError, match="RedrivePolicy"):
            check({"RedrivePolicy": policy}, fifo=False)


class TestDefinition:
    def test_attributes_make_the_queue(self) -> None:
        given = {"VisibilityTimeout": "7", "MessageRetentionPeriod": "60", "RedrivePolicy": DEAD}
        own = changed(Own(created_s=5), given, 6)

        made = definition_of("jobs", "default", own)

        assert (made.config.lease_ms, made.config.ttl_ms) == (7_000, 60_000)
        assert (made.config.dead, made.config.acquired_max, made.config.failed_max) == ("dead", 3, None)
        assert not made.config.ordered
        assert definition_of("jobs.fifo", "default", own).config.ordered
        assert own_of(made.config) == own

    def test_a_queue_of_another_door_has_the_usual_attributes(self) -> None:
        own = own_of(QueueConfig(lease_ms=9_000))

        assert own.attributes == {"VisibilityTimeout": "9"}

    def test_an_empty_text_removes_and_a_key_of_ones_own_switches_encryption_over(self) -> None:
        own = changed(Own(attributes={"Policy": "{}"}), {"Policy": "", "KmsMasterKeyId": "mine"}, 1)

        assert own.attributes == {"KmsMasterKeyId": "mine", "SqsManagedSseEnabled": "false"}

    def test_a_new_queue_shows_what_aws_shows(self) -> None:
        assert set(shown("jobs", Own(), (0, 0, 0))) == {
            *attributes.NUMBERS,
            *attributes.READ_ONLY,
            "SqsManagedSseEnabled",
        }

    def test_the_first_difference_is_named(self) -> None:
        own = Own(attributes={"DelaySeconds": "3"})

        assert attributes.difference(own, {"DelaySeconds": "3", "VisibilityTimeout": "30"}) is None
        assert attributes.difference(own, {"DelaySeconds": "4"}) == "DelaySeconds"
