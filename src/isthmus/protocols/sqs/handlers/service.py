"""The SQS door: requests of AWS's protocols, each answered by the handler of its action.

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
from isthmus.protocols.sqs import errors, query
from isthmus.protocols.sqs.handlers import messages, queues
from isthmus.protocols.sqs.handlers.caller import Caller
from isthmus.protocols.sqs.shapes import ACTIONS

Handler = Callable[[Caller, Any], Awaitable[Any]]

HANDLERS: Final[dict[str, Handler]] = {
    "AddPermission": queues.add_permission,
    "ChangeMessageVisibility": messages.change_message_visibility,
    "ChangeMessageVisibilityBatch": messages.change_message_visibility_batch,
    "CreateQueue": queues.create_queue,
    "DeleteMessage": messages.delete_message,
    "DeleteMessageBatch": messages.delete_message_batch,
    "DeleteQueue": queues.delete_queue,
    "GetQueueAttributes": queues.get_queue_attributes,
    "GetQueueUrl": queues.get_queue_url,
    "ListDeadLetterSourceQueues": queues.list_dead_letter_source_queues,
    "ListQueues": queues.list_queues,
    "ListQueueTags": queues.list_queue_tags,
    "PurgeQueue": queues.purge_queue,
    "ReceiveMessage": messages.receive_message,
    "RemovePermission": queues.remove_permission,
    "SendMessage": messages.send_message,
    "SendMessageBatch": messages.send_message_batch,
    "SetQueueAttributes": queues.set_queue_attributes,
    "TagQueue": queues.tag_queue,
    "UntagQueue": queues.untag_queue,
}


def _action(name: str) -> tuple[Handler, type[Any]]:
    """The handler of an action and the shape of its input. Raises AwsError for one that is not there."""
    handler, shape = HANDLERS.get(name), ACTIONS.get(name)
    if handler is None or shape is None:
        raise _unknown(name)
    return handler, shape[0]


def _unknown(name: str) -> AwsError:
    return AwsError("UnknownOperationException", f"there is no action {name!r} here", query_code="InvalidAction")


async def answer(visitor: Visitor, request: Request) -> Response:
    """Answer a request, in the protocol in which it came."""
    if query.is_form(request):
        return await _answer_form(visitor, request)
    call: Call | None = None
    try:
        visitor.check_browser(request)
        call = calls.read(request)
        if call.service != "sqs":
            raise _unknown(call.action)
        handler, shape = _action(call.action)
        return calls.answer(call, await handler(_caller(visitor, request), calls.decode(call, shape)))
    except IsthmusError as error:
        return calls.refusal(call, errors.of(error))


async def _answer_form(visitor: Visitor, request: Request) -> Response:
    form: query.Form | None = None
    try:
        visitor.check_browser(request)
        form = query.read(request)
        handler, shape = _action(form.action)
        return query.answer(form, await handler(_caller(visitor, request), query.decode(form, shape)))
    except IsthmusError as error:
        return query.refusal(form, errors.of(error))


def _caller(visitor: Visitor, request: Request) -> Caller:
    return Caller(visitor.broker, visitor.session(), visitor.base(request))


def service(broker: Broker) -> AwsService:
    """The service that serves SQS on a broker."""
    return AwsService(broker, answer)
