"""What a server tells of itself in its metrics: connections, budgets, and how late its loop is.

It reads what the parts of the server count, and counts nothing itself.
"""

from isthmus.server.lag import LoopLag
from isthmus.server.tcp import Driver
from isthmus.web.metrics import QUANTILES, ServerFigures


def figures(driver: Driver, lag: LoopLag) -> ServerFigures:
    """The figures of this moment."""
    admission, ingress = driver.admission, driver.ingress
    return ServerFigures(
        connections=admission.connections,
        connections_max=admission.connections_max,
        connections_refused=admission.refused,
        strangers=admission.strangers,
        ingress_bytes=ingress.total_bytes,
        ingress_bytes_max=ingress.limit_bytes,
        turns=driver.pump.turns,
        lag_us=tuple(lag.percentile_us(quantile * 100) for quantile in QUANTILES),
        lag_max_us=lag.max_us,
        lag_samples=lag.samples,
    )
