"""Messages of an event stream, read by AWS's own client library."""

from botocore.eventstream import EventStreamBuffer

from isthmus.protocols.kinesis.event_stream import event, failure


def test_messages_are_read_by_the_client_library() -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(event("SubscribeToShardEvent", b'{"a":1}') + failure("InternalFailureException", b"{}"))

    one, other = list(buffer)

    assert (one.payload, one.headers[":event-type"]) == (b'{"a":1}', "SubscribeToShardEvent")
    assert (other.headers[":message-type"], other.headers[":exception-type"]) == (
        "exception",
        "InternalFailureException",
    )
