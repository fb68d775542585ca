"""Delays on a broker that has none: queues in which messages wait for a power of two of seconds, then go home.

One queue for each length and each home, made when it is needed and gone when it is not. A message that is still early
when it comes home is sent to wait once more by whoever consumes; the last seconds the consumer holds it itself.
"""

from typing import Final

from isthmus.clock import Clock
from isthmus.engines.rabbitmq.link import Link
from isthmus.engines.rabbitmq.messages import Sent

NEAR_MS: Final = 30_000
"""What is due sooner than this goes to the queue at once, and waits with whoever consumes it."""

STEPS_MAX: Final = 20
"""The longest queue is 2 to this power of seconds long, twelve days."""

KNOWN_MS: Final = 300_000
"""So long a queue is known to be there; it stays at least twice as long without use."""

PREFIX: Final = "isthmus.delay."


class Delays:
    """See the module. One loop."""

    def __init__(self, link: Link, clock: Clock, near_ms: int = NEAR_MS) -> None:
        self._link = link
        self._clock = clock
        self._near_ms = near_ms
        self._known: dict[str, int] = {}

    def is_near(self, wait_ms: int) -> bool:
        """Whether a consumer may hold it for that long."""
        return wait_ms <= self._near_ms

    async def through(self, message: Sent, wait_ms: int) -> Sent:
        """The message on a way that takes no longer than `wait_ms`."""
        if self.is_near(wait_ms):
            return message
        seconds = 1 << min(STEPS_MAX, max(1, wait_ms // 1_000).bit_length() - 1)
        name = f"{PREFIX}{seconds}s.{message.exchange}"
        now_ms = self._clock.monotonic_ms()
        if self._known.get(name, now_ms - KNOWN_MS) + KNOWN_MS <= now_ms:
            await self._prepare(name, seconds * 1_000, message.exchange)
            self._known[name] = now_ms
        # An exchange in front, so that the routing key, which is the event's key, stays what it is.
        return Sent(name, message.routing_key, message.body, message.properties)

    async def _prepare(self, name: str, wait_ms: int, home: str) -> None:
        arguments = {
            "x-message-ttl": wait_ms,
            "x-expires": wait_ms + 2 * KNOWN_MS,
            "x-dead-letter-exchange": home,
        }
        ask = self._link.ask
        await ask(lambda channel: channel.queue_declare(name, durable=True, arguments=arguments), name)  # type: ignore[arg-type]
        await ask(
            lambda channel: channel.exchange_declare(name, exchange_type="fanout", durable=True, auto_delete=True), name
        )
        await ask(lambda channel: channel.queue_bind(name, name), name)
