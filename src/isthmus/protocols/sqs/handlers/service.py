"""The SQS door: requests of AWS's protocols, each answered by the handler of its action.

It knows which action has which handler and who may ask; what an action does is in the files beside this one.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from isthmus.broker.access import Session, is_near
from isthmus.broker.broker import Broker
from isthmus.errors import IsthmusError
from isthmus.limits import AWS_BODY_BYTES_MAX
from isthmus.protocols.aws import call as calls
from isthmus.protocols.aws.call import Call
from isthmus.protocols.aws.errors import AwsError
from isthmus.protocols.door import Door, Line
from isthmus.protocols.http.connection import Connection
from isthmus.protocols.http.door import HttpDoor
from isthmus.protocols.http.guard import stray
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


class SqsService:
    """See `Service`: `open` makes the door of each connection."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker

    def open(self, line: Line) -> Door:
        """The door of a connection."""
        visitor = Visitor(self, line)
        return HttpDoor(line, self.broker.clock, visitor.handle, Connection(AWS_BODY_BYTES_MAX, 1), visitor.gone)


class Visitor:
    """One connection, and who is there."""

    def __init__(self, service: SqsService, line: Line) -> None:
        self._broker = service.broker
        self._line = line
        access, peer = service.broker.access, line.peer
        known = access.principal_of(host=peer.host, user=peer.user, trusted=peer.trusted)
        self._session: Session | None = None if known is None else service.broker.session(known)
        if known is not None:
            line.known(known)

    async def handle(self, request: Request) -> Response:
        """Answer a request, in the protocol in which it came."""
        if query.is_form(request):
            return await self._handle_form(request)
        call: Call | None = None
        try:
            self._check_browser(request)
            call = calls.read(request)
            if call.service != "sqs":
                raise _unknown(call.action)
            handler, shape = _action(call.action)
            return calls.answer(call, await handler(self._caller(request), calls.decode(call, shape)))
        except IsthmusError as error:
            return calls.refusal(call, errors.of(error))

    async def _handle_form(self, request: Request) -> Response:
        form: query.Form | None = None
        try:
            self._check_browser(request)
            form = query.read(request)
            handler, shape = _action(form.action)
            return query.answer(form, await handler(self._caller(request), query.decode(form, shape)))
        except IsthmusError as error:
            return query.refusal(form, errors.of(error))

    def _check_browser(self, request: Request) -> None:
        """A page in a browser must not reach a broker that lets everybody in who is near."""
        refusal = stray(request, near=is_near(self._line.peer.host))
        if refusal is not None:
            raise AwsError("AccessDeniedException", refusal.body.decode().strip(), status=refusal.status)

    def _caller(self, request: Request) -> Caller:
        """Who asks. Raises AwsError when that is not known."""
        if self._session is None:
            raise AwsError("UnrecognizedClientException", "users exist, and this connection is none's", status=403)
        scheme = "https" if self._line.peer.tls else "http"
        return Caller(self._broker, self._session, f"{scheme}://{request.host}")

    def gone(self) -> None:
        """The connection is gone. Its leases have times of their own, and stay."""
        if self._session is not None:
            self._broker.end_session(self._session)
