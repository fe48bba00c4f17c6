"""The Jinja environment in which every template is rendered."""

from __future__ import annotations

from functools import partial

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from admmfpga.resources import resource_dir


def make_environment() -> Environment:
    """An environment over `hls_templates/`; templates are named relative to it ("driver/accelerator_pynq.py.j2").

    Undefined names are errors (StrictUndefined). Escaping is off: the products are C++, SystemVerilog, Tcl and Python,
    and HTML escapes would break each of them. Block tags leave no blank lines behind.

    Filters:
        hex(value, digits=8): digits without a prefix, since each language writes its own; a negative value is shown
            in two's complement of 4 * digits bits.
        zip(names, others): pairs of two sequences of one length.
    """
    environment = Environment(
        loader=FileSystemLoader(resource_dir("hls_templates")),
        undefined=StrictUndefined,
        autoescape=False,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        newline_sequence="\n",
    )
    environment.filters["hex"] = hex_digits
    environment.filters["zip"] = partial(zip, strict=True)
    return environment


def hex_digits(value: int, digits: int = 8) -> str:
    """`value` as exactly `digits` lower-case hexadecimal digits, two's complement if it is negative.

    Raises:
        ValueError: if it does not fit.
    """
    if not -(1 << (4 * digits - 1)) <= value < 1 << (4 * digits):
        raise ValueError(f"{value} does not fit into {digits} hexadecimal digits")
    return f"{value & ((1 << (4 * digits)) - 1):0{digits}x}"
