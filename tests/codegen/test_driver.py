"""The rendered host files, the driver run against a stand-in of pynq."""

from __future__ import annotations

import shutil
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pynq_stand_in as stand_in
import pytest
from tiny_design import IMAGE, SCORES, tiny_design

from admmfpga.blocks.registers import REGISTERS
from admmfpga.codegen.driver import render_driver
from admmfpga.codegen.environment import make_environment
from admmfpga.codegen.frames import to_beats
from admmfpga.mapping import AxisFormat, Design
from admmfpga.mapping.structure import structure_sha256
from admmfpga.network import BIPOLAR, HostOp, IntType, Tensor
from admmfpga.packing import Memory, write_container

SHA256 = "deadbeef" + "0123456789abcdef" * 3 + "01234567"
MODEL = 0xDEADBEEF


def render(design: Design, axis_in: tuple[int, int] = (4, 8), axis_out: tuple[int, int] = (5, 8)) -> dict[str, str]:
    return render_driver(design, make_environment(), model_sha256=SHA256, axis_in=axis_in, axis_out=axis_out)


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Import a rendered driver with `pynq` replaced; returns (module, device)."""

    def load_driver(
        design: Design, compute: Callable[[bytes], bytes], *, path: Path | None = None, **axes: tuple[int, int]
    ) -> tuple[Any, stand_in.Device]:
        device = stand_in.Device(compute, model=MODEL)
        monkeypatch.setattr(stand_in.Overlay, "device", device, raising=False)
        fake: Any = types.ModuleType("pynq")
        fake.Overlay, fake.allocate = stand_in.Overlay, stand_in.allocate
        monkeypatch.setitem(sys.modules, "pynq", fake)
        module: Any = types.ModuleType("accelerator_pynq")
        module.__file__ = str((path or Path("build")) / "driver" / "accelerator_pynq.py")
        monkeypatch.setitem(sys.modules, "accelerator_pynq", module)
        exec(compile(render(design, **axes)["accelerator_pynq.py"], module.__file__, "exec"), module.__dict__)
        return module, device

    return load_driver


def first_five(frame: bytes) -> bytes:
    return frame[:5]


def test_bytes_sent_are_nhwc_codes(load: Callable[..., Any]) -> None:
    module, device = load(tiny_design(), first_five)
    codes = np.random.default_rng(0).integers(0, 256, (7, 2, 3, 4))
    images = IMAGE.dequantize(codes).transpose(0, 3, 1, 2)
    with module.Accelerator() as accelerator:
        real = accelerator.run(images)
    assert device.frames == [frame.astype(np.uint8).tobytes() for frame in codes]
    expected = SCORES.dequantize(codes.reshape(7, -1)[:, :5].astype(np.uint8).view(np.int8))
    assert np.array_equal(real, expected)


def test_quantization_is_the_networks_own(load: Callable[..., Any]) -> None:
    module, _ = load(tiny_design(), first_five)
    images = np.random.default_rng(1).normal(30, 60, (4, 4, 2, 3)).astype(np.float32)
    images[0, 0] = [[0.25, 0.75, 1.25], [-1e9, 1e9, -0.25]]
    codes = module.Accelerator().quantize(images)
    assert np.array_equal(codes, IMAGE.quantize(images.transpose(0, 2, 3, 1)))
    assert codes.dtype == np.uint8


@pytest.mark.parametrize(
    ("dtype", "box"), [(BIPOLAR, 1), (IntType(1, False), 2), (IntType(2, True), 2), (IntType(3, True), 4)]
)
def test_elements_that_share_a_byte(load: Callable[..., Any], dtype: IntType, box: int, tmp_path: Path) -> None:
    source = Tensor("x", (2, 3, 8), dtype, np.array(0.5))
    module, device = load(tiny_design(source), lambda frame: frame[:5], path=tmp_path, axis_in=(8, box))
    images = np.random.default_rng(1).normal(0, 1, (4, 8, 2, 3)).astype(np.float32)
    codes = source.quantize(images.transpose(0, 2, 3, 1))
    with module.Accelerator() as accelerator:
        assert np.array_equal(accelerator.quantize(images), codes)
        accelerator.run(images)
    beats = to_beats(codes, AxisFormat(8, box))
    expected = [b"".join(int(word).to_bytes(box, "little") for word in frame) for frame in beats]
    assert device.frames == expected
    sent = np.frombuffer(b"".join(expected), dtype=np.uint8).reshape(4, -1)
    assert np.array_equal(accelerator.source.from_bytes(sent), codes)


def test_wide_signed_containers(load: Callable[..., Any]) -> None:
    source = Tensor("x", (4,), IntType(12, signed=True), np.array(1.0), 0)
    result = Tensor("y", (2, 1, 2), IntType(20, signed=True), np.array(2.0), 0)
    compute = lambda frame: np.frombuffer(frame, "<i2").astype("<i4").tobytes()  # noqa: E731
    module, device = load(tiny_design(source, result), compute, axis_in=(2, 16), axis_out=(1, 32))
    accelerator = module.Accelerator()
    codes = np.array([[-2048, 2047, -1, 0]])
    assert np.array_equal(accelerator.run(codes), 2.0 * codes.reshape(1, 2, 1, 2).transpose(0, 3, 1, 2))
    assert device.frames == [codes.astype("<i2").tobytes()]


@pytest.mark.parametrize(
    "ops, expected",
    [
        ((HostOp("ArgMax", 1),), lambda real: real.argmax(axis=1)),
        ((HostOp("ArgMax", -1, keep=True),), lambda real: real.argmax(axis=1, keepdims=True)),
        ((HostOp("ArgMax", last=True),), lambda real: 4 - real[:, ::-1].argmax(axis=1)),
        ((HostOp("ArgMax", 1, shape=(5, 1)),), lambda real: real.argmax(axis=1)[:, None]),
        ((HostOp("Softmax"),), lambda real: np.exp(real) / np.exp(real).sum(axis=1, keepdims=True)),
        ((HostOp("LogSoftmax", -1),), lambda real: real - np.log(np.exp(real).sum(axis=1, keepdims=True))),
        ((HostOp("Sigmoid"),), lambda real: 1 / (1 + np.exp(-real))),
        ((HostOp("Softmax", 1), HostOp("ArgMax", 1)), lambda real: real.argmax(axis=1)),
    ],
)
def test_host_operators(load: Callable[..., Any], ops: tuple[HostOp, ...], expected: Callable[..., Any]) -> None:
    module, _ = load(tiny_design(IMAGE, SCORES, ops), first_five)
    images = np.random.default_rng(2).normal(30, 60, (3, 4, 2, 3))
    accelerator = module.Accelerator()
    real = SCORES.dequantize(accelerator.run_codes(accelerator.quantize(images)))
    assert np.allclose(accelerator.run(images), expected(real))
    assert np.array_equal(accelerator.classify(images), real.argmax(axis=1))


@pytest.mark.parametrize("op", ["Softmax", "ArgMax"])
def test_host_operators_on_channels_of_an_image(load: Callable[..., Any], op: str) -> None:
    result = Tensor("y", (2, 3, 4), IntType(8, signed=False), np.array([0.1, 0.2, 0.3, 0.4]), 3)
    module, _ = load(tiny_design(result=result, host_ops=(HostOp(op, -1),)), bytes, axis_out=(4, 8))
    codes = np.random.default_rng(3).integers(0, 256, (3, 2, 3, 4))
    given = module.Accelerator().run(IMAGE.dequantize(codes).transpose(0, 3, 1, 2))
    real = result.dequantize(codes).transpose(0, 3, 1, 2)
    if op == "ArgMax":
        assert np.array_equal(given, real.argmax(axis=1))
    else:
        assert np.allclose(given, np.exp(real) / np.exp(real).sum(axis=1, keepdims=True))


def test_unknown_host_operator_is_our_mistake() -> None:
    with pytest.raises(AssertionError, match="Hardmax"):
        render(tiny_design(IMAGE, SCORES, (HostOp("Hardmax"),)))


def test_no_frames(load: Callable[..., Any]) -> None:
    module, device = load(tiny_design(), first_five)
    assert module.Accelerator().run(np.empty((0, 4, 2, 3))).shape == (0, 5)
    assert device.frames == []


def test_dma_that_never_finishes(load: Callable[..., Any]) -> None:
    module, device = load(tiny_design(), first_five)
    accelerator = module.Accelerator(timeout_s=0.05)
    device.delay = None
    with pytest.raises(
        module.AcceleratorError, match=r"no progress for 0\.05 s: DMA could not send frame 0 of 2"
    ) as caught:
        accelerator.run_codes(np.zeros((2, 2, 3, 4), dtype=int))
    assert "0 sent, 0 received; ERROR 0, FRAMES_IN 0, FRAMES_OUT 0" in str(caught.value)


def test_result_that_never_comes(load: Callable[..., Any]) -> None:
    module, device = load(tiny_design(), first_five)
    accelerator = module.Accelerator(timeout_s=0.05)
    device.take = lambda frame: True  # type: ignore[method-assign]
    with pytest.raises(module.AcceleratorError, match=r"could not receive frame 0 of 2.*2 sent, 0 received"):
        accelerator.run_codes(np.zeros((2, 2, 3, 4), dtype=int))


def test_slow_device_is_no_time_out(load: Callable[..., Any]) -> None:
    module, device = load(tiny_design(), first_five)
    device.delay = 2000
    accelerator = module.Accelerator(timeout_s=0.5)
    assert len(accelerator.run_codes(np.zeros((20, 2, 3, 4), dtype=int))) == 20


def test_dma_error_is_named(load: Callable[..., Any]) -> None:
    module, _ = load(tiny_design(), first_five)
    accelerator = module.Accelerator()
    accelerator.overlay.axi_dma_0.sendchannel.error = True
    with pytest.raises(module.AcceleratorError, match="DMA error while sending frame 0: DMA Slave Error"):
        accelerator.run_codes(np.zeros((1, 2, 3, 4), dtype=int))


def test_wrong_frame_length_is_reported_once(load: Callable[..., Any]) -> None:
    module, device = load(tiny_design(), first_five)
    accelerator = module.Accelerator()
    device.registers[stand_in.OFFSETS["ERROR"]] = 1
    with pytest.raises(module.AcceleratorError, match=r"wrong length .*ERROR 1"):
        accelerator.run_codes(np.zeros((1, 2, 3, 4), dtype=int))
    accelerator.run_codes(np.zeros((1, 2, 3, 4), dtype=int))


def test_another_design(load: Callable[..., Any]) -> None:
    module, device = load(tiny_design(), first_five)
    device.registers[stand_in.OFFSETS["ID"]] = 0xFFFFFFFF
    with pytest.raises(module.AcceleratorError, match="the ID register reads 0xffffffff, expected 0x41444d4d"):
        module.Accelerator()
    assert device.writes == [], "a foreign design is not written to"


def test_another_model(load: Callable[..., Any]) -> None:
    module, device = load(tiny_design(), first_five)
    device.registers[stand_in.OFFSETS["MODEL"]] = 0x1234
    with pytest.raises(module.AcceleratorError, match="MODEL reads 00001234, this driver is for deadbeef"):
        module.Accelerator()


def test_overlay_without_our_cells(load: Callable[..., Any]) -> None:
    module, _ = load(tiny_design(), first_five)
    with pytest.raises(module.AcceleratorError, match="no accelerator_0 and no axi_dma_0"):
        module.Accelerator(types.SimpleNamespace())


@pytest.mark.parametrize("fault", ["stuck", "error", "short"])
def test_after_a_failed_transfer_it_is_closed(load: Callable[..., Any], fault: str) -> None:
    module, device = load(tiny_design(), first_five)
    accelerator = module.Accelerator(timeout_s=0.05)
    buffers = list(accelerator._buffers)
    if fault == "stuck":
        device.delay, message = None, "no progress for 0.05 s"
    elif fault == "error":
        accelerator.overlay.axi_dma_0.recvchannel.error, message = True, "DMA error while receiving frame 0"
    else:
        device.compute, message = (lambda frame: frame[:3]), "result 0 has 3 bytes, expected 5"
    with pytest.raises(module.AcceleratorError, match=message):
        accelerator.run_codes(np.zeros((2, 2, 3, 4), dtype=int))
    assert all(buffer.freed for buffer in buffers)
    for _ in range(2):
        with pytest.raises(module.AcceleratorError, match=rf"is closed \({message}.*open it again"):
            accelerator.run_codes(np.zeros((2, 2, 3, 4), dtype=int))
    accelerator.close()


# --- weights ---------------------------------------------------------------------------------------------------------

OTHER = "0badcafe" * 8
WEIGHTS = [
    Memory("pe.weights", np.arange(12).reshape(6, 2), 9, "fc", "dense"),
    Memory("pe.emits", np.ones((4, 1), dtype=np.int64), 1, "fc", "csr", signed=False, constant=True),
    Memory("requantize.parameters", np.array([[5], [6], [7]]), 5, "fc", "parameters"),
]


def image(interface: Any = None, structure: str | None = None, vectors: Any = None) -> bytes:
    """A container for the tiny design."""
    more = [] if vectors is None else [Memory("vectors.output", vectors, 8, "", "vectors", signed=False, constant=True)]
    return write_container(
        [*WEIGHTS, *more], OTHER, structure or structure_sha256(tiny_design(reloadable=True)), interface
    )


@pytest.fixture
def reloadable(load: Callable[..., Any]) -> Callable[..., Any]:
    def load_driver(**options: Any) -> tuple[Any, stand_in.Device, Any]:
        module, device = load(tiny_design(reloadable=True), first_five, **options)
        device.word_bytes = [3] * 6 + [1] * 3
        return module, device, module.Accelerator(timeout_s=0.05)

    return load_driver


def test_new_weights(reloadable: Callable[..., Any], tmp_path: Path) -> None:
    """The bytes of all memories but constant ones go out in order while no frame is inside; scales come with them."""
    _, device, accelerator = reloadable()
    meaning = {"input": {"scale": 0.25, "zero_point": 3}, "output": {"scale": 2.0, "zero_point": 0}}
    (tmp_path / "new.admm").write_bytes(image(meaning))
    accelerator.run_codes(np.zeros((2, 2, 3, 4), dtype=int))
    assert accelerator.load_weights(tmp_path / "new.admm") == accelerator.weights == OTHER
    expected = WEIGHTS[0].image() + WEIGHTS[2].image()
    assert bytes(device.loaded) == expected + bytes(-len(expected) % 4)
    assert device.registers[stand_in.OFFSETS["WEIGHTS"]] == 0x0BADCAFE
    codes = np.random.default_rng(0).integers(0, 256, (3, 2, 3, 4))
    real = accelerator.run(((codes - 3) * 0.25).transpose(0, 3, 1, 2))
    assert np.array_equal(real, 2.0 * codes.reshape(3, -1)[:, :5].astype(np.uint8).view(np.int8))


@pytest.mark.parametrize(
    "data, message",
    [
        (image()[:-1], "damaged memory container: cut"),
        (bytes([*image()[:-2], image()[-2] ^ 4, image()[-1]]), "damaged memory container: checksum of section"),
        (image(structure="12345678" * 8), r"for another design \(structure 12345678, this one is"),
        (b"PK", "wrong magic"),
    ],
)
def test_wrong_weights_change_nothing(reloadable: Callable[..., Any], data: bytes, message: str) -> None:
    module, device, accelerator = reloadable()
    writes = list(device.writes)
    with pytest.raises(module.AcceleratorError, match=message):
        accelerator.load_weights(data)
    assert device.writes == writes, "nothing may be written before everything is checked"
    assert accelerator.weights == SHA256
    accelerator.run_codes(np.zeros((1, 2, 3, 4), dtype=int))


def test_missing_file_and_constant_weights(reloadable: Callable[..., Any], load: Callable[..., Any]) -> None:
    module, _, accelerator = reloadable()
    with pytest.raises(module.AcceleratorError, match=r"cannot read nowhere\.admm: No such file"):
        accelerator.load_weights("nowhere.admm")
    module, _ = load(tiny_design(), first_five)
    with pytest.raises(module.AcceleratorError, match="weights of this build are constants"):
        module.Accelerator().load_weights(image())


def test_weights_wait_for_the_frames_inside(reloadable: Callable[..., Any]) -> None:
    module, device, accelerator = reloadable()
    device.results.append(b"12345")
    with pytest.raises(module.AcceleratorError, match=r"a frame is still inside after 0\.05 s, nothing was loaded"):
        accelerator.load_weights(image())
    assert not device.loaded
    assert accelerator.weights == SHA256
    assert not device.registers[stand_in.LOAD] & stand_in.HOLD, "frames are admitted again"


def test_weights_that_get_lost_stop_everything(reloadable: Callable[..., Any]) -> None:
    module, device, accelerator = reloadable()
    device.lost = 2
    with pytest.raises(module.AcceleratorError, match=r"did not come through \(5 of 9 words"):
        accelerator.load_weights(image())
    assert device.registers[stand_in.LOAD] & stand_in.HOLD, "no frame may run on half of the weights"
    with pytest.raises(module.AcceleratorError, match="weights in the accelerator are incomplete: load"):
        accelerator.run_codes(np.zeros((1, 2, 3, 4), dtype=int))
    accelerator.load_weights(image())
    accelerator.run_codes(np.zeros((1, 2, 3, 4), dtype=int))


def test_weights_of_somebody_else(load: Callable[..., Any]) -> None:
    module, device = load(tiny_design(reloadable=True), first_five)
    device.word_bytes = [3] * 6 + [1] * 3
    device.registers[stand_in.OFFSETS["WEIGHTS"]] = 0x1234
    accelerator = module.Accelerator()
    with pytest.raises(module.AcceleratorError, match=r"those of model 00001234\.\.\.: load weights first"):
        accelerator.run_codes(np.zeros((1, 2, 3, 4), dtype=int))
    accelerator.load_weights(image())
    accelerator.run_codes(np.zeros((1, 2, 3, 4), dtype=int))


def test_self_test_with_new_weights(reloadable: Callable[..., Any], tmp_path: Path) -> None:
    """Results that came with the weights are expected, no longer the build's."""
    write_vectors(tmp_path / "vectors", 3, last="ff")
    module, _, accelerator = reloadable(path=tmp_path)
    accelerator.load_weights(image(vectors=np.array([[f + i for i in range(5)] for f in range(3)])))
    with pytest.raises(module.AcceleratorError, match="frame 0, output 4"):
        accelerator.self_test(tmp_path / "vectors")
    assert accelerator.self_test() == 3


