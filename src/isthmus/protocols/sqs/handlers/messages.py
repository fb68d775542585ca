"""The actions on messages: send, receive, delete, change visibility, and the batches of each.

A message is sent when it is durable, and deleted when that is; receiving waits with the broker, not here.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from isthmus.broker.catalog import PARTITION_BITS
from isthmus.broker.publishing import CAUSE, DEDUP, DUE, PLAIN, Options
from isthmus.broker.redrive import ORIGIN
from isthmus.errors import IsthmusError, LeaseLost
from isthmus.limits import LEASE_MS_MAX
from isthmus.log.pending import Pending
from isthmus.protocols.aws.errors import AwsError
from isthmus.protocols.sqs import errors, shapes
from isthmus.protocols.sqs.attributes import MESSAGE_BYTES_MAX, arn_of, flag, number
from isthmus.protocols.sqs.digests import md5, md5_of, size_of
from isthmus.protocols.sqs.errors import invalid, invalid_value, missing
from isthmus.protocols.sqs.handlers.caller import Caller, Found
from isthmus.protocols.sqs.messages import (
    SENDER,
    TRACE,
    TRACE_ATTRIBUTE,
    attributes_of,
    body_of,
    check,
    check_batch,
    dedup_of,
    headers_in,
    headers_of,
    message_id,
    sequence_number,
)
from isthmus.protocols.sqs.receipt import Receipt, decode, encode
from isthmus.record import Appended, Lease, Leased, Record

PARTITION_MASK: Final = (1 << PARTITION_BITS) - 1
VISIBILITY_S_MAX: Final = 43_200
WAIT_S_MAX: Final = 20
RECEIVE_MAX: Final = 10
IN_FLIGHT_MAX: Final = 120_000
RECEIVE_BYTES_MAX: Final = 2 * MESSAGE_BYTES_MAX

E = TypeVar("E", shapes.DeleteEntry, shapes.VisibilityEntry)


# ---- sending ------------------------------------------------------------------------------------------------------


async def send_message(caller: Caller, asked: shapes.SendMessage) -> shapes.Sent:
    """Send a message; answered when it is durable."""
    found = caller.find(asked.queue_url)
    _check_send(found, asked)
    (appended,) = await _publish(caller, found, asked)
    return shapes.Sent(
        message_id=_id_of(found, appended),
        md5_of_message_body=md5((asked.message_body or "").encode()),
        md5_of_message_attributes=md5_of(asked.message_attributes),
        md5_of_message_system_attributes=md5_of(asked.message_system_attributes),
        sequence_number=sequence_number(appended.base_offset) if found.fifo else None,
    )


async def send_message_batch(caller: Caller, asked: shapes.SendMessageBatch) -> shapes.SentBatch:
    """Send up to ten messages in order; each succeeds or fails by itself."""
    found = caller.find(asked.queue_url)
    sizes = sum(size_of(each.message_body or "", each.message_attributes) for each in asked.entries)
    check_batch([each.id for each in asked.entries], sizes)
    if found.fifo:
        for entry in asked.entries:
            _check_group(found, entry, single=False)
    sent: list[tuple[shapes.SendEntry, Pending[list[Appended]]]] = []
    failed: list[shapes.Failure] = []
    for entry in asked.entries:
        try:
            _check_send(found, entry)
            sent.append((entry, _publish(caller, found, entry)))
        except IsthmusError as error:
            failed.append(_failure(entry.id, error))
    successful: list[shapes.SentEntry] = []
    for entry, pending in sent:
        try:
            (appended,) = await pending
        except IsthmusError as error:
            failed.append(_failure(entry.id, error))
            continue
        successful.append(
            shapes.SentEntry(
                id=entry.id,
                message_id=_id_of(found, appended),
                md5_of_message_body=md5((entry.message_body or "").encode()),
                md5_of_message_attributes=md5_of(entry.message_attributes),
                md5_of_message_system_attributes=md5_of(entry.message_system_attributes),
                sequence_number=sequence_number(appended.base_offset) if found.fifo else None,
            )
        )
    return shapes.SentBatch(successful=successful, failed=failed)


def _check_send(found: Found, message: shapes.SendMessage | shapes.SendEntry) -> None:
    check(message, limit=number(found.own, "MaximumMessageSize"))
    delay = message.delay_seconds
    if delay is not None and not 0 <= delay <= 900:
        raise invalid_value(delay, "DelaySeconds", "DelaySeconds must be >= 0 and <= 900.")
    if found.fifo:
        _check_group(found, message, single=True)
        if delay:
            reason = "The request include parameter that is not valid for this queue type."
            raise invalid_value(delay, "DelaySeconds", reason)
    elif message.message_deduplication_id is not None:
        reason = "The request includes a parameter that is not valid for this queue type."
        raise invalid_value(message.message_deduplication_id, "MessageDeduplicationId", reason)


def _check_group(found: Found, message: shapes.SendMessage | shapes.SendEntry, *, single: bool) -> None:
    if not message.message_group_id:
        raise missing("MessageGroupId") if single else invalid("The request must contain the parameter MessageGroupId.")
    if message.message_deduplication_id is None and not flag(found.own, "ContentBasedDeduplication"):
        raise invalid(
            "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided "
            "explicitly"
        )


def _publish(caller: Caller, found: Found, message: shapes.SendMessage | shapes.SendEntry) -> Pending[list[Appended]]:
    extra: list[tuple[str, bytes | None]] = []
    delay = message.delay_seconds
    if delay is None or found.fifo:
        delay = number(found.own, "DelaySeconds")
    if delay:
        extra.append((DUE, str(caller.broker.clock.now_ms() + delay * 1_000).encode()))
    options = PLAIN
    if found.fifo:
        by_group = found.own.attributes.get("DeduplicationScope") == "messageGroup"
        by_content = flag(found.own, "ContentBasedDeduplication")
        options = Options(dedup=dedup_of(message, by_content=by_content, by_group=by_group))
    group = message.message_group_id
    record = Record(
        (message.message_body or "").encode(),
        None if group is None else group.encode(),
        headers_of(message, caller.account, extra),
    )
    return caller.broker.publish(caller.session, found.topic, [record], options)


def _id_of(found: Found, appended: Appended) -> str:
    return message_id(found.topic.set.uuid, appended.partition, appended.base_offset)


def _failure(entry: str, error: IsthmusError) -> shapes.Failure:
    said = errors.of(error)
    return shapes.Failure(id=entry, sender_fault=said.sender, code=said.query_code, message=said.message)


# ---- receiving ----------------------------------------------------------------------------------------------------


async def receive_message(caller: Caller, asked: shapes.ReceiveMessage) -> shapes.Messages:
    """Take messages, waiting for the first as long as is asked for."""
    found = caller.find(asked.queue_url)
    caller.broker.access.check(caller.session, "consume", found.name)
    count = 1 if asked.max_number_of_messages is None else asked.max_number_of_messages
    if not 1 <= count <= RECEIVE_MAX:
        raise invalid_value(count, "MaxNumberOfMessages", f"Must be between 1 and {RECEIVE_MAX}, if provided.")
    wait = asked.wait_time_seconds
    wait = number(found.own, "ReceiveMessageWaitTimeSeconds") if wait is None else wait
    if not 0 <= wait <= WAIT_S_MAX:
        raise invalid_value(wait, "WaitTimeSeconds", f"Must be >= 0 and <= {WAIT_S_MAX}, if provided.")
    visibility = asked.visibility_timeout
    visibility = number(found.own, "VisibilityTimeout") if visibility is None else _checked_visibility(visibility)
    if not found.fifo and found.queue.counts().leased >= IN_FLIGHT_MAX:
        raise AwsError("OverLimit", f"{IN_FLIGHT_MAX} messages are in flight; delete some first.", status=403)
    leased = await found.queue.lease(
        "sqs",
        caller.session.id,
        caller.session.principal_id,
        count,
        RECEIVE_BYTES_MAX,
        min(max(1, visibility * 1_000), LEASE_MS_MAX),
        wait * 1_000,
        run_of_key=found.fifo,
    )
    return shapes.Messages(messages=[_message(caller, found, one, asked) for one in leased])


def _checked_visibility(visibility: int) -> int:
    if not 0 <= visibility <= VISIBILITY_S_MAX:
        reason = f"VisibilityTimeout must be an integer between 0 and {VISIBILITY_S_MAX}."
        raise invalid_value(visibility, "VisibilityTimeout", reason)
    return visibility


def _message(caller: Caller, found: Found, leased: Leased, asked: shapes.ReceiveMessage) -> shapes.Message:
    lease, record = leased.lease, leased.record
    headers = headers_in(record)
    now_ms = caller.broker.clock.now_ms()
    attributes = attributes_of(headers, asked.message_attribute_names)
    wanted = {*asked.attribute_names, *asked.message_system_attribute_names}
    system = _system(caller, found, leased, headers, now_ms) if wanted else {}
    body = body_of(record)
    return shapes.Message(
        message_id=_id_of_leased(caller, found, lease, headers),
        receipt_handle=encode(lease.queue, Receipt(lease.partition, lease.offset, lease.acquired, now_ms)),
        md5_of_body=md5(body.encode()),
        body=body,
        attributes={name: value for name, value in system.items() if name in wanted or "All" in wanted},
        md5_of_message_attributes=md5_of(attributes),
        message_attributes=attributes,
    )


def _id_of_leased(caller: Caller, found: Found, lease: Lease, headers: dict[str, bytes]) -> str:
    """The id of a message; a dead one keeps the id that it had where it died."""
    if ORIGIN in headers:
        where, _, offset = headers.get(CAUSE, b"").decode(errors="replace").rpartition("/")
        name, _, partition = where.rpartition("/")
        topic = caller.topic_named(name)
        if topic is not None and partition.isdecimal() and offset.isdecimal():
            return message_id(topic.set.uuid, int(partition[:5]), int(offset[:18]))
    return message_id(found.topic.set.uuid, lease.partition & PARTITION_MASK, lease.offset)


def _system(caller: Caller, found: Found, leased: Leased, headers: dict[str, bytes], now_ms: int) -> dict[str, str]:
    lease, record = leased.lease, leased.record
    rows = {
        "SenderId": headers.get(SENDER, caller.account.encode()).decode(errors="replace"),
        "SentTimestamp": str(record.timestamp_ms),
        "ApproximateReceiveCount": str(lease.acquired),
        "ApproximateFirstReceiveTimestamp": str(now_ms if lease.acquired == 1 else record.timestamp_ms),
    }
    if record.key is not None:
        rows["MessageGroupId"] = record.key.decode(errors="replace")
    if found.fifo:
        rows["SequenceNumber"] = sequence_number(lease.offset)
    if DEDUP in headers:
        rows["MessageDeduplicationId"] = headers[DEDUP].decode(errors="replace").rpartition(" ")[2]
    if TRACE in headers:
        rows[TRACE_ATTRIBUTE] = headers[TRACE].decode(errors="replace")
    origin = headers.get(ORIGIN, b"").decode(errors="replace")
    if origin.startswith("queue:"):
        rows["DeadLetterQueueSourceArn"] = arn_of(origin.removeprefix("queue:"), caller.region, caller.account)
    return rows


# ---- afterwards ---------------------------------------------------------------------------------------------------


def _receipt(found: Found, handle: str | None) -> Receipt:
    if not handle:
        raise missing("ReceiptHandle")
    return decode(found.queue.id, handle)


def _lease_of(found: Found, receipt: Receipt) -> Lease:
    return Lease(found.queue.id, receipt.partition, receipt.offset, receipt.acquired, 0, None)


async def delete_message(caller: Caller, asked: shapes.DeleteMessage) -> None:
    """Delete a message by any handle of it; of a FIFO queue only while it is in flight."""
    found = caller.find(asked.queue_url)
    caller.broker.access.check(caller.session, "consume", found.name)
    await _delete(caller, found, asked.receipt_handle)


async def _delete(caller: Caller, found: Found, handle: str | None) -> None:
    receipt = _receipt(found, handle)
    unit, principal = caller.broker.journal.unit(), caller.session.principal_id
    if not found.fifo:
        found.queue.discard(unit, [(receipt.partition, receipt.offset)], consumer="sqs", principal=principal)
        await unit.submit()
        return
    found.queue.ack(unit, [_lease_of(found, receipt)], consumer="sqs", principal=principal)
    try:
        await unit.submit()
    except LeaseLost as lost:
        raise invalid_value(handle, "ReceiptHandle", "The receipt handle has expired.") from lost


async def delete_message_batch(caller: Caller, asked: shapes.DeleteMessageBatch) -> shapes.DoneBatch:
    """Delete up to ten messages; each succeeds or fails by itself."""
    found = caller.find(asked.queue_url)
    caller.broker.access.check(caller.session, "consume", found.name)
    return await _each(asked.entries, lambda entry: _delete(caller, found, entry.receipt_handle))


async def change_message_visibility(caller: Caller, asked: shapes.ChangeMessageVisibility) -> None:
    """Let a message stay in flight that long from now, or make it visible at once."""
    found = caller.find(asked.queue_url)
    caller.broker.access.check(caller.session, "consume", found.name)
    await _change(caller, found, asked.receipt_handle, asked.visibility_timeout)


async def _change(caller: Caller, found: Found, handle: str | None, visibility: int | None) -> None:
    receipt = _receipt(found, handle)
    if visibility is None:
        raise missing("VisibilityTimeout")
    lease_ms = _checked_visibility(visibility) * 1_000
    held_ms = caller.broker.clock.now_ms() - receipt.received_ms
    if held_ms + lease_ms > VISIBILITY_S_MAX * 1_000 and lease_ms < VISIBILITY_S_MAX * 1_000:
        reason = f"Total VisibilityTimeout for the message is beyond the limit [{VISIBILITY_S_MAX} seconds]."
        raise invalid_value(visibility, "VisibilityTimeout", reason)
    lease = _lease_of(found, receipt)
    try:
        found.queue.extend([lease], max(1, lease_ms))
    except LeaseLost as lost:
        reason = "Message does not exist or is not available for visibility timeout change."
        raise invalid_value(handle, "ReceiptHandle", reason) from lost
    if not lease_ms:
        unit = caller.broker.journal.unit()
        found.queue.release(unit, [lease], reason="visible again", principal=caller.session.principal_id)
        await unit.submit()


async def change_message_visibility_batch(
    caller: Caller, asked: shapes.ChangeMessageVisibilityBatch
) -> shapes.DoneBatch:
    """The same for up to ten messages; each succeeds or fails by itself."""
    found = caller.find(asked.queue_url)
    caller.broker.access.check(caller.session, "consume", found.name)
    return await _each(
        asked.entries, lambda entry: _change(caller, found, entry.receipt_handle, entry.visibility_timeout)
    )


async def _each(entries: Sequence[E], do: Callable[[E], Awaitable[None]]) -> shapes.DoneBatch:
    """Do all entries of a batch side by side, so that they share a write."""
    check_batch([entry.id for entry in entries], 0)
    results = await asyncio.gather(*[do(entry) for entry in entries], return_exceptions=True)
    successful, failed = [], []
    for entry, result in zip(entries, results, strict=True):
        if result is None:
            successful.append(shapes.Done(id=entry.id))
        elif isinstance(result, IsthmusError):
            failed.append(_failure(entry.id, result))
        else:
            raise result
    return shapes.DoneBatch(successful=successful, failed=failed)
