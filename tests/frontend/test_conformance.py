"""Models that others exported, out of the onnx package: each one imports and agrees, or is refused with reasons."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from qdq_made import agree

from admmfpga.errors import UserError
from admmfpga.frontend import load, unsupported

DATA = Path(onnx.__file__).parent / "backend" / "test" / "data"
FROM_TORCH = sorted(path.parent.name for path in (DATA / "pytorch-converted").glob("*/model.onnx"))
SUPPORTED = {
    "test_Conv2d",
    "test_Conv2d_no_bias",
    "test_Conv2d_padding",
    "test_Conv2d_strided",
    "test_Linear",
    "test_Linear_no_bias",
    "test_MaxPool2d",
    "test_ReLU",
}


@pytest.mark.parametrize("name", FROM_TORCH)
def test_exported_from_torch(name: str) -> None:
    path = DATA / "pytorch-converted" / name / "model.onnx"
    try:
        problems = unsupported(path)
    except UserError:
        assert name not in SUPPORTED
        return
    assert not problems or name not in SUPPORTED, problems
    assert all(p.node and p.message and p.hint for p in problems)
    if not problems:
        imported = load(path)
        count = 64 if np.prod(imported.frame_shape) < 1000 else 2
        images = np.random.default_rng(0).random((count, *imported.frame_shape), dtype=np.float32)
        agree(imported, images, isolated=True)


@pytest.mark.parametrize(
    "name,operators",
    [
        ("squeezenet", set()),
        ("shufflenet", set()),
        ("inception_v1", set()),
    ],
)
def test_real_topology_names_all_that_is_missing(name: str, operators: set[str]) -> None:
    path = DATA / "light" / f"light_{name}.onnx"
    if not path.is_file():
        pytest.skip("this onnx package does not carry the model")
    problems = unsupported(path)
    assert operators <= {p.op for p in problems}
    assert all(p.hint for p in problems)
