"""The real RabbitMQ that tests compare with: it answers clients and its API, and each test has a virtual host."""

import pika

from support.rabbitmq import RabbitMQ


def test_a_client_connects_to_a_virtual_host_of_its_own(rabbit: RabbitMQ) -> None:
    with rabbit.vhost("of one's own") as url:
        connection = pika.BlockingConnection(pika.URLParameters(url))
        channel = connection.channel()
        channel.queue_declare("jobs", durable=True)
        channel.basic_publish("", "jobs", b"a")

        method, _, body = channel.basic_get("jobs", auto_ack=True)
        connection.close()

    assert (method.redelivered, body) == (False, b"a")
    assert [row["name"] for row in rabbit.api("GET", "vhosts")] == ["/"]
