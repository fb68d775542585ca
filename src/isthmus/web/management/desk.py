"""A channel of AMQP without a socket: what is made through the management API is made as AMQP's clients make it.

It lends the door's handlers a channel for the time of one request, and turns what they refuse into answers.

Spec: RabbitMQ's management plugin works in the same way, over a connection within the node.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from isthmus.protocols.amqp.errors import Code, Refused
from isthmus.protocols.amqp.handlers.channel import Channel
from isthmus.protocols.amqp.handlers.exchanges import predeclare
from isthmus.protocols.amqp.handlers.link import Link
from isthmus.protocols.amqp.methods import Method
from isthmus.protocols.door import Peer
from isthmus.web.management.answers import Failure, bad_request
from isthmus.web.management.call import Call

STATUSES: Final = {Code.ACCESS_REFUSED: (401, "not_authorised"), Code.NOT_FOUND: (404, "not_found")}


class NoLine:
    """A connection without a peer: nothing is sent on it."""

    peer: Final = Peer()
    congested: Final = False
    ended: Final = False

    def flush(self) -> None:
        """There is nobody to send to."""

    def wake(self) -> None:
        """Nothing is held."""

    def known(self, principal: str) -> None:
        """The web port knows already."""

    def close(self, reason: str = "") -> None:
        """It ends with the request."""


@asynccontextmanager
async def channel(call: Call) -> AsyncGenerator[Channel]:
    """A channel in the virtual host of a request, with the rights of who asks.

    Raises:
        Failure: what the channel's handlers refused within the block.
    """
    link = Link(call.api.shared, NoLine())
    link.session = call.session
    link.enter(call.vhost)
    await predeclare(link)
    made = Channel(link, 1, _unasked)
    try:
        yield made
    except Refused as refused:
        raise failure_of(refused) from refused
    finally:
        call.broker.end_session(made.session)


def _unasked(_channel: Channel, refused: Refused, _method: Method | None) -> None:
    """Nothing is begun on such a channel that could fail after its request."""
    raise refused


def failure_of(refused: Refused) -> Failure:
    """What is said of a refusal of AMQP's door."""
    known = STATUSES.get(refused.code)
    return bad_request(refused.reason) if known is None else Failure(*known, refused.reason)
