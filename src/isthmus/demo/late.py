"""A service that comes later: a fourth group on the flights, which nobody else notices.

It reads from the start what the others read long ago. It must not change anything but its own position.
"""

from isthmus import App
from isthmus.demo.events import FlightEvent, delay_of, flights
from isthmus.demo.figures import KeyAudit


def late_app(url: str, audits: dict[str, KeyAudit]) -> App:
    """An app on a store whose group `late` audits every flight from the first on, into `audits`."""
    app = App(url, name="late")

    @app.on(flights, group="late", start="earliest", batch=1000, wait="50ms")
    async def audit(events: list[FlightEvent]) -> None:
        for event in events:
            audits.setdefault(event.key, KeyAudit()).follow(event, delay_of(event))

    return app
