"""The Kinesis door: requests of AWS's protocol, each answered by the handler of its action.

It knows which action has which handler; what an action does is in the files beside this one.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from isthmus.broker.broker import Broker
from isthmus.errors import IsthmusError
from isthmus.protocols.aws import call as calls
from isthmus.protocols.aws.call import Call
from isthmus.protocols.aws.errors import AwsError
from isthmus.protocols.aws.handlers.visitor import AwsService, Visitor
from isthmus.protocols.http.messages import Request, Response
from isthmus.protocols.kinesis import errors
from isthmus.protocols.kinesis.handlers import records, resharding, settings, shards, streams
from isthmus.protocols.kinesis.handlers.caller import Caller
from isthmus.protocols.kinesis.shapes import ACTIONS

Handler = Callable[[Caller, Any], Awaitable[Any]]

HANDLERS: Final[dict[str, Handler]] = {
    "AddTagsToStream": settings.add_tags_to_stream,
    "CreateStream": streams.create_stream,
    "DecreaseStreamRetentionPeriod": settings.decrease_stream_retention_period,
    "DeleteResourcePolicy": settings.delete_resource_policy,
    "DeleteStream": streams.delete_stream,
    "DescribeLimits": settings.describe_limits,
    "DescribeStream": streams.describe_stream,
    "DescribeStreamSummary": streams.describe_stream_summary,
    "DisableEnhancedMonitoring": settings.disable_enhanced_monitoring,
    "EnableEnhancedMonitoring": settings.enable_enhanced_monitoring,
    "GetRecords": records.get_records,
    "GetResourcePolicy": settings.get_resource_policy,
    "GetShardIterator": records.get_shard_iterator,
    "IncreaseStreamRetentionPeriod": settings.increase_stream_retention_period,
    "ListShards": shards.list_shards,
    "ListStreams": streams.list_streams,
    "ListTagsForResource": settings.list_tags_for_resource,
    "ListTagsForStream": settings.list_tags_for_stream,
    "MergeShards": resharding.merge_shards,
    "PutRecord": records.put_record,
    "PutRecords": records.put_records,
    "PutResourcePolicy": settings.put_resource_policy,
    "RemoveTagsFromStream": settings.remove_tags_from_stream,
    "SplitShard": resharding.split_shard,
    "StartStreamEncryption": settings.start_stream_encryption,
    "StopStreamEncryption": settings.stop_stream_encryption,
    "TagResource": settings.tag_resource,
    "UntagResource": settings.untag_resource,
    "UpdateMaxRecordSize": settings.update_max_record_size,
    "UpdateShardCount": resharding.update_shard_count,
    "UpdateStreamMode": settings.update_stream_mode,
}


async def answer(visitor: Visitor, request: Request) -> Response:
    """Answer a request."""
    call: Call | None = None
    try:
        visitor.check_browser(request)
        call = calls.read(request)
        handler, shape = HANDLERS.get(call.action), ACTIONS.get(call.action)
        if call.service != "kinesis" or handler is None or shape is None:
            raise AwsError("UnknownOperationException", f"there is no action {call.action!r} here")
        caller = Caller(visitor.broker, visitor.session())
        return calls.answer(call, await handler(caller, calls.decode(call, shape[0])))
    except IsthmusError as error:
        return calls.refusal(call, errors.of(error), "kinesis")


def service(broker: Broker) -> AwsService:
    """The service that serves Kinesis on a broker."""
    return AwsService(broker, answer)
