"""What SQS's actions take and give, as data: one struct for each input and output, with AWS's names of its members.

A test holds it against the service model of AWS's own client library; it checks no value and does nothing.

Spec: Amazon SQS API, version 2012-11-05.
"""

from typing import Any, Final

import msgspec
from msgspec import Struct

Strings = dict[str, str]


class Shape(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """The common root; a member that is None, or an empty list, is left out."""


class AttributeValue(Shape, frozen=True):
    """A value with its type: text or bytes."""

    data_type: str = ""
    string_value: str | None = None
    binary_value: bytes | None = None


Attributes = dict[str, AttributeValue]


class Failure(Shape, frozen=True):
    """Why an entry of a batch was not done."""

    id: str
    sender_fault: bool
    code: str
    message: str = ""


class Done(Shape, frozen=True):
    """An entry of a batch that was done."""

    id: str


# ---- queues -------------------------------------------------------------------------------------------------------


class OnQueue(Shape, frozen=True):
    """An input that names a queue and nothing else."""

    queue_url: str | None = None


class CreateQueue(Shape, frozen=True):
    """See the model."""

    queue_name: str | None = None
    attributes: Strings = {}
    tags: Strings = msgspec.field(name="tags", default_factory=dict)


class QueueUrl(Shape, frozen=True):
    """See the model."""

    queue_url: str


class GetQueueUrl(Shape, frozen=True):
    """See the model."""

    queue_name: str | None = None
    queue_owner_aws_account_id: str | None = msgspec.field(name="QueueOwnerAWSAccountId", default=None)


class ListQueues(Shape, frozen=True):
    """See the model."""

    queue_name_prefix: str = ""
    next_token: str | None = None
    max_results: int | None = None


class Queues(Shape, frozen=True):
    """See the model."""

    queue_urls: list[str] = []
    next_token: str | None = None


class ListDeadLetterSourceQueues(OnQueue, frozen=True):
    """See the model."""

    next_token: str | None = None
    max_results: int | None = None


class SourceQueues(Shape, frozen=True):
    """See the model: its list is written with a small letter, and is there when it is empty."""

    queue_urls: list[str] = msgspec.field(name="queueUrls")
    next_token: str | None = None


class GetQueueAttributes(OnQueue, frozen=True):
    """See the model."""

    attribute_names: list[str] = []


class QueueAttributes(Shape, frozen=True):
    """See the model."""

    attributes: Strings = {}


class SetQueueAttributes(OnQueue, frozen=True):
    """See the model."""

    attributes: Strings = {}


class TagQueue(OnQueue, frozen=True):
    """See the model."""

    tags: Strings = {}


class UntagQueue(OnQueue, frozen=True):
    """See the model."""

    tag_keys: list[str] = []


class Tags(Shape, frozen=True):
    """See the model."""

    tags: Strings = {}


class AddPermission(OnQueue, frozen=True):
    """See the model."""

    label: str | None = None
    aws_account_ids: list[str] = msgspec.field(name="AWSAccountIds", default_factory=list)
    actions: list[str] = []


class RemovePermission(OnQueue, frozen=True):
    """See the model."""

    label: str | None = None


# ---- messages -----------------------------------------------------------------------------------------------------


class SendMessage(OnQueue, frozen=True):
    """See the model."""

    message_body: str | None = None
    delay_seconds: int | None = None
    message_attributes: Attributes = {}
    message_system_attributes: Attributes = {}
    message_deduplication_id: str | None = None
    message_group_id: str | None = None


class Sent(Shape, frozen=True):
    """See the model."""

    message_id: str
    md5_of_message_body: str = msgspec.field(name="MD5OfMessageBody")
    md5_of_message_attributes: str | None = msgspec.field(name="MD5OfMessageAttributes", default=None)
    md5_of_message_system_attributes: str | None = msgspec.field(name="MD5OfMessageSystemAttributes", default=None)
    sequence_number: str | None = None


class SendEntry(Shape, frozen=True):
    """One message of a batch."""

    id: str = ""
    message_body: str | None = None
    delay_seconds: int | None = None
    message_attributes: Attributes = {}
    message_system_attributes: Attributes = {}
    message_deduplication_id: str | None = None
    message_group_id: str | None = None


class SendMessageBatch(OnQueue, frozen=True):
    """See the model."""

    entries: list[SendEntry] = []


class SentEntry(Shape, frozen=True):
    """One message of a batch that was sent."""

    id: str
    message_id: str
    md5_of_message_body: str = msgspec.field(name="MD5OfMessageBody")
    md5_of_message_attributes: str | None = msgspec.field(name="MD5OfMessageAttributes", default=None)
    md5_of_message_system_attributes: str | None = msgspec.field(name="MD5OfMessageSystemAttributes", default=None)
    sequence_number: str | None = None


class SentBatch(Shape, frozen=True):
    """See the model."""

    successful: list[SentEntry] = []
    failed: list[Failure] = []


class ReceiveMessage(OnQueue, frozen=True):
    """See the model."""

    attribute_names: list[str] = []
    message_system_attribute_names: list[str] = []
    message_attribute_names: list[str] = []
    max_number_of_messages: int | None = None
    visibility_timeout: int | None = None
    wait_time_seconds: int | None = None
    receive_request_attempt_id: str | None = None


class Message(Shape, frozen=True):
    """See the model."""

    message_id: str
    receipt_handle: str
    md5_of_body: str = msgspec.field(name="MD5OfBody")
    body: str
    attributes: Strings = {}
    md5_of_message_attributes: str | None = msgspec.field(name="MD5OfMessageAttributes", default=None)
    message_attributes: Attributes = {}


class Messages(Shape, frozen=True):
    """See the model."""

    messages: list[Message] = []


class DeleteMessage(OnQueue, frozen=True):
    """See the model."""

    receipt_handle: str | None = None


class DeleteEntry(Shape, frozen=True):
    """One message of a batch."""

    id: str = ""
    receipt_handle: str | None = None


class DeleteMessageBatch(OnQueue, frozen=True):
    """See the model."""

    entries: list[DeleteEntry] = []


class ChangeMessageVisibility(OnQueue, frozen=True):
    """See the model."""

    receipt_handle: str | None = None
    visibility_timeout: int | None = None


class VisibilityEntry(Shape, frozen=True):
    """One message of a batch."""

    id: str = ""
    receipt_handle: str | None = None
    visibility_timeout: int | None = None


class ChangeMessageVisibilityBatch(OnQueue, frozen=True):
    """See the model."""

    entries: list[VisibilityEntry] = []


class DoneBatch(Shape, frozen=True):
    """See the model."""

    successful: list[Done] = []
    failed: list[Failure] = []


# ---- the actions --------------------------------------------------------------------------------------------------

ACTIONS: Final[dict[str, tuple[type[Any], type[Any] | None]]] = {
    "AddPermission": (AddPermission, None),
    "ChangeMessageVisibility": (ChangeMessageVisibility, None),
    "ChangeMessageVisibilityBatch": (ChangeMessageVisibilityBatch, DoneBatch),
    "CreateQueue": (CreateQueue, QueueUrl),
    "DeleteMessage": (DeleteMessage, None),
    "DeleteMessageBatch": (DeleteMessageBatch, DoneBatch),
    "DeleteQueue": (OnQueue, None),
    "GetQueueAttributes": (GetQueueAttributes, QueueAttributes),
    "GetQueueUrl": (GetQueueUrl, QueueUrl),
    "ListDeadLetterSourceQueues": (ListDeadLetterSourceQueues, SourceQueues),
    "ListQueues": (ListQueues, Queues),
    "ListQueueTags": (OnQueue, Tags),
    "PurgeQueue": (OnQueue, None),
    "ReceiveMessage": (ReceiveMessage, Messages),
    "RemovePermission": (RemovePermission, None),
    "SendMessage": (SendMessage, Sent),
    "SendMessageBatch": (SendMessageBatch, SentBatch),
    "SetQueueAttributes": (SetQueueAttributes, None),
    "TagQueue": (TagQueue, None),
    "UntagQueue": (UntagQueue, None),
}
"""Input and output of each action."""
