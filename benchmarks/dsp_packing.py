"""Prints which products of one activation fit into a DSP block, and with --synthesize what Yosys makes of 200 of them.

python benchmarks/dsp_packing.py [--synthesize]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

sys.path.insert(0, str(Path(__file__).resolve().parent / "estimates"))

from sweep import Run, synthesize

from admmfpga.blocks.dsp_packing import DSP_FACTORS, spacing
from admmfpga.report.table import format_table

WIDE = (DSP_FACTORS[0], 27)
"""Wider factors: of a DSP48E1, which is what is built, and of a DSP48E2."""

FORMS = ((8, 8, True, 1), (8, 8, True, 2), (8, 8, False, 1), (4, 4, True, 2), (4, 4, True, 4), (4, 4, False, 1))
"""Activation bits, weight bits, DSP blocks, rows that share one."""


def widest(pack: int, weight_bits: int, signed: bool, wide_bits: int) -> str:
    """The widest activation that fits without overlapping lanes, and with it, if that is another one."""
    found = {
        overlap: max(
            (
                bits
                for bits in range(1, 19)
                if (apart := spacing(pack, bits, weight_bits, signed=signed, wide_bits=wide_bits))
                and bits + weight_bits - signed - apart <= overlap
            ),
            default=0,
        )
        for overlap in (0, 1)
    }
    if not found[1]:
        return ""
    return f"{found[1]}" if found[0] == found[1] else f"{found[0] or '-'} ({found[1]})"


def unit(activation: int, weights: int, use_dsp: bool, pack: int) -> dict[str, Any]:
    """A `DensePE` with 200 multipliers, two steps a vector, unsigned activations."""
    return {
        "rows": 40,
        "columns": 10,
        "vectors": 1,
        "pe": 20,
        "simd": 10,
        "in_bits": activation,
        "in_signed": False,
        "weight_bits": weights,
        "acc_bits": activation + weights + 4,
        "use_dsp": use_dsp,
        "weight_block_ram": False,
        "pack": pack,
    }


def synthesize_all() -> None:
    """Print resources of every form."""
    rows = []
    for activation, weights, use_dsp, pack in FORMS:
        found = synthesize([Run("dense_pe", unit(activation, weights, use_dsp, pack), 0, "")], "xc7")
        kind = "LUT" if not use_dsp else f"DSP, {pack} rows in one"
        used = found[0]["resources"]
        rows.append([f"{activation} x {weights}", kind, f"{used['dsp']}", f"{used['lut']:,}", f"{used['ff']:,}"])
        click.echo(f"{len(rows)}/{len(FORMS)}", err=True)
    click.echo("\n".join(format_table(("200 multipliers", "made of", "DSP", "LUT", "FF"), rows)))


@click.command()
@click.option("--synthesize", "synthesized", is_flag=True, help="Yosys, a minute or two.")
def main(synthesized: bool) -> None:
    """Print what docs/architecture.md quotes."""
    if synthesized:
        synthesize_all()
        return
    header = ["weights", *(f"{pack} in {wide}x18, {kind}" for pack in (2, 4) for wide in WIDE for kind in ("u", "s"))]
    rows = []
    for bits in range(2, 9):
        cells = [widest(pack, bits, signed, wide) for pack in (2, 4) for wide in WIDE for signed in (False, True)]
        rows.append([str(bits), *cells])
    click.echo("widest activation, unsigned (u) and signed (s); in brackets with lanes that overlap by a bit")
    click.echo("\n".join(format_table(header, rows)))


if __name__ == "__main__":
    sys.exit(main())
