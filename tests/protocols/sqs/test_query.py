"""The older protocol: forms are read as the inputs that JSON gives, and answers are XML that others read."""

import base64
import urllib.parse
import xml.etree.ElementTree as ET
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.protocols.aws.errors import AwsError
from isthmus.protocols.http.messages import Request
from isthmus.protocols.sqs import errors, query, shapes
from isthmus.protocols.sqs.shapes import ACTIONS


def request(form: str, *, path: str = "/", method: str = "POST", asked: str = "", **headers: str) -> Request:
    rows = (("content-type", query.FORM), *headers.items())
    return Request(
        method=method,
        target=path,
        path=path,
        query=asked,
        host="h",
        headers=rows,
        body=form.encode(),
        minor=1,
        keep_alive=True,
    )


def form_of(action: str, **given: str) -> query.Form:
    return query.read(request(urllib.parse.urlencode({"Action": action, "Version": "2012-11-05", **given})))


def decoded(action: str, **given: str) -> dict[str, Any]:
    """The input of a form, as its JSON would be."""
    found = query.decode(form_of(action, **given), ACTIONS[action][0])
    return dict(msgspec.json.decode(msgspec.json.encode(found)))


def tree(body: bytes) -> ET.Element:
    return ET.fromstring(body.decode().replace(f' xmlns="{query.SPACE}"', ""))  # noqa: S314 - our own


class TestForms:
    @pytest.mark.parametrize(
        ("action", "given", "found"),
        [
            (
                "CreateQueue",
                {
                    "QueueName": "jobs",
                    "Attribute.1.Name": "DelaySeconds",
                    "Attribute.1.Value": "3",
                    "Tag.1.Key": "a",
                    "Tag.1.Value": "b",
                },
                {"QueueName": "jobs", "Attributes": {"DelaySeconds": "3"}, "tags": {"a": "b"}},
            ),
            (
                "SendMessage",
                {
                    "QueueUrl": "u",
                    "MessageBody": "hello",
                    "DelaySeconds": "7",
                    "MessageAttribute.1.Name": "n",
                    "MessageAttribute.1.Value.DataType": "Binary",
                    "MessageAttribute.1.Value.BinaryValue": base64.b64encode(b"\0\1").decode(),
                },
                {
                    "QueueUrl": "u",
                    "MessageBody": "hello",
                    "DelaySeconds": 7,
                    "MessageAttributes": {"n": {"DataType": "Binary", "BinaryValue": "AAE="}},
                },
            ),
            (
                "ReceiveMessage",
                {"QueueUrl": "u", "AttributeName.2": "b", "AttributeName.1": "a", "MaxNumberOfMessages": "10"},
                {"QueueUrl": "u", "AttributeNames": ["a", "b"], "MaxNumberOfMessages": 10},
            ),
            (
                "DeleteMessageBatch",
                {
                    "QueueUrl": "u",
                    "DeleteMessageBatchRequestEntry.1.Id": "x",
                    "DeleteMessageBatchRequestEntry.1.ReceiptHandle": "h",
                },
                {"QueueUrl": "u", "Entries": [{"Id": "x", "ReceiptHandle": "h"}]},
            ),
            (
                "AddPermission",
                {"QueueUrl": "u", "Label": "l", "AWSAccountId.1": "1", "ActionName.1": "*"},
                {"QueueUrl": "u", "Label": "l", "AWSAccountIds": ["1"], "Actions": ["*"]},
            ),
            ("UntagQueue", {"QueueUrl": "u", "TagKey.1": "a"}, {"QueueUrl": "u", "TagKeys": ["a"]}),
        ],
    )
    def test_a_form_is_the_input_that_json_gives(
        self, action: str, given: dict[str, str], found: dict[str, Any]
    ) -> None:
        assert decoded(action, **given) == found

    def test_the_path_names_the_queue_unless_the_form_does(self) -> None:
        form = query.read(request("Action=PurgeQueue", path="/000000000000/jobs"))
        named = query.read(request("Action=PurgeQueue&QueueUrl=other", path="/000000000000/jobs"))

        assert query.decode(form, shapes.OnQueue).queue_url == "/000000000000/jobs"
        assert query.decode(named, shapes.OnQueue).queue_url == "other"

    def test_the_address_can_be_the_form(self) -> None:
        asked = request("", method="GET", asked="Action=ListQueues&QueueNamePrefix=a%20b")

        assert query.is_form(asked)
        assert query.decode(query.read(asked), shapes.ListQueues).queue_name_prefix == "a b"

    def test_a_request_with_a_target_is_no_form(self) -> None:
        assert not query.is_form(request("Action=ListQueues", **{"x-amz-target": "AmazonSQS.ListQueues"}))

    @pytest.mark.parametrize(
        ("form", "code"),
        [
            ("", "MissingAction"),
            ("Action.1=x", "MissingAction"),
            ("Action=A&B=1&B.1=2", "MalformedQueryString"),
            ("&".join(["a=b"] * 2_001), "MalformedQueryString"),
            ("Action=SendMessage&DelaySeconds=soon", "InvalidParameterValue"),
        ],
    )
    def test_what_cannot_be_read_is_told(self, form: str, code: str) -> None:
        with pytest.raises(AwsError) as refused:
            query.decode(query.read(request(form)), shapes.SendMessage)

        assert refused.value.code == code

    @given(st.text(max_size=100))
    def test_any_form_is_read_or_refused(self, text: str) -> None:
        try:
            query.decode(query.read(request(f"Action=SendMessageBatch&{text}")), shapes.SendMessageBatch)
        except AwsError as refused:
            assert refused.status == 400  # noqa: PT017 - not being refused is fine too


