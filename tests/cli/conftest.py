"""A small float model, a QDQ one made from it, images, and a compiled build."""

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

from admmfpga.cli import main


def float_model(rng) -> onnx.ModelProto:
    """Conv, Relu, MaxPool, Flatten, Gemm, Softmax on 1 x 8 x 8 images."""

    def constant(name, *shape):
        return numpy_helper.from_array(rng.normal(0, 0.4, shape).astype(np.float32), name)

    nodes = [
        helper.make_node("Conv", ["x", "w0", "b0"], ["c"], name="conv", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        helper.make_node("MaxPool", ["r"], ["p"], name="pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["p"], ["f"], name="flatten"),
        helper.make_node("Gemm", ["f", "w1", "b1"], ["g"], name="fc", transB=1),
        helper.make_node("Softmax", ["g"], ["y"], name="softmax"),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 5])],
        [constant("w0", 4, 1, 3, 3), constant("b0", 4), constant("w1", 5, 64), constant("b1", 5)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """Folder with model.onnx, calibration.npz and test.npz."""
    folder = tmp_path_factory.mktemp("files")
    rng = np.random.default_rng(0)
    onnx.save(float_model(rng), folder / "model.onnx")
    np.savez(folder / "calibration.npz", images=rng.uniform(0, 1, (32, 1, 8, 8)).astype(np.float32))
    np.savez(
        folder / "test.npz",
        images=rng.uniform(0, 1, (20, 1, 8, 8)).astype(np.float32),
        labels=rng.integers(0, 5, 20),
    )
    return folder


@pytest.fixture(scope="session")
def admmfpga():
    """Runs a command line; the result has exit_code, stdout, stderr."""

    def invoke(*arguments):
        result = CliRunner().invoke(main, [str(a) for a in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


@pytest.fixture(scope="session")
def compiled(files, admmfpga):
    """A build folder of the small model."""
    folder = files / "build"
    arguments = ("--board", "pynq", "--calibration", files / "calibration.npz", "--target-fps", 200000, "-o", folder)
    result = admmfpga("compile", files / "model.onnx", *arguments)
    assert result.exit_code == 0, result.stderr
    return folder
