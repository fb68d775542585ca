"""Whether a broker is well: what `/healthz` and `/readyz` answer from.

It looks and repairs nothing, and says nothing that a stranger should not know.
"""

from isthmus.broker.broker import Broker


def troubles(broker: Broker) -> list[str]:
    """Why the store does not take what is published, in words for people; empty when it does."""
    journal = broker.journal
    found: list[str] = []
    if journal.error is not None:
        found.append("the store has failed, and has to be opened again")
    elif journal.closed:
        found.append("the store is closed")
    elif not journal.writable and journal.read_only is None and not journal.damage:
        found.append("the store is being opened")
    if journal.damage:
        found.append("the store is damaged and can only be read; see `isthmus log verify`")
    if journal.read_only is not None:
        found.append("the store was opened for reading only")
    if journal.space.full:
        found.append("the disk is full")
    return found
