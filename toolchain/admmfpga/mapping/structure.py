"""What of a design cannot be loaded at run time, as one hash: weights fit hardware with the same hash, and no other."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any

from admmfpga.mapping.design import Design
from admmfpga.network import Tensor


def structure(design: Design) -> dict[str, Any]:
    """All stages with their parameters and constants, the streams between them, the outside's formats."""
    return {
        "input": _tensor(design.input),
        "output": _tensor(design.output),
        "formats": [asdict(form) for form in design.formats],
        "stages": [
            {
                "name": stage.name,
                "stem": stage.block.stem,
                "inputs": stage.inputs,
                "outputs": stage.outputs,
                "parameters": stage.block.rtl_parameters() | stage.block.frame_parameters(),
                "memories": {
                    name: [
                        memory.depth,
                        memory.lanes.shape[1],
                        memory.lane_bits,
                        memory.signed,
                        hashlib.sha256(memory.image()).hexdigest() if memory.constant else "",
                    ]
                    for name, memory in stage.memories.items()
                },
            }
            for stage in design.stages
        ],
    }


def structure_sha256(design: Design) -> str:
    """64 hexadecimal digits."""
    text = json.dumps(structure(design), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def interface(design: Design) -> dict[str, Any]:
    """What real numbers the codes of input and output stand for: the host's part, which comes with the weights."""
    return {
        name: {"scale": tensor.scale.tolist(), "zero_point": tensor.zero_point}
        for name, tensor in (("input", design.input), ("output", design.output))
    }


def _tensor(tensor: Tensor) -> list[Any]:
    return [tensor.shape, str(tensor.dtype)]
