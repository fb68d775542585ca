"""What the doors of AWS's protocols share: a connection, who is there, and whether a request may be looked at.

It knows who may come in; what requests look like, which actions there are and what they do is each service's.
"""

from collections.abc import Awaitable, Callable

from isthmus.broker.access import Session, is_near
from isthmus.broker.broker import Broker
from isthmus.limits import AWS_BODY_BYTES_MAX
from isthmus.protocols.aws.errors import AwsError
from isthmus.protocols.door import Door, Line
from isthmus.protocols.http.connection import Connection
from isthmus.protocols.http.door import HttpDoor
from isthmus.protocols.http.guard import stray
from isthmus.protocols.http.messages import Request, Response


class AwsService:
    """See `Service`: `open` makes the door of each connection. `answer` answers a visitor's request."""

    def __init__(self, broker: Broker, answer: "Answer") -> None:
        self.broker = broker
        self.answer = answer

    def open(self, line: Line) -> Door:
        """The door of a connection."""
        visitor = Visitor(self, line)
        return HttpDoor(line, self.broker.clock, visitor.handle, Connection(AWS_BODY_BYTES_MAX, 1), visitor.gone)


class Visitor:
    """One connection, and who is there."""

    def __init__(self, service: AwsService, line: Line) -> None:
        self.broker = service.broker
        self._answer = service.answer
        self._line = line
        access, peer = service.broker.access, line.peer
        known = access.principal_of(host=peer.host, user=peer.user, trusted=peer.trusted)
        self._session: Session | None = None if known is None else service.broker.session(known)
        if known is not None:
            line.known(known)

    async def handle(self, request: Request) -> Response:
        """Answer a request."""
        return await self._answer(self, request)

    def check_browser(self, request: Request) -> None:
        """A page in a browser must not reach a broker that lets everybody in who is near. Raises AwsError."""
        refusal = stray(request, near=is_near(self._line.peer.host))
        if refusal is not None:
            raise AwsError("AccessDeniedException", refusal.body.decode().strip(), status=refusal.status)

    def session(self) -> Session:
        """Who asks. Raises AwsError when that is not known."""
        if self._session is None:
            raise AwsError("UnrecognizedClientException", "users exist, and this connection is none's", status=403)
        return self._session

    def base(self, request: Request) -> str:
        """What the addresses begin with that are given out."""
        scheme = "https" if self._line.peer.tls else "http"
        return f"{scheme}://{request.host}"

    def gone(self) -> None:
        """The connection is gone. Its leases have times of their own, and stay."""
        if self._session is not None:
            self.broker.end_session(self._session)


Answer = Callable[[Visitor, Request], Awaitable[Response]]
