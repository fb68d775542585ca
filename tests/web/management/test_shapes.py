"""What tells bindings apart in lists."""

from isthmus.web.management.shapes import properties_key


def test_a_binding_is_told_by_its_key_and_its_arguments() -> None:
    assert properties_key("a.*", {}) == "a.%2A"
    assert properties_key("", {}) == "~"
    assert properties_key("a~b", {}) == "a%7Eb"
    assert properties_key("", {"n": 1}).startswith("~")
    assert properties_key("k", {"n": 1}) == properties_key("k", {"n": 1})
    assert properties_key("k", {"n": 1}) != properties_key("k", {"n": 2})
    assert properties_key("k", {"a": 1, "b": 2}) == properties_key("k", {"b": 2, "a": 1})
