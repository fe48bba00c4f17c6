"""The `admmfpga` command. One thin file a subcommand; errors and exit codes are handled here, once.

Exit codes: 0 success; 1 something we built disagrees or an external program failed; 2 the person's mistake.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import click

from admmfpga import __version__
from admmfpga.errors import ToolError, UserError

# Before anything imports numpy, which would ask for huge pages: the kernel takes those from memory that nobody had yet,
# small ones from what was just given back. On a virtual machine VGG-19 is read in three quarters of the time.
os.environ.setdefault("NUMPY_MADVISE_HUGEPAGE", "0")

SUBCOMMANDS = (
    "boards",
    "build",
    "check",
    "compare",
    "compile",
    "compress",
    "explore",
    "simulate",
    "sweep",
    "synth",
    "weights",
)
"""Modules of this package, each with a click command `command`; loaded when asked for, since some import much."""


class _Lazy(click.Group):
    """Imports a subcommand's module when it is used, and turns our exceptions into messages."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in SUBCOMMANDS:
            return None
        command: click.Command = importlib.import_module(f"admmfpga.cli.{cmd_name}").command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except UserError as error:
            click.secho(f"error: {error}", fg="red", err=True)
            if error.hint:
                click.secho(f"hint: {error.hint}", fg="red", err=True)
            sys.exit(2)
        except ToolError as error:
            click.secho(f"error: {error}", fg="red", err=True)
            click.echo(f"command: {' '.join(error.command)}", err=True)
            if error.log is not None:
                click.echo(f"log: {error.log}", err=True)
            if error.tail:
                click.echo(error.tail, err=True)
            sys.exit(1)


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__)
def main() -> None:
    """From a neural network to a pruned, quantized and verified FPGA accelerator.

    \b
    admmfpga check    model.onnx --board pynq
    admmfpga compile  model.onnx --board pynq --calibration images.npz -o build/model
    admmfpga simulate build/model --images test.npz --count 100
    admmfpga synth    build/model
    admmfpga build    model.onnx --board ulx3s-85f --calibration images.npz -o build/model
    admmfpga compare  dense.onnx structured.onnx nonstructured.onnx --board pynq -o build/compare
    """
