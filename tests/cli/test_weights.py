"""`compile --reloadable`, `weights` and the Accelerator class on a real build."""

import json
import signal

import numpy as np
import onnx
import pytest

from admmfpga import Accelerator, AcceleratorError
from admmfpga.errors import UserError
from admmfpga.network.reference import run
from admmfpga.runtime import open_build
from admmfpga.runtime.images import to_codes


@pytest.fixture(scope="module")
def reloadable(files, admmfpga):
    """A build whose weights can be loaded."""
    folder = files / "reloadable"
    options = ("--board", "pynq", "--calibration", files / "calibration.npz", "--target-fps", 200000, "--reloadable")
    result = admmfpga("compile", files / "model.onnx", *options, "-o", folder)
    assert result.exit_code == 0, result.stderr
    return folder


@pytest.fixture(scope="module")
def retrained(files, admmfpga, reloadable):
    """Weights of the same network after more training: (file, the network that the hardware then computes)."""
    from admmfpga.frontend import load
    from admmfpga.runtime.reload import fit_weights

    model = onnx.load(files / "model.onnx")
    rng = np.random.default_rng(3)
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        moved = (values * rng.uniform(0.7, 1.1, values.shape)).astype(np.float32)
        tensor.CopyFrom(onnx.numpy_helper.from_array(moved, tensor.name))
    onnx.save(model, files / "retrained.onnx")
    options = (
        "--for",
        reloadable,
        "--calibration",
        files / "calibration.npz",
        "-o",
        files / "retrained.admm",
        "--json",
    )
    result = admmfpga("weights", files / "retrained.onnx", *options)
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["memories"] == 4
    images = np.load(files / "calibration.npz")["images"]
    fitted = fit_weights(open_build(reloadable), load(files / "retrained.onnx", calibration=images))
    assert (files / "retrained.admm").read_bytes() == fitted.image
    return files / "retrained.admm", fitted.design


def test_build_says_that_it_is_reloadable(reloadable, compiled):
    assert json.loads((reloadable / "design.json").read_text())["reload_slack"] == 0.05
    assert json.loads((compiled / "design.json").read_text())["reload_slack"] is None
    assert "| `LOAD_DATA` |" in (reloadable / "driver" / "registers.md").read_text()
    assert "| `LOAD_DATA` |" not in (compiled / "driver" / "registers.md").read_text()
    assert ".RELOADABLE(1)" in (reloadable / "rtl" / "accelerator.sv").read_text()
    assert ".RELOADABLE(0)" in (compiled / "rtl" / "accelerator.sv").read_text()


def test_refused(files, admmfpga, reloadable, compiled):
    calibration = ("--calibration", files / "calibration.npz", "-o", files / "no.admm")
    result = admmfpga("weights", files / "model.onnx", "--for", compiled, *calibration)
    assert result.exit_code == 2
    assert "are constants" in result.stderr
    model = onnx.load(files / "model.onnx")
    model.graph.node[2].attribute[0].ints[:] = [1, 1]
    model.graph.node[2].attribute[1].ints[:] = [2, 2]
    onnx.save(model, files / "another.onnx")
    result = admmfpga("weights", files / "another.onnx", "--for", reloadable, *calibration)
    assert result.exit_code == 2
    assert "another kernel (1, 1); the build has (2, 2)" in result.stderr
    assert not (files / "no.admm").exists()
    result = admmfpga("compile", files / "model.onnx", *calibration[:2], "--reloadable", "--pe", "unrolled")
    assert result.exit_code == 2
    assert "is none whose weights can be exchanged" in result.stderr


def test_csim_device(files, reloadable, retrained, compiled):
    """Images in, what the model gives out; new weights with their scales; refusals leave the old ones."""
    weights, new = retrained
    build = open_build(reloadable)
    images = np.load(files / "test.npz")["images"]

    def expected(design):
        real = design.output.dequantize(run(design.original, to_codes(design, images)))
        return np.exp(real) / np.exp(real).sum(axis=1, keepdims=True)

    with Accelerator(reloadable, "csim") as accelerator:
        assert accelerator.self_test() == 4
        np.testing.assert_allclose(accelerator.run(images), expected(build.design))
        for wrong in (weights.read_bytes()[:-3], (compiled / "memory" / "weights.admm").read_bytes()):
            with pytest.raises(AcceleratorError, match=r"damaged|for another design"):
                accelerator.load_weights(wrong)
        np.testing.assert_allclose(accelerator.run(images), expected(build.design))
        accelerator.load_weights(weights)
        assert accelerator.self_test() == 4
        np.testing.assert_allclose(accelerator.run(images), expected(new))
        assert not np.allclose(expected(new), expected(build.design))
        accelerator.load_weights(reloadable / "memory" / "weights.admm")
        np.testing.assert_allclose(accelerator.run(images), expected(build.design))
        assert accelerator.counters() == {"FRAMES_IN": 88, "FRAMES_OUT": 88}
        with pytest.raises(ValueError, match=r"expected \(N, 1, 8, 8\)"):
            accelerator.run(images[:, :, :4])
    with pytest.raises(AcceleratorError, match="is closed"):
        accelerator.run(images)


def test_a_simulation_that_dies_is_closed(reloadable):
    accelerator = Accelerator(reloadable, "csim")
    accelerator._process.kill()
    accelerator._process.wait()
    with pytest.raises(AcceleratorError, match=r"the simulation .*log:"):
        accelerator.run_codes(np.zeros((1, 8, 8, 1), dtype=int))
    with pytest.raises(AcceleratorError, match="is closed"):
        accelerator.run_codes(np.zeros((1, 8, 8, 1), dtype=int))


def test_a_simulation_that_hangs_is_closed(reloadable):
    accelerator = Accelerator(reloadable, "csim", timeout_s=0.1)
    accelerator._process.send_signal(signal.SIGSTOP)
    with pytest.raises(AcceleratorError, match=r"does not answer for 0\.1 s"):
        accelerator.run_codes(np.zeros((1, 8, 8, 1), dtype=int))
    assert accelerator._process.poll() is not None, "it is not left behind"


def test_unknown_device_and_no_pynq(reloadable):
    with pytest.raises(UserError, match="no device 'gpu'"):
        Accelerator(reloadable, "gpu")
    with pytest.raises(UserError, match="the PYNQ driver cannot be loaded: No module named 'pynq'"):
        Accelerator(reloadable, "pynq")
