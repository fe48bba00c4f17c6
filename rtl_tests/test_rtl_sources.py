"""All modules: conventions, lint with their default parameters, refusal of illegal parameters at elaboration."""

import subprocess

import pytest

import bench
from admmfpga.blocks import BLOCKS
from admmfpga.tools.verilator import verilator_environment

MODULES = sorted(path.stem for path in bench.rtl_folder().glob("*.sv"))
ILLEGAL = {
    "ram": [{"DEPTH": 0}],
    "rom": [{"WIDTH": 0}],
    "loader": [{"WIDTH": 0}, {"DEPTH": 0}],
    "weight_memory": [{"WIDTH": 0}],
    "delay": [{"DEPTH": 0}],
    "multiplier": [{"A_BITS": 4, "B_BITS": 4, "OUT_BITS": 9}],
    "adder_tree": [{"IN_BITS": 8, "OUT_BITS": 7}],
    "carry_adder_tree": [{"INPUTS": 0}],
    "packed_multiplier": [{"LANES": 1}, {"SPACING": 14}, {"IN_BITS": 18, "SPACING": 26}],
    "fifo": [{"DEPTH": 0}],
    "gearbox": [{"IN_REST": 0}, {"OUT_REST": 4}, {"IN_BEATS": 2}, {"BITS": 0}],
    "width_converter": [{"IN_LANES": 4, "OUT_LANES": 6}, {"BITS": 0}, {"UNIT_STEPS": 4}],
    "deal": [{"EXTRA": 0}, {"EXTRA": 5}, {"EXTRA": 1}, {"STORED": 3}],
    "window": [{"KERNEL_H": 9, "HEIGHT": 8}, {"PAD_LEFT": 3}, {"PAD_TOP": -1}, {"STRIDE_W": 0}, {"GROUPS": 0}],
    "dense_pe": [
        {"SIMD": 0},
        {"ACC_BITS": 0},
        {"PE": 3, "PACK": 2},
        {"PE": 2, "PACK": 2, "USE_DSP": 0},
        {"LUT_ROWS": 1},
        {"LUT_WEIGHT_ROWS": 1},
    ],
    "array_feed": [{"NEURON_FOLDS": 0}],
    "binary_pe": [{"SIMD": 0}, {"WEIGHT_BITS": 3}, {"IN_BIPOLAR": 1, "IN_BITS": 2}],
    "csr_pe": [{"LANES": 3, "IN_LANES": 2}, {"LANES": 2}, {"PARTIAL_DEPTH": 3}, {"SLOTS": 0}],
    "requantize": [{"SHIFT": 62}, {"MULTIPLIER_BITS": 25}, {"LOW": 3, "HIGH": 2}, {"OUT_BITS": 33}, {"GROUPS": 0}],
    "threshold": [{"COUNT": 2}, {"COUNT": 16, "OUT_BITS": 5}, {"LANES": 0}],
    "unrolled_pe": [{"OUT_LANES": 0}, {"STAGES": 0}],
    "max_pool": [{"TAPS": 0}],
    "axis_input": [{"BITS": 9, "CONTAINER_BITS": 8}, {"CONTAINER_BITS": 12}, {"BEATS": 0}],
    "engine_scratchpad": [{"DEPTH": 1}],
    "engine_serial": [{"SIMD": 4}, {"SIMD": 12}],
    "engine_stream": [{"WORD_BYTES": 12}, {"WORD_BYTES": 48}, {"BURST": 512}],
    "engine_transfer": [{"WORD_BYTES": 8}],
    "engine_drain": [{"PE": 12}, {"REQUANT": 8}],
    "engine_compute": [{"PE": 12}],
    "axis_output": [{"BITS": 9, "CONTAINER_BITS": 8}, {"CONTAINER_BITS": 12}, {"BEATS": 0}],
}


def lint(module, folder, parameters, *options):
    """Verilator's verdict on a module: (fine, what it printed)."""
    bench.register_package(folder)
    libraries = ["-y", str(bench.rtl_folder()), "-y", str(folder)]
    arguments = ["--top-module", module, *(f"-G{name}={value}" for name, value in parameters.items())]
    done = subprocess.run(
        ["verilator", "--lint-only", "-Wall", *options, *libraries, *arguments, bench.rtl_folder() / f"{module}.sv"],
        env=verilator_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode == 0, done.stdout + done.stderr


def test_every_block_has_a_module():
    assert set(BLOCKS) <= set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_conventions(module):
    lines = (bench.rtl_folder() / f"{module}.sv").read_text().splitlines()
    assert lines[0].startswith("// "), "says first what it is"
    code = [line for line in lines if line and not line.startswith("//")]
    assert code[0] == "`default_nettype none"
    assert code[1].startswith(f"module {module}")
    assert code[-1] == "`default_nettype wire"


@pytest.mark.parametrize("module", MODULES)
def test_lint(module, tmp_path):
    fine, text = lint(module, tmp_path, {})
    assert fine, text


def test_lint_with_counters_of_a_simulation(tmp_path):
    fine, text = lint("csr_pe", tmp_path, {}, "+define+ADMMFPGA_SLOTS")
    assert fine, text


@pytest.mark.parametrize(
    "module, parameters", [(module, parameters) for module, sets in ILLEGAL.items() for parameters in sets]
)
def test_illegal_parameters(module, parameters, tmp_path):
    fine, text = lint(module, tmp_path, parameters)
    assert not fine
    assert f"{module}: " in text, text
