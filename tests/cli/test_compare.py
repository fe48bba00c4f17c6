"""`compare`: what it prints, writes and refuses."""

import csv
import json

import numpy as np
import onnx
import pytest
from onnx import numpy_helper


def variant(model, change):
    """The model with its weights changed."""
    copy = onnx.ModelProto.FromString(model.SerializeToString())
    for tensor in copy.graph.initializer:
        if tensor.name.startswith("w"):
            weights = numpy_helper.to_array(tensor).copy()
            change(weights.reshape(len(weights), -1))
            tensor.CopyFrom(numpy_helper.from_array(weights, tensor.name))
    return copy


def remove_columns(matrix):
    matrix[:, np.arange(matrix.shape[1]) % 4 != 0] = 0


def remove_small(matrix):
    matrix[np.abs(matrix) < np.quantile(np.abs(matrix), 0.8)] = 0


@pytest.fixture(scope="module")
def models(files, tmp_path_factory):
    """Dense, structured and non-structured forms of the small model."""
    folder = tmp_path_factory.mktemp("models")
    dense = onnx.load(files / "model.onnx")
    for name, model in {
        "dense": dense,
        "structured": variant(dense, remove_columns),
        "scattered": variant(dense, remove_small),
    }.items():
        onnx.save(model, folder / f"{name}.onnx")
    return [folder / f"{name}.onnx" for name in ("dense", "structured", "scattered")]


