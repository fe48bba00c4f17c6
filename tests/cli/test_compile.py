"""`compile`, `check` and `boards`: what they write, print and refuse."""

import hashlib
import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper


def tree(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_build_folder_is_complete(compiled):
    names = set(tree(compiled))
    for needed in (
        "manifest.json", "report.json", "design.json", "model.onnx", "memory/weights.admm", "rtl/accelerator.sv",
        "rtl/dataflow.sv", "hls/dataflow.cpp", "hls/run_hls.tcl", "hls/testbench.cpp", "vivado/build.tcl",
        "driver/accelerator_pynq.py", "driver/registers.h", "vectors/input.hex", "vectors/output.hex",
    ):  # fmt: skip
        assert needed in names
    listed = json.loads((compiled / "manifest.json").read_text())["files"]
    assert set(listed) == names - {"manifest.json"}
    for kind in ("mem", "coe", "mif"):
        assert sum(name.endswith(f".{kind}") for name in names) == 4


def test_report_has_what_machines_need(compiled):
    report = json.loads((compiled / "report.json").read_text())
    assert set(report) >= {
        "model", "board", "clock_mhz", "architecture", "latency_cycles", "frame_interval_cycles", "throughput_fps",
        "resources", "storage", "layers",
    }  # fmt: skip
    assert set(report["resources"]["lut"]) == {"used", "available", "source"}
    assert set(report["storage"]) >= {"weight_bits", "index_bits", "dense_fp32_bits"}
    layer = report["layers"][0]
    assert set(layer) >= {
        "name", "op", "block", "format", "pe", "simd", "rows", "columns", "kept_weights", "weight_bits", "cycles",
        "utilization", "resources",
    }  # fmt: skip
    assert report["throughput_fps"] >= 200000
    assert report["throughput_fps"] == pytest.approx(
        report["clock_mhz"] * 1e6 / report["frame_interval_cycles"], abs=0.01
    )
    assert report["storage"]["dense_fp32_bits"] == 32 * (4 * 9 + 5 * 64)


def test_same_input_gives_the_same_bytes(compiled, files, admmfpga, tmp_path):
    arguments = ("--board", "pynq", "--calibration", files / "calibration.npz", "--target-fps", 200000)
    assert admmfpga("compile", files / "model.onnx", *arguments, "-o", tmp_path / "again").exit_code == 0
    first, second = tree(compiled), tree(tmp_path / "again")
    first.pop("report.json"), second.pop("report.json")
    assert {k: v for k, v in first.items() if not k.startswith("simulation")} == second


def test_json_output_is_json(files, admmfpga, tmp_path):
    result = admmfpga("compile", files / "model.onnx", "--calibration", files / "calibration.npz", "--json",
                      "-o", tmp_path / "b")  # fmt: skip
    assert json.loads(result.stdout)["build"] == str(tmp_path / "b")
    boards = json.loads(admmfpga("boards", "--json").stdout)
    assert {"pynq-z1", "pynq-z2", "ultra96-v2", "zcu104", "kv260", "arty-a7-100t", "ulx3s-85f"} <= {
        b["name"] for b in boards
    }


def test_check_writes_nothing(files, admmfpga, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = admmfpga("check", files / "model.onnx", "--calibration", files / "calibration.npz")
    assert result.exit_code == 0
    assert "frames/s" in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_float_model_without_calibration_warns_of_what_was_assumed(files, admmfpga):
    result = admmfpga("check", files / "model.onnx")
    assert result.exit_code == 0
    assert "warning" in result.stderr
    assert "calibration" in result.stderr


def refused(result, *words):
    assert result.exit_code == 2, result.stdout
    lines = result.stderr.strip().splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    assert len(errors) == 1, result.stderr
    for word in words:
        assert word in result.stderr
    assert "Traceback" not in result.stderr


def test_cut_file_is_refused_and_nothing_is_left(files, admmfpga, tmp_path):
    cut = tmp_path / "cut.onnx"
    data = (files / "model.onnx").read_bytes()
    cut.write_bytes(data[: len(data) // 2])
    refused(admmfpga("compile", cut, "-o", tmp_path / "out"), "cut.onnx")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cut.onnx"]


def test_missing_file_is_refused(admmfpga, tmp_path):
    refused(admmfpga("compile", tmp_path / "none.onnx"), "none.onnx")


def test_all_unsupported_nodes_are_told_at_once(admmfpga, tmp_path):
    nodes = [
        helper.make_node("LpPool", ["x"], ["a"], name="the_norm", kernel_shape=[1, 1]),
        helper.make_node("Einsum", ["a"], ["y"], name="the_einsum", equation="nchw->nchw"),
    ]
    graph = helper.make_graph(
        nodes,
        "odd",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 8, 8])],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "odd.onnx"
    )
    result = admmfpga("compile", tmp_path / "odd.onnx", "-o", tmp_path / "out")
    refused(result, "the_norm", "the_einsum", "LpPool", "Einsum")
    assert not (tmp_path / "out").exists()


def test_unknown_board_is_refused_with_a_suggestion(files, admmfpga):
    refused(admmfpga("compile", files / "model.onnx", "--board", "pynk"), "pynk", "pynq")


def test_kinds_of_pes_are_taken_by_layer(files, admmfpga, tmp_path):
    arguments = ("--calibration", files / "calibration.npz", "--target-fps", 200000, "-o", tmp_path / "out", "--json")
    result = admmfpga("compile", files / "model.onnx", *arguments, "--pe", "csr")
    assert result.exit_code == 0, result.output
    layers = [layer for layer in json.loads(result.stdout)["layers"] if layer["kept_weights"]]
    assert {layer["block"] for layer in layers} == {"csr_pe"}
    name = layers[0]["name"]
    result = admmfpga("check", files / "model.onnx", *arguments[:4], "--json", "--pe", "csr", "--pe", f"{name}=dense")
    blocks = {layer["name"]: layer["block"] for layer in json.loads(result.stdout)["layers"] if layer["kept_weights"]}
    assert [block for layer, block in blocks.items() if block == "dense_pe"] == ["dense_pe"]
    assert blocks[name] == "dense_pe"


def test_all_mistakes_of_pe_are_named_at_once(files, admmfpga, tmp_path):
    arguments = ("--calibration", files / "calibration.npz", "--pe", "nolayer=csr", "--pe", "eie")
    result = admmfpga("compile", files / "model.onnx", *arguments, "-o", tmp_path / "out")
    refused(result, "nolayer", "eie", "dense, csr")
    assert not (tmp_path / "out").exists()


def test_design_that_does_not_fit_is_refused(files, admmfpga, tmp_path):
    board = files / "tiny.toml"
    from admmfpga.resources import resource_dir

    text = (resource_dir("boards") / "pynq-z2.toml").read_text()
    lines = []
    for line in text.splitlines():
        key = line.split("=")[0].strip()
        lines.append(f"{key} = 60" if key in ("lut", "ff") else line)
    board.write_text("\n".join(lines).replace('"pynq-z2"', '"tiny"') + "\n")
    result = admmfpga("compile", files / "model.onnx", "--board", board, "-o", tmp_path / "out")
    refused(result, "does not fit", "lut", "hint: ")
    assert list(tmp_path.iterdir()) == []


def test_unreachable_target_is_refused(files, admmfpga):
    refused(admmfpga("check", files / "model.onnx", "--target-fps", 1e9), "cycle")


def test_wrong_calibration_images_are_refused(files, admmfpga, tmp_path):
    np.savez(tmp_path / "wrong.npz", images=np.zeros((4, 3, 8, 8), np.float32))
    refused(admmfpga("check", files / "model.onnx", "--calibration", tmp_path / "wrong.npz"), "hint: ")


def test_foreign_folder_is_not_replaced(files, admmfpga, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    refused(admmfpga("compile", files / "model.onnx", "-o", tmp_path / "mine"), "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize(
    "command", ["boards", "check", "compare", "compile", "compress", "explore", "simulate", "synth"]
)
def test_help_shows_an_example(command, admmfpga):
    result = admmfpga(command, "--help")
    assert result.exit_code == 0
    assert f"admmfpga {command}" in result.stdout