class TestXml:
    def test_a_message_comes_out_as_it_is(self) -> None:
        attributes = {"n": shapes.AttributeValue(data_type="String", string_value="<&>")}
        message = shapes.Message(
            message_id="m",
            receipt_handle="h",
            md5_of_body="d",
            body='a\r\n<b> "c"\0',
            attributes={"SenderId": "me"},
            message_attributes=attributes,
        )

        said = query.answer(form_of("ReceiveMessage"), shapes.Messages(messages=[message]))
        found = tree(said.body).find("ReceiveMessageResult/Message")

        assert found is not None
        assert found.findtext("Body") == 'a\r\n<b> "c"�'
        assert (found.findtext("Attribute/Name"), found.findtext("Attribute/Value")) == ("SenderId", "me")
        assert found.findtext("MessageAttribute/Value/StringValue") == "<&>"
        assert said.headers[0] == ("Content-Type", "text/xml")

    def test_batches_say_what_was_done_and_what_was_not(self) -> None:
        failed = shapes.Failure(id="2", sender_fault=True, code="C", message="why")
        output = shapes.DoneBatch(successful=[shapes.Done(id="1")], failed=[failed])

        result = tree(query.answer(form_of("DeleteMessageBatch"), output).body).find("DeleteMessageBatchResult")

        assert result is not None
        assert result.findtext("DeleteMessageBatchResultEntry/Id") == "1"
        assert result.findtext("BatchResultErrorEntry/SenderFault") == "true"

    def test_lists_and_maps_are_flat(self) -> None:
        urls = tree(query.answer(form_of("ListQueues"), shapes.Queues(queue_urls=["a", "b"])).body)
        tags = tree(query.answer(form_of("ListQueueTags"), shapes.Tags(tags={"k": "v"})).body)

        assert [each.text for each in urls.iter("QueueUrl")] == ["a", "b"]
        assert (tags.findtext(".//Tag/Key"), tags.findtext(".//Tag/Value")) == ("k", "v")

    def test_an_action_without_output_has_no_result(self) -> None:
        said = tree(query.answer(form_of("PurgeQueue"), None).body)

        assert said.tag == "PurgeQueueResponse"
        assert [each.tag for each in said] == ["ResponseMetadata"]

    def test_errors_have_their_older_names_and_words(self) -> None:
        said = query.refusal(None, errors.no_queue())
        found = tree(said.body)

        assert said.status == 400
        assert found.findtext("Error/Code") == "AWS.SimpleQueueService.NonExistentQueue"
        assert found.findtext("Error/Message") == "The specified queue does not exist for this wsdl version."