@pytest.fixture(scope="module")
def compared(models, files, admmfpga, tmp_path_factory):
    """(folder, result) of a comparison with labels under a budget."""
    folder = tmp_path_factory.mktemp("compared") / "out"
    result = admmfpga(
        "compare", *models, "--calibration", files / "calibration.npz", "--images", files / "test.npz",
        "--budget", "lut=8000, DSP=20", "-o", folder,
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    return folder, result


def test_kinds_are_seen_from_the_weights(compared):
    found = json.loads((compared[0] / "compare.json").read_text())
    assert {n["name"]: n["kind"] for n in found["networks"]} == {
        "dense": "dense", "structured": "structured", "scattered": "non-structured",
    }  # fmt: skip
    assert (found["dense"]["name"], found["dense"]["positions"]) == ("dense", 4 * 9 + 5 * 64)
    assert found["networks"][1]["pruning_rate"] == pytest.approx(4, rel=0.1)
    assert found["networks"][2]["pruning_rate"] == pytest.approx(5, rel=0.1)
    assert found["networks"][2]["accuracy"] is not None


def test_every_design_is_within_the_budget(compared):
    found = json.loads((compared[0] / "compare.json").read_text())
    assert found["budget"]["lut"] == 8000
    assert found["budget"]["dsp"] == 20
    for network in found["networks"]:
        assert any(design["fits"] for design in network["designs"])
        for design in network["designs"]:
            if not design["fits"]:
                assert design["reason"]
                continue
            assert design["share"] <= 1
            for name, limit in found["budget"].items():
                assert design["resources"][name]["used"] <= limit
            assert design["throughput_fps"] == pytest.approx(1e8 / design["frame_interval_cycles"], rel=1e-6)
        shares = [point["share"] for point in sorted(network["pareto"], key=lambda p: p["throughput_fps"])]
        assert shares == sorted(shares)


def test_files_and_text_tell_the_same(compared):
    folder, result = compared
    assert sorted(path.name for path in folder.iterdir()) == ["compare.csv", "compare.html", "compare.json"]
    found = json.loads((folder / "compare.json").read_text())
    lines = list(csv.DictReader((folder / "compare.csv").read_text().splitlines()))
    assert len(lines) == 3 * 3
    for line, network in zip(lines[::3], found["networks"], strict=True):
        assert int(line["kept"]) == network["storage"]["kept"]
        layers = [x for x in lines if x["network"] == line["network"] and x["layer"] != "all"]
        assert int(line["best_bits"]) == sum(int(layer["best_bits"]) for layer in layers)
    assert found["verdict"] in result.stdout
    assert found["verdict"].split(".")[0] in (folder / "compare.html").read_text()


def test_json_for_machines_and_no_dense_network(models, files, admmfpga):
    result = admmfpga("compare", *models[1:], "--calibration", files / "calibration.npz", "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert result.stderr == ""
    assert found["dense"]["basis"] == "with every weight there; no dense network is given"
    assert found["dense"]["frame_interval_cycles"] >= found["networks"][0]["designs"][0]["frame_interval_cycles"]
    for network in found["networks"]:
        assert network["designs"][0]["ppr"] == pytest.approx(
            network["pruning_rate"] * network["designs"][0]["frame_interval_cycles"]
            / found["dense"]["frame_interval_cycles"],
            rel=1e-3,
        )  # fmt: skip


def test_builds_bring_their_simulation_and_synthesis(models, files, admmfpga, tmp_path):
    calibration = ("--calibration", files / "calibration.npz")
    assert admmfpga("compile", models[1], *calibration, "-o", tmp_path / "build").exit_code == 0
    report = json.loads((tmp_path / "build" / "report.json").read_text())
    interval = report["frame_interval_cycles"]
    rtl = {"frames": 7, "mismatches": 0, "accuracy": None, "latency_cycles": 5, "frame_interval_cycles": interval}
    report["verification"] = {"rtl": rtl}
    report["synthesis"] = {
        "tool": "yosys",
        "version": "0.70",
        "resources": {"lut": 1234, "ff": 5, "bram18": 6, "dsp": 7},
    }
    (tmp_path / "build" / "report.json").write_text(json.dumps(report))
    result = admmfpga("compare", tmp_path / "build", models[2], *calibration, "--json")
    assert result.exit_code == 0, result.stderr
    first, second = (network["designs"][0] for network in json.loads(result.stdout)["networks"])
    assert first["cycles_source"] == "RTL simulation, 7 frames without a mismatch"
    assert first["resources"]["lut"] == {"used": 1234, "available": 53200, "source": "synthesized (yosys 0.70)"}
    assert second["cycles_source"].startswith("closed form")
    # Under another budget it is another design, and nothing is taken from the build.
    result = admmfpga("compare", tmp_path / "build", models[2], *calibration, "--budget", "dsp=3,lut=6000", "--json")
    found = json.loads(result.stdout)["networks"][0]["designs"][0]
    assert found["cycles_source"].startswith("closed form")
    assert "holds another design" in result.stderr


@pytest.mark.slow
def test_cycles_are_measured_in_simulation(models, files, admmfpga, tmp_path):
    result = admmfpga(
        "compare", *models[1:], "--calibration", files / "calibration.npz", "--simulate", 3, "-o", tmp_path / "out",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    for network in json.loads((tmp_path / "out" / "compare.json").read_text())["networks"]:
        best = next(design for design in network["designs"] if design["pe"] == network["best_pe"])
        assert best["cycles_source"].startswith("RTL simulation, ")
        assert (tmp_path / "out" / "builds" / network["name"] / "report.json").is_file()
    # What a build has measured of the same design is not measured again.
    builds = [tmp_path / "out" / "builds" / network.name for network in sorted((tmp_path / "out" / "builds").iterdir())]
    result = admmfpga("compare", *builds, "--simulate", 3, "-o", tmp_path / "again")
    assert result.exit_code == 0, result.stderr
    for network in json.loads((tmp_path / "again" / "compare.json").read_text())["networks"]:
        best = next(design for design in network["designs"] if design["pe"] == network["best_pe"])
        assert best["cycles_source"].startswith("RTL simulation, ")
    assert not (tmp_path / "again" / "builds").exists()


def refused(result, *words):
    assert result.exit_code == 2, result.stdout
    assert sum(line.startswith("error: ") for line in result.stderr.splitlines()) == 1, result.stderr
    for word in words:
        assert word in result.stderr
    assert "Traceback" not in result.stderr


def test_one_network_is_refused(models, admmfpga):
    refused(admmfpga("compare", models[0]), "two or more")


def test_the_same_network_twice_is_refused(models, admmfpga):
    refused(admmfpga("compare", models[0], models[0]), "given twice")


@pytest.mark.parametrize(
    "budget, words",
    [
        ("luts=5", "unknown resource 'luts'"),
        ("lut", "is not NAME=AMOUNT"),
        ("lut=-5", "is not NAME=AMOUNT"),
        ("", "unknown resource ''"),
        ("bram=5,bram18=6", "given twice"),
        ("dsp=221", "more than the 220"),
    ],
)
def test_budget_that_makes_no_sense_is_refused(models, admmfpga, budget, words):
    refused(admmfpga("compare", *models, "--budget", budget), words, "hint: ")


def test_nothing_fits(models, admmfpga, tmp_path):
    result = admmfpga("compare", *models[1:], "--budget", "lut=50", "-o", tmp_path / "out")
    refused(result, "none of the networks fits", "lut", "hint: ")
    assert list(tmp_path.iterdir()) == []


def test_missing_file_is_refused(models, admmfpga, tmp_path):
    refused(admmfpga("compare", models[0], tmp_path / "none.onnx"), "none.onnx")


def test_builds_need_a_place(models, admmfpga):
    refused(admmfpga("compare", *models, "--simulate", 3), "-o DIR")


def test_two_sources_of_images_are_refused(models, files, admmfpga):
    refused(admmfpga("compare", *models, "--images", files / "test.npz", "--dataset", "mnist"), "either")


def test_folder_that_cannot_be_written(models, files, admmfpga, tmp_path):
    (tmp_path / "file").write_text("mine")
    result = admmfpga("compare", *models, "--calibration", files / "calibration.npz", "-o", tmp_path / "file")
    refused(result, "cannot be written")
    assert (tmp_path / "file").read_text() == "mine"
