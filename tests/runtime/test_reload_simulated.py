"""Weights exchanged between frames in the running RTL, and in the HLS C++ behind the same ports, under stalls."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_fit_weights import LAYOUTS, SHA256, build_of, changed, imported, network

from admmfpga.boards import load_board
from admmfpga.codegen.render import render_design, write_files
from admmfpga.host import AcceleratorError
from admmfpga.network.reference import run
from admmfpga.runtime import accelerator
from admmfpga.runtime.build import Build
from admmfpga.runtime.reload import fit_weights
from made import random_frames


@pytest.mark.slow
@pytest.mark.parametrize("device, layout", [("sim", LAYOUTS[1]), ("sim", LAYOUTS[2]), ("hls_sim", LAYOUTS[0])])
def test_reload(device: str, layout: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng, made = np.random.default_rng(1), network(4)
    described = build_of(made, layout)  # type: ignore[arg-type]
    board = load_board("pynq")
    write_files(tmp_path, render_design(described.design, board, board.clock_mhz, SHA256))
    build = Build(tmp_path, described.design, SHA256, {})
    monkeypatch.setattr(accelerator, "open_build", lambda folder: build)
    new = [fit_weights(build, imported(changed(made, rng))) for _ in range(2)]
    codes = random_frames(made, 12, rng)
    with accelerator.Accelerator(tmp_path, device, stall_percent=40, seed=5, timeout_s=300) as opened:
        counted = 0
        for weights in (None, *new, new[0]):
            design = described.design if weights is None else weights.design
            if weights is not None:
                opened.load_weights(weights.image)
            np.testing.assert_array_equal(opened.run_codes(codes), run(design.original, codes))
            # A damaged image in between changes nothing.
            broken = bytearray(new[1].image)
            broken[len(broken) // 2] ^= 16
            with pytest.raises(AcceleratorError, match="damaged"):
                opened.load_weights(bytes(broken))
            assert opened.self_test() == 4
            counted += len(codes) + 4
            counters = opened.counters()
            assert counters["FRAMES_IN"] == counters["FRAMES_OUT"] == counted
            assert counters["ERROR"] == 0
        assert counters["INPUT_STALLS"] > 0