@pytest.mark.parametrize("shape", [(4, 2, 3), (1, 2, 3, 4), (1, 24)])
def test_wrong_image_shape(load: Callable[..., Any], shape: tuple[int, ...]) -> None:
    module, _ = load(tiny_design(), first_five)
    with pytest.raises(ValueError, match=r"expected \(N, 4, 2, 3\)"):
        module.Accelerator().run(np.zeros(shape))


def test_buffers_are_freed(load: Callable[..., Any]) -> None:
    module, _ = load(tiny_design(), first_five)
    with module.Accelerator() as accelerator:
        buffers = list(accelerator._buffers)
    assert len(buffers) == 2
    assert all(buffer.freed for buffer in buffers)


def write_vectors(folder: Path, frames: int, last: str = "04") -> None:
    """Beats of 4 bytes in, of 5 bytes out; byte i of frame f is f + i."""
    folder.mkdir(parents=True)
    beats = [bytes(f + i + k for k in range(4))[::-1].hex() for f in range(frames) for i in range(0, 24, 4)]
    (folder / "input.hex").write_text("".join(f"{beat}\n" for beat in beats))
    results = [bytes(f + i for i in range(5))[::-1].hex() for f in range(frames)]
    results[0] = last + results[0][2:]
    (folder / "output.hex").write_text("".join(f"{beat}\n" for beat in results))


