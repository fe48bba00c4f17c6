"""Lane programs: they multiply with the matrix they were made of, and lose no step that could be avoided."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from admmfpga.packing.lanes import (
    LaneLayout,
    LaneSchedule,
    ProgramError,
    batched,
    decode,
    lane_program,
    lane_schedule,
    with_slack,
)


@st.composite
def problems(draw):
    """A matrix of any density with empty rows and columns, and a layout that it can take."""
    in_lanes = draw(st.integers(1, 3))
    index_format = draw(st.sampled_from(["csr", "relative", "bitmap"]))
    layout = LaneLayout(
        groups=draw(st.integers(1, 3)),
        lanes=in_lanes * draw(st.integers(1, 4)),
        in_lanes=in_lanes,
        height=draw(st.sampled_from([1, 2, 4])),
        index_format=index_format,
        index_bits=draw(st.integers(1, 4)) if index_format == "relative" else 0,
        skips=index_format != "bitmap" and draw(st.booleans()),
    )
    rows = layout.groups * layout.height * draw(st.integers(1, 5))
    columns = in_lanes * draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    matrix = rng.integers(-7, 8, (rows, columns)) * (rng.random((rows, columns)) < draw(st.floats(0, 1)))
    matrix[rng.random(rows) < draw(st.sampled_from([0.0, 0.5]))] = 0
    matrix[:, rng.random(columns) < draw(st.sampled_from([0.0, 0.5]))] = 0
    return matrix, layout


@given(problems())
def test_decoding_gives_the_matrix_back(problem):
    matrix, layout = problem
    program = lane_program(matrix, layout)
    np.testing.assert_array_equal(decode(program, matrix.shape[1]), matrix)


@given(problems())
def test_the_schedule_is_the_programs(problem):
    matrix, layout = problem
    program = lane_program(matrix, layout)
    for _ in range(2):  # the second one comes from the memory of schedules
        schedule = lane_schedule(np.sign(matrix), layout)
        for name in ("steps", "emits", "slots", "partial_depth"):
            assert getattr(schedule, name) == getattr(program, name), name


@given(problems())
def test_activations_go_where_their_beat_can_reach(problem):
    matrix, layout = problem
    program = lane_program(matrix, layout)
    share = layout.lanes // layout.in_lanes
    for group, column in zip(*np.nonzero(program.lane_of >= 0), strict=True):
        assert program.lane_of[group, column] // share == column % layout.in_lanes
        assert 0 <= program.slot_of[group, column] < program.slots
    for group in range(layout.groups):
        kept = program.lane_of[group] >= 0
        places = program.lane_of[group, kept] * program.slots + program.slot_of[group, kept]
        assert len(set(places.tolist())) == kept.sum(), "two columns in one place"


def check_sums_wait(program):
    """Step by step, over three vectors: no sum is overwritten before it has been emitted, none is emitted too early."""
    lanes = program.layout.groups * program.layout.lanes
    last = program.last.reshape(program.steps, lanes)
    takes = program.takes.reshape(-1, lanes)
    finished, emitted, blocks = np.zeros(lanes, dtype=int), np.zeros(lanes, dtype=int), 0
    for _ in range(3):
        for step in range(program.steps):
            finished += last[step]
            assert (finished - emitted).max() <= max(1, program.partial_depth)
            if program.partial_depth == 0:
                assert (step in program.emits) == last[step].any(), "a sum leaves in the very step that ends it"
            if step in program.emits:
                mine = takes[blocks % len(takes)]
                assert (finished > emitted)[mine].all()
                emitted += mine
                blocks += 1
        assert (finished == emitted).all()


@given(problems())
def test_sums_wait_in_the_memory_that_was_asked_for(problem):
    check_sums_wait(lane_program(*problem))


@given(problems())
def test_no_step_is_spent_on_row_blocks_without_weights(problem):
    """A lane that leaves them out has an entry for each weight (of a block of rows), and its dummies."""
    matrix, layout = problem[0], replace(problem[1], skips=True, index_format="csr", index_bits=0)
    program = lane_program(matrix, layout)
    blocks = matrix.reshape(-1, layout.height, matrix.shape[1]).any(axis=1)
    assert program.weights.any(axis=-1).sum() == blocks.sum()
    assert (program.last.sum(axis=0) == program.takes.sum(axis=0)).all()
    for group in range(layout.groups):
        loads = blocks[group :: layout.groups].sum(axis=0)
        for lane in range(layout.lanes):
            ends = np.flatnonzero(program.last[:, group, lane])
            assert loads[program.lane_of[group] == lane].sum() == (ends[-1] + 1 if len(ends) else 0)


@given(problems(), st.integers(1, 4))
def test_several_vectors_at_a_time(problem, count):
    matrix = problem[0]
    vectors = np.random.default_rng(0).integers(0, 9, (count, matrix.shape[1]))
    found = batched(matrix, count) @ vectors.ravel()
    np.testing.assert_array_equal(found.reshape(count, -1), vectors @ matrix.T)


def schedule_of(program):
    return LaneSchedule(program.steps, program.emits, program.slots, program.partial_depth)


@example((np.zeros((3, 1), dtype=np.int64), LaneLayout(index_format="bitmap")), 0.5, 0, 0.0)
@given(problems(), st.floats(0, 0.5), st.integers(0, 1 << 32), st.floats(0, 1))
def test_programs_within_another_schedule(problem, slack, seed, density):
    """Another matrix has a program with the very same schedule, or is refused; the first one, and every one whose
    weights are where the first one has some, is never refused."""
    matrix, layout = problem[0], replace(problem[1], skips=False)
    within = with_slack(lane_schedule(matrix, layout), layout, slack)
    lane_of = lane_program(matrix, layout).lane_of
    rng = np.random.default_rng(seed)
    fewer = np.where(rng.random(matrix.shape) < density, matrix, 0)
    other = np.where(rng.random(matrix.shape) < density, rng.integers(1, 8, matrix.shape), 0)
    for one, lanes, may_fail in ((matrix, None, False), (fewer, lane_of, False), (other, None, True)):
        try:
            program = lane_program(one, layout, within, lanes)
        except ProgramError:
            # A bitmap may have no bit to spare for waiting.
            assert may_fail or (layout.index_format == "bitmap" and lanes is not None)
            continue
        assert schedule_of(program) == within
        np.testing.assert_array_equal(decode(program, matrix.shape[1]), one)
        check_sums_wait(program)


@pytest.mark.parametrize("index_format", ["csr", "relative"])
@pytest.mark.parametrize("lanes", [2, 8])
def test_a_twentieth_more_steps_is_room_for_other_masks(index_format, lanes):
    """As many weights at other random positions fit into a schedule with 5 % slack, nearly always."""
    layout = LaneLayout(lanes=lanes, index_format=index_format, index_bits=5 if index_format == "relative" else 0)
    rng = np.random.default_rng(5)
    within = with_slack(lane_schedule(_exactly(20_000, rng), layout), layout, 0.05)
    fitting = 0
    for _ in range(10):
        try:
            lane_program(_exactly(20_000, rng), layout, within)
            fitting += 1
        except ProgramError:
            pass
    assert fitting >= 9


def _exactly(count, rng):
    """256 x 800 with so many ones."""
    matrix = np.zeros(256 * 800, dtype=np.int64)
    matrix[rng.choice(matrix.size, count, replace=False)] = 1
    return matrix.reshape(256, 800)


@given(problems())
def test_no_step_that_could_be_avoided(problem):
    """A lane's steps: its entries, the dummies of long gaps, one where a row block is empty and cannot be left out;
    then at most the order of emissions adds to the busiest lane's."""
    matrix, layout = problem
    program = lane_program(matrix, layout)
    blocks = len(program.emits)
    grouped = matrix.reshape(blocks, layout.groups, layout.height, -1).any(axis=2)
    busiest = 0
    for group in range(layout.groups):
        for lane in range(layout.lanes):
            steps = 0
            for block in range(blocks):
                slots = np.sort(program.slot_of[group, grouped[block, group] & (program.lane_of[group] == lane)])
                gaps = np.diff(slots, prepend=-1) - 1
                dummies = int((gaps >> layout.index_bits).sum()) if layout.index_bits else 0
                steps += max(0 if layout.skips else 1, len(slots) + dummies)
            busiest = max(busiest, steps)
    assert busiest <= program.steps <= busiest + blocks
    assert program.steps == max(busiest, program.emits[-1] + 1)


@pytest.mark.parametrize("density", [0.03, 0.1, 0.3])
@pytest.mark.parametrize(
    "layout", [LaneLayout(lanes=8), LaneLayout(lanes=4, in_lanes=2), LaneLayout(groups=2, lanes=4)]
)
def test_nine_of_ten_slots_carry_a_weight(density, layout):
    rng = np.random.default_rng(3)
    for _ in range(3):
        matrix = rng.integers(1, 8, (256, 1024)) * (rng.random((256, 1024)) < density)
        program = lane_program(matrix, layout)
        assert np.count_nonzero(matrix) >= 0.9 * program.steps * layout.groups * layout.lanes
