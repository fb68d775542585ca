"""What a channel remembers: which deliveries a tag stands for, which confirms can be told, what a consumer may have."""

import pytest

from isthmus.protocols.amqp.channel import UNLIMITED, Allowance, Confirm, Confirms, Unsettled


class TestUnsettled:
    def test_tags_rise_from_one_and_are_settled_once(self) -> None:
        held: Unsettled[str] = Unsettled()

        tags = [held.add("a"), held.skip(), held.add("b")]

        assert tags == [1, 2, 3]
        assert held.take(1, multiple=False) == ["a"]
        assert held.take(1, multiple=False) is None
        assert held.take(2, multiple=False) is None
        assert list(held) == ["b"]

    def test_multiple_takes_all_up_to_a_tag_that_is_there(self) -> None:
        held: Unsettled[int] = Unsettled()
        for number in range(5):
            held.add(number)

        assert held.take(2, multiple=False) == [1]
        assert held.take(4, multiple=True) == [0, 2, 3]
        assert held.take(4, multiple=True) is None
        assert held.take(9, multiple=True) is None
        assert len(held) == 1

    def test_many_tags_are_taken_each_for_itself_up_to_one_that_is_not_there(self) -> None:
        held: Unsettled[int] = Unsettled()
        for number in range(5):
            held.add(number)
        taken: list[int] = []

        assert held.take_each([2, 4], taken) is None
        assert held.take_each([1, 2, 3], taken) == 2

        assert taken == [1, 3, 0]
        assert list(held) == [2, 4]

    def test_tag_0_with_multiple_is_all_that_there_are(self) -> None:
        held: Unsettled[str] = Unsettled()
        held.add("a")

        assert held.take(0, multiple=False) is None
        assert held.take(0, multiple=True) == ["a"]
        assert held.take(0, multiple=True) == []


class TestConfirms:
    def test_what_is_done_is_told_in_order_and_together(self) -> None:
        confirms = Confirms()
        first, second, third = confirms.begin(1), confirms.begin(3), confirms.begin(1)

        second.ok = True
        assert confirms.ready() == []
        first.ok = True
        assert confirms.ready() == [Confirm(4, multiple=True, ok=True)]
        third.ok = True
        assert confirms.ready() == [Confirm(5, multiple=False, ok=True)]
        assert confirms.ready() == []
        assert confirms.open == 0

    def test_a_refusal_is_told_apart(self) -> None:
        confirms = Confirms()
        for ok in (True, False, False, True):
            confirms.begin(1).ok = ok

        assert confirms.ready() == [
            Confirm(1, multiple=False, ok=True),
            Confirm(3, multiple=True, ok=False),
            Confirm(4, multiple=False, ok=True),
        ]


class TestAllowance:
    def test_a_consumer_is_promised_its_prefetch_and_as_much_as_it_settles(self) -> None:
        allowance = Allowance(3, 1_000)

        assert allowance.change(100) == 3
        allowance.given(2, settled=False)
        assert allowance.change(100) == 0
        allowance.settled()
        assert allowance.change(100) == 1

    def test_without_a_limit_a_window_moves_on_as_messages_are_sent(self) -> None:
        allowance = Allowance(UNLIMITED, 10)

        assert allowance.change(100) == 10
        allowance.given(4, settled=True)
        assert allowance.change(100) == 4
        assert allowance.held == 0

    @pytest.mark.parametrize(("room", "change"), [(1, -2), (0, -3), (-5, -3), (3, 0), (9, 0)])
    def test_less_room_in_the_channel_takes_promises_back(self, room: int, change: int) -> None:
        allowance = Allowance(3, 10)
        allowance.change(100)

        assert allowance.change(room) == change
