"""Part 1, one message through one queue: this end puts it in."""

from where import connect

with connect() as connection:
    channel = connection.channel()
    # Both ends declare the queue: whoever comes first makes it, and for the other it is there.
    channel.queue_declare("greetings", durable=True)
    # The exchange without a name hands a message to the queue that its key names.
    channel.basic_publish("", "greetings", b"Good morning")
    print("sent Good morning")
