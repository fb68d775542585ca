"""What is kept of a password, how passwords are prepared, and the client's side of a login."""

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus import scram
from isthmus.definition import ScramCredential
from isthmus.errors import InvalidArgument, ProtocolError
from isthmus.limits import PASSWORD_BYTES_MAX, SCRAM_ITERATIONS_MAX

SALT = b"0123456789abcdef"


def kept() -> tuple[ScramCredential, ...]:
    return scram.credentials("pencil", lambda: SALT)


class TestCredentials:
    def test_there_is_one_for_every_mechanism_with_a_salt_of_its_own(self) -> None:
        salts = iter([b"a" * 16, b"b" * 16])

        made = scram.credentials("pencil", lambda: next(salts))

        assert [(each.mechanism, each.salt, each.iterations) for each in made] == [
            ("SCRAM-SHA-256", b"a" * 16, 4_096),
            ("SCRAM-SHA-512", b"b" * 16, 4_096),
        ]

    def test_the_right_password_is_known_and_another_is_not(self) -> None:
        for each in kept():
            assert scram.knows(each, "pencil")
            assert not scram.knows(each, "Pencil")

    def test_what_was_made_here_may_be_kept(self) -> None:
        for each in kept():
            scram.check_credential(each)

    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            ({"iterations": 4_095}, "4095 is outside"),
            ({"iterations": SCRAM_ITERATIONS_MAX + 1}, "is outside"),
            ({"salt": b"short"}, "has 5 bytes"),
            ({"salt": bytes(129)}, "has 129 bytes"),
            ({"stored_key": bytes(31)}, "have 32 bytes"),
            ({"server_key": bytes(64)}, "have 32 bytes"),
            ({"mechanism": "SCRAM-SHA-1"}, "is none of"),
        ],
    )
    def test_what_somebody_else_made_is_held_against_the_bounds(self, changed: dict[str, object], message: str) -> None:
        made = kept()[0]
        fields = {name: getattr(made, name) for name in made.__struct_fields__} | changed

        with pytest.raises(InvalidArgument, match=message):
            scram.check_credential(ScramCredential(**fields))

    def test_a_proof_of_another_length_is_none(self) -> None:
        assert not scram.proven(kept()[0], b"short", b"said")


class TestPreparing:
    @pytest.mark.parametrize(
        ("typed", "meant"),
        [
            ("I\u00adX", "IX"),
            ("user", "user"),
            ("USER", "USER"),
            ("\u00aa", "a"),
            ("\u2168", "IX"),
            ("a\u00a0b", "a b"),
            ("a\u0301", "\u00e1"),
        ],
    )
    def test_what_looks_the_same_becomes_the_same(self, typed: str, meant: str) -> None:
        assert scram.prepared(typed) == meant

    @pytest.mark.parametrize(
        ("typed", "message"),
        [
            ("", "empty"),
            ("\u00ad", "empty"),
            ("a\x07", "control"),
            ("\u0627\u0031", "left"),
            ("\u0627a\u0627", "left"),
            ("\u00e1\x07", r"U\+0007"),
            ("\U0001f600", r"U\+1F600"),
            ("x" * (PASSWORD_BYTES_MAX + 1), "more than"),
        ],
    )
    def test_what_cannot_be_a_password_is_refused_with_why(self, typed: str, message: str) -> None:
        with pytest.raises(InvalidArgument, match=message):
            scram.prepared(typed)

    @given(st.text(max_size=20))
    def test_preparing_twice_changes_nothing_more(self, text: str) -> None:
        try:
            once = scram.prepared(text)
        except InvalidArgument:
            return

        assert scram.prepared(once) == once


class TestNames:
    @given(st.text(max_size=20))
    def test_a_name_is_read_as_it_was_written(self, name: str) -> None:
        assert "," not in scram.escaped(name)
        assert scram.unescaped(scram.escaped(name)) == name or "\0" in name

    @pytest.mark.parametrize("text", ["a=b", "a=2c", "=", "a,b", "a\0b"])
    def test_what_nobody_writes_is_no_name(self, text: str) -> None:
        assert scram.unescaped(text) is None


class TestClient:
    def client(self) -> scram.Client:
        client = scram.Client("SCRAM-SHA-256", "user", "pencil", "rOprNGfwEbeRWgbNEkqO")
        client.first()
        return client

    def test_it_says_what_the_rfc_says(self) -> None:
        client = scram.Client("SCRAM-SHA-256", "user", "pencil", "rOprNGfwEbeRWgbNEkqO")
        nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"

        first = client.first()
        final = client.final(f"r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096".encode())
        client.check(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")

        assert first == b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
        assert final == f"c=biws,r={nonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=".encode()

    @pytest.mark.parametrize(
        ("answer", "message"),
        [
            (b"r=other,s=c2FsdA==,i=4096", "does not continue"),
            (b"r=rOprNGfwEbeRWgbNEkqO,s=c2FsdA==,i=4096", "does not continue"),
            (b"r=rOprNGfwEbeRWgbNEkqOx,s=c2FsdA==,i=1", "asks for 1 iterations"),
            (b"r=rOprNGfwEbeRWgbNEkqOx,s=c2FsdA==,i=999999999", "asks for 999999999 iterations"),
            (b"r=rOprNGfwEbeRWgbNEkqOx,s=c2FsdA==,i=" + b"9" * 5_000, "cannot be read"),
            (b"r=rOprNGfwEbeRWgbNEkqOx,s=!,i=4096", "cannot be read"),
            (b"r=rOprNGfwEbeRWgbNEkqOx,i=4096,s=c2FsdA==", "cannot be read"),
            (b"e=unknown-user", "cannot be read"),
            (b"\xff", "no text"),
        ],
    )
    def test_an_answer_that_is_none_is_refused(self, answer: bytes, message: str) -> None:
        with pytest.raises(ProtocolError, match=message):
            self.client().final(answer)

    @pytest.mark.parametrize("answer", [b"v=AAAA", b"v=!", b"e=other-error", b""])
    def test_a_server_that_does_not_know_the_user_is_found_out(self, answer: bytes) -> None:
        client = self.client()
        client.final(b"r=rOprNGfwEbeRWgbNEkqOx,s=c2FsdA==,i=4096")

        with pytest.raises(ProtocolError):
            client.check(answer)

    def test_nothing_is_believed_before_the_proof_was_sent(self) -> None:
        with pytest.raises(ProtocolError, match="cannot prove"):
            self.client().check(b"v=")


@settings(max_examples=30)
@given(st.binary(max_size=40))
def test_base64_is_read_as_it_was_written(data: bytes) -> None:
    assert scram.based(data) == base64.b64encode(data).decode()
    assert scram.unbased(scram.based(data)) == data


def test_keys_are_in_no_representation() -> None:
    (one, _) = kept()

    assert repr(one) == "ScramCredential('SCRAM-SHA-256', 4096 iterations)"
    assert str(one) == repr(one)
