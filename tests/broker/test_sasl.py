"""Logins: the vectors of the RFC, a client written from it, and everything that must not succeed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus import scram
from isthmus.broker import sasl
from isthmus.broker.sasl import Challenge, Failure, Success
from isthmus.errors import InvalidArgument, Unsupported
from isthmus.limits import SASL_BYTES_MAX
from support.logins import Book, ByTheBook

SHA256 = "SCRAM-SHA-256"
SCRAMS = [SHA256, "SCRAM-SHA-512"]


def book() -> Book:
    return Book({"ada": "pencil", "a,b=c": "sticks"})


def challenged(exchange: sasl.Exchange, client: ByTheBook) -> bytes:
    answer = exchange.answer(client.first())
    assert isinstance(answer, Challenge)
    return answer.data


def begin(mechanism: str = SHA256, directory: Book | None = None) -> sasl.Exchange:
    return sasl.begin(mechanism, directory or book(), tls=True, host="192.0.2.7")


class TestMechanisms:
    def test_the_password_itself_is_asked_for_only_where_nobody_else_can_read_it(self) -> None:
        assert sasl.mechanisms(tls=True) == ("SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN")
        assert sasl.mechanisms(tls=False) == ("SCRAM-SHA-512", "SCRAM-SHA-256")
        with pytest.raises(Unsupported, match="PLAIN, which sends the password itself, needs TLS; use SCRAM-SHA-512"):
            sasl.begin("PLAIN", book(), tls=False, host="")

    @pytest.mark.parametrize("name", ["SCRAM-SHA-1", "SCRAM-SHA-256-PLUS", "", "plain", "\x1b[31m", "x" * 4_000])
    def test_what_is_not_offered_is_refused_with_what_is(self, name: str) -> None:
        with pytest.raises(Unsupported, match="use SCRAM-SHA-512, SCRAM-SHA-256, PLAIN") as refused:
            sasl.begin(name, book(), tls=True, host="")

        assert str(refused.value).isprintable()
        assert len(str(refused.value)) < 200


class TestScram:
    def test_the_exchange_of_rfc_7677_takes_place_word_for_word(self) -> None:
        server = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
        salt = scram.unbased("W22ZaJ0SNY7soEsUEjb6gQ==")
        assert salt is not None
        exchange = begin(directory=Book({"user": "pencil"}, salt=salt, server_nonce=server))
        nonce = f"rOprNGfwEbeRWgbNEkqO{server}"

        first = exchange.answer(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO")
        last = exchange.answer(f"c=biws,r={nonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=".encode())

        assert first == Challenge(f"r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096".encode())
        assert last == Success("user", b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")

    @pytest.mark.parametrize("mechanism", SCRAMS)
    @pytest.mark.parametrize("header", ["n,,", "y,,", "n,a=a=2Cb=3Dc,"])
    def test_a_client_by_the_book_logs_in(self, mechanism: str, header: str) -> None:
        exchange, client = begin(mechanism), ByTheBook(mechanism, "a,b=c", "sticks", header=header)

        answer = exchange.answer(client.final(challenged(exchange, client)))

        assert answer == Success("a,b=c", client.expected.encode())

    @settings(max_examples=15)
    @given(st.text(min_size=1, max_size=8), st.text(min_size=1, max_size=8), st.sampled_from(SCRAMS))
    def test_any_name_with_any_password_logs_in_by_that_password_and_no_other(
        self, name: str, password: str, mechanism: str
    ) -> None:
        try:
            name, password = scram.prepared(name), scram.prepared(password)
        except InvalidArgument:
            return
        directory = Book({name: password})

        for typed in (password, password + "x"):
            exchange, client = begin(mechanism, directory), ByTheBook(mechanism, name, typed)
            answer = exchange.answer(client.final(challenged(exchange, client)))
            assert isinstance(answer, Success) == (typed == password)

    def test_our_own_client_logs_in(self) -> None:
        exchange = begin()
        client = scram.Client("SCRAM-SHA-256", "ada", "pencil", "nonce")

        challenge = exchange.answer(client.first())
        assert isinstance(challenge, Challenge)
        success = exchange.answer(client.final(challenge.data))
        assert isinstance(success, Success)
        client.check(success.data)

        assert success.principal == "ada"

    @pytest.mark.parametrize(("name", "password"), [("ada", "pen"), ("eve", "pencil"), ("\x07", "pencil")])
    def test_a_wrong_name_and_a_wrong_password_are_told_in_the_same_words(self, name: str, password: str) -> None:
        exchange, client = begin(), ByTheBook(SHA256, name, password)

        answer = exchange.answer(client.final(challenged(exchange, client)))

        assert answer == Failure(sasl.WRONG)

    def test_a_user_that_does_not_exist_is_challenged_like_one_that_does_and_always_in_the_same_way(self) -> None:
        challenges = [
            challenged(begin(directory=directory), ByTheBook(SHA256, name, "x"))
            for directory, name in [(book(), "ada"), (book(), "eve"), (book(), "eve"), (book(), "eva")]
        ]

        shapes = {tuple(len(part) for part in each.split(b",")) for each in challenges}

        assert len(shapes) == 1
        assert challenges[1] == challenges[2] != challenges[3]

    def test_a_user_that_is_removed_between_the_messages_does_not_get_in(self) -> None:
        directory = book()
        exchange, client = begin(directory=directory), ByTheBook(SHA256, "ada", "pencil")
        final = client.final(challenged(exchange, client))

        del directory.users["ada"]

        assert exchange.answer(final) == Failure(sasl.WRONG)

    @pytest.mark.parametrize(
        ("first", "why"),
        [
            (b"", "cannot be read"),
            (b"n,,n=ada", "cannot be read"),
            (b"n,,r=x,n=ada", "cannot be read"),
            (b"n,,n=ada,x", "cannot be read"),
            (b"n,,n=ada,r=x,y", "cannot be read"),
            (b"n,,n=ada,r=x,\xff=1", "cannot be read"),
            (b"n,,n=ada,r=" + b"x" * SASL_BYTES_MAX, "cannot be read"),
            (b"p=tls-unique,,n=ada,r=x", "channel binding is not offered"),
            (b"x,,n=ada,r=x", "channel binding flag"),
            (b"n,,m=more,n=ada,r=x", "an extension"),
            (b"n,,n=ada,r=x,tokenauth=true", "delegation tokens"),
            (b"n,,n=,r=x", "no name"),
            (b"n,,n=a=b,r=x", "no name"),
            (b"n,,n=ada,r=", "no nonce"),
            (b"n,,n=ada,r=a b", "no nonce"),
            ("n,,n=ada,r=\u00e9".encode(), "no nonce"),
            (b"n,a=eve,n=ada,r=x", "act for somebody else"),
            (b"n,ada,n=ada,r=x", "act for somebody else"),
        ],
    )
    def test_a_first_message_that_is_none_is_refused_with_why(self, first: bytes, why: str) -> None:
        answer = begin().answer(first)

        assert isinstance(answer, Failure)
        assert why in answer.text

    def test_the_last_message_must_carry_both_nonces_and_the_header_of_the_first(self) -> None:
        for bent, why in [
            ({"nonce": "cli"}, "another nonce"),
            ({"nonce": "clisrvx"}, "another nonce"),
            ({"nonce": ""}, "another nonce"),
            ({"binding": "eSws"}, "another channel binding"),
            ({"binding": ""}, "another channel binding"),
        ]:
            exchange, client = begin(), ByTheBook(SHA256, "ada", "pencil")
            answer = exchange.answer(client.final(challenged(exchange, client), **bent))
            assert isinstance(answer, Failure)
            assert why in answer.text

    @pytest.mark.parametrize(
        "last", [b"", b"c=biws,r=clisrv", b"c=biws,p=AAAA", b"c=biws,r=clisrv,p=!", b"\xff,p=AAAA", b"x,y,p=AAAA"]
    )
    def test_a_last_message_that_is_none_is_refused(self, last: bytes) -> None:
        exchange = begin()
        challenged(exchange, ByTheBook(SHA256, "ada", "pencil"))

        answer = exchange.answer(last)

        assert isinstance(answer, Failure)
        assert "cannot be read" in answer.text

    def test_every_changed_byte_of_the_last_message_is_found(self) -> None:
        client = ByTheBook(SHA256, "ada", "pencil")
        final = client.final(challenged(begin(), client))

        for at in range(len(final)):
            exchange = begin()
            challenged(exchange, ByTheBook(SHA256, "ada", "pencil"))
            bent = final[:at] + bytes([final[at] ^ 1]) + final[at + 1 :]
            assert isinstance(exchange.answer(bent), Failure), at

    def test_an_exchange_ends_once(self) -> None:
        exchange, client = begin(), ByTheBook(SHA256, "ada", "pencil")
        final = client.final(challenged(exchange, client))
        exchange.answer(final)

        assert exchange.answer(final) == Failure("the login is over")

    @given(st.lists(st.binary(max_size=80), max_size=3), st.sampled_from([*SCRAMS, "PLAIN"]))
    @settings(max_examples=50)
    def test_arbitrary_bytes_never_raise_and_never_succeed(self, messages: list[bytes], mechanism: str) -> None:
        exchange = begin(mechanism)

        assert not any(isinstance(exchange.answer(each), Success) for each in messages)


class TestWhoFailsTooOften:
    @pytest.mark.parametrize("mechanism", [SHA256, "PLAIN"])
    def test_is_refused_before_any_work_is_done(self, mechanism: str) -> None:
        directory = book()
        directory.tries = 2
        for _ in range(2):
            sasl.begin(mechanism, directory, tls=True, host="192.0.2.7").answer(b"nonsense")
        directory.asked.clear()

        answer = sasl.begin(mechanism, directory, tls=True, host="192.0.2.7").answer(b"\0ada\0pencil")

        assert answer == Failure(sasl.TOO_OFTEN)
        assert directory.asked == []

    def test_success_is_not_counted(self) -> None:
        directory = book()
        directory.tries = 1

        answers = [sasl.begin("PLAIN", directory, tls=True, host="").answer(b"\0ada\0pencil") for _ in range(5)]

        assert answers == [Success("ada")] * 5


class TestPlain:
    def test_name_and_password_log_in(self) -> None:
        assert begin("PLAIN").answer(b"\0ada\0pencil") == Success("ada")
        assert begin("PLAIN").answer(b"ada\0ada\0pencil") == Success("ada")

    def test_a_password_is_the_same_however_it_is_typed(self) -> None:
        directory = Book({"ada": "\u00e1"})

        assert begin("PLAIN", directory).answer("\0ada\0a\u0301".encode()) == Success("ada")

    @pytest.mark.parametrize(
        "message", [b"\0ada\0pen", b"\0eve\0pencil", b"\0\0pencil", b"\0ada\0", b"\0\x07\0pencil", b"\0ada\0\x07"]
    )
    def test_a_wrong_name_and_a_wrong_password_are_told_in_the_same_words(self, message: bytes) -> None:
        assert begin("PLAIN").answer(message) == Failure(sasl.WRONG)

    def test_nobody_acts_for_somebody_else(self) -> None:
        answer = begin("PLAIN").answer(b"eve\0ada\0pencil")

        assert isinstance(answer, Failure)
        assert "somebody else" in answer.text

    @pytest.mark.parametrize(
        "message", [b"", b"ada\0pencil", b"\0ada\0pencil\0", b"\xff\0ada\0pencil", b"\0ada\0" + b"x" * SASL_BYTES_MAX]
    )
    def test_a_message_that_is_none_is_refused(self, message: bytes) -> None:
        answer = begin("PLAIN").answer(message)

        assert isinstance(answer, Failure)
        assert "one message with two NUL" in answer.text

    def test_an_exchange_ends_once(self) -> None:
        exchange = begin("PLAIN")
        exchange.answer(b"\0ada\0wrong")

        assert exchange.answer(b"\0ada\0pencil") == Failure("the login is over")
