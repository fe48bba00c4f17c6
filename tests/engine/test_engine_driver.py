"""The engine's host side: where codes lie in DRAM, and the rendered PYNQ driver against a stand-in of pynq."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import engine_stand_in as stand_in
import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from admmfpga.engine import driver
from admmfpga.engine.layers import lower
from admmfpga.engine.schedule import Program, make_program
from admmfpga.engine.shape import HEADER_BYTES, PARAMETER_BYTES
from admmfpga.errors import UserError
from admmfpga.host_engine import EngineHost
from admmfpga.network import IntType, Network
from admmfpga.network.reference import run
from engine_made import SHAPES, random_engine_network, random_frames
from made import NetworkMaker

SHA256 = "deadbeef" + "0123456789abcdef" * 3 + "01234567"


def small(seed: int = 0) -> tuple[Network, Program]:
    rng = np.random.default_rng(seed)
    made = (
        NetworkMaker((6, 5, 3), IntType(8, False), rng)
        .conv(9, (3, 3), pads=(1, 1, 1, 1), bits=8)
        .flatten()
        .dense(7, bits=8)
    )
    network = made.done()
    return network, make_program(lower(network, SHAPES[0]), SHAPES[0])


def write(folder: Path, network: Network, program: Program) -> None:
    """What a build has for its host."""
    files = driver.render(network, program, SHA256, seconds=0.001)
    files |= {"program/stream.bin": program.stream().tobytes()}
    files |= {"program/transfers.bin": program.transfer_list().tobytes()}
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    """Import a build's driver with `pynq` replaced; returns (module, engine)."""

    def load_driver(network: Network, program: Program, **faults: Any) -> tuple[Any, stand_in.Engine]:
        write(tmp_path, network, program)
        engine = stand_in.Engine(faults.pop("shape", program.shape), **faults)
        monkeypatch.setattr(stand_in.Overlay, "engine", engine, raising=False)
        fake: Any = types.ModuleType("pynq")
        fake.Overlay, fake.allocate = stand_in.Overlay, engine.allocate
        monkeypatch.setitem(sys.modules, "pynq", fake)
        module: Any = types.ModuleType("accelerator_pynq")
        module.__file__ = str(tmp_path / "driver" / "accelerator_pynq.py")
        monkeypatch.setitem(sys.modules, "accelerator_pynq", module)
        exec(compile(Path(module.__file__).read_text(), module.__file__, "exec"), module.__dict__)
        return module, engine

    return load_driver


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(range(len(SHAPES))))
def test_the_host_arranges_frames_and_finds_results_as_the_program_does(seed: int, which: int) -> None:
    rng = np.random.default_rng(seed)
    network = random_engine_network(rng)
    try:
        program = make_program(lower(network, SHAPES[which]), SHAPES[which])
    except UserError:
        reject()
    frames = random_frames(network, 1, rng)
    data = rng.integers(0, 256, program.output_bytes, dtype=np.uint8)
    elements = network.tensors[network.inputs[0]].elements

    class Arranged(EngineHost):
        def __init__(self) -> None:
            description, numbers = driver.describe(network, program, SHA256, Path())
            super().__init__(description, numbers, timeout_s=1)

        def _file(self, name: str, dtype: str) -> Any:
            return driver.input_places(program, elements) if name == "input.bin" else driver.output_places(program)

        def _frame(self, given: Any) -> Any:
            assert np.array_equal(given, program.frame_bytes(frames[0]))
            return data

    assert np.array_equal(Arranged().run_codes(frames)[0], program.result(data))


def test_frames_run_from_the_memory_that_the_registers_point_at(load: Callable[..., Any]) -> None:
    network, program = small()
    module, engine = load(network, program)
    frames = random_frames(network, 3, np.random.default_rng(1))
    with module.Accelerator() as accelerator:
        assert np.array_equal(accelerator.run_codes(frames), run(network, frames))
        assert accelerator.counters() == {"CYCLES": 3000, "BUSY": 900}
        images = network.tensors[network.inputs[0]].dequantize(frames).transpose(0, 3, 1, 2)
        real = network.tensors[network.outputs[0]].dequantize(run(network, frames))
        assert np.array_equal(accelerator.run(images), real)
    assert [buffer.freed for buffer in engine.buffers] == [True] * 3
    with pytest.raises(module.AcceleratorError, match="closed"):
        accelerator.run_codes(frames)


def test_self_test(load: Callable[..., Any], capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    module, engine = load(*small())
    monkeypatch.setattr(sys, "argv", ["accelerator_pynq.py"])
    module.main()
    assert f"self-test passed: {engine.frames} frames" in capsys.readouterr().out
    assert engine.frames > 1


def test_a_program_that_is_not_what_it_was_fails_the_self_test(load: Callable[..., Any]) -> None:
    network, program = small()
    module, engine = load(network, program)
    accelerator = module.Accelerator()
    # Biases and multipliers of the last command.
    begin = program.shape.header_words * program.shape.word_bytes + len(program.commands[-1].weights.data)
    first = program.stream_bytes - begin + HEADER_BYTES
    engine.buffers[0].dram[first : first + PARAMETER_BYTES * program.shape.pe] ^= 0x10
    with pytest.raises(module.AcceleratorError, match="self-test failed: frame 0, output"):
        accelerator.self_test()


def test_weights_are_the_programs(load: Callable[..., Any], tmp_path: Path) -> None:
    module, _ = load(*small())
    with pytest.raises(module.AcceleratorError, match="open that build"):
        module.Accelerator().load_weights(tmp_path / "new.admm")


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        ({"ident": 0}, "ID register reads 0x00000000"),
        ({"shape": SHAPES[2]}, "an engine of 16 x 16 multipliers, this build is for 8 x 8"),
        ({"offset": 64}, "no multiple of 4096"),
    ],
)
def test_what_is_not_this_builds_is_not_opened(faults: dict[str, Any], words: str, load: Callable[..., Any]) -> None:
    module, engine = load(*small(), **faults)
    with pytest.raises(module.AcceleratorError, match=words):
        module.Accelerator()
    assert all(buffer.freed for buffer in engine.buffers)
    assert engine.frames == 0


def test_a_frame_that_never_ends_is_given_up(load: Callable[..., Any]) -> None:
    network, program = small()
    module, engine = load(network, program, polls=None)
    accelerator = module.Accelerator(timeout_s=0.01)
    frames = random_frames(network, 2, np.random.default_rng(1))
    with pytest.raises(module.AcceleratorError, match=r"not complete after 0\.01 s \(CYCLES 0, BUSY 0\)"):
        accelerator.run_codes(frames)
    # The engine may still write: its memory is not given to others.
    assert not any(buffer.freed for buffer in engine.buffers)
    with pytest.raises(module.AcceleratorError, match="open it again"):
        accelerator.run_codes(frames)
    with pytest.raises(module.AcceleratorError, match="busy"):
        module.Accelerator().run_codes(frames)


def test_an_overlay_without_the_engine_is_refused(load: Callable[..., Any]) -> None:
    module, _ = load(*small())
    with pytest.raises(module.AcceleratorError, match="has no accelerator_0"):
        module.Accelerator(types.SimpleNamespace())


def test_a_build_without_places_is_refused(load: Callable[..., Any], tmp_path: Path) -> None:
    module, _ = load(*small())
    (tmp_path / "program" / "input.bin").unlink()
    with pytest.raises(module.AcceleratorError, match=r"input\.bin.*compile again"):
        module.Accelerator()
