"""Messages and the records that they are: what is refused, and what comes back."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.log.headers import encode_headers
from isthmus.protocols.aws.errors import AwsError
from isthmus.protocols.sqs import messages
from isthmus.protocols.sqs.messages import attributes_of, check, check_batch, dedup_of, headers_in, headers_of
from isthmus.protocols.sqs.shapes import AttributeValue, SendMessage
from isthmus.record import StoredRecord

LIMIT = 1_048_576


def message(body: str | None = "hello", **given: Any) -> SendMessage:
    return SendMessage(message_body=body, **given)


def text(value: str, kind: str = "String") -> AttributeValue:
    return AttributeValue(data_type=kind, string_value=value)


def stored(headers: bytes, value: bytes = b"hello") -> StoredRecord:
    return StoredRecord(0, 0, None, value, headers)


class TestCheck:
    @pytest.mark.parametrize(
        ("asked", "words"),
        [
            (message(None), "must contain the parameter MessageBody"),
            (message(""), "must contain the parameter MessageBody"),
            (message("\x00"), "Invalid characters found"),
            (message("x" * (LIMIT + 1)), "must be shorter than 1048576 bytes"),
            (message(message_attributes={"aws.x": text("1")}), "name 'aws.x' is invalid"),
            (message(message_attributes={".x": text("1")}), "name '.x' is invalid"),
            (message(message_attributes={"x.": text("1")}), "name 'x.' is invalid"),
            (message(message_attributes={"isthmus-due": text("1")}), "reserved here"),
            (message(message_attributes={"x": text("1", "Text")}), "invalid message attribute type"),
            (message(message_attributes={"x": text("")}), "non-empty value of type 'String'"),
            (message(message_attributes={"x": text("1", "Binary")}), "must use field 'Binary'"),
            (message(message_attributes={"x": text("one", "Number")}), "to a number"),
            (message(message_attributes={f"x{at}": text("1") for at in range(11)}), "exceeds the allowed maximum"),
            (message(message_system_attributes={"Other": text("1")}), "'Other' is invalid"),
            (message(message_group_id="a b"), "MessageGroupId can only include"),
            (message(message_deduplication_id="x" * 129), "MessageDeduplicationId can only include"),
        ],
    )
    def test_what_cannot_be_sent_is_refused_in_the_words_of_the_service(self, asked: SendMessage, words: str) -> None:
        with pytest.raises(AwsError, match=words):
            check(asked, limit=LIMIT)

    def test_what_is_largest_is_sent(self) -> None:
        assert check(message("x" * LIMIT), limit=LIMIT) == LIMIT


class TestRecords:
    @given(
        st.dictionaries(
            st.text("abcXYZ_", min_size=1, max_size=8),
            st.text(min_size=1).map(text)
            | st.integers().map(lambda value: text(str(value), "Number.int"))
            | st.binary(min_size=1).map(lambda value: AttributeValue(data_type="Binary", binary_value=value)),
            max_size=10,
        )
    )
    def test_attributes_come_back_as_they_were_sent(self, attributes: dict[str, AttributeValue]) -> None:
        block = headers_of(message(message_attributes=attributes), "me", [("isthmus-due", b"1")])

        assert attributes_of(headers_in(stored(block)), ["All"]) == attributes

    def test_only_what_is_asked_for_comes_back(self) -> None:
        headers = {"app.a": b"1", "app.b": b"2", "other": b"3", "sqs-sender": b"me"}

        assert set(attributes_of(headers, ["app.*"])) == {"app.a", "app.b"}
        assert set(attributes_of(headers, ["other", "none", "sqs-sender"])) == {"other"}
        assert attributes_of(headers, []) == {}
        assert set(attributes_of(headers, [".*"])) == {"app.a", "app.b", "other"}

    def test_headers_of_other_protocols_are_attributes_too(self) -> None:
        block = encode_headers([("source", b"kafka"), ("raw", b"\xff"), ("empty", b"")])

        found = attributes_of(headers_in(stored(block)), ["All"])

        assert found == {"source": text("kafka"), "raw": AttributeValue(data_type="Binary", binary_value=b"\xff")}

    def test_damaged_headers_hold_no_attributes(self) -> None:
        assert headers_in(stored(b"\xff\xff")) == {}
        damaged = {"a": b"1", messages.TYPES: b"\xc1"}
        assert attributes_of(damaged, ["All"]) == {"a": text("1")}

    def test_a_body_that_is_no_text_is_shown_as_far_as_it_is(self) -> None:
        assert messages.body_of(stored(b"\x00", b"a\xffb")) == "a�b"


class TestIds:
    def test_a_message_is_known_again_by_id_content_and_group(self) -> None:
        given = message(message_deduplication_id="d", message_group_id="g")

        assert dedup_of(given, by_content=True, by_group=False) == "d"
        assert dedup_of(given, by_content=False, by_group=True) == "g d"
        assert dedup_of(message(), by_content=False, by_group=False) is None
        assert len(dedup_of(message(), by_content=True, by_group=False) or "") == 64

    def test_a_place_has_one_id_and_another_place_another(self) -> None:
        topic = b"t" * 16

        found = {messages.message_id(topic, partition, offset) for partition in range(3) for offset in range(100)}

        assert len(found) == 300
        assert messages.message_id(topic, 0, 0) == messages.message_id(topic, 0, 0)
        assert all(len(each) == 36 and each[14] == "4" for each in found)

    def test_sequence_numbers_have_twenty_digits_and_rise(self) -> None:
        assert len(messages.sequence_number(0)) == len(messages.sequence_number(2**62)) == 20
        assert messages.sequence_number(9) < messages.sequence_number(10)


class TestBatches:
    @pytest.mark.parametrize(
        ("ids", "size", "code"),
        [
            ([], 0, "EmptyBatchRequest"),
            ([str(at) for at in range(11)], 0, "TooManyEntriesInBatchRequest"),
            (["a", "a"], 0, "BatchEntryIdsNotDistinct"),
            (["a b"], 0, "InvalidBatchEntryId"),
            (["x" * 81], 0, "InvalidBatchEntryId"),
            (["a"], LIMIT + 1, "BatchRequestTooLong"),
        ],
    )
    def test_a_batch_that_cannot_be_is_refused_as_a_whole(self, ids: list[str], size: int, code: str) -> None:
        with pytest.raises(AwsError) as refused:
            check_batch(ids, size)

        assert refused.value.code == code
        assert refused.value.query_code == f"AWS.SimpleQueueService.{code}"

    def test_shapes_are_data(self) -> None:
        assert msgspec.json.decode(msgspec.json.encode(message()), type=SendMessage) == message()
