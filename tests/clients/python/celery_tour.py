"""One tour of Celery with a worker that runs elsewhere; test_celery.py starts it and says what must come out."""

import sys
import time
from typing import Any

from celery import chain, chord, group
from celery_app import NAME, add, app, mark, now, total, unlucky
from chapters import failure, tell
from kombu import Connection

SECONDS = 30


def called() -> int:
    return int(add.delay(2, 3).get(SECONDS))


def retried() -> int:
    return int(unlucky.delay().get(SECONDS))


def later() -> bool:
    """A worker gets it at once and keeps it until it is due, or the broker delays it."""
    asked = time.time()
    return bool(now.apply_async(countdown=1.5).get(SECONDS) >= asked + 1.5)


def together() -> list[int]:
    return list(group(add.s(at, at) for at in range(20)).delay().get(SECONDS))


def chained() -> int:
    return int(chain(add.s(1, 2), add.s(3), add.s(4)).delay().get(SECONDS))


def chorded() -> int:
    return int(chord((add.s(at, at) for at in range(10)), total.s()).delay().get(SECONDS))


def marked() -> None:
    """Begins, and does not wait for the end."""
    mark.delay("mark", 60)


def pinged() -> dict[str, Any]:
    (answer,) = app.control.ping(timeout=5, destination=[f"one@{NAME}"])
    return dict(answer)


def inspected() -> list[str]:
    (queues,) = app.control.inspect(timeout=5, destination=[f"one@{NAME}"]).active_queues().values()
    return [queue["name"] for queue in queues]


def watched() -> list[str]:
    """What the worker tells of one task over the exchange for events."""
    seen: list[str] = []
    asked: list[Any] = []

    def note(event: dict[str, Any]) -> None:
        if asked and event.get("uuid") == asked[0].id:
            seen.append(event["type"])
            receiver.should_stop = event["type"] == "task-succeeded"

    with app.connection() as connection:
        receiver = app.events.Receiver(connection, handlers={"*": note})
        receiver.on_consume_ready = lambda *_, **__: asked.append(add.delay(1, 1))
        receiver.capture(limit=None, timeout=SECONDS, wakeup=False)
    return sorted(seen)


def delayed_by_the_broker() -> list[str]:
    """The exchanges and queues through which it goes are there."""
    with Connection(app.conf.broker_url) as connection:
        channel = connection.channel()
        for level in (0, 27):
            channel.queue_declare(f"celery_delayed_{level}", passive=True)
            channel.exchange_declare(f"celery_delayed_{level}", "topic", passive=True)
        return ["there"]


CHAPTERS = {
    each.__name__: each
    for each in (
        called,
        retried,
        later,
        together,
        chained,
        chorded,
        marked,
        pinged,
        inspected,
        watched,
        delayed_by_the_broker,
    )
}


if __name__ == "__main__":
    found: dict[str, Any] = {}
    for name in sys.argv[1:]:
        try:
            found[name] = CHAPTERS[name]()
        except Exception as error:  # noqa: BLE001 - the test shows it
            found[name] = failure(error)
    tell(found)
