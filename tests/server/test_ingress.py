"""The budget of received bytes: G1 to G3."""

from isthmus.server.ingress import Ingress


class Reader:
    """A connection that writes down what it is told."""

    def __init__(self) -> None:
        self.held_bytes = 0
        self.hungry = True
        self.reads = True
        self.watched = 0

    def let_read(self) -> None:
        """See `Reading`."""
        self.reads = True

    def watch_finisher(self) -> None:
        """See `Reading`."""
        self.watched += 1


def over() -> tuple[Ingress, Reader, Reader]:
    """A budget of 100 bytes with 100 held by one, and another that holds nothing."""
    ingress, big, small = Ingress(100), Reader(), Reader()
    ingress.count(big, 100)
    return ingress, big, small


def test_below_the_bound_everybody_reads() -> None:
    ingress, reader = Ingress(100), Reader()
    ingress.count(reader, 99)

    assert ingress.may_read(reader)
    assert ingress.total_bytes == 99


def test_from_the_bound_on_one_reads_until_its_request_is_complete() -> None:
    ingress, big, small = over()

    assert ingress.may_read(big)
    assert ingress.finisher is big
    assert big.watched == 1
    assert not ingress.may_read(small)
    ingress.count(big, 150)
    assert ingress.may_read(big)


def test_when_there_is_room_again_everybody_reads() -> None:
    ingress, big, small = over()
    small.hungry = False
    ingress.may_read(big)
    small.reads = ingress.may_read(small)

    ingress.count(big, 80)
    read_at_80 = small.reads
    ingress.count(big, 74)

    assert (read_at_80, small.reads) == (False, True)
    assert not ingress.over


def test_after_the_finisher_comes_the_next_one_that_needs_bytes() -> None:
    ingress, big, small = over()
    full = Reader()
    full.hungry = False
    ingress.may_read(big)
    full.reads, small.reads = ingress.may_read(full), ingress.may_read(small)
    ingress.count(full, 40)

    ingress.leave(big)
    ingress.count(full, 120)
    small.reads = ingress.may_read(small)

    assert ingress.finisher is small
    assert small.reads


def test_who_is_gone_holds_nothing() -> None:
    ingress, big, small = over()
    ingress.may_read(big)
    small.reads = ingress.may_read(small)

    ingress.leave(big)

    assert ingress.total_bytes == 0
    assert small.reads
    assert ingress.finisher is None
