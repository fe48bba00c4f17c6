"""Gearbox: what it fills in it takes out again; no beat leaves before its codes have come; nearly no step is lost."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from admmfpga.blocks import Gearbox


@st.composite
def gearboxes(draw):
    """Rows with or without gaps on either side, a frame of whole beats."""
    in_lanes, out_lanes = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    row, in_filled, out_filled = draw(st.integers(1, 20)), draw(st.booleans()), draw(st.booleans())
    whole = np.lcm.reduce([1 if in_filled else in_lanes, 1 if out_filled else out_lanes])
    return Gearbox(
        in_lanes=in_lanes,
        out_lanes=out_lanes,
        bits=8,
        signed=False,
        row=row,
        rows=int(whole // np.gcd(whole, row)) * draw(st.integers(1, 4)),
        in_filled=in_filled,
        out_filled=out_filled,
        fill=draw(st.integers(0, 255)),
    )


def _turned(block):
    """The gearbox that undoes another one."""
    return Gearbox(
        in_lanes=block.out_lanes,
        out_lanes=block.in_lanes,
        bits=block.bits,
        signed=block.signed,
        row=block.row,
        rows=block.rows,
        in_filled=block.out_filled,
        out_filled=block.in_filled,
        fill=0,
    )


@given(gearboxes())
def test_what_is_filled_in_is_taken_out(block):
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 256, (block.rows, block.row))
    width = -(-block.row // block.in_lanes) * block.in_lanes if block.in_filled else block.row
    given_ = np.pad(rows, ((0, 0), (0, width - block.row))).reshape(-1, block.in_lanes)
    found = block.execute(given_, {})
    assert (len(given_), len(found)) == (block.beats_in, block.beats_out)
    np.testing.assert_array_equal(_turned(block).execute(found, {}), given_)
    if block.out_filled:
        assert (found.reshape(block.rows, -1)[:, block.row :] == block.fill).all()


@given(gearboxes())
def test_steps(block):
    schedule = block.schedule()
    arrived = np.zeros(schedule.steps, dtype=np.int64)
    left = arrived.copy()
    for steps, side, total in zip((schedule.pops, schedule.emits), block.sides, (arrived, left), strict=True):
        total[steps] = np.where((np.arange(len(steps)) + 1) % side.beats, side.lanes, side.rest)
    held = np.cumsum(arrived - left)
    assert held.min() == held[-1] == 0
    assert held.max() <= block.held * block.unit
    beats = max(block.beats_in, block.beats_out)
    # A row that ends badly costs a step now and then; 28 pixels by eights to twelve cost one in all.
    assert beats <= schedule.steps <= beats + block.rows


def test_rows_of_28_pixels_by_twelve():
    block = Gearbox(in_lanes=8, out_lanes=12, bits=8, signed=False, row=28, rows=28, out_filled=True)
    assert (block.beats_in, block.beats_out, block.cycles) == (98, 84, 99)
