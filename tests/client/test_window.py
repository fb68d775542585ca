"""How many deliveries a consumer keeps at hand."""

from isthmus.client.window import FAST_MS, SLOW_MS, Window


def test_it_asks_for_more_when_half_is_used_up() -> None:
    window = Window(16, 2, 64)

    assert [window.ask(held) for held in (0, 8, 9, 16, 20)] == [16, 8, 0, 0, 0]


def test_fast_handlers_get_more_up_to_the_limit() -> None:
    window = Window(16, 2, 50)

    sizes = []
    for _ in range(3):
        window.used_up(FAST_MS)
        sizes.append(window.size)

    assert sizes == [32, 50, 50]


def test_slow_handlers_get_less_down_to_the_limit() -> None:
    window = Window(16, 6, 64)

    sizes = []
    for _ in range(3):
        window.used_up(SLOW_MS)
        sizes.append(window.size)

    assert sizes == [8, 6, 6]


def test_between_fast_and_slow_it_stays() -> None:
    window = Window(16, 2, 64)

    window.used_up(FAST_MS + 1)
    window.used_up(SLOW_MS - 1)

    assert window.size == 16


def test_the_lower_limit_wins() -> None:
    assert Window(16, 100, 64).size == 100
