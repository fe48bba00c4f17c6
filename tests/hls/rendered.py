"""Renders the HLS C++ of a design into a folder."""

from __future__ import annotations

from pathlib import Path

from admmfpga.codegen.environment import make_environment
from admmfpga.codegen.frames import Beats, from_beats, to_beats
from admmfpga.codegen.hls import render_hls
from admmfpga.mapping import Design
from admmfpga.network import IntArray


def write_hls(design: Design, folder: Path) -> None:
    files = render_hls(design, make_environment(), part="xc7z020clg400-1", clock_mhz=100.0)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def in_beats_of(design: Design, codes: IntArray) -> Beats:
    return to_beats(codes, design.formats[0])


def out_beats_of(design: Design, codes: IntArray) -> Beats:
    return to_beats(codes, design.formats[1])


def results_of(design: Design, beats: Beats) -> IntArray:
    return from_beats(beats, design.formats[1], design.output.dtype, design.output.shape)
