"""A channel without a socket: refusals of AMQP's door as answers, and nothing that is left behind."""

from isthmus.protocols.amqp.errors import Code, Refused
from isthmus.web.management.desk import failure_of
from support.management import Desk


def test_refusals_are_answered_by_their_code() -> None:
    found = [failure_of(Refused(code, "why")) for code in (Code.ACCESS_REFUSED, Code.NOT_FOUND, Code.NOT_ALLOWED)]

    assert [(each.status, each.error, each.reason) for each in found] == [
        (401, "not_authorised", "why"),
        (404, "not_found", "why"),
        (400, "bad_request", "why"),
    ]


async def test_no_session_is_left_behind(api: Desk) -> None:
    for _ in range(3):
        await api.ask("PUT", "queues/%2F/q", {})
        await api.ask("PUT", "queues/%2F/q", {"durable": False})

    assert len(api.broker.access.sessions_of("anyone")) <= 1  # of a connection that is being closed
