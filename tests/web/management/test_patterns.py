"""Permissions and grants, each said in the words of the other, or refused by name."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.broker.users import fits
from isthmus.definition import Grant
from isthmus.errors import InvalidArgument
from isthmus.web.management.patterns import Permission, expression_of, grants_of, patterns_of, permission_of

NAMES = st.text("ab.*|$-", min_size=1, max_size=6)
GLOBS = st.lists(
    st.text("ab.*|$-", min_size=1, max_size=5), max_size=3, unique_by=lambda text: re.sub(r"\*+", "*", text)
)
EXPRESSIONS = st.lists(st.sampled_from(["a", "b", ".*", "\\.", "^", "$", "(", ")", "|", "-", "\\\\", "."]), max_size=7)
ALL = "create", "alter", "remove", "publish", "read", "consume"


class TestExpressionsAsPatterns:
    @pytest.mark.parametrize(
        ("expression", "patterns"),
        [
            (".*", ["*"]),
            ("^.*$", ["*"]),
            ("", []),
            ("^$", []),
            ("^orders$", ["orders"]),
            ("^orders", ["orders*"]),
            ("^orders.*", ["orders*"]),
            ("^orders.*$", ["orders*"]),
            ("orders$", ["*orders"]),
            ("orders", ["*orders*"]),
            (r"^a\.b-.*\.c$", ["a.b-*.c"]),
            (r"^(amq\.gen.*|amq\.default)$", ["amq.gen*", "amq.default"]),
            ("^(?:a|b)", ["a*", "b*"]),
            ("^(a|(b|c)d)$|^x$", None),
            ("^(a|(b|c))$|^x$", ["a", "b", "c", "x"]),
            ("^a$|.*", ["*"]),
            ("^(|a)$", ["a"]),
            (r"^a\\$", ["a\\"]),
            (r"^a\$", ["a$*"]),
            ("^a.b$", None),
            ("^a+$", None),
            ("^a*$", None),
            ("^a.*?$", None),
            ("^[ab]$", None),
            (r"^a\d$", None),
            (r"^a\*$", None),
            ("(", None),
        ],
    )
    def test_what_has_an_equal_is_that_and_the_rest_is_refused(
        self, expression: str, patterns: list[str] | None
    ) -> None:
        if patterns is None:
            with pytest.raises(InvalidArgument, match="has no equal here"):
                patterns_of("read", expression)
        else:
            assert patterns_of("read", expression) == patterns

    def test_one_that_is_too_long_is_refused(self) -> None:
        with pytest.raises(InvalidArgument, match="more than 255"):
            patterns_of("read", "a" * 256)

    @given(parts=EXPRESSIONS, name=NAMES)
    def test_the_patterns_fit_what_the_expression_matches(self, parts: list[str], name: str) -> None:
        expression = "".join(parts)
        try:
            wanted = re.search(expression, name) is not None
            patterns = patterns_of("read", expression)
        except (re.error, InvalidArgument):
            return

        # An empty expression matches everything to Python, and nothing that has a name to RabbitMQ.
        assert any(fits(pattern, name) for pattern in patterns) == (wanted and expression != "")

    @given(globs=GLOBS, name=NAMES)
    def test_patterns_are_told_as_an_expression_that_matches_the_same(self, globs: list[str], name: str) -> None:
        expression = expression_of(globs)

        assert bool(expression and re.search(expression, name)) == any(fits(pattern, name) for pattern in globs)

    @given(globs=GLOBS)
    def test_what_was_told_can_be_asked_for(self, globs: list[str]) -> None:
        told = expression_of([re.sub(r"\*+", "*", each) for each in globs])

        assert expression_of(patterns_of("read", told)) in (told, ".*")


class TestPermissionsAsGrants:
    def test_each_of_the_three_allows_its_operations(self) -> None:
        grants = grants_of(Permission("^a$", "^a$|^b$", ""), ())

        assert grants == (
            Grant(operations=("create", "alter", "remove", "publish"), pattern="a", namespace="default"),
            Grant(operations=("publish",), pattern="b", namespace="default"),
        )

    def test_a_permission_is_of_one_virtual_host_and_the_others_keep_theirs(self) -> None:
        kept = [
            Grant(operations=("publish", "commit"), pattern="a"),
            Grant(operations=("read", "consume"), pattern="b", namespace="v1"),
            Grant(operations=("read", "consume"), pattern="c", namespace="v2"),
        ]

        grants = grants_of(Permission("", "", "^d$"), kept, "v1", ["default", "v2"])

        told = {namespace: permission_of(grants, namespace) for namespace in ("default", "v1", "v2", "v3")}
        assert told == {
            "default": Permission("", "^a$", ""),
            "v1": Permission("", "", "^d$"),
            "v2": Permission("", "^a$", "^c$"),
            "v3": Permission("", "", ""),
        }
        assert Grant(operations=("commit",), pattern="a") in grants

    def test_what_permissions_do_not_speak_of_stays(self) -> None:
        kept = Grant(operations=("publish", "commit", "administer"), pattern="a")

        assert grants_of(Permission("", "", ""), [kept]) == (Grant(operations=("commit", "administer"), pattern="a"),)

    def test_all_can_be_said_and_is_told_again(self) -> None:
        (grant,) = grants_of(Permission(".*", ".*", ".*"), ())

        assert (set(grant.operations), grant.pattern) == (set(ALL), "*")
        assert permission_of([grant]) == (".*", ".*", ".*")

    def test_grants_that_allow_a_part_of_one_are_not_told(self) -> None:
        grants = [Grant(operations=("read", "create"), pattern="a"), Grant(operations=("consume",), pattern="a")]

        assert permission_of(grants) == Permission("", "", "^a$")
