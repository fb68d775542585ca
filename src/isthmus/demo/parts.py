"""Which handlers of the demo's app run in which process when a server is between them.

A group that counts is in one process, because what it counts is in the memory of its only member. The app knows nothing
of it.
"""

from typing import Final

from isthmus import App
from isthmus.demo import events
from isthmus.errors import InvalidArgument

LEAD: Final = "lead"
"""The process that also publishes, and knows when all is done."""

PARTS: Final[dict[str, set[tuple[str, str | None]]]] = {
    LEAD: {(events.flights.name, "rebooking"), *((events.weather.name, desk) for desk in ("tower", "ramp", "crews"))},
    "figures": {(events.flights.name, group) for group in ("carriers", "boards", "audit")},
    "desk": {(events.rebooking.name, None)},
}
"""Destination and group of the handlers of each part; nobody has the burst, which has a store of its own."""

HELPERS: Final = {"the counting process": "figures", "the first desk": "desk", "the second desk": "desk"}
"""The processes beside the lead and their parts: a queue gives each job to one worker, wherever it runs."""


def keep_part(app: App, part: str) -> None:
    """Leave an app the handlers of one part.

    Raises:
        InvalidArgument: there is no such part.
    """
    if part not in PARTS:
        raise InvalidArgument("part", f"{part!r} is none of {', '.join(PARTS)}")
    subscriptions = app.declared.subscriptions
    for destination, group in list(subscriptions):
        if (destination.name, group) not in PARTS[part]:
            del subscriptions[destination, group]
