"""Which APIs are served, in which versions: ApiVersions.

What is advertised is what the table of handlers has; nothing here decides more.

Spec: KIP-511, KIP-584.
"""

import re
from collections.abc import Iterable
from functools import cache
from typing import Final

from isthmus.protocols.kafka import messages as m
from isthmus.protocols.kafka.errors import Code
from isthmus.protocols.kafka.handlers.call import Call
from isthmus.protocols.kafka.schema import requests

SOFTWARE: Final = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?")

CUT: Final = {22: (0, 5)}
"""Ranges that are narrower than the layouts: InitProducerId 6 belongs to transactions that are not stable (KIP-939)."""

SHOWN: Final = {0: (0, 13)}
"""Ranges that are shown wider than they are: librdkafka before 2.11 takes compression from Produce 0 (KAFKA-18659)."""


def served(api_key: int) -> tuple[int, int]:
    """The versions of an API that are taken."""
    return CUT.get(api_key, requests()[api_key].versions)


@cache
def rows(api_keys: tuple[int, ...]) -> tuple[m.ApiVersionsResponseApiKey, ...]:
    """What is shown of these APIs."""
    return tuple(m.ApiVersionsResponseApiKey(key, *SHOWN.get(key, served(key))) for key in api_keys)


def api_versions(call: Call, api_keys: Iterable[int]) -> m.ApiVersionsResponse:
    """All that there is. Deviation: no features, so that clients leave transactions and new groups alone."""
    asked: m.ApiVersionsRequest = call.request
    named = (asked.client_software_name, asked.client_software_version)
    if call.version >= 3 and not all(map(SOFTWARE.fullmatch, named)):
        return m.ApiVersionsResponse(error_code=Code.INVALID_REQUEST)
    return m.ApiVersionsResponse(api_keys=rows(tuple(sorted(api_keys))))


def fallback(api_keys: Iterable[int]) -> m.ApiVersionsResponse:
    """The answer, in version 0, to a version that is not known here: the client asks again with one that is."""
    return m.ApiVersionsResponse(error_code=Code.UNSUPPORTED_VERSION, api_keys=rows(tuple(sorted(api_keys))))
