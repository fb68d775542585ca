"""What the list of connections shows of one: entered when its client is let in, taken out when it is gone.

It tells and decides nothing; whoever shows or ends connections finds them in the broker's list.
"""

from collections.abc import Callable
from functools import partial

from isthmus.broker.connections import Channel as ShownChannel
from isthmus.broker.connections import ChannelFigures, Connection
from isthmus.limits import AMQP_CHANNELS_MAX
from isthmus.protocols.amqp.handlers.channel import Channel
from isthmus.protocols.amqp.handlers.link import Link

PROTOCOL = "AMQP 0-9-1"


class Listed:
    """One connection in the list.

    Args:
        link: of the connection.
        mechanism: by which its client has logged in.
        heartbeat_s: the interval that was agreed upon, 0 for none.
        channels_max: the highest number of a channel that was agreed upon.
        close: ends it, with a reason that the client is told.
    """

    def __init__(
        self, link: Link, mechanism: str, *, heartbeat_s: int, channels_max: int, close: Callable[[str], None]
    ) -> None:
        peer, broker = link.line.peer, link.broker
        self._broker = broker
        self._shown = Connection(
            protocol=PROTOCOL,
            peer=(peer.host, peer.port),
            here=(peer.local_host, peer.local_port),
            principal=link.user or link.session.principal,
            namespace=link.namespace,
            since_ms=broker.clock.now_ms(),
            close=close,
            tls=peer.tls,
            about=link.properties,
            terms={
                "heartbeat_s": heartbeat_s,
                "frame_bytes_max": link.frame_bytes_max,
                "channels_max": min(channels_max, AMQP_CHANNELS_MAX),
            },
            mechanism=mechanism,
            session=link.session.id,
        )
        broker.connections.enter(self._shown)

    def opened(self, channel: Channel) -> None:
        """A channel is open."""
        now_ms = self._broker.clock.now_ms()
        figures = partial(_figures, channel)
        self._shown.channels[channel.number] = ShownChannel(channel.number, channel.session.id, now_ms, figures)

    def closed(self, channel: Channel) -> None:
        """A channel has ended."""
        self._shown.channels.pop(channel.number, None)

    def leave(self) -> None:
        """The connection is gone."""
        self._broker.connections.leave(self._shown)


def _figures(channel: Channel) -> ChannelFigures:
    return ChannelFigures(
        prefetch=channel.prefetch,
        shared_prefetch=channel.shared_prefetch,
        unsettled=len(channel.unsettled),
        unconfirmed=0 if channel.confirms is None else channel.confirms.open,
        confirms=channel.confirms is not None,
        transactional=channel.transaction is not None,
    )
