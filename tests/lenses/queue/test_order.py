"""Order by key: chains of waiting, leased and held offsets."""

from isthmus.lenses.queue.order import KeyOrder


def admitted(*keys: bytes | None) -> KeyOrder:
    order = KeyOrder()
    for offset, key in enumerate(keys):
        order.admit(offset, key)
    return order


def going(order: KeyOrder, count: int) -> list[int]:
    return [offset for offset in range(count) if order.may_go(offset)]


def test_only_the_first_of_each_key_may_go() -> None:
    order = admitted(b"a", b"a", b"b", b"a", b"b")

    assert going(order, 5) == [0, 2]


def test_a_record_without_key_waits_for_nobody() -> None:
    order = admitted(None, None, b"a", None)

    assert going(order, 4) == [0, 1, 2, 3]


def test_while_one_is_out_nothing_of_its_key_may_go() -> None:
    order = admitted(b"a", b"a", b"b")

    order.go(0)

    assert going(order, 3) == [2]
    assert order.drop(0) == 1
    assert going(order, 3) == [1, 2]


def test_a_held_one_blocks_what_is_behind_it_only() -> None:
    order = KeyOrder()
    order.admit(5, b"a", held=True)
    order.admit(3, b"a")
    order.admit(8, b"a")

    assert order.may_go(3)
    order.go(3)
    assert order.drop(3) is None
    assert not order.may_go(8)
    assert order.wait(5) == 5


def test_what_comes_back_goes_before_what_is_behind_it() -> None:
    order = admitted(b"a", b"a")
    order.go(0)

    assert order.wait(0) == 0

    assert going(order, 2) == [0]


def test_holding_one_lets_nothing_behind_it_go() -> None:
    order = admitted(b"a", b"a")
    order.go(0)

    assert order.hold(0) is None

    assert going(order, 2) == []


def test_a_run_is_the_waiting_head_of_a_key() -> None:
    order = admitted(b"a", b"b", b"a", b"a", b"b", b"a")

    assert order.run(0, 3) == [0, 2, 3]
    assert order.run(0, 10) == [0, 2, 3, 5]
    for offset in order.run(0, 3):
        order.go(offset)
    assert going(order, 6) == [1]
    assert order.run(99, 3) == []


def test_a_run_ends_where_one_is_held() -> None:
    order = admitted(b"a", b"a")
    order.admit(2, b"a", held=True)
    order.admit(3, b"a")

    assert order.run(0, 10) == [0, 1]


def test_a_key_is_forgotten_with_its_last_record() -> None:
    order = admitted(b"a", b"a", b"b")

    order.go(0)
    order.drop(0)
    order.drop(1)

    assert len(order) == 1
    order.drop(2)
    assert len(order) == 0
    assert order.drop(2) is None


def test_the_offsets_of_a_range_cost_no_more_than_are_known() -> None:
    order = admitted(b"a", b"b", b"c", b"a")
    order.go(0)
    order.admit(7, b"d", held=True)

    assert sorted(order.within(0, 1_000_000_000)) == [0, 1, 2, 3, 7]
    assert list(order.within(1, 3)) == [1, 2]
