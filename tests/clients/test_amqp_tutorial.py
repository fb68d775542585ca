"""The seven parts of examples/amqp do what they say, unchanged, with Isthmus and with RabbitMQ."""

import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import IO, Final

import pytest

from support.amqp_brokers import AmqpBroker
from support.source import ROOT

PROGRAMS: Final = ROOT / "examples/amqp"
SECONDS: Final = 60

pytestmark = pytest.mark.process
pytest.importorskip("pika")


class Tutorial:
    """Starts the programs of the folder on one broker."""

    def __init__(self, broker: AmqpBroker) -> None:
        self._environment = os.environ | {"AMQP_URL": broker.url}

    def start(self, name: str, *arguments: str) -> "subprocess.Popen[str]":
        """One of them, whose output can be read."""
        command = [sys.executable, str(PROGRAMS / f"{name}.py"), *arguments]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=self._environment)

    def run(self, name: str, *arguments: str) -> list[str]:
        """One that ends by itself; the lines that it printed."""
        process = self.start(name, *arguments)
        out, _ = process.communicate(timeout=SECONDS)
        assert process.returncode == 0
        return out.splitlines()

    @contextmanager
    def listening(self, name: str, *arguments: str) -> Generator["subprocess.Popen[str]"]:
        """One that waits for messages, from when it waits for them; killed at the end."""
        process = self.start(name, *arguments)
        try:
            assert lines(process.stdout, 1) == ["waiting"]
            yield process
        finally:
            process.kill()
            process.communicate()


def lines(out: "IO[str] | None", count: int) -> list[str]:
    """The next lines; the time-out of the test ends a wait for what never comes."""
    assert out is not None
    return [out.readline().rstrip("\n") for _ in range(count)]


@pytest.fixture
def tutorial(amqp_broker: AmqpBroker) -> Tutorial:
    return Tutorial(amqp_broker)


def test_part_1_sends_a_message_through_a_queue(tutorial: Tutorial) -> None:
    sent = tutorial.run("hello_send")

    with tutorial.listening("hello_receive") as receiver:
        assert lines(receiver.stdout, 1) == ["received Good morning"]
    assert sent == ["sent Good morning"]


def test_part_2_shares_work_and_gives_on_what_a_dead_worker_had_begun(tutorial: Tutorial) -> None:
    with tutorial.listening("work_do") as first:
        tutorial.run("work_send", "long" + 100 * ".")
        assert lines(first.stdout, 1) == ["began long" + 100 * "."]
        tutorial.run("work_send", "a.", "b.", "c")
        with tutorial.listening("work_do") as second:
            done = lines(second.stdout, 6)
            first.kill()
            taken_over = lines(second.stdout, 1)

    assert done == ["began a.", "did a.", "began b.", "did b.", "began c", "did c"]
    assert taken_over == ["began long" + 100 * "."]


def test_part_3_tells_everybody(tutorial: Tutorial) -> None:
    with tutorial.listening("news_hear") as one, tutorial.listening("news_hear") as other:
        tutorial.run("news_tell", "sun", "rain")

        assert lines(one.stdout, 2) == lines(other.stdout, 2) == ["heard sun", "heard rain"]


def test_part_4_tells_who_wants_to_know(tutorial: Tutorial) -> None:
    with (
        tutorial.listening("alarms_hear", "fire", "flood") as all_of_them,
        tutorial.listening("alarms_hear", "flood") as one,
    ):
        tutorial.run("alarms_tell", "fire", "in the shed")
        tutorial.run("alarms_tell", "theft", "nobody hears of it")
        tutorial.run("alarms_tell", "flood", "in the cellar")

        assert lines(all_of_them.stdout, 2) == ["heard fire: in the shed", "heard flood: in the cellar"]
        assert lines(one.stdout, 1) == ["heard flood: in the cellar"]


def test_part_5_matches_words(tutorial: Tutorial) -> None:
    with tutorial.listening("weather_hear", "*.*.rain", "no.#") as hears:
        for key in ("no.oslo.rain", "se.lund.sun", "no", "se.lund.rain", "se.lund.old.rain", "no.oslo.old.sun"):
            tutorial.run("weather_tell", key, "a lot")

        wanted = ["no.oslo.rain", "no", "se.lund.rain", "no.oslo.old.sun"]
        assert lines(hears.stdout, 4) == [f"heard {key}: a lot" for key in wanted]


def test_part_6_answers_questions(tutorial: Tutorial) -> None:
    with tutorial.listening("squares_answer"):
        answers = tutorial.run("squares_ask", "7", "12")

    assert answers == ["the square of 7 is 49", "the square of 12 is 144"]


def test_part_7_confirms_every_message(tutorial: Tutorial) -> None:
    told = tutorial.run("confirms")

    assert [line.partition(",")[0] for line in told] == [
        "one by one: 1000 confirmed",
        "as they come: 1000 confirmed",
        "in the queue: 2000",
    ]
