"""What an app counts."""

from isthmus.client.metrics import ConsumerCounts, Metrics


def test_totals_are_over_all_consumers() -> None:
    counts = ConsumerCounts(handled=3, failed=2, dead=1, released=9, skipped_types=4, stale=5)
    metrics = Metrics(consumers={"jobs": counts, "orders/billing": counts})

    assert (metrics.handled, metrics.failed, metrics.dead, metrics.skipped_types) == (6, 4, 2, 8)


def test_two_runs_do_not_share_counts() -> None:
    first, second = Metrics(), Metrics()

    first.consumers["jobs"] = ConsumerCounts(handled=1)

    assert second.handled == 0
