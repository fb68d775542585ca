"""Who a client is: the mechanisms, guest while there is nobody, and what is refused."""

import pytest

from isthmus.broker.access import ANYONE, Access
from isthmus.protocols.amqp.errors import Refused
from isthmus.protocols.amqp.handlers.login import Proven, mechanisms, prove, renewed
from isthmus.protocols.amqp.table import encode_entries
from isthmus.protocols.door import Peer
from support.amqp import access_with

NEAR = Peer(host="127.0.0.1")
FAR = Peer(host="192.0.2.1")
FAR_TLS = Peer(host="192.0.2.1", tls=True)
GUEST = b"\0guest\0guest"


def test_guest_is_let_in_from_this_machine_while_there_is_no_user() -> None:
    access = Access()

    assert prove(access, NEAR, "PLAIN", GUEST, plain=False) == Proven(ANYONE, "guest")
    assert prove(access, NEAR, "AMQPLAIN", encode_entries({"LOGIN": "guest", "PASSWORD": "guest"}), plain=False) == (
        Proven(ANYONE, "guest")
    )
    assert isinstance(prove(access, NEAR, "PLAIN", b"\0guest\0wrong", plain=False), str)
    assert isinstance(prove(access, FAR_TLS, "PLAIN", GUEST, plain=False), str)


@pytest.mark.parametrize("mechanism", ["PLAIN", "AMQPLAIN"])
def test_a_user_proves_its_password(mechanism: str) -> None:
    access = access_with(ann="secret")
    right, wrong = (
        b"\0ann\0" + word if mechanism == "PLAIN" else encode_entries({"LOGIN": "ann", "PASSWORD": word.decode()})
        for word in (b"secret", b"guess")
    )

    assert prove(access, NEAR, mechanism, right, plain=False) == Proven("ann", "ann")
    assert isinstance(prove(access, NEAR, mechanism, wrong, plain=False), str)
    assert isinstance(prove(access, NEAR, "PLAIN", GUEST, plain=False), str)


def test_a_password_comes_from_elsewhere_only_by_tls_or_when_that_is_allowed() -> None:
    access = access_with(ann="secret")

    assert isinstance(prove(access, FAR, "PLAIN", b"\0ann\0secret", plain=False), str)
    assert prove(access, FAR, "PLAIN", b"\0ann\0secret", plain=True) == Proven("ann", "ann")
    assert prove(access, FAR_TLS, "PLAIN", b"\0ann\0secret", plain=False) == Proven("ann", "ann")


def test_a_certificate_is_enough_for_a_user_and_for_nobody_else() -> None:
    access = access_with(ann="secret")
    ann, eve = (Peer(host="192.0.2.1", tls=True, user=name) for name in ("ann", "eve"))

    assert mechanisms(ann) == ("PLAIN", "AMQPLAIN", "EXTERNAL")
    assert mechanisms(NEAR) == ("PLAIN", "AMQPLAIN")
    assert prove(access, ann, "EXTERNAL", b"", plain=False) == Proven("ann", "ann")
    assert isinstance(prove(access, eve, "EXTERNAL", b"", plain=False), str)


@pytest.mark.parametrize("mechanism", ["EXTERNAL", "CRAM-MD5"])
def test_a_mechanism_that_is_not_offered_is_refused(mechanism: str) -> None:
    with pytest.raises(Refused, match=f"unsupported authentication mechanism '{mechanism}'"):
        prove(Access(), NEAR, mechanism, b"", plain=False)


@pytest.mark.parametrize("response", [b"", b"\xff", b"\x05LOGINS\xff\xff\xff\xff", b"x" * 5_000])
def test_nonsense_is_nobody(response: bytes) -> None:
    assert isinstance(prove(access_with(ann="secret"), NEAR, "AMQPLAIN", response, plain=False), str)


def test_a_new_secret_has_to_be_that_user_s() -> None:
    access = access_with(ann="secret", bob="other")

    assert renewed(access, NEAR, "ann", b"secret", plain=False)
    assert not renewed(access, NEAR, "ann", b"other", plain=False)