def test_self_test(load: Callable[..., Any], tmp_path: Path) -> None:
    write_vectors(tmp_path / "vectors", 3)
    module, device = load(tiny_design(), first_five, path=tmp_path)
    assert module.Accelerator().self_test() == 3
    assert device.frames[1] == bytes(range(1, 25))


def test_self_test_names_the_difference(load: Callable[..., Any], tmp_path: Path) -> None:
    write_vectors(tmp_path / "vectors", 3, last="ff")
    module, _ = load(tiny_design(), first_five, path=tmp_path)
    with pytest.raises(module.AcceleratorError, match="frame 0, output 4: 4, expected -1"):
        module.Accelerator().self_test()


def test_command_line(load: Callable[..., Any], tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    write_vectors(tmp_path / "vectors", 3)
    module, _ = load(tiny_design(), first_five, path=tmp_path)
    monkeypatch.setattr(sys, "argv", ["accelerator_pynq.py"])
    module.main()
    printed = capsys.readouterr().out
    assert "self-test passed: 3 frames, 0 mismatches" in printed
    assert "FRAMES_OUT: 3" in printed


def test_header_compiles_and_has_every_register(tmp_path: Path) -> None:
    header = render(tiny_design())["registers.h"]
    for register in REGISTERS:
        assert f"#define ADMMFPGA_{register.name} 0x{register.offset:02x}u\n" in header
        for field in register.fields:
            assert f"#define ADMMFPGA_{register.name}_{field.name} (1u << {field.bit})" in header
    assert "#define ADMMFPGA_MODEL_VALUE 0xdeadbeefu" in header
    assert "#define ADMMFPGA_INPUT_BYTES 24u" in header
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    (tmp_path / "registers.h").write_text(header)
    (tmp_path / "main.c").write_text(
        '#include "registers.h"\n#include "registers.h"\n'
        '_Static_assert(ADMMFPGA_CONTROL_AUTO_RESTART == 0x80u && ADMMFPGA_ID_VALUE == 0x41444d4du, "values");\n'
        "int main(void) { return 0; }\n"
    )
    subprocess.run([compiler, "-std=c11", "-Wall", "-Wextra", "-Werror", "-c", "main.c"], cwd=tmp_path, check=True)


def test_register_table_is_complete() -> None:
    table = render(tiny_design())["registers.md"]
    rows = [line for line in table.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + sum(1 + len(register.fields) for register in REGISTERS if not register.reloadable)
    rows = [line for line in render(tiny_design(reloadable=True))["registers.md"].splitlines() if line.startswith("|")]
    assert len(rows) == 2 + sum(1 + len(register.fields) for register in REGISTERS)
    assert len({line.count("|") for line in rows}) == 1


def test_rendering_is_deterministic() -> None:
    assert render(tiny_design()) == render(tiny_design())
