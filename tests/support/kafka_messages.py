"""Random messages of Kafka's, for any layout and version."""

import random
from typing import Any

from isthmus.protocols.kafka import messages
from isthmus.protocols.kafka.schema import Field, Layout

BITS = {"i8": 8, "i16": 16, "u16": 16, "i32": 32, "u32": 32, "i64": 64}


CODES = (-1, 0, 1, 3, 35, 87, 100)
"""Error codes that everybody knows."""


def build(layout: Layout, version: int, rng: random.Random, *, tame: bool = False) -> Any:  # noqa: ANN401 - some struct of messages.py
    """A message with random content in all that the version has; `tame`: error codes and times are such."""
    return _struct(layout.name, layout.fields, version, rng, tame=tame)


def _struct(name: str, fields: tuple[Field, ...], version: int, rng: random.Random, *, tame: bool) -> object:
    given = {field.name: _field(field, version, rng, tame=tame) for field in fields if field.within(version)}
    return getattr(messages, name)(**given)


def _field(field: Field, version: int, rng: random.Random, *, tame: bool) -> object:
    if field.nullable(version) and rng.random() < 0.2:
        return None
    if field.is_array:
        return tuple(_one(field, version, rng, tame=tame) for _ in range(rng.choice([0, 1, 2, 3])))
    return _one(field, version, rng, tame=tame)


def _one(field: Field, version: int, rng: random.Random, *, tame: bool) -> object:
    if tame and field.name.endswith("error_code"):
        return rng.choice(CODES)
    if tame and ("timestamp" in field.name or field.name.endswith("_ms")):
        return rng.getrandbits(31)
    match field.type:
        case "struct":
            return _struct(field.class_name, field.fields, version, rng, tame=tame)
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
