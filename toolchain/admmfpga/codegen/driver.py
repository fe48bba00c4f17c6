"""Renders the host side of a build: register header and table, PYNQ driver."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment

from admmfpga.blocks import registers
from admmfpga.mapping import Design
from admmfpga.network import Tensor

ACCELERATOR_CELL = "accelerator_0"
DMA_CELL = "axi_dma_0"
BITSTREAM = "accelerator"
"""Names in the block design and of its products, which the Vivado script and the driver share."""

MAX_FRAME_BYTES = (1 << 26) - 1
"""Longest DMA transfer: the block design's DMA has 26 bits of length."""

HOST_OPS = ("ArgMax", "LogSoftmax", "Sigmoid", "Softmax")
"""What the driver computes behind the accelerator."""


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
    host_ops = [(op.op, op.axis) for op in design.network.host_ops]
    unknown = {name for name, _ in host_ops} - set(HOST_OPS)
    assert not unknown, f"the driver cannot compute {sorted(unknown)}"
    fields = {register.name: register.fields for register in registers.REGISTERS}
    context = {
        "design": design,
        "registers": registers,
        "model_sha256": model_sha256,
        "model_word": int(model_sha256[:8], 16),
        "start_bits": sum(1 << field.bit for field in fields["CONTROL"] if field.name in ("AP_START", "AUTO_RESTART")),
        "error_bits": sum(1 << field.bit for field in fields["ERROR"]),
        "counters": [
            register
            for register in registers.REGISTERS
            if register.name == "ERROR" or (not register.fields and register.name not in ("ID", "MODEL"))
        ],
        "input": _describe(design.input, "INPUT", axis_in),
        "output": _describe(design.output, "OUTPUT", axis_out),
        "host_ops": host_ops,
        "accelerator_cell": ACCELERATOR_CELL,
        "dma_cell": DMA_CELL,
        "bitstream": BITSTREAM,
    }
    return {
        name: environment.get_template(f"driver/{name}.j2").render(context)
        for name in ("accelerator_pynq.py", "registers.h", "registers.md")
    }


def _describe(tensor: Tensor, prefix: str, axis: tuple[int, int]) -> dict[str, Any]:
    """What the templates say about a tensor on a stream of (lanes, container bits)."""
    lanes, container_bits = axis
    assert tensor.elements % lanes == 0, (tensor.name, lanes)
    assert container_bits in (1, 2, 4, 8, 16, 32, 64), (tensor.name, container_bits)
    assert container_bits >= tensor.dtype.bits, (tensor.name, container_bits)
    assert tensor.elements * container_bits // 8 <= MAX_FRAME_BYTES, tensor.name
    shape = tensor.shape
    return {
        "prefix": prefix,
        "direction": prefix.capitalize(),
        "dtype": str(tensor.dtype),
        "shape": shape,
        # The model's order: channels first.
        "model_shape": (shape[-1], *shape[:-1]),
        "container": f"<{'i' if tensor.dtype.signed else 'u'}{max(1, container_bits // 8)}",
        # Parts of a byte that an element takes; 8: whole bytes.
        "packed_bits": min(8, container_bits),
        "bipolar": tensor.dtype.bipolar,
        "scale": tensor.scale.tolist(),
        "zero_point": tensor.zero_point,
        "low": tensor.dtype.min,
        "high": tensor.dtype.max,
        "frame_bytes": tensor.elements * container_bits // 8,
    }
