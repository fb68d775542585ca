"""Random messages of Kafka's, for any layout and version."""

import random
from collections.abc import Sequence
from typing import Any, NamedTuple

from isthmus.protocols.kafka import messages
from isthmus.protocols.kafka.schema import Field, Layout

BITS = {"i8": 8, "i16": 16, "u16": 16, "i32": 32, "u32": 32, "i64": 64}


CODES = (-1, 0, 1, 3, 35, 87, 100)
"""Error codes that everybody knows."""


class Choice(NamedTuple):
    """What some fields of a message are taken from, where they are not to be anything: empty for anything."""

    texts: Sequence[str] = ()
    blobs: Sequence[bytes] = ()
    numbers: Sequence[int] = ()
    is_tame: bool = False
    """Error codes and times are such."""


ANYTHING = Choice()
TAME = Choice(is_tame=True)


def build(layout: Layout, version: int, rng: random.Random, choice: Choice = ANYTHING) -> Any:  # noqa: ANN401 - some struct of messages.py
    """A message with random content in all that the version has."""
    return _struct(layout.name, layout.fields, version, rng, choice)


def _struct(name: str, fields: tuple[Field, ...], version: int, rng: random.Random, choice: Choice) -> object:
    given = {field.name: _field(field, version, rng, choice) for field in fields if field.within(version)}
    return getattr(messages, name)(**given)


def _field(field: Field, version: int, rng: random.Random, choice: Choice) -> object:
    if field.nullable(version) and rng.random() < 0.2:
        return None
    if field.is_array:
        return tuple(_one(field, version, rng, choice) for _ in range(rng.choice([0, 1, 2, 3])))
    return _one(field, version, rng, choice)


def _one(field: Field, version: int, rng: random.Random, choice: Choice) -> object:
    if choice.is_tame and field.name.endswith("error_code"):
        return rng.choice(CODES)
    if choice.is_tame and ("timestamp" in field.name or field.name.endswith("_ms")):
        return rng.getrandbits(31)
    if field.type == "str" and choice.texts:
        return rng.choice(choice.texts)
    if field.type in ("bytes", "recs") and choice.blobs:
        return rng.choice(choice.blobs)
    if field.type in BITS and choice.numbers and rng.random() < 0.9:
        return rng.choice(choice.numbers) & ((1 << (BITS[field.type] - 1)) - 1 if field.type[0] == "u" else -1)
    match field.type:
        case "struct":
            return _struct(field.class_name, field.fields, version, rng, choice)
        case "b":
            return rng.random() < 0.5
        case "f64":
            return rng.uniform(-1e9, 1e9)
        case "uuid":
            return rng.randbytes(16)
        case "str":
            return rng.choice(["", "a", "naïve", "x" * 200])
        case "bytes" | "recs":
            return rng.randbytes(rng.choice([0, 3, 300]))
        case kind:
            number = rng.getrandbits(BITS[kind])
            return number if kind[0] == "u" else number - (1 << (BITS[kind] - 1))
