"""The actions on queues: make, find, describe, change and remove them; tags and permissions.

Each turns its input into calls of the broker and answers when what it changed is durable.
"""

import base64
import binascii
from collections.abc import Iterator

import msgspec

from isthmus.protocols.aws.errors import AwsError
from isthmus.protocols.sqs import shapes
from isthmus.protocols.sqs.attributes import (
    FIFO,
    KEPT,
    NAMES,
    Own,
    changed,
    check,
    check_name,
    definition_of,
    difference,
    is_name,
    redrive_of,
    shown,
)
from isthmus.protocols.sqs.errors import exists, invalid, invalid_value, missing
from isthmus.protocols.sqs.handlers.caller import NAMESPACE, Caller, Found

TAGS_MAX = 50
PAGE_MAX = 1_000


def _now_s(caller: Caller) -> int:
    return caller.broker.clock.now_ms() // 1_000


async def create_queue(caller: Caller, asked: shapes.CreateQueue) -> shapes.QueueUrl:
    """Make a queue; one that is there with the same attributes is found."""
    name = asked.queue_name
    if not name:
        raise missing("QueueName")
    fifo = asked.attributes.get("FifoQueue", "false").lower() == "true"
    check_name(name, fifo=fifo)
    check(asked.attributes, fifo=fifo)
    await caller.broker.quiet("topic", NAMESPACE, name)
    if (NAMESPACE, name) in caller.broker.catalog.queue_names:
        differs = difference(caller.named(name).own, asked.attributes)
        if differs is not None:
            raise exists(differs)
        return shapes.QueueUrl(queue_url=caller.url_of(name))
    now_s = _now_s(caller)
    own = changed(Own(tags=_checked_tags(asked.tags), created_s=now_s), asked.attributes, now_s)
    _check_redrive(caller, name, own)
    await caller.broker.create_queue(caller.session, definition_of(name, NAMESPACE, own))
    return shapes.QueueUrl(queue_url=caller.url_of(name))


def _check_redrive(caller: Caller, name: str, own: Own) -> None:
    """The queue for the dead has to be there, and of the same kind."""
    policy = own.attributes.get("RedrivePolicy")
    if not policy:
        return
    target = redrive_of(policy)[0]
    if target.endswith(FIFO) != name.endswith(FIFO):
        raise invalid_value(policy, "RedrivePolicy", "Dead-letter queue must be same type of queue as the source.")
    if (NAMESPACE, target) not in caller.broker.catalog.queue_names:
        raise invalid_value(policy, "RedrivePolicy", "Dead letter target does not exist.")


async def delete_queue(caller: Caller, asked: shapes.OnQueue) -> None:
    """Remove a queue with what is in it."""
    await caller.broker.remove_topic(caller.session, NAMESPACE, caller.find(asked.queue_url).name)


async def get_queue_url(caller: Caller, asked: shapes.GetQueueUrl) -> shapes.QueueUrl:
    """Where a queue is found."""
    if not asked.queue_name:
        raise missing("QueueName")
    caller.broker.access.check(caller.session, "describe", asked.queue_name)
    return shapes.QueueUrl(queue_url=caller.url_of(caller.named(asked.queue_name).name))


async def list_queues(caller: Caller, asked: shapes.ListQueues) -> shapes.Queues:
    """The queues whose names begin so, a page at a time when a size is asked for."""
    names = [name for name in _names(caller) if name.startswith(asked.queue_name_prefix)]
    page, token = _page(names, asked.max_results, asked.next_token)
    return shapes.Queues(queue_urls=[caller.url_of(name) for name in page], next_token=token)


def _names(caller: Caller) -> Iterator[str]:
    access = caller.broker.access
    for namespace, name in sorted(caller.broker.catalog.queue_names):
        if namespace == NAMESPACE and is_name(name) and access.allows(caller.session, "describe", name):
            yield name


def _page(names: list[str], size: int | None, token: str | None) -> tuple[list[str], str | None]:
    """The names behind the one that a token holds, and the token of the rest."""
    if size is not None and not 1 <= size <= PAGE_MAX:
        raise invalid_value(size, "MaxResults", f"MaxResults must be an integer between 1 and {PAGE_MAX}, if provided.")
    if token:
        try:
            after = base64.urlsafe_b64decode(token).decode()
        except (binascii.Error, ValueError) as error:
            raise invalid_value(token[:80], "NextToken", "it was not given out here.") from error
        names = [name for name in names if name > after]
    page = names[: size or PAGE_MAX]
    more = size is not None and len(names) > len(page)
    return page, base64.urlsafe_b64encode(page[-1].encode()).decode() if more else None


async def list_dead_letter_source_queues(
    caller: Caller, asked: shapes.ListDeadLetterSourceQueues
) -> shapes.SourceQueues:
    """The queues whose dead go here."""
    target = caller.find(asked.queue_url).name
    sources = [name for name in _names(caller) if caller.named(name).declared.config.dead == target]
    page, token = _page(sources, asked.max_results, asked.next_token)
    return shapes.SourceQueues(queue_urls=[caller.url_of(name) for name in page], next_token=token)


