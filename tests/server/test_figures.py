"""What a server tells of itself, counted by its parts."""

from isthmus.clock import SystemClock
from isthmus.server.figures import figures
from isthmus.server.lag import LoopLag
from isthmus.web.metrics import QUANTILES
from support.echo import echoing


async def test_the_figures_are_those_of_the_parts() -> None:
    async with echoing() as here:
        await (await here.connect())("who")

        found = figures(here.driver, LoopLag(SystemClock()))

        assert (found.connections, found.strangers, found.connections_refused) == (1, 0, 0)
        assert found.turns > 0
        assert found.lag_us == (0,) * len(QUANTILES)
        assert found.ingress_bytes_max == here.driver.ingress.limit_bytes
