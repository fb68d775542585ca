"""Whether a request comes from where it should: what keeps pages in a browser from using the web port.

A page of anybody's can have a browser send requests to this machine, and a name of anybody's can be made to mean
127.0.0.1, so that the browser takes them for requests to the page's own server. It judges and answers nothing itself.
"""

import ipaddress

from isthmus.protocols.http.messages import Request, Response, plain


def stray(request: Request, *, near: bool) -> Response | None:
    """The refusal of a request that a page elsewhere may have caused; None when all is well.

    Args:
        request: what came.
        near: whether it came from this machine, where it has to be for this machine by name.
    """
    if near and not _names_this_machine(_name_of(request.host)):
        return plain(421, f"nothing named {request.host!r} is served here; use localhost or an address in numbers")
    origin = request.header("origin")
    if origin is not None and origin.partition("://")[2].lower() != request.host.lower():
        return plain(403, "pages of other servers may not ask this one")
    if request.header("sec-fetch-site") in ("cross-site", "same-site"):
        return plain(403, "pages of other servers may not ask this one")
    return None


def _name_of(host: str) -> str:
    """The host without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _names_this_machine(name: str) -> bool:
    """Whether a name can only mean what it says: `localhost`, or an address, which nobody else decides on."""
    lowered = name.lower().removesuffix(".")
    if lowered == "localhost" or lowered.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
