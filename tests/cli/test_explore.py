"""`explore`: the front, its files, and what it says where nothing fits."""

import json
import re
from itertools import pairwise

import pytest

TINY = """
name = "tiny"
aliases = []
title = "Tiny"
vendor = "nobody"
family = "xc7"
part = "none"
board_part = ""
processor = "none"
port_bits = 0
source = "made up"
[resources]
lut = 400
ff = 800
bram18 = 1
dsp = 1
uram = 0
source = "made up"
[clock]
default_mhz = 100
source = "made up"
[memory]
type = "none"
size_mb = 1
data_bits = 8
data_rate_mt_s = 1
source = "made up"
"""


@pytest.fixture(scope="module")
def explored(files, admmfpga, tmp_path_factory):
    folder = tmp_path_factory.mktemp("explored")
    (folder / "tiny.toml").write_text(TINY)
    arguments = ("--calibration", files / "calibration.npz", "--board", "pynq", "--board", folder / "tiny.toml")
    result = admmfpga("explore", files / "model.onnx", *arguments, "--points", 6, "-o", folder / "out")
    assert result.exit_code == 0, result.stderr
    return folder, arguments, result


def test_front_is_one(explored):
    folder, _, _ = explored
    found = json.loads((folder / "out" / "explore.json").read_text())
    pynq, tiny = found["boards"]
    points = pynq["points"]
    assert len(points) > 2
    intervals = [point["frame_interval_cycles"] for point in points]
    assert intervals == sorted(set(intervals))
    assert intervals[0] >= max(pynq["bounds"].values())
    for faster, slower in pairwise(points):
        assert any(faster["resources"][name] > slower["resources"][name] for name in slower["resources"])
    for point in points:
        assert all(point["resources"][name] <= pynq["usable"][name] for name in point["resources"])
        assert point["throughput_fps"] == pytest.approx(1e8 / point["frame_interval_cycles"], abs=1e-3)
    assert not tiny["fits"]
    assert not tiny["points"]


def test_first_point_is_what_compile_builds(explored, files, admmfpga):
    folder, _, _ = explored
    found = json.loads((folder / "out" / "explore.json").read_text())
    checked = admmfpga(
        "check", files / "model.onnx", "--calibration", files / "calibration.npz", "--board", "pynq", "--json"
    )
    fastest = json.loads(checked.stdout)["frame_interval_cycles"]
    assert fastest == found["boards"][0]["points"][0]["frame_interval_cycles"]


def test_page_needs_nothing_else(explored):
    folder, _, _ = explored
    page = (folder / "out" / "explore.html").read_text()
    assert page.count("<svg") >= 3
    assert "does not fit tiny" in page
    assert not re.search(r"<script|<link|src=|url\(", page)


def test_text_names_boards_bounds_and_reasons(explored):
    text = explored[2].stdout
    assert "pynq-z2" in text
    assert "no folding is faster than" in text
    assert re.search(r"does not fit tiny: .*usable", text)
    assert "hint: " in text


def test_fitting_nowhere_is_an_error(explored, files, admmfpga):
    folder, _, _ = explored
    result = admmfpga(
        "explore",
        files / "model.onnx",
        "--calibration",
        files / "calibration.npz",
        "--board",
        folder / "tiny.toml",
        "--json",
    )
    assert result.exit_code == 2
    assert "does not fit tiny" in result.stderr
    assert json.loads(result.stdout)["boards"][0]["reason"]
