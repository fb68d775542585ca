"""A service that comes later: a fourth group on the flights, which nobody else notices.

It reads from the start what the others read long ago. It must not change anything but its own position.
"""

from isthmus import App, Message
from isthmus.demo.app import follow
from isthmus.demo.events import FlightEvent, flights
from isthmus.demo.figures import KeyAudit


def late_app(audits: dict[str, KeyAudit]) -> App:
    """An app whose group `late` audits every flight from the first on, into `audits`."""
    app = App(name="late")

    @app.on(flights, group="late", start="earliest", batch=500, wait="50ms")
    async def audit(messages: list[Message[FlightEvent]]) -> None:
        follow((message.event for message in messages), audits)

    return app
