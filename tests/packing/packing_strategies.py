"""Random memories."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from admmfpga.packing import Memory
from admmfpga.packing.memory import MAX_LANE_BITS


@st.composite
def memories(draw: st.DrawFn, name: str | None = None, max_depth: int = 20) -> Memory:
    """Any shape, width and signedness; contents reach both ends of the range."""
    lane_bits = draw(st.integers(1, 12) | st.integers(1, MAX_LANE_BITS))
    signed = draw(st.booleans())
    low = -(1 << (lane_bits - 1)) if signed else 0
    high = (1 << (lane_bits - signed)) - 1
    shape = draw(st.integers(0, max_depth)), draw(st.integers(1, 17))
    values = st.sampled_from((low, high, 0)) | st.integers(low, high)
    flat = draw(st.lists(values, min_size=shape[0] * shape[1], max_size=shape[0] * shape[1]))
    return Memory(
        name if name is not None else draw(st.text(max_size=12)),
        np.array(flat, dtype=np.int64).reshape(shape),
        lane_bits,
        draw(st.text(max_size=12)),
        draw(st.sampled_from(("dense", "parameters", "csr"))),
        signed,
    )


def same(a: Memory, b: Memory) -> bool:
    """Everything equal, lanes exactly."""
    return (
        (a.name, a.layer, a.format, a.lane_bits, a.signed, a.lanes.shape, a.lanes.dtype)
        == (b.name, b.layer, b.format, b.lane_bits, b.signed, b.lanes.shape, b.lanes.dtype)
    ) and np.array_equal(a.lanes, b.lanes)
