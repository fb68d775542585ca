"""The Kinesis door: requests of AWS's protocol, each answered by the handler of its action.

It knows which action has which handler; what an action does is in the files beside this one.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from typing import Any, Final

from isthmus.broker.broker import Broker
from isthmus.errors import IsthmusError
from isthmus.protocols.aws import call as calls
from isthmus.protocols.aws.call import Call
from isthmus.protocols.aws.errors import AwsError
from isthmus.protocols.aws.handlers.visitor import AwsService, Visitor
from isthmus.protocols.http.messages import Request, Response
from isthmus.protocols.kinesis import errors
from isthmus.protocols.kinesis.event_stream import CONTENT_TYPE
from isthmus.protocols.kinesis.handlers import consumers, records, resharding, settings, shards, streams
from isthmus.protocols.kinesis.handlers.caller import Caller, Subscription
from isthmus.protocols.kinesis.shapes import ACTIONS

Handler = Callable[[Caller, Any], Awaitable[Any]]

HANDLERS: Final[dict[str, Handler]] = {
    "AddTagsToStream": settings.add_tags_to_stream,
    "CreateStream": streams.create_stream,
    "DecreaseStreamRetentionPeriod": settings.decrease_stream_retention_period,
    "DeleteResourcePolicy": settings.delete_resource_policy,
    "DeleteStream": streams.delete_stream,
    "DeregisterStreamConsumer": consumers.deregister_stream_consumer,
    "DescribeLimits": settings.describe_limits,
    "DescribeStream": streams.describe_stream,
    "DescribeStreamConsumer": consumers.describe_stream_consumer,
    "DescribeStreamSummary": streams.describe_stream_summary,
    "DisableEnhancedMonitoring": settings.disable_enhanced_monitoring,
    "EnableEnhancedMonitoring": settings.enable_enhanced_monitoring,
    "GetRecords": records.get_records,
    "GetResourcePolicy": settings.get_resource_policy,
    "GetShardIterator": records.get_shard_iterator,
    "IncreaseStreamRetentionPeriod": settings.increase_stream_retention_period,
    "ListShards": shards.list_shards,
    "ListStreamConsumers": consumers.list_stream_consumers,
    "ListStreams": streams.list_streams,
    "ListTagsForResource": settings.list_tags_for_resource,
    "ListTagsForStream": settings.list_tags_for_stream,
    "MergeShards": resharding.merge_shards,
    "PutRecord": records.put_record,
    "PutRecords": records.put_records,
    "PutResourcePolicy": settings.put_resource_policy,
    "RegisterStreamConsumer": consumers.register_stream_consumer,
    "RemoveTagsFromStream": settings.remove_tags_from_stream,
    "SplitShard": resharding.split_shard,
    "StartStreamEncryption": settings.start_stream_encryption,
    "StopStreamEncryption": settings.stop_stream_encryption,
    "SubscribeToShard": consumers.subscribe_to_shard,
    "TagResource": settings.tag_resource,
    "UntagResource": settings.untag_resource,
    "UpdateMaxRecordSize": settings.update_max_record_size,
    "UpdateShardCount": resharding.update_shard_count,
    "UpdateStreamMode": settings.update_stream_mode,
}


async def _answer(subscribed: dict[Subscription, int], visitor: Visitor, request: Request) -> Response:
    """Answer a request."""
    call: Call | None = None
    try:
        visitor.check_browser(request)
        call = calls.read(request)
        handler, shape = HANDLERS.get(call.action), ACTIONS.get(call.action)
        if call.service != "kinesis" or handler is None or shape is None:
            raise AwsError("UnknownOperationException", f"there is no action {call.action!r} here")
        if call.action == "SubscribeToShard" and not request.minor:
            raise errors.invalid("A subscription comes in chunks, which needs HTTP/1.1.")
        caller = Caller(visitor.broker, visitor.session(), subscribed)
        output = await handler(caller, calls.decode(call, shape[0]))
        if isinstance(output, AsyncGenerator):
            return Response(
                headers=(("Content-Type", CONTENT_TYPE), ("x-amzn-RequestId", call.request_id)), parts=output
            )
        return calls.answer(call, output)
    except IsthmusError as error:
        return calls.refusal(call, errors.of(error), "kinesis")


def service(broker: Broker) -> AwsService:
    """The service that serves Kinesis on a broker."""
    return AwsService(broker, partial(_answer, {}))
