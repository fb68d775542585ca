"""Requests of the JSON protocols and the answers to them, as bytes."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.protocols.aws import call as calls
from isthmus.protocols.aws.call import Call
from isthmus.protocols.aws.errors import AwsError
from isthmus.protocols.http.messages import Request
from isthmus.protocols.sqs import shapes


def request(
    target: str = "AmazonSQS.SendMessage", body: bytes = b"{}", method: str = "POST", **headers: str
) -> Request:
    rows = (("x-amz-target", target), *[(name.replace("_", "-"), value) for name, value in headers.items()])
    return Request(
        method=method, target="/", path="/", query="", host="h", headers=rows, body=body, minor=1, keep_alive=True
    )


class TestRead:
    def test_the_target_names_service_and_action(self) -> None:
        assert calls.read(request()).action == "SendMessage"
        assert calls.read(request("Kinesis_20131202.PutRecord")).service == "kinesis"

    @pytest.mark.parametrize("target", ["", "SendMessage", "DynamoDB_20120810.GetItem", "AmazonSQS."])
    def test_what_names_no_action_of_a_service_is_refused(self, target: str) -> None:
        with pytest.raises(AwsError, match="names no action"):
            calls.read(request(target))

    def test_other_methods_are_refused_by_name(self) -> None:
        with pytest.raises(AwsError, match="not by GET"):
            calls.read(request(method="GET"))


class TestDecode:
    def decode(self, body: bytes) -> shapes.SendMessage:
        return calls.decode(calls.read(request(body=body)), shapes.SendMessage)

    def test_unknown_members_are_passed_over_and_no_body_is_an_empty_input(self) -> None:
        assert self.decode(b'{"MessageBody":"hello","Zed":[1]}').message_body == "hello"
        assert self.decode(b"").message_body is None

    @pytest.mark.parametrize("body", [b"{", b"[]", b'{"MessageBody":1}', b'{"MessageBody":"\xff"}', b"[" * 100_000])
    def test_what_is_no_such_input_is_refused(self, body: bytes) -> None:
        with pytest.raises(AwsError) as refused:
            self.decode(body)

        assert refused.value.code == "SerializationException"

    @given(st.binary(max_size=200))
    def test_any_bytes_are_read_or_refused(self, body: bytes) -> None:
        try:
            self.decode(body)
        except AwsError as refused:
            assert refused.status == 400  # noqa: PT017 - not being refused is fine too


class TestAnswers:
    def test_an_output_is_an_object_without_what_is_not_there(self) -> None:
        call = calls.read(request())

        said = calls.answer(call, shapes.Sent(message_id="m", md5_of_message_body="d"))

        assert msgspec.json.decode(said.body) == {"MessageId": "m", "MD5OfMessageBody": "d"}
        assert said.headers[0] == ("Content-Type", "application/x-amz-json-1.0")
        assert calls.answer(call, None).body == b"{}"

    def test_who_asks_for_it_hears_the_older_name_of_an_error_too(self) -> None:
        error = AwsError("QueueDoesNotExist", "gone", query_code="AWS.SimpleQueueService.NonExistentQueue")

        plain = calls.refusal(calls.read(request()), error)
        compatible = calls.refusal(calls.read(request(x_amzn_query_mode="true")), error)

        assert msgspec.json.decode(plain.body) == {"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "gone"}
        assert "x-amzn-query-error" not in dict(plain.headers)
        assert dict(compatible.headers)["x-amzn-query-error"] == "AWS.SimpleQueueService.NonExistentQueue;Sender"

    def test_what_could_not_be_read_is_refused_in_the_form_of_a_service(self) -> None:
        said = calls.refusal(None, AwsError("UnknownOperationException", "what?"))

        assert said.status == 400
        assert isinstance(calls.read(request()), Call)
