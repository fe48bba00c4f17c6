"""Bounds, traffic and roofline of small designs, by hand."""

from dataclasses import replace

import numpy as np
import pytest

from admmfpga.boards import load_board
from admmfpga.mapping import build_design, map_network
from admmfpga.mapping.bounds import BANDWIDTH, INPUT, OUTPUT, PARALLELISM
from admmfpga.mapping.folding import Folding
from admmfpga.network import IntType
from admmfpga.report import make_report
from made import NetworkMaker


def report_of(design, board, clock=100.0):
    return make_report(design, board, clock_mhz=clock, model_name="made", model_sha256="0" * 64)


def dense(inputs=64, rows=8):
    return NetworkMaker((inputs,), IntType(8, False), np.random.default_rng(0)).dense(rows).done()


def mapped(network, board, clock=100.0, **options):
    return map_network(network, board.resources, board=board.name, port=board.memory_port(clock), **options)


def test_traffic_and_roofline_by_hand():
    network, board = dense(), load_board("pynq")
    node = network.nodes[0]
    design = build_design(network, {node.name: Folding(pe=2, simd=4, use_dsp=False, weight_block_ram=False)})
    assert design.timing.frame_interval == 64
    report = report_of(design, board)
    moved = report["traffic"]
    assert (moved["dram_bytes_in"], moved["dram_bytes_out"]) == (64, 8)
    assert moved["dram_mb_s"] == pytest.approx(72 / 64 * 100)
    assert moved["operations"] == 2 * 64 * 8
    layer = report["layers"][0]
    # 64 words of 8 weights; four words of parameters, one for two rows. Four activations a step.
    parameters = sum(m.width for s in design.stages if s.block.stem == "requantize" for m in s.memories.values())
    assert layer["traffic"]["weight_bits"] == 64 * 64 + 4 * parameters
    assert layer["traffic"]["activation_bits"] == 64 * 4 * 8
    place = layer["roofline"]
    size = 64 * 8 + 64 + 4 * parameters // 8 + 8
    assert place["dram_bytes"] == size
    assert place["peak_gops"] == pytest.approx(2 * 8 * 100 / 1000)
    assert place["reached_gops"] == pytest.approx(2 * 512 / 64 * 100 / 1000)
    assert place["attainable_gops"] == pytest.approx(min(1.6, 2 * 512 / size * 2.1), abs=1e-3)
    assert report["energy"]["total"] == pytest.approx(layer["energy_nj"], abs=0.01)
    assert report["bound"] is None, "nobody searched"


def test_a_fast_layer_is_bound_by_its_input():
    board = load_board("pynq")
    network = dense()
    report = report_of(mapped(network, board), board)
    bound = report["bound"]
    assert bound["kind"] == INPUT
    assert bound["interval_of_bound"] == bound["reached"] == bound["bounds"][INPUT] == 8
    assert bound["bounds"][OUTPUT] == 1
    assert bound["ratio"] == 1.0
    # The slowest that keeps up with eight beats a frame, not the fastest that there is.
    assert report["layers"][0]["cycles"] == 8


def test_slow_memory_is_the_bound_and_folding_does_not_run_ahead_of_it():
    board = load_board("pynq")
    slow = replace(board, memory=replace(board.memory, data_rate_mt_s=50.0))
    report = report_of(mapped(dense(), slow), slow)
    # 72 bytes at one a cycle.
    assert report["bound"]["kind"] == BANDWIDTH
    assert report["bound"]["interval_of_bound"] == 72
    assert report["throughput_fps"] == pytest.approx(100e6 / 72, abs=1e-3)
    assert report["frame_interval_cycles"] <= 72
    without = replace(slow, port_bits=0)
    assert BANDWIDTH not in report_of(mapped(dense(), without), without)["bound"]["bounds"]


def test_few_luts_are_the_bound():
    board = load_board("pynq")
    small = replace(board, resources=replace(board.resources, lut=2500, dsp=4))
    network = dense(256, 64)
    report = report_of(mapped(network, small), small)
    bound = report["bound"]
    assert bound["kind"] in ("lut", "dsp")
    assert bound["bounds"][PARALLELISM] < bound["interval_of_bound"] <= bound["reached"]
    assert bound["search"]["least_interval"] == bound["reached"]


def test_a_target_is_named():
    board = load_board("pynq")
    bound = report_of(mapped(dense(), board, target_interval=100), board)["bound"]
    assert bound["target_interval"] == 100
    assert bound["interval_of_bound"] <= bound["reached"] <= 100
