"""Dividers of an ECP5's PLL (EHXPLLL) with feedback from its first output.

Limits as in ecppll of Project Trellis: oscillator inside 400 to 800 MHz, output 10 to 400 MHz, dividers 1 to 128, of
the feedback 1 to 80. The phase detector is kept at 10 MHz or more, well inside its range.
"""

from __future__ import annotations

from dataclasses import dataclass

from admmfpga.errors import UserError

TOLERANCE = 0.005
"""Greatest relative error of the output."""


@dataclass(frozen=True)
class Pll:
    """Dividers, and the frequencies in MHz that follow."""

    input_divider: int
    feedback_divider: int
    output_divider: int
    output_mhz: float
    vco_mhz: float


def choose_pll(input_mhz: float, output_mhz: float) -> Pll:
    """The dividers that come closest to a frequency; of equals those whose oscillator runs nearest to 600 MHz.

    Raises:
        UserError: no dividers come within `TOLERANCE`.
    """
    found: list[tuple[float, float, int, Pll]] = []
    for divider in range(1, 129):
        detector = input_mhz / divider
        if not 10 <= detector <= 400:
            continue
        feedback = min(80, max(1, round(output_mhz / detector)))
        real = detector * feedback
        if not 10 <= real <= 400:
            continue
        for output in range(1, 129):
            vco = real * output
            if 400 <= vco <= 800:
                error = round(abs(real - output_mhz), 9)
                found.append((error, abs(vco - 600), divider, Pll(divider, feedback, output, real, vco)))
    best = min(found, key=lambda one: one[:3], default=None)
    if best is None or best[0] > TOLERANCE * output_mhz:
        near = "" if best is None else f"; the nearest is {best[3].output_mhz:g} MHz"
        raise UserError(
            f"the PLL makes no {output_mhz:g} MHz from {input_mhz:g} MHz{near}", "choose another --clock, 10 to 400 MHz"
        )
    return best[3]
