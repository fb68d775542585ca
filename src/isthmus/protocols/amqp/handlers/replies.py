"""Direct reply-to: replies that go from a channel to another one of this server without being stored anywhere.

Who consumes from the pseudo-queue gets an address that nobody can guess; what is published to it is sent at once, or is
lost with the channel.

Spec: RabbitMQ "Direct Reply-to".
"""

import secrets
from typing import Final

from isthmus.protocols.amqp import methods as m
from isthmus.protocols.amqp import properties as props
from isthmus.protocols.amqp.codec import deliver_frames, deliver_prefix
from isthmus.protocols.amqp.connection import Published
from isthmus.protocols.amqp.errors import Code, Refused
from isthmus.protocols.amqp.handlers.channel import Channel
from isthmus.protocols.amqp.table import encode_text

PSEUDO_QUEUE: Final = "amq.rabbitmq.reply-to"
_TOKEN_BYTES: Final = 24


class Receiver:
    """A channel that waits for replies."""

    def __init__(self, channel: Channel, tag: str) -> None:
        self.channel = channel
        self.tag = tag
        self.key = f"{PSEUDO_QUEUE}.{secrets.token_urlsafe(_TOKEN_BYTES)}"
        self._prefix = deliver_prefix(tag)

    def deliver(self, message: Published) -> None:
        """Send a reply."""
        channel = self.channel
        channel.link.send(
            deliver_frames(
                channel.number, self._prefix, channel.unsettled.skip(), False, "", message.routing_key,
                message.properties, message.body, channel.link.frame_bytes_max,
            )
        )  # fmt: skip


class Replies:
    """Who waits for replies, by address and by channel."""

    def __init__(self) -> None:
        self._by_key: dict[str, Receiver] = {}
        self._by_channel: dict[Channel, Receiver] = {}

    def add(self, channel: Channel, tag: str) -> Receiver:
        """A channel begins to wait."""
        receiver = self._by_channel[channel] = Receiver(channel, tag)
        self._by_key[receiver.key] = receiver
        return receiver

    def of(self, channel: Channel) -> Receiver | None:
        """What a channel waits with."""
        return self._by_channel.get(channel)

    def find(self, key: str) -> Receiver | None:
        """Who waits at an address."""
        return self._by_key.get(key)

    def remove(self, channel: Channel) -> None:
        """A channel waits no longer."""
        receiver = self._by_channel.pop(channel, None)
        if receiver is not None:
            del self._by_key[receiver.key]

    def deliver(self, message: Published) -> bool:
        """Send a reply to whoever waits for it; False when nobody does.

        Who does not read what it has asked for is not sent more: as with everybody who has gone, the reply is lost.
        """
        receiver = self._by_key.get(message.routing_key)
        if receiver is None or receiver.channel.link.is_full:
            return False
        receiver.deliver(message)
        return True


def is_reply_key(name: str) -> bool:
    """Whether a name is an address for replies."""
    return name.startswith(PSEUDO_QUEUE + ".")


def consume(channel: Channel, asked: m.BasicConsume, tag: str) -> None:
    """Wait for replies. Raises Refused."""
    replies = channel.link.shared.replies
    if not asked.no_ack:
        raise Refused(Code.PRECONDITION_FAILED, "reply consumer cannot acknowledge")
    if replies.of(channel) is not None:
        raise Refused(Code.PRECONDITION_FAILED, "reply consumer already set")
    replies.add(channel, tag)
    if not asked.nowait:
        channel.tell(m.BasicConsumeOk(tag))


def cancel(channel: Channel, tag: str) -> None:
    """Wait no longer, if it is that consumer."""
    if has_tag(channel, tag):
        channel.link.shared.replies.remove(channel)


def has_tag(channel: Channel, tag: str) -> bool:
    """Whether a channel waits for replies under that tag."""
    receiver = channel.link.shared.replies.of(channel)
    return receiver is not None and receiver.tag == tag


def declared(channel: Channel, name: str) -> m.QueueDeclareOk:
    """Whether somebody waits at an address. Raises Refused."""
    if channel.link.shared.replies.find(name) is None:
        raise Refused(Code.NOT_FOUND, f"no queue '{name}' in vhost '{channel.link.vhost}'")
    return m.QueueDeclareOk(name, 0, 1)


def with_reply_to(channel: Channel, raw: bytes) -> bytes:
    """Properties with the channel's own address in place of the pseudo-queue. Raises Refused when it has none."""
    receiver = channel.link.shared.replies.of(channel)
    if receiver is None:
        raise Refused(Code.PRECONDITION_FAILED, "fast reply consumer does not exist")
    return props.replaced(raw, {props.REPLY_TO: encode_text(receiver.key)})
