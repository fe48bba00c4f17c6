"""`admmfpga build`: what it refuses, what it prints and writes, and a tiny network all the way to a bitstream."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from admmfpga.boards import load_board

ROUTED = {
    "fmax_mhz": 80.51,
    "constraint_mhz": 50.0,
    "meets_timing": True,
    "resources": {"lut": 3901, "ff": 1924, "bram18": 2, "dsp": 3},
    "cells": {"TRELLIS_COMB": 3741},
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a dense layer of 2 x 4 weights as an ONNX file, and images to quantize it with."""
    folder = tmp_path_factory.mktemp("tiny")
    rng = np.random.default_rng(0)
    weights = numpy_helper.from_array(rng.normal(0, 0.5, (2, 4)).astype(np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w"], ["y"], name="fc", transB=1)],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        [weights],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "tiny.onnx")
    np.savez(folder / "images.npz", images=rng.uniform(0, 1, (16, 4)).astype(np.float32))
    return folder


@pytest.fixture(scope="module")
def built(tiny: Path, admmfpga: Any) -> Path:
    """The tiny network's build folder for the ULX3S."""
    arguments = ("--board", "ulx3s", "--calibration", tiny / "images.npz", "--target-fps", 1000, "-o", tiny / "build")
    result = admmfpga("compile", tiny / "tiny.onnx", *arguments)
    assert result.exit_code == 0, result.stderr
    return tiny / "build"


def report_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return found


def test_boards_without_an_open_flow_are_refused(compiled: Path, files: Path, admmfpga: Any) -> None:
    for arguments in ((compiled,), (files / "model.onnx", "--board", "pynq")):
        result = admmfpga("build", *arguments)
        assert result.exit_code == 2
        assert "no way to a bitstream for pynq-z2" in result.stderr
        assert "ulx3s-85f" in result.stderr


def test_options_of_models_are_refused_for_builds(built: Path, admmfpga: Any) -> None:
    result = admmfpga("build", built, "--clock", "40", "--board", "ulx3s")
    assert result.exit_code == 2
    assert "--board, --clock cannot be taken" in result.stderr


def test_neither_model_nor_build(tmp_path: Path, admmfpga: Any) -> None:
    result = admmfpga("build", tmp_path)
    assert result.exit_code == 2
    assert "is not a build folder" in result.stderr
    result = admmfpga("build", tmp_path / "none.onnx")
    assert result.exit_code == 2


def test_what_is_printed_and_written(built: Path, admmfpga: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    routed = dict(ROUTED)
    found = {
        "file": "bitstream/board.bit",
        "tools": {"yosys": "0.70"},
        "seed": 5,
        "synthesized": {"lut": 3000, "ff": 1900, "bram18": 2, "dsp": 3},
        "placed_and_routed": routed,
    }

    def make(build: Any, *tools: Any, seed: int, progress: Any) -> tuple[Path, dict[str, Any]]:
        assert seed == 5
        return build.folder / "bitstream" / "board.bit", found

    monkeypatch.setattr("admmfpga.runtime.bitstream.make_bitstream", make)
    result = admmfpga("build", built, "--seed", 5)
    assert result.exit_code == 0, result.stderr
    assert report_of(built)["bitstream"] == found
    assert report_of(built)["link"]["frame_bytes"] == 4
    assert "80.51 MHz after place and route, 50 MHz wanted" in result.stdout
    assert "2,000,000 baud" in result.stdout
    assert [line for line in result.stdout.splitlines() if line.startswith("LUT") and "3,901" in line]
    routed |= {"fmax_mhz": 44.0, "meets_timing": False}
    result = admmfpga("build", built, "--seed", 5)
    assert result.exit_code == 1
    assert "44 MHz after place and route, 50 MHz were asked for" in result.stderr
    assert report_of(built)["bitstream"]["placed_and_routed"]["fmax_mhz"] == 44.0
    result = admmfpga("build", built, "--seed", 5, "--json")
    assert json.loads(result.stdout)["placed_and_routed"]["fmax_mhz"] == 44.0


@pytest.mark.slow
def test_a_tiny_network_to_a_bitstream(tiny: Path, admmfpga: Any) -> None:
    """Everything for real, in one command: Yosys, nextpnr, ecppack."""
    folder = tiny / "real"
    result = admmfpga("build", tiny / "tiny.onnx", "--calibration", tiny / "images.npz", "-o", folder)
    assert result.exit_code == 0, result.stderr
    report = report_of(folder)
    # Folded for what the line carries.
    assert report["throughput_fps"] >= report["link"]["throughput_fps"]
    found = report["bitstream"]
    assert found["tools"].keys() == {"yosys", "nextpnr-ecp5", "ecppack"}
    routed = found["placed_and_routed"]
    assert routed["meets_timing"]
    assert 50 <= routed["fmax_mhz"] < 300
    available = load_board("ulx3s").resources.as_dict()
    for name, used in routed["resources"].items():
        assert 0 <= used < available[name]
        # Packing adds carry chains' ends and feed-throughs, and takes nothing away.
        assert found["synthesized"][name] <= used <= 1.3 * found["synthesized"][name] + 20
    assert routed["cells"]["EHXPLLL"] == 1
    bit = (folder / found["file"]).read_bytes()
    # Preamble of an ECP5 bitstream (FPGA-TN-02039, bitstream format), behind a comment.
    assert b"\xff\xff\xbd\xb3" in bit[:400]
    assert len(bit) > 50_000
