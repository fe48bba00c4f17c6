"""`simulate`: agreement, its report, and what it refuses."""

import hashlib
import json
import re
import shutil

import numpy as np
import pytest


@pytest.fixture
def copy(compiled, tmp_path):
    """A build of one's own to damage."""
    shutil.copytree(compiled, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.mark.slow
def test_all_implementations_agree(files, compiled, admmfpga):
    result = admmfpga("simulate", compiled, "--images", files / "test.npz", "--count", 12, "--json")
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    report = json.loads((compiled / "report.json").read_text())
    assert told["verification"] == report["verification"]
    assert set(report["verification"]) == {"reference", "hls", "rtl", "hls_dpi"}
    for found in report["verification"].values():
        assert found["frames"] == 12
        assert found["mismatches"] == 0
        assert found["accuracy"] == report["verification"]["reference"]["accuracy"]
    rtl = report["verification"]["rtl"]
    assert rtl["latency_cycles"] == report["latency_cycles"]
    assert rtl["frame_interval_cycles"] == report["frame_interval_cycles"]
    assert told["protocol"]["rtl"]["failed"] == told["protocol"]["hls_dpi"]["failed"] == 0
    # Simulating again is not refused because of what the first time wrote.
    again = admmfpga("simulate", compiled, "--images", files / "test.npz", "--implementation", "hls")
    assert again.exit_code == 0, again.stderr
    assert "reference" in again.stdout


@pytest.mark.slow
def test_disagreement_is_exit_1_with_layer_index_and_values(files, copy, admmfpga):
    # The manifest is mended, so that the damage reaches the simulation as a wrong generator would.
    path = copy / "hls" / "weights" / "fc_pe.weights.inc"
    assert path.is_file(), sorted(p.name for p in path.parent.iterdir())
    path.write_text(re.sub(r"0x[0-9a-f]+", lambda m: hex(int(m[0], 16) ^ 0x40), path.read_text()))
    manifest = json.loads((copy / "manifest.json").read_text())
    entry = manifest["files"]["hls/weights/fc_pe.weights.inc"]
    entry["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    entry["size"] = path.stat().st_size
    (copy / "manifest.json").write_text(json.dumps(manifest))
    result = admmfpga("simulate", copy, "--images", files / "test.npz", "--implementation", "hls")
    assert result.exit_code == 1
    assert "layer fc" in result.stderr
    assert "expected" in result.stderr


def refused(result, *words):
    assert result.exit_code == 2, result.stdout
    assert result.stderr.count("error: ") == 1, result.stderr
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr


def test_flipped_bit_in_a_memory_image_is_refused(files, copy, admmfpga):
    path = next((copy / "memory").glob("*.mem"))
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)
    refused(admmfpga("simulate", copy, "--images", files / "test.npz"), path.name)


def test_flipped_bit_in_the_container_is_refused(files, copy, admmfpga):
    path = copy / "memory" / "weights.admm"
    data = bytearray(path.read_bytes())
    data[-3] ^= 16
    path.write_bytes(data)
    refused(admmfpga("simulate", copy, "--images", files / "test.npz"), "weights.admm")


def test_images_of_the_wrong_shape_are_refused(compiled, admmfpga, tmp_path):
    np.savez(tmp_path / "wrong.npz", images=np.zeros((2, 1, 9, 8), np.float32))
    refused(admmfpga("simulate", compiled, "--images", tmp_path / "wrong.npz"), "1 x 9 x 8", "1 x 8 x 8")


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 and then nothing"])
def test_files_that_are_no_npz_are_refused(compiled, admmfpga, tmp_path, content):
    (tmp_path / "bad.npz").write_bytes(content)
    refused(admmfpga("simulate", compiled, "--images", tmp_path / "bad.npz"), "bad.npz")


def test_npz_without_images_is_refused(compiled, admmfpga, tmp_path):
    np.savez(tmp_path / "bad.npz", pictures=np.zeros(3))
    refused(admmfpga("simulate", compiled, "--images", tmp_path / "bad.npz"), "pictures")


def test_pickled_images_are_refused(compiled, admmfpga, tmp_path):
    np.savez(tmp_path / "bad.npz", images=np.array([{}], dtype=object))
    refused(admmfpga("simulate", compiled, "--images", tmp_path / "bad.npz"), "bad.npz")


def test_labels_of_another_length_are_refused(compiled, admmfpga, tmp_path):
    np.savez(tmp_path / "bad.npz", images=np.zeros((2, 1, 8, 8), np.float32), labels=np.zeros(3, int))
    refused(admmfpga("simulate", compiled, "--images", tmp_path / "bad.npz"), "labels")


def test_nan_images_are_refused(compiled, admmfpga, tmp_path):
    np.savez(tmp_path / "bad.npz", images=np.full((2, 1, 8, 8), np.nan, np.float32))
    refused(admmfpga("simulate", compiled, "--images", tmp_path / "bad.npz"), "finite")


def test_folder_that_is_no_build_is_refused(files, admmfpga, tmp_path):
    refused(admmfpga("simulate", tmp_path, "--images", files / "test.npz"), "not a build folder")


def test_images_or_dataset_must_be_given(compiled, admmfpga):
    refused(admmfpga("simulate", compiled), "--images")
