"""The shared engine through the commands: chosen when asked for or when nothing else fits, simulated, refused."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from admmfpga import Accelerator, AcceleratorError
from admmfpga.errors import UserError
from admmfpga.frontend import load
from admmfpga.network import reference
from admmfpga.tools.runner import run_command


@pytest.fixture(scope="module")
def build(files, admmfpga, tmp_path_factory):
    folder = tmp_path_factory.mktemp("engine") / "build"
    arguments = ("--board", "pynq", "--calibration", files / "calibration.npz", "-o", folder)
    result = admmfpga("compile", files / "model.onnx", *arguments, "--architecture", "engine")
    assert result.exit_code == 0, result.stderr
    assert "shared engine" in result.stdout
    return folder


def test_the_build_holds_program_and_sources(build):
    design = json.loads((build / "design.json").read_text())
    report = json.loads((build / "report.json").read_text())
    assert report["architecture"] == design["architecture"] == "engine"
    # 220 DSP blocks, 48 of which requantize and work lane by lane.
    assert design["rtl_parameters"]["DSP_MULTIPLIERS"] == 220 - 48
    assert report["resources"]["dsp"]["used"] == 220
    assert report["traffic"]["bytes"] >= report["traffic"]["compulsory_bytes"] > 0
    assert 0 < report["convolution_utilization"] <= 1
    assert (build / "program" / "stream.bin").stat().st_size == report["traffic"]["stream_bytes"]
    assert {"engine.sv", "engine_registers.sv", "ram.sv"} <= {path.name for path in (build / "rtl").iterdir()}


@pytest.mark.slow
def test_simulation_compares_the_hls_with_the_reference(build, files, admmfpga):
    arguments = ("simulate", build, "--images", files / "test.npz", "--count", 3, "--implementation", "hls", "--json")
    result = admmfpga(*arguments)
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)["verification"]
    assert found["hls"] == {"frames": 3, "mismatches": 0}


def test_a_damaged_program_is_refused(build, files, admmfpga):
    path = build / "program" / "transfers.bin"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    try:
        result = admmfpga("simulate", build, "--images", files / "test.npz")
    finally:
        path.write_bytes(content)
    assert result.exit_code == 2
    assert "transfers.bin" in result.stderr


def test_a_network_with_more_weights_than_the_chip_holds_gets_the_engine(tmp_path, admmfpga):
    rng = np.random.default_rng(0)
    weights = numpy_helper.from_array(rng.normal(0, 0.1, (1200, 1200)).astype(np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w"], ["y"], transB=1)],
        "large",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1200])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1200])],
        [weights],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    np.savez(tmp_path / "c.npz", images=rng.uniform(0, 1, (8, 1200)).astype(np.float32))
    arguments = (tmp_path / "m.onnx", "--board", "pynq", "--calibration", tmp_path / "c.npz", "--json")
    result = admmfpga("check", *arguments)
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["architecture"] == "engine"
    assert "more than" in report["reason"]
    assert admmfpga("check", *arguments, "--target-fps", 1e6).exit_code == 2


def test_a_search_that_would_take_long_is_left_to_those_who_ask(files, tmp_path, admmfpga, monkeypatch):
    model = onnx.load(files / "model.onnx")
    for tensor in model.graph.initializer:
        if tensor.name == "w1":
            weights = numpy_helper.to_array(tensor).copy()
            weights[:, ::3] = weights[:, 1::3] = 0
            tensor.CopyFrom(numpy_helper.from_array(weights, "w1"))
    onnx.save(model, tmp_path / "m.onnx")
    arguments = ("check", tmp_path / "m.onnx", "--calibration", files / "calibration.npz", "--json")

    def report(*options):
        result = admmfpga(*arguments, *options)
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)

    assert report("--board", "pynq")["architecture"] == "dataflow"
    monkeypatch.setattr("admmfpga.engine.build.MOST_LAYOUTS", 0)
    chosen = report("--board", "pynq")
    assert chosen["architecture"] == "engine"
    assert "1 pruned layers" in chosen["reason"]
    assert "--architecture dataflow" in chosen["reason"]
    assert report("--board", "pynq", "--architecture", "dataflow")["architecture"] == "dataflow"
    # A board that the engine cannot have gets what there is.
    assert report("--board", "arty")["architecture"] == "dataflow"


def test_what_the_engine_cannot_do_is_said(files, admmfpga):
    arguments = (files / "model.onnx", "--calibration", files / "calibration.npz", "--architecture", "engine")
    result = admmfpga("check", *arguments, "--board", "arty")
    assert result.exit_code == 2
    assert "memory port" in result.stderr
    result = admmfpga("check", *arguments, "--board", "pynq", "--pe", "csr")
    assert result.exit_code == 2
    assert "one PE array" in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("device", ["csim", "sim"])
def test_the_build_runs_as_an_accelerator(device, build, files):
    images = np.load(files / "test.npz")["images"][:2]
    imported = load(build / "model.onnx")
    expected = reference.run(imported.network, imported.quantize(images))
    with Accelerator(build, device=device) as accelerator:
        assert accelerator.self_test() >= 1
        assert np.array_equal(accelerator.run_codes(imported.quantize(images)), expected)
        assert accelerator.run(images).sum(axis=1) == pytest.approx(1.0)  # Softmax is the host's
        counted = accelerator.counters()
    assert counted["FRAMES"] >= 5
    if device == "sim":
        assert counted["CYCLES"] == json.loads((build / "report.json").read_text())["cycles"]
    with pytest.raises(AcceleratorError, match="closed"):
        accelerator.run(images)


@pytest.mark.slow
@pytest.mark.parametrize(("device", "module"), [("csim", "hls"), ("sim", "simulation")])
def test_a_device_that_does_not_answer_is_closed(device, module, build, monkeypatch):
    accelerator = Accelerator(build, device=device, timeout_s=0.01)

    def sleeps(step, command, **options):
        return run_command(step, ["sleep", "600"], **options)

    monkeypatch.setattr(f"admmfpga.engine.{module}.run_command", sleeps)
    with pytest.raises(AcceleratorError, match=r"timed out after 0\.01 s \(FRAMES 0"):
        accelerator.self_test()
    with pytest.raises(AcceleratorError, match="open it again"):
        accelerator.self_test()


def test_there_is_no_dpi_device_of_an_engine(build):
    with pytest.raises(UserError, match="hls_sim"):
        Accelerator(build, device="hls_sim")
