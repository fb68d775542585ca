"""Which broker the programs of this folder talk to: the one that AMQP_URL names, else that on this machine."""

import os

import pika

PARAMETERS = pika.URLParameters(os.environ.get("AMQP_URL", "amqp://guest:guest@localhost/%2F"))


def connect() -> pika.BlockingConnection:
    """A connection to it."""
    return pika.BlockingConnection(PARAMETERS)
