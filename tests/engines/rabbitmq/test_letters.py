"""Dead letters: those of ours, and what RabbitMQ took out of a queue by itself."""

from datetime import UTC, datetime

from pamqp.commands import Basic

from isthmus.broker import redrive
from isthmus.engines.rabbitmq.letters import opened
from isthmus.engines.rabbitmq.messages import Sent
from support.rabbitmq_messages import delivered

MESSAGE = Sent("jobs", "k", b"v", Basic.Properties())


def death(queue: str, reason: str) -> dict[str, object]:
    return {"x-death": [{"queue": queue, "reason": reason, "count": 3, "time": datetime.fromtimestamp(9, UTC)}]}


def test_what_rabbitmq_took_out_is_a_dead_letter_that_can_go_home() -> None:
    record = opened(delivered(MESSAGE, death("jobs", "delivery_limit")), "jobs.dead", 5)

    letter = redrive.view("jobs.dead", 0, record)

    assert (letter.cause, letter.reason, letter.failed, letter.died_ms) == (
        "jobs/0/5",
        "RabbitMQ: delivery_limit",
        3,
        9_000,
    )
    assert redrive.home_of(record) == ("queue:jobs", "jobs")


def test_what_comes_home_from_where_it_waited_has_not_died() -> None:
    record = opened(delivered(MESSAGE, death("isthmus.delay.8s.jobs", "expired")), "jobs", 5)

    assert redrive.home_of(record) == ("", "")
    assert record.value == b"v"
