"""The Jinja environment's promises."""

from __future__ import annotations

import jinja2
import pytest

from admmfpga.codegen.environment import hex_digits, make_environment


def test_undefined_names_are_errors() -> None:
    with pytest.raises(jinja2.UndefinedError, match="missing"):
        make_environment().from_string("{{ missing }}").render()


def test_text_is_kept_as_it_is() -> None:
    template = make_environment().from_string("{% if true %}\n    {% set x = '<a & b>' %}\nx = {{ x }};\n{% endif %}\n")
    assert template.render() == "x = <a & b>;\n"


@pytest.mark.parametrize(
    "value, digits, text", [(0x41444D4D, 8, "41444d4d"), (0, 2, "00"), (255, 2, "ff"), (-1, 4, "ffff"), (-128, 2, "80")]
)
def test_hex(value: int, digits: int, text: str) -> None:
    assert hex_digits(value, digits) == text
    assert make_environment().from_string("{{ v | hex(d) }}").render(v=value, d=digits) == text


@pytest.mark.parametrize("value, digits", [(256, 2), (-129, 2)])
def test_hex_refuses_what_does_not_fit(value: int, digits: int) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        hex_digits(value, digits)
