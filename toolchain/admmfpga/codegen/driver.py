"""Renders the host side of a build: register header and table, PYNQ driver."""

from __future__ import annotations

import ast
import re
from dataclasses import asdict
from pathlib import Path

from jinja2 import Environment

from admmfpga import host
from admmfpga.blocks import registers
from admmfpga.host import Port
from admmfpga.mapping import Design
from admmfpga.mapping.structure import structure_sha256
from admmfpga.network import Tensor
from admmfpga.packing import layout

ACCELERATOR_CELL = "accelerator_0"
DMA_CELL = "axi_dma_0"
BITSTREAM = "accelerator"
"""Names in the block design and of its products, which the Vivado script and the driver share."""

MAX_FRAME_BYTES = (1 << 26) - 1
"""Longest DMA transfer: the block design's DMA has 26 bits of length."""

COUNTERS = tuple(
    register.name
    for register in registers.REGISTERS
    if register.name == "ERROR"
    or (not register.fields and not register.reloadable and register.name not in ("ID", "MODEL"))
)
"""Registers that `counters()` reads."""


def render_driver(
    design: Design,
    environment: Environment,
    *,
    model_sha256: str,
    axis_in: tuple[int, int],
    axis_out: tuple[int, int],
) -> dict[str, str]:
    """Files of the build's driver/ folder by name.

    Args:
        design: for the input's and output's shape, type, scale and zero point.
        environment: from `make_environment`.
        model_sha256: of the ONNX file, 64 hexadecimal digits; the MODEL register shows the first 8.
        axis_in, axis_out: (lanes, bits of a container) of the AXI4-Streams.
    """
    host_ops = tuple(host.HostStep(**asdict(op)) for op in design.network.host_ops)
    unknown = {step.op for step in host_ops} - set(host.HOST_OPS)
    assert not unknown, f"the driver cannot compute {sorted(unknown)}"
    there = [register for register in registers.REGISTERS if design.reloadable or not register.reloadable]
    source, result = port_of(design.input, axis_in), port_of(design.output, axis_out)
    context = {
        "design": design,
        "registers": registers,
        "there": there,
        "model_sha256": model_sha256,
        "model_word": int(model_sha256[:8], 16),
        "input": {"frame_bytes": source.frame_bytes},
        "output": {"frame_bytes": result.frame_bytes},
    }
    files = {
        name: environment.get_template(f"driver/{name}.j2").render(context) for name in ("registers.h", "registers.md")
    }
    driver = {
        "design": design,
        "registers": there,
        "identity": registers.MAGIC,
        "counters": COUNTERS,
        "model_sha256": model_sha256,
        "structure_sha256": structure_sha256(design),
        "reloadable": design.reloadable,
        "source": source,
        "result": result,
        "source_type": design.input.dtype,
        "result_type": design.output.dtype,
        "host_ops": host_ops,
        "layout_text": without_imports(Path(layout.__file__)),
        "host_text": without_imports(Path(host.__file__)),
        "accelerator_cell": ACCELERATOR_CELL,
        "dma_cell": DMA_CELL,
        "bitstream": BITSTREAM,
    }
    name = "accelerator_pynq.py"
    return files | {name: environment.get_template(f"driver/{name}.j2").render(driver)}


def without_imports(path: Path) -> str:
    """A module's text without its docstring and imports, for a file that has the same ones."""
    text = path.read_text()
    body = ast.parse(text).body
    dropped = [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
    lines = text.splitlines()
    for node in (body[0], *dropped):
        assert node.end_lineno is not None
        for number in range(node.lineno - 1, node.end_lineno):
            lines[number] = ""
    return re.sub("\n{4,}", "\n\n\n", "\n".join(lines)).strip()


def port_of(tensor: Tensor, axis: tuple[int, int]) -> Port:
    """A tensor on a stream of (lanes, container bits), as the host sees it."""
    lanes, container_bits = axis
    assert tensor.elements % lanes == 0, (tensor.name, lanes)
    assert container_bits in (1, 2, 4, 8, 16, 32, 64), (tensor.name, container_bits)
    assert container_bits >= tensor.dtype.bits, (tensor.name, container_bits)
    assert tensor.elements * container_bits // 8 <= MAX_FRAME_BYTES, tensor.name
    return Port(
        shape=tensor.shape,
        container=f"<{'i' if tensor.dtype.signed else 'u'}{max(1, container_bits // 8)}",
        low=tensor.dtype.min,
        high=tensor.dtype.max,
        scale=tensor.scale.tolist(),
        zero_point=tensor.zero_point,
        packed_bits=min(8, container_bits),
        bipolar=tensor.dtype.bipolar,
    )
