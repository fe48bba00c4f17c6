"""Frames <-> AXI4-Stream beats: elements in NHWC order, lane 0 lowest, each in a container.

A container is whole bytes, or an equal part of one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from admmfpga.mapping import AxisFormat
from admmfpga.network import IntArray, IntType

Beats = npt.NDArray[np.uint64]


def to_beats(codes: IntArray, form: AxisFormat) -> Beats:
    """(N, *shape) codes to (N, beats) words of TDATA."""
    lanes = codes.reshape(len(codes), -1, form.lanes).astype(np.int64).astype(np.uint64)
    if form.container_bits < 64:
        lanes &= np.uint64((1 << form.container_bits) - 1)
    shifts = np.arange(form.lanes, dtype=np.uint64) * np.uint64(form.container_bits)
    beats: Beats = np.bitwise_or.reduce(lanes << shifts, axis=-1)
    return beats


def from_beats(beats: Beats, form: AxisFormat, dtype: IntType, shape: tuple[int, ...]) -> IntArray:
    """(N, beats) words of TDATA to (N, *shape) codes."""
    shifts = np.arange(form.lanes, dtype=np.uint64) * np.uint64(form.container_bits)
    lanes = (beats[..., None] >> shifts).astype(np.int64)
    if form.container_bits < 64:
        lanes &= (1 << form.container_bits) - 1
        if dtype.signed:
            lanes = np.where(lanes >> (form.container_bits - 1), lanes - (1 << form.container_bits), lanes)
    return lanes.reshape(len(beats), *shape)