async def get_queue_attributes(caller: Caller, asked: shapes.GetQueueAttributes) -> shapes.QueueAttributes:
    """What is known of a queue; nothing unless it is named."""
    found = caller.find(asked.queue_url)
    caller.broker.access.check(caller.session, "describe", found.name)
    for name in asked.attribute_names:
        if name not in NAMES and name != "All":
            raise AwsError("InvalidAttributeName", f"Unknown Attribute {name}.")
    if not asked.attribute_names:
        return shapes.QueueAttributes()
    counts = found.queue.counts()
    everything = shown(found.name, found.own, (counts.ready, counts.leased, counts.delayed))
    wanted = everything if "All" in asked.attribute_names else asked.attribute_names
    return shapes.QueueAttributes(attributes={name: everything[name] for name in wanted if name in everything})


async def set_queue_attributes(caller: Caller, asked: shapes.SetQueueAttributes) -> None:
    """Change attributes of a queue."""
    found = caller.find(asked.queue_url)
    if not asked.attributes:
        raise missing("Attribute.Name")
    check({name: value for name, value in asked.attributes.items() if name != "FifoQueue"}, fifo=found.fifo)
    if asked.attributes.get("FifoQueue", str(found.fifo)).lower() != str(found.fifo).lower():
        raise AwsError(
            "InvalidAttributeValue",
            "Invalid value for the parameter FifoQueue. Reason: Modifying queue type is not supported.",
        )
    own = changed(found.own, asked.attributes, _now_s(caller))
    _check_redrive(caller, found.name, own)
    await caller.broker.alter_queue(caller.session, definition_of(found.name, NAMESPACE, own))


async def _keep(caller: Caller, found: Found, own: Own) -> None:
    """Change what SQS alone wants to know of a queue, and nothing else of it."""
    kept = (*[row for row in found.declared.config.kept if row[0] != KEPT], (KEPT, msgspec.json.encode(own)))
    config = msgspec.structs.replace(found.declared.config, kept=kept)
    await caller.broker.alter_queue(caller.session, found.redefined(config))


# ---- tags and permissions -----------------------------------------------------------------------------------------


def _checked_tags(tags: dict[str, str]) -> dict[str, str]:
    if len(tags) > TAGS_MAX:
        raise invalid(f"Too many tags added for queue. Maximum allowed is {TAGS_MAX}.")
    for key, value in tags.items():
        if not 1 <= len(key) <= 128 or len(value) > 256:
            raise invalid(f"Tag {key[:128]!r}: a key has 1 to 128 characters, a value at most 256.")
    return tags


async def tag_queue(caller: Caller, asked: shapes.TagQueue) -> None:
    """Set tags."""
    if not asked.tags:
        raise missing("Tags")
    found = caller.find(asked.queue_url)
    tags = _checked_tags({**found.own.tags, **asked.tags})
    await _keep(caller, found, msgspec.structs.replace(found.own, tags=tags))


async def untag_queue(caller: Caller, asked: shapes.UntagQueue) -> None:
    """Take tags away; those that are not there are passed over."""
    if not asked.tag_keys:
        raise missing("TagKeys")
    found = caller.find(asked.queue_url)
    tags = {key: value for key, value in found.own.tags.items() if key not in asked.tag_keys}
    await _keep(caller, found, msgspec.structs.replace(found.own, tags=tags))


async def list_queue_tags(caller: Caller, asked: shapes.OnQueue) -> shapes.Tags:
    """The tags of a queue."""
    found = caller.find(asked.queue_url)
    caller.broker.access.check(caller.session, "describe", found.name)
    return shapes.Tags(tags=found.own.tags)


async def add_permission(caller: Caller, asked: shapes.AddPermission) -> None:
    """Keep a permission under a label; it is shown, and rights are Isthmus's own."""
    found = caller.find(asked.queue_url)
    if not asked.label or not asked.actions or not asked.aws_account_ids:
        raise missing("Label" if not asked.label else "Actions" if not asked.actions else "AWSAccountIds")
    if asked.label in found.own.permissions:
        raise invalid_value(asked.label, "Label", "Already exists.")
    row = (tuple(asked.aws_account_ids), tuple(asked.actions))
    permissions = {**found.own.permissions, asked.label: row}
    await _keep(caller, found, msgspec.structs.replace(found.own, permissions=permissions))


async def remove_permission(caller: Caller, asked: shapes.RemovePermission) -> None:
    """Forget a permission."""
    found = caller.find(asked.queue_url)
    if asked.label not in found.own.permissions:
        raise invalid_value(asked.label, "Label", "can't find label.")
    permissions = {label: row for label, row in found.own.permissions.items() if label != asked.label}
    await _keep(caller, found, msgspec.structs.replace(found.own, permissions=permissions))


async def purge_queue(caller: Caller, asked: shapes.OnQueue) -> None:
    """Remove all that is in a queue, also what is in flight."""
    found = caller.find(asked.queue_url)
    caller.broker.access.check(caller.session, "remove", found.name)
    unit = caller.broker.journal.unit()
    found.queue.purge(unit, principal=caller.session.principal_id, held=True)
    await unit.submit()
