"""Topics by their ids, which newer requests have instead of names.

It remembers what the catalogue says and knows nothing else.
"""

from isthmus.broker.catalog import Catalog, Topic


class TopicIds:
    """Finds topics by id; looks through the catalogue only when it has changed since."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._known: dict[bytes, int] = {}
        self._seen_next_id = -1

    def find(self, topic_id: bytes) -> Topic | None:
        """The topic of an id; None when there is none (any more)."""
        catalog = self._catalog
        found = catalog.topics.get(self._known.get(topic_id, 0))
        if found is None and self._seen_next_id != catalog.next_id:
            self._known = {topic.set.uuid: number for number, topic in catalog.topics.items()}
            self._seen_next_id = catalog.next_id
            found = catalog.topics.get(self._known.get(topic_id, 0))
        return found
