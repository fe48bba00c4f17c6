"""Binary PEs, bipolar activations and thresholds: what is built computes what the reference computes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from admmfpga.blocks import BinaryPE, Resources, Threshold
from admmfpga.codegen.frames import from_beats, to_beats
from admmfpga.engine.refusals import refusals
from admmfpga.errors import UserError
from admmfpga.mapping import Folding, build_design, map_network, stream_beats
from admmfpga.mapping.candidates import candidates
from admmfpga.mapping.parts import parts
from admmfpga.mapping.support import hardware_nodes
from admmfpga.network import BIPOLAR, IntType, Network, Requantization, compact
from admmfpga.network.reference import run
from made import NetworkMaker, pruned, random_binary_design, random_frames

BOARD = Resources(53200, 106400, 280, 220)
UINT8 = IntType(8, False)


@pytest.mark.parametrize("seed", range(24))
def test_low_bit_networks_equal_the_reference(seed):
    rng = np.random.default_rng(seed)
    design = random_binary_design(rng)
    frames = random_frames(design.network, 3, rng)
    for frame, expected in zip(frames, run(design.original, frames), strict=True):
        out = stream_beats(design, frame)["m_axis"]
        np.testing.assert_array_equal(out.ravel(), expected.ravel())
    assert design.timing.frame_interval == max(stage.block.cycles for stage in design.stages)


def test_the_random_networks_have_every_form():
    blocks = [stage.block for seed in range(24) for stage in random_binary_design(np.random.default_rng(seed)).stages]
    arrays = {(b.in_bipolar, b.weight_bits) for b in blocks if isinstance(b, BinaryPE)}
    assert arrays == {(a, b) for a in (False, True) for b in (1, 2)}
    assert {b.out_bits for b in blocks if isinstance(b, Threshold)} == {1, 2, 3, 4}


def dense_layers(bits: int, dtype: IntType = UINT8, sizes: tuple[int, int] = (64, 48)) -> Network:
    """Two dense layers of random weights, the first one with few-bit outputs."""
    made = NetworkMaker(sizes[:1], dtype, np.random.default_rng(0))
    return made.dense(sizes[1], IntType(2, False), bits=bits).dense(10, bits=bits).done()


@pytest.mark.parametrize(("bits", "kind"), [(1, "binary"), (2, "binary"), (3, "dense")])
def test_the_search_takes_the_cheaper_array(bits, kind):
    design = map_network(dense_layers(bits), BOARD, board="made", target_interval=200)
    first = design.network.nodes[0].name
    assert design.foldings[first].kind == kind
    choice = design.choices[first]
    prices = {name: found.price for name, found in choice.alternatives.items() if found}
    assert ("binary" in prices) == (kind == "binary")
    assert prices[kind] == min(prices.values())


def test_signs_on_any_kind_of_array():
    for kind in ("dense", "binary", "csr", "unrolled"):
        network = dense_layers(1, BIPOLAR, (12, 6))
        design = map_network(network, BOARD, board="made", target_interval=400, kinds=(kind,))
        frames = random_frames(network, 4, np.random.default_rng(1))
        for frame, expected in zip(frames, run(network, frames), strict=True):
            np.testing.assert_array_equal(stream_beats(design, frame)["m_axis"].ravel(), expected.ravel())


def test_the_shared_engine_refuses_signs():
    assert any("-1 and +1" in line for line in refusals(dense_layers(1, BIPOLAR)))
    assert not refusals(dense_layers(1))


def test_binary_arrays_refuse_other_weights():
    with pytest.raises(UserError, match="weights other than -1, 0 and \\+1"):
        map_network(dense_layers(4), BOARD, board="made", kinds=("binary",))


def test_candidates_are_priced_as_they_are_built():
    network = compact(pruned(dense_layers(1), np.random.default_rng(3)))
    for node in hardware_nodes(network):
        for candidate in candidates(network, node, ("binary",))[::3]:
            blocks = [part.block for part in parts(network, node, candidate.folding)]
            array = next(block for block in blocks if isinstance(block, BinaryPE))
            assert candidate.cycles >= array.cycles
            assert candidate.resources.bram18 >= array.resources().bram18
            assert candidate.resources.lut >= array.resources().lut


@pytest.mark.parametrize(("bits", "beats", "width"), [(1, 49, 16), (2, 49, 32), (8, 98, 64)])
def test_inputs_of_few_bits_share_bytes_where_bytes_would_limit(bits, beats, width):
    dtype = BIPOLAR if bits == 1 else IntType(bits, False)
    network = NetworkMaker((784,), dtype, np.random.default_rng(0)).dense(8, bits=1).done()
    fast = Folding(pe=8, simd=14, kind="binary", use_dsp=False)
    design = build_design(network, {network.nodes[0].name: fast})
    assert (design.in_beats, design.formats[0].width) == (beats, width)
    codes = random_frames(network, 2, np.random.default_rng(1))
    words = to_beats(codes, design.formats[0])
    assert words.max() < 1 << width
    np.testing.assert_array_equal(from_beats(words, design.formats[0], dtype, codes.shape[1:]), codes)
    slow = build_design(network, {network.nodes[0].name: Folding(kind="binary", use_dsp=False)})
    assert slow.formats[0].container_bits == 8


@given(st.integers(0, 1 << 30))
@settings(deadline=None)
def test_thresholds_are_the_rounding_rule(seed):
    rng = np.random.default_rng(seed)
    dtype = IntType(int(rng.integers(1, 5)), bool(rng.integers(2)))
    low, high = np.sort(rng.integers(dtype.min, dtype.max, 2, endpoint=True))
    rule = Requantization(
        bias=rng.integers(-40, 40, 3),
        multiplier=rng.integers(0, 30, 3),
        shift=int(rng.integers(0, 8)),
        zero_point=int(rng.integers(-3, 4)),
        low=int(low),
        high=int(high),
        dtype=dtype,
    )
    accumulators = np.arange(-50, 51)[:, None].repeat(3, axis=1)
    found = rule.thresholds(accumulators[0], accumulators[-1])
    assert found.shape == (3, high - low)
    assert np.all(np.diff(found, axis=1) >= 0)
    codes = rule.low + (accumulators[:, :, None] >= found).sum(axis=2)
    np.testing.assert_array_equal(codes, rule.apply(accumulators))


def test_shared_bytes_make_beats_that_a_dma_can_send() -> None:
    """Five columns of four 2-bit codes would share 40 bits; a DMA takes powers of two."""
    from admmfpga.mapping.lowering import axis_formats
    from admmfpga.network import IntType, Network, Tensor

    kind = IntType(2, False)
    tensors = {name: Tensor(name, (n,), kind, 1.0, 0) for name, n in (("x", 60), ("y", 1))}
    entry, _ = axis_formats(Network("n", ("x",), ("y",), tensors), interval=3)
    assert entry.lanes * entry.container_bits in (8, 16, 32, 64)
