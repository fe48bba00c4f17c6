"""`admmfpga boards`: what can be compiled for."""

from __future__ import annotations

import json

import click

from admmfpga.boards import all_boards
from admmfpga.report.table import format_table


@click.command("boards")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def command(as_json: bool) -> None:
    """List the boards that ship with admmfpga, with part, resources and clock.

    A board of your own is a TOML file: pass its path to --board (boards/README.md describes the fields).

    \b
    Example:
      admmfpga boards --json | jq '.[].name'
    """
    boards = all_boards()
    if as_json:
        rows = [
            {
                "name": b.name,
                "aliases": list(b.aliases),
                "title": b.title,
                "part": b.part,
                "family": b.family,
                "clock_mhz": b.clock_mhz,
                "resources": b.resources.as_dict(),
                "memory_mb_s": b.memory.bandwidth_mb_s,
            }
            for b in boards
        ]
        click.echo(json.dumps(rows, indent=2))
        return
    header = ("board", "alias", "part", "LUT", "FF", "BRAM18", "DSP", "MHz", "DRAM MB/s")
    lines = format_table(
        header,
        [
            (
                b.name,
                ",".join(b.aliases),
                b.part,
                *(f"{v:,}" for v in b.resources.as_dict().values()),
                f"{b.clock_mhz:g}",
                f"{b.memory.bandwidth_mb_s:,.0f}",
            )
            for b in boards
        ],
    )
    click.echo("\n".join(lines))
