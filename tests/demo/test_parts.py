"""Every handler of the demo's app has a process, and a process has the handlers of its part only."""

import pytest

from isthmus import App
from isthmus.demo import app as demo
from isthmus.demo import events
from isthmus.demo.parts import HELPERS, LEAD, PARTS, keep_part
from isthmus.errors import InvalidArgument


def test_every_handler_but_that_of_the_burst_is_in_one_part_that_some_process_has() -> None:
    declared = {(dest.name, group) for dest, group in demo.app.declared.subscriptions} - {(events.burst.name, None)}

    assert sorted(map(str, declared)) == sorted(str(each) for part in PARTS.values() for each in part)
    assert PARTS.keys() == {LEAD, *HELPERS.values()}


def test_an_app_keeps_the_handlers_of_its_part() -> None:
    app = App("memory://")

    @app.on(events.weather, group="tower")
    @app.on(events.weather, group="ramp")
    async def tell(event: events.WeatherChanged) -> None:
        """Tell somebody."""

    @app.on(events.burst)
    async def call(event: events.UpstreamCall) -> None:
        """Call somebody."""

    keep_part(app, LEAD)

    assert [group for _, group in app.declared.subscriptions] == ["ramp", "tower"]


def test_a_part_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="lead"):
        keep_part(App("memory://"), "chorus")
