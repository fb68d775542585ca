"""Requests to mutate, and what must hold of a connection whatever it is sent."""

from typing import Final

from isthmus.limits import HTTP_PIPELINE_MAX
from isthmus.protocols.http.connection import Connection, Exchange, Progress
from isthmus.protocols.http.messages import plain

CORPUS: Final = (
    b"GET /metrics?a=b HTTP/1.1\r\nHost: localhost:8321\r\nAccept: */*\r\n\r\n" * 2,
    b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"PUT /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n",
    b"PUT /e HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nabHEAD / HTTP/1.0\r\n\r\n",
    b"GET http://[::1]:8321/ HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n",
)


def outcome(*parts: bytes) -> tuple[list[object], bytes]:
    """All requests and all that is said to them, each answered at once."""
    connection = Connection()
    requests: list[object] = []
    said: list[bytes] = []
    for part in parts:
        connection.receive(part)
        while (step := connection.advance(0)) not in (Progress.IDLE, Progress.FULL):
            if isinstance(step, Exchange):
                requests.append(step.request)
                connection.answer(step, plain(200, f"{len(requests)}"), 0)
        said += connection.data_to_send()
        assert step is Progress.IDLE, f"over {HTTP_PIPELINE_MAX} unanswered, and all were answered"
    return requests, b"".join(said)


def hold(data: bytes) -> None:
    """However bytes are cut, they are read in one way, and every answer is whole."""
    whole = outcome(data)
    middle = len(data) // 2
    assert outcome(data[:middle], data[middle:]) == whole, "read otherwise in two pieces"
    if len(data) <= 300:
        assert outcome(*(data[at : at + 1] for at in range(len(data)))) == whole, "read otherwise byte by byte"
