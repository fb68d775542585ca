"""What a topic keeps of its shards, and which of them takes a key."""

from isthmus.definition import TopicConfig
from isthmus.protocols.kinesis.hashes import END
from isthmus.protocols.kinesis.shards import Layout, Own, Shard, kept, layout_of, made


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
