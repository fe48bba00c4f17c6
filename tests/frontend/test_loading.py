"""Files that are no models, damaged models, and models of the wrong shape: one clear message each."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from qdq_made import Maker, agree

from admmfpga.errors import UserError
from admmfpga.frontend import load, unsupported


def good(rng: int = 0) -> tuple[Maker, str]:
    made = Maker((1, 2, 6, 6), np.random.default_rng(rng), opset=13)
    x = made.fit(made.node("Conv", made.input(), made.weights(3, 2, 3, 3), made.real(3)))
    return made, made.fit(made.node("MatMul", made.node("Flatten", x), made.weights(48, 4)))


@pytest.fixture(scope="module")
def model() -> bytes:
    made, output = good()
    return bytes(made.model(output).SerializeToString())


def refused(path: Path) -> UserError:
    with pytest.raises(UserError) as caught:
        load(path)
    assert "\n" not in caught.value.message
    with pytest.raises(UserError):
        unsupported(path)
    return caught.value


@pytest.mark.parametrize(
    "content",
    [b"", b"hello, world\n", b"\x00" * 100, b"\x89PNG\r\n\x1a\n" + b"\x01" * 50, b"{}", b"PK\x03\x04" + b"\x00" * 64],
)
def test_not_onnx(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    error = refused(tmp_path / "m.onnx")
    assert "m.onnx" in error.message
    assert error.hint


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(part=st.floats(0, 0.999))
def test_cut_anywhere(model: bytes, tmp_path: Path, part: float) -> None:
    (tmp_path / "m.onnx").write_bytes(model[: int(part * len(model))])
    refused(tmp_path / "m.onnx")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.floats(0, 0.999), bit=st.integers(0, 7))
def test_flipped_bit_is_refused_or_harmless(model: bytes, tmp_path: Path, at: float, bit: int) -> None:
    """A weight may have changed, which no reader can see; anything else must not be a traceback."""
    damaged = bytearray(model)
    damaged[int(at * len(model))] ^= 1 << bit
    (tmp_path / "m.onnx").write_bytes(damaged)
    with suppress(UserError):
        load(tmp_path / "m.onnx").network.verify()


@pytest.mark.parametrize("word", [b"Conv", b"dequantizelinear_6", b"made"])
def test_name_that_is_not_text(word: bytes, model: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(model.replace(word, b"\xc3" + word[1:]))
    assert "not text" in refused(tmp_path / "m.onnx").message


def test_missing_file_and_folder(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "m.onnx").message
    assert "cannot read" in refused(tmp_path).message


def test_hash_is_of_the_file(model: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(model)
    assert load(tmp_path / "m.onnx").sha256 == hashlib.sha256(model).hexdigest()


def no_output(m: onnx.ModelProto) -> None:
    del m.graph.output[:]


def two_outputs(m: onnx.ModelProto) -> None:
    m.graph.output.append(helper.make_tensor_value_info(m.graph.node[0].output[0], TensorProto.UINT8, [1, 2, 6, 6]))


def two_inputs(m: onnx.ModelProto) -> None:
    m.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1, 4]))


def no_input(m: onnx.ModelProto) -> None:
    m.graph.initializer.append(numpy_helper.from_array(np.zeros((1, 2, 6, 6), np.float32), "x"))


def dims(*values: int | str | None) -> Callable[[onnx.ModelProto], None]:
    def change(m: onnx.ModelProto) -> None:
        m.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.FLOAT, values))

    return change


def no_shape(m: onnx.ModelProto) -> None:
    m.graph.input[0].type.tensor_type.ClearField("shape")


def no_opset(m: onnx.ModelProto) -> None:
    del m.opset_import[:]


def future_opset(m: onnx.ModelProto) -> None:
    m.opset_import[0].version = 1000


def cycle(m: onnx.ModelProto) -> None:
    m.graph.node[0].input[0] = m.graph.node[-1].output[0]


def unknown_tensor(m: onnx.ModelProto) -> None:
    m.graph.node[3].input[0] = "nothing"


def huge_weights(m: onnx.ModelProto) -> None:
    next(i for i in m.graph.initializer if len(i.dims) == 4).dims[0] = 1 << 40


def wrong_weights(m: onnx.ModelProto) -> None:
    next(i for i in m.graph.initializer if len(i.dims) == 4).dims[0] = 5


def huge_constant(m: onnx.ModelProto) -> None:
    m.graph.initializer.append(numpy_helper.from_array(np.array([1 << 20, 1 << 20]), "shape"))
    m.graph.node.insert(0, helper.make_node("ConstantOfShape", ["shape"], ["big"]))


def text_input(m: onnx.ModelProto) -> None:
    m.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.STRING, [1, 2, 6, 6]))


def large_image(m: onnx.ModelProto) -> None:
    for dim in m.graph.input[0].type.tensor_type.shape.dim[2:]:
        dim.dim_value = 8192


def damaged_reshape(m: onnx.ModelProto) -> None:
    m.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
    shape = numpy_helper.from_array(np.array([1, 2, 6, 6]), "shape")
    shape.dims[0] = 7
    m.graph.initializer.append(shape)
    m.graph.node.insert(0, helper.make_node("Reshape", ["x", "shape"], ["reshaped"]))


def mismatch(m: onnx.ModelProto) -> None:
    next(i for i in m.graph.initializer if list(i.dims) == [48, 4]).dims[:] = [24, 8]


def external(m: onnx.ModelProto) -> None:
    weights = next(i for i in m.graph.initializer if len(i.dims) == 4)
    onnx.external_data_helper.set_external_data(weights, location="weights.bin")
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL


def escaping(m: onnx.ModelProto) -> None:
    external(m)
    weights = next(i for i in m.graph.initializer if len(i.dims) == 4)
    weights.external_data[0].value = "../../../../etc/passwd"


@pytest.mark.parametrize(
    "damage,message",
    [
        (no_output, "0 outputs"),
        (two_outputs, "2 outputs"),
        (two_inputs, "2 inputs (x, mask)"),
        (no_input, "0 inputs"),
        (dims(1, 2, "H", 6), "dimension 2 of the input x is dynamic (H)"),
        (dims(1, 2, None, 6), "dimension 2 of the input x is dynamic"),
        (dims(1, 2, 0, 6), "dimension 2 of the input x is 0"),
        (dims(1, 2, -3, 6), "dimension 2 of the input x is -3"),
        (dims(1, 2, 1 << 20, 1 << 20), "1 x 2 x 1048576 x 1048576"),
        (dims(1, 2, 6, 6, 6, 6), "6 dimensions"),
        (dims(6), "1 dimensions"),
        (dims(1, 2, 5, 6), "do not fit"),
        (no_shape, "0 dimensions"),
        (no_opset, "operator set"),
        (future_opset, "opset 1000"),
        (cycle, "not a valid ONNX model"),
        (unknown_tensor, "not a valid ONNX model"),
        (huge_weights, "is declared as"),
        (wrong_weights, "not a valid ONNX model"),
        (huge_constant, "big is declared as 1048576 x 1048576"),
        (large_image, "declared as 1 x 2 x 8192 x 8192"),
        (damaged_reshape, "not a valid ONNX model"),
        (text_input, "x"),
        (mismatch, "do not fit"),
        (external, "external weights"),
        (escaping, "external weights"),
    ],
    ids=lambda value: value.__name__ if callable(value) else None,
)
def test_damaged_model(damage: Callable[[onnx.ModelProto], None], message: str, model: bytes, tmp_path: Path) -> None:
    proto = onnx.load_model_from_string(model)
    damage(proto)
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    assert message in refused(tmp_path / "m.onnx").message


def test_other_name_of_the_default_domain(tmp_path: Path) -> None:
    """ "ai.onnx" is the same domain as ""; a float model goes through libraries that look for one of the two."""
    made = Maker((1, 2, 6, 6), np.random.default_rng(0), opset=13)
    proto = made.model(made.node("Conv", "x", made.real(3, 2, 3, 3)))
    proto.opset_import[0].domain = "ai.onnx"
    proto.graph.node[0].domain = "ai.onnx"
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    agree(load(tmp_path / "m.onnx"), made.images)


def test_external_weights_are_read(model: bytes, tmp_path: Path) -> None:
    made, _ = good()
    proto = onnx.load_model_from_string(model)
    onnx.save(proto, tmp_path / "m.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert (tmp_path / "weights.bin").is_file()
    agree(load(tmp_path / "m.onnx"), made.images)


def test_reading_the_kept_model_gives_the_same_network(model: bytes, tmp_path: Path) -> None:
    """Build folders keep Import.model and make the network from it again."""
    (tmp_path / "m.onnx").write_bytes(model)
    first = load(tmp_path / "m.onnx")
    (tmp_path / "again.onnx").write_bytes(first.model.SerializeToString())
    second = load(tmp_path / "again.onnx", name="m")
    assert repr(first.network) == repr(second.network)
    assert first.network.tensors.keys() == second.network.tensors.keys()
