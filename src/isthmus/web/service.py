"""The web port: health and metrics of a broker, over HTTP.

It looks up what a path means, lets the guard and the authoriser judge, and answers. It changes nothing.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from isthmus.broker.access import Session, is_near
from isthmus.broker.broker import Broker
from isthmus.errors import AccessDenied
from isthmus.limits import MANAGEMENT_BODY_BYTES_MAX, METRICS_RUNNING_MAX, WEB_BODY_BYTES_MAX
from isthmus.protocols.door import Door, Line
from isthmus.protocols.http.connection import Connection
from isthmus.protocols.http.door import HttpDoor
from isthmus.protocols.http.guard import stray
from isthmus.protocols.http.messages import Headers, Request, Response, plain
from isthmus.web.exposition import CONTENT_TYPE
from isthmus.web.health import troubles
from isthmus.web.login import CHALLENGE, Login
from isthmus.web.management.answers import Failure, refusal
from isthmus.web.management.routes import ROOT
from isthmus.web.management.service import Management
from isthmus.web.metrics import ServerFigures, collect

METHODS: Final = ("GET", "HEAD")

ALWAYS: Final[Headers] = (("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"))
"""Headers of every answer: it is of now, and is what it says that it is."""

INDEX: Final = """\
Isthmus
/healthz  whether the process answers
/readyz   whether the store takes what is published
/metrics  OpenMetrics
/api/     RabbitMQ's management API"""


class WebService:
    """See `Service`: `open` makes the door of each connection.

    Args:
        broker: what is looked at.
        version: of the library, for the metrics.
        server: what is around the broker, asked for each page; None when nothing is.
        management: what stands behind `/api/`; None where nothing does.
    """

    def __init__(
        self,
        broker: Broker,
        version: str,
        server: Callable[[], ServerFigures] | None = None,
        management: Management | None = None,
    ) -> None:
        self.broker = broker
        self.management = management
        self.version = version
        self.server = server
        self.running = 0
        """Pages of metrics that are being made."""

    def open(self, line: Line) -> Door:
        """The door of a connection."""
        visitor = Visitor(self, line)
        body_bytes_max = WEB_BODY_BYTES_MAX if self.management is None else MANAGEMENT_BODY_BYTES_MAX
        connection = Connection(body_bytes_max, 1)
        greet = None if visitor.known else visitor.greet
        return HttpDoor(line, self.broker.clock, visitor.handle, connection, visitor.gone, greet)


class Visitor:
    """One connection to the web port, and who is there once that is known."""

    def __init__(self, service: WebService, line: Line) -> None:
        self._service = service
        self._line = line
        self._login = Login(service.broker, line.peer)
        self._session: Session | None = None
        access, peer = service.broker.access, line.peer
        known = access.principal_of(host=peer.host, user=peer.user, trusted=peer.trusted)
        self.known = known is not None
        """Whether it is known who is there."""
        if known is not None:
            line.known(known)

    def greet(self, head: Request) -> None:
        """Learn by the head of a large request who sends it, since strangers may not send so much."""
        if stray(head, near=is_near(self._line.peer.host)) is None:
            principal = self._login.greet(head.header("authorization"))
            if principal is not None:
                self._line.known(principal)

    def handle(self, request: Request) -> Response | Awaitable[Response]:
        """Answer a request."""
        refusal = stray(request, near=is_near(self._line.peer.host))
        if refusal is not None:
            return self._dressed(refusal)
        management = self._service.management
        if management is not None and (request.path + "/").startswith(f"{ROOT}/"):
            return self._managed(management, request)
        if request.method not in METHODS:
            return self._dressed(plain(405, "there is only GET here", (("Allow", ", ".join(METHODS)),)))
        match request.path:
            case "/healthz":
                return self._dressed(plain(200, "ok"))
            case "/readyz":
                return self._dressed(self._ready())
            case "/metrics":
                return self._metrics(request)
            case "/":
                return self._dressed(plain(200, INDEX))
            case _:
                return self._dressed(plain(404, "there is nothing here; / lists what there is"))

    def _ready(self) -> Response:
        found = troubles(self._service.broker)
        return plain(503, "; ".join(found)) if found else plain(200, "ready")

    async def _managed(self, management: Management, request: Request) -> Response:
        session = await self._logged_in(request)
        if isinstance(session, Response):
            failure = Failure(session.status, "not_authorized", session.body.decode().strip())
            headers = tuple(header for header in session.headers if header == CHALLENGE)
            return self._dressed(refusal(failure, headers))
        return self._dressed(await management.answer(request, session))

    async def _logged_in(self, request: Request) -> Session | Response:
        """Whose request it is, or what is said instead of an answer."""
        principal = await self._login.principal(request.header("authorization"))
        if isinstance(principal, Response):
            return principal
        try:
            return self._session_of(principal)
        except AccessDenied:
            return plain(401, "log in with a user's name and password", (CHALLENGE,))

    async def _metrics(self, request: Request) -> Response:
        session = await self._logged_in(request)
        if isinstance(session, Response):
            return self._dressed(session)
        principal = session.principal
        service, access = self._service, self._service.broker.access
        if not access.allows_some(session, "describe"):
            return self._dressed(plain(403, f"{principal} may not describe anything here; see `isthmus user`"))
        if service.running >= METRICS_RUNNING_MAX:
            return self._dressed(plain(503, "metrics are being made for others; come again", (("Retry-After", "1"),)))
        service.running += 1
        try:
            text = await self._page(session)
        finally:
            service.running -= 1
        return self._dressed(Response(headers=(("Content-Type", CONTENT_TYPE),), body=text))

    async def _page(self, session: Session) -> bytes:
        service, access = self._service, self._service.broker.access
        server = None if service.server is None else service.server()
        return await collect(
            service.broker, service.version, server, lambda name: access.allows(session, "describe", name)
        )

    def _session_of(self, principal: str) -> Session:
        """The connection's session, a new one when somebody else has logged in on it.

        Raises:
            AccessDenied: nobody of that name any more.
        """
        if self._session is None or self._session.ended or self._session.principal != principal:
            self.gone()
            self._session = self._service.broker.session(principal)
            self.known = True
            self._line.known(principal)
        return self._session

    def gone(self) -> None:
        """The connection is gone, or somebody else's."""
        if self._session is not None:
            self._service.broker.end_session(self._session)
            self._session = None

    def _dressed(self, response: Response) -> Response:
        """A response as all are here. The connections of strangers end with it: they are let wait for no other."""
        headers = (*response.headers, *ALWAYS)
        return Response(status=response.status, headers=headers, body=response.body, close=not self.known)
