"""What the host needs of an engine's program: where codes lie in DRAM, test vectors, the PYNQ driver."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from admmfpga import host, host_engine
from admmfpga.codegen.driver import ACCELERATOR_CELL, BITSTREAM, port_of, without_imports
from admmfpga.codegen.environment import make_environment
from admmfpga.engine import registers
from admmfpga.engine.schedule import Program
from admmfpga.host import Description, HostStep
from admmfpga.host_engine import EngineProgram
from admmfpga.network import IntArray, Network
from admmfpga.network.graph import network_macs
from admmfpga.network.reference import run
from admmfpga.packing import layout

COUNTERS = ("CYCLES", "BUSY")
"""Registers that `counters()` reads."""

VECTOR_FRAMES, VECTOR_WORK = 4, 2 * 10**8
"""Test vectors: at most so many frames, and MACs that they may take; one at least."""


def input_places(program: Program, elements: int) -> npt.NDArray[np.int32]:
    """Of each byte of a frame in DRAM: which code it holds, or -1 - its constant value.

    Found by arranging the digits of the codes' own numbers.

    Args:
        elements: codes of a frame, in stream order.
    """
    shape = _frame_shape(program, elements)

    def arranged(codes: IntArray) -> IntArray:
        return program.frame_bytes(codes.reshape(shape)).astype(np.int64)

    numbers = np.arange(elements, dtype=np.int64)
    least, most = arranged(np.zeros(elements, np.int64)), arranged(np.full(elements, 255))
    found = sum(arranged(numbers >> shift & 255) << shift for shift in (0, 8, 16, 24))
    return np.where(least != most, found, -1 - least).astype(np.int32)


def output_places(program: Program) -> npt.NDArray[np.int32]:
    """Of each code of the result, in stream order: its byte from the output's address."""
    numbers = np.arange(program.output_bytes, dtype=np.int64)
    digits = ((shift, (numbers >> shift & 255).astype(np.uint8)) for shift in (0, 8, 16, 24))
    found = sum((program.result(digit) & 255) << shift for shift, digit in digits)
    return np.asarray(found, dtype=np.int32).reshape(-1)


def _frame_shape(program: Program, elements: int) -> tuple[int, ...]:
    """Of a frame before its folding."""
    fold, view = program.lowered.fold, program.lowered.input
    if fold is None:
        return (view.height, view.width, elements // (view.height * view.width))
    channels = program.lowered.network.tensors[program.lowered.network.inputs[0]].shape[2] // fold.columns
    return (view.height, elements // (view.height * channels), channels)


def describe(network: Network, program: Program, model_sha256: str, folder: Path) -> tuple[Description, EngineProgram]:
    """What the host has to know.

    Args:
        network: what the program computes, before its input was folded.
        folder: of the build.
    """
    shape = program.shape
    description = Description(
        model_sha256=model_sha256,
        structure_sha256="",
        reloadable=False,
        source=port_of(network.tensors[network.inputs[0]], (1, 8)),
        result=port_of(network.tensors[network.outputs[0]], (1, 8)),
        host_ops=tuple(HostStep(**asdict(op)) for op in network.host_ops),
        registers={register.name: register.offset for register in registers.REGISTERS},
        masks={f"{r.name}.{field.name}": 1 << field.bit for r in registers.REGISTERS for field in r.fields},
        identity=registers.MAGIC,
        vectors=folder / "vectors",
        counters=COUNTERS,
    )
    return description, EngineProgram(
        folder=folder / "program",
        shape=shape.pe << 16 | shape.simd,
        beat_bytes=shape.axi,
        stream_beats=program.stream_beats,
        commands=len(program.commands),
        transfers=len(program.transfers),
        data_bytes=program.dram_bytes,
        input_address=program.input_address,
        output_address=program.output_address,
        output_bytes=program.output_bytes,
    )


def vectors(network: Network) -> dict[str, str]:
    """Frames of random codes and the reference's results, one a line, last byte first, by file name."""
    source, result = network.tensors[network.inputs[0]], network.tensors[network.outputs[0]]
    count = max(1, min(VECTOR_FRAMES, VECTOR_WORK // max(1, network_macs(network))))
    codes = np.random.default_rng(0).integers(source.dtype.min, source.dtype.max + 1, (count, *source.shape))
    ports = (port_of(source, (1, 8)), port_of(result, (1, 8)))
    arrays = (port.to_bytes(values) for port, values in zip(ports, (codes, run(network, codes)), strict=True))
    texts = ("".join(f"{bytes(frame)[::-1].hex()}\n" for frame in array) for array in arrays)
    return dict(zip(("input.hex", "output.hex"), texts, strict=True))


def render(network: Network, program: Program, model_sha256: str, *, seconds: float) -> dict[str, str | bytes]:
    """Files of a build that the host needs, by path.

    Args:
        network: what the program computes, before its input was folded.
        seconds: that a frame takes.
    """
    description, numbers = describe(network, program, model_sha256, Path())
    context: dict[str, Any] = {
        "name": network.name,
        "bitstream": BITSTREAM,
        "engine_cell": ACCELERATOR_CELL,
        "model_sha256": model_sha256,
        "source": description.source,
        "result": description.result,
        "host_ops": description.host_ops,
        "registers": registers.REGISTERS,
        "identity": registers.MAGIC,
        "program": {key: value for key, value in asdict(numbers).items() if key != "folder"},
        "timeout_s": round(2 + 10 * seconds, 1),
        "layout_text": without_imports(Path(layout.__file__)),
        "host_text": without_imports(Path(host.__file__)),
        "engine_text": without_imports(Path(host_engine.__file__)),
    }
    elements = network.tensors[network.inputs[0]].elements
    files: dict[str, str | bytes] = {
        "driver/accelerator_pynq.py": make_environment().get_template("driver/engine_pynq.py.j2").render(context),
        "program/input.bin": input_places(program, elements).astype("<i4").tobytes(),
        "program/output.bin": output_places(program).astype("<i4").tobytes(),
    }
    return files | {f"vectors/{name}": text for name, text in vectors(network).items()}
