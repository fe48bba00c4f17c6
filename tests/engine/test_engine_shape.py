"""Which engine a board gets, and what its report counts."""

from __future__ import annotations

import numpy as np
import pytest

from admmfpga.blocks import Resources
from admmfpga.boards import all_boards
from admmfpga.engine.figures import compulsory_bytes, layer_figures, totals
from admmfpga.engine.layers import lower
from admmfpga.engine.schedule import make_program
from admmfpga.engine.shape import choose_shape, fitted_resources
from admmfpga.engine.timing import time_program
from admmfpga.errors import UserError
from admmfpga.network import BIPOLAR, IntType
from engine_made import SHAPES, EngineMaker


@pytest.mark.parametrize("board", [b for b in all_boards() if b.port_bits >= 64], ids=lambda b: b.name)
def test_the_engine_fits_its_board(board) -> None:
    shape = choose_shape(board.resources, board.port_bits, board=board.name)
    needed, available = fitted_resources(shape, board.resources).as_dict(), board.resources.as_dict()
    assert all(needed[name] <= available[name] for name in available)
    assert shape.multipliers >= 256
    assert shape.scratchpad * shape.simd >= 256 * 1024


def test_boards_that_are_too_small_or_without_memory_port_are_refused() -> None:
    with pytest.raises(UserError, match="does not fit"):
        choose_shape(Resources(lut=5000, ff=10000, bram18=20, dsp=20), 64, board="tiny")
    with pytest.raises(UserError, match="memory port"):
        choose_shape(Resources(lut=10**6, ff=10**6, bram18=1000, dsp=1000), 0, board="plain")


def test_compulsory_traffic_counts_what_cannot_stay() -> None:
    maker = EngineMaker((4, 4, 8), IntType(8, False), np.random.default_rng(0))
    network = maker.conv(16, (1, 1)).pool((2, 2), (2, 2)).flatten().dense(10, IntType(8, True)).done()
    weights = 16 * 8 + 64 * 10
    # Frame 128 and result 10 bytes always; the convolution's 256 bytes, written and read, only where they do not fit.
    assert compulsory_bytes(network, 256) == weights + 128 + 10
    assert compulsory_bytes(network, 255) == weights + 128 + 10 + 2 * 256
    # Half of the convolution's weights gone: the others and a bit for each.
    network.nodes[0].weights[:8] = 0
    assert compulsory_bytes(network, 256) == weights - 64 + 16 + 128 + 10


def test_the_report_adds_up() -> None:
    maker = EngineMaker((9, 9, 20), IntType(8, False), np.random.default_rng(1))
    maker.conv(24, (3, 3), (1, 1), (1, 1, 1, 1))
    before = maker.last
    maker.conv(24, (1, 1)).add(before, maker.last)
    network = maker.pool((2, 2), (2, 2)).flatten().dense(12, IntType(8, True)).done()
    program = make_program(lower(network, SHAPES[0]), SHAPES[0])
    timing = time_program(program)
    layers, found = layer_figures(program, timing), totals(program, timing, network)
    traffic = found["traffic"]
    assert sum(layer["stream_bytes"] for layer in layers) == traffic["stream_bytes"] == len(program.stream())
    assert sum(layer["loaded_bytes"] for layer in layers) == traffic["loaded_bytes"] > 0
    assert sum(layer["stored_bytes"] for layer in layers) == traffic["stored_bytes"] > 0
    assert traffic["list_bytes"] == len(program.transfer_list())
    assert sum(layer["busy_cycles"] for layer in layers) == timing.busy < timing.cycles
    assert "Conv + Add" in [layer["op"] for layer in layers]
    assert 0 < found["convolution_utilization"] < 1


def test_every_refused_node_and_tensor_is_named() -> None:
    maker = EngineMaker((4, 4, 8), BIPOLAR, np.random.default_rng(0))
    network = maker.conv(4, (1, 1), dtype=IntType(12, False)).conv(4, (1, 1)).done()
    with pytest.raises(UserError) as caught:
        lower(network, SHAPES[0])
    assert "2 of the nodes" in caught.value.message
    assert "input: codes that stand for -1 and +1" in caught.value.message
    assert "conv0_out: uint12" in caught.value.message
