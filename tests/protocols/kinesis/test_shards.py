"""What a topic keeps of its shards, and which of them takes a key."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from isthmus.definition import TopicConfig
from isthmus.protocols.kinesis.hashes import END, even
from isthmus.protocols.kinesis.shards import Layout, Own, Shard, kept, layout_of, made, merge, scaled, split


def test_the_state_is_kept_beside_what_others_keep() -> None:
    own = Own(made(3, 1_000), tags={"team": "a"})
    config = kept(kept(TopicConfig(kept=(("x", "y"),)), Own(made(1, 5))), own)

    assert dict(config.kept)["x"] == "y"
    assert layout_of(config, 3, 9).own == own


def test_a_topic_of_another_door_has_even_shards() -> None:
    layout = layout_of(TopicConfig(), 4, 1_000)

    assert [layout.shard_of(key) for key in (0, END // 4, END // 2 - 1, END - 1)] == [0, 1, 1, 3]
    assert layout.open == [0, 1, 2, 3]


def test_closed_shards_take_nothing() -> None:
    old = made(1, 0)[0]
    low, high = f"{END // 2:x}", f"{END // 2 - 1:x}"
    closed = Shard(old.low, old.high, 0, closed_ms=5)
    layout = Layout(Own((closed, Shard(low, old.high, 5, None, 0), Shard("0", high, 5, None, 0))))

    assert layout.open == [2, 1]
    assert (layout.shard_of(0), layout.shard_of(END - 1)) == (2, 1)
    assert [shard.open_at(5) for shard in layout.own.shards] == [False, True, True]
    assert closed.open_at(4)
    assert layout.own.shards[1].parents == [0]


@given(st.data())
def test_however_shards_are_cut_and_joined_the_open_ones_cover_all_keys_once(data: st.DataObject) -> None:
    own = Own(made(data.draw(st.integers(1, 5)), 0))

    for now_ms in range(1, 6):
        opened = Layout(own).open
        closed = {index: shard for index, shard in enumerate(own.shards) if shard.closed_ms is not None}
        match data.draw(st.sampled_from(["split", "merge", "scale"])):
            case "split":
                index = data.draw(st.sampled_from(opened))
                low, high = own.shards[index].range
                own = split(own, index, data.draw(st.integers(low + 1, high)), now_ms) if low < high else own
            case "merge" if len(opened) > 1:
                at = data.draw(st.integers(0, len(opened) - 2))
                own = merge(own, opened[at + 1], opened[at], now_ms) or own
            case _:
                target = data.draw(st.integers(1, 8))
                own = scaled(own, target, now_ms)
                assert [own.shards[index].range for index in Layout(own).open] == even(target)

        ranges = [own.shards[index].range for index in Layout(own).open]
        assert (ranges[0][0], ranges[-1][1]) == (0, END - 1)
        assert all(one[1] + 1 == other[0] for one, other in pairwise(ranges))
        assert all(own.shards[index] == shard for index, shard in closed.items())


def test_a_stream_that_has_so_many_even_shards_stays_as_it_is() -> None:
    own = Own(made(3, 0))

    assert scaled(own, 3, 5) == own
    assert merge(own, 0, 2, 5) is None
