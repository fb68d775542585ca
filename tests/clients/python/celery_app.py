"""The tasks of Celery's tour, for its worker and for who calls them.

Variables say where and how: AMQP_URL; CELERY_NAME, in front of all names; CELERY_FOLDER, for the files in which tasks
leave traces; CELERY_BACKEND; CELERY_QUORUM, for quorum queues.
"""

import os
import time
from pathlib import Path
from typing import Any

from celery import Celery
from kombu import Exchange, Queue

NAME = os.environ["CELERY_NAME"]
FOLDER = Path(os.environ["CELERY_FOLDER"])
QUORUM = bool(os.environ.get("CELERY_QUORUM"))

app = Celery("celery_app", broker=os.environ["AMQP_URL"], backend=os.environ.get("CELERY_BACKEND", "rpc://"))
# Delayed delivery puts words in front of the key, so that the exchange has to look at the last one.
KIND = "topic" if QUORUM else "direct"
ARGUMENTS = {"x-queue-type": "quorum"} if QUORUM else None

app.conf.update(
    task_queues=[Queue(NAME, Exchange(NAME, KIND), routing_key=NAME, queue_arguments=ARGUMENTS)],
    task_default_queue=NAME,
    task_default_exchange=NAME,
    task_default_exchange_type=KIND,
    task_default_routing_key=NAME,
    worker_prefetch_multiplier=1,
    worker_detect_quorum_queues=QUORUM,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"confirm_publish": True},
    result_expires=60,
)


@app.task
def add(one: int, other: int) -> int:
    """The simplest of them."""
    return one + other


@app.task
def total(numbers: list[int]) -> int:
    """The end of a chord."""
    return sum(numbers)


@app.task(bind=True, max_retries=3)
def unlucky(self: Any) -> int:
    """Succeeds at the third attempt, and tells how often it was tried again."""
    if self.request.retries < 2:
        raise self.retry(countdown=0.2)
    return int(self.request.retries)


@app.task
def now() -> float:
    """When it ran, in seconds."""
    return time.time()


@app.task(bind=True, acks_late=True)
def mark(self: Any, name: str, seconds: float) -> str:
    """Leave a line when it begins, take its time, and tell which worker did it."""
    with (FOLDER / name).open("a", encoding="utf-8") as file:
        file.write(f"{self.request.hostname} {self.request.delivery_info['redelivered']}\n")
    until = time.monotonic() + seconds
    while time.monotonic() < until and not (FOLDER / f"{name}.go").exists():
        time.sleep(0.05)
    return str(self.request.hostname)
