"""Programs of torch.export as MODEL: the same function under the same layer names, and nothing in them is executed."""

from __future__ import annotations

import json
import pickle
import random
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from compress_made import tiny_network
from torch import Tensor, nn

from admmfpga.compress import source, structure, torch_source
from admmfpga.compress.models import resnet8, vgg16
from admmfpga.compress.recipe import weighted_layers
from admmfpga.errors import UserError


class Odd(nn.Module):
    """What the networks of `models` do not have."""

    def __init__(self) -> None:
        super().__init__()
        self.deep = nn.ModuleDict({"conv": nn.Conv2d(3, 4, 3, padding="same"), "norm": nn.BatchNorm2d(4, affine=False)})
        self.grouped = nn.Conv2d(4, 8, (3, 1), stride=(2, 1), padding=(1, 0), groups=2, bias=False)
        self.drop = nn.Dropout(0.3)
        self.fc = nn.Linear(8, 5, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        hidden = torch.relu_(self.deep["norm"](self.deep["conv"](images)))
        hidden = nn.functional.avg_pool2d(self.grouped(hidden), 2, padding=1)
        hidden = nn.functional.max_pool2d(hidden, 3, 1)
        hidden = self.drop(hidden).contiguous().mean((2, 3), keepdim=True)
        return self.fc(hidden.view(hidden.shape[0], -1))


def saved(model: nn.Module, images: Tensor, path: Path, *, dynamic: bool = False) -> Path:
    shapes = ({0: torch.export.Dim("batch", min=2)},) if dynamic else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own exporter
        torch.export.save(torch.export.export(model, (images,), dynamic_shapes=shapes), path)
    return path


def altered(path: Path, change: Callable[[str, bytes], bytes]) -> Path:
    """The archive with files rewritten."""
    with zipfile.ZipFile(path) as old:
        contents = {name: change(name, old.read(name)) for name in old.namelist()}
    with zipfile.ZipFile(path, "w") as new:
        for name, data in contents.items():
            new.writestr(name, data)
    return path


@pytest.mark.parametrize("dynamic", [False, True], ids=["fixed", "dynamic"])
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("make", [lambda: resnet8(4), lambda: vgg16(2), Odd], ids=["resnet8", "vgg16", "odd"])
def test_the_same_function_under_the_same_names(
    make: Callable[[], nn.Module], training: bool, dynamic: bool, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model, images = make(), torch.rand(3, 3, 32, 32)
    model(images)  # moves the running statistics
    path = saved(model.train(training), images, tmp_path / "model.pt2", dynamic=dynamic)
    loaded = source.load(str(path)).eval()
    model.eval()
    with torch.no_grad():
        assert torch.allclose(loaded(images), model(images), atol=1e-5)
    expected = weighted_layers(model)
    found = weighted_layers(loaded)
    assert list(found) == list(expected)
    assert all(torch.equal(found[name].weight, layer.weight) for name, layer in expected.items())
    if not isinstance(model, Odd):
        assert [set(one.producers) for one in structure.spaces(loaded, images[:1])] == [
            set(one.producers) for one in structure.spaces(model, images[:1])
        ]


def test_the_weights_option_takes_the_state_of_the_original(tmp_path: Path) -> None:
    path = saved(tiny_network(), torch.rand(2, 1, 8, 8), tmp_path / "tiny.pt2")
    other = tiny_network()
    torch.save(other.state_dict(), tmp_path / "weights.pt")
    loaded = source.load(str(path), tmp_path / "weights.pt")
    assert torch.equal(weighted_layers(loaded)["fc1"].weight, other.fc1.weight)


def test_all_unknown_operators_are_listed(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Sigmoid(), nn.Hardswish(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    with pytest.raises(UserError) as caught:
        torch_source.load(saved(model, torch.rand(2, 3, 8, 8), tmp_path / "odd.pt2"))
    for name in ("aten.sigmoid.default", "aten.hardswish.default", "aten.adaptive_avg_pool2d.default with these"):
        assert name in str(caught.value)


class Trap:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("suffix", [".pt2", ".pt", ".pth"])
def test_pickled_modules_are_refused_with_the_two_ways(tmp_path: Path, suffix: str) -> None:
    path, mark = tmp_path / f"model{suffix}", tmp_path / "executed"
    torch.save(tiny_network(), path)
    with pytest.raises(UserError, match="pickled module") as caught:
        source.load(str(path))
    assert "torch.export.save" in caught.value.hint
    assert "package.module:factory" in caught.value.hint
    for data in ({"model": Trap(mark)}, Trap(mark)):
        torch.save(data, path)
        with pytest.raises(UserError):
            source.load(str(path))
    path.write_bytes(pickle.dumps(Trap(mark)))
    with pytest.raises(UserError):
        source.load(str(path))
    assert not mark.exists()


def test_pickles_inside_an_archive_are_not_loaded(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    path = saved(tiny_network(), torch.rand(2, 1, 8, 8), tmp_path / "model.pt2")

    def poisoned(name: str, data: bytes) -> bytes:
        if name.endswith("weights_config.json"):
            config = json.loads(data)
            config["config"]["conv1.weight"]["use_pickle"] = True
            return json.dumps(config).encode()
        return pickle.dumps(Trap(mark)) if name.endswith(("weight_0", ".pt")) else data

    with pytest.raises(UserError, match=r"conv1\.weight is pickled"):
        source.load(str(altered(path, poisoned)))
    assert not mark.exists()


def test_example_inputs_are_not_looked_at(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    path = saved(tiny_network(), torch.rand(2, 1, 8, 8), tmp_path / "model.pt2")
    altered(path, lambda name, data: pickle.dumps(Trap(mark)) if "sample_inputs" in name else data)
    assert list(weighted_layers(source.load(str(path)))) == ["conv1", "conv2", "fc1", "fc2"]
    assert not mark.exists()


def test_files_that_are_something_else(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read"):
        source.load(str(tmp_path / "none.pt2"))
    torch.save(tiny_network().state_dict(), tmp_path / "weights.pt")
    with pytest.raises(UserError, match="weights without a model") as caught:
        source.load(str(tmp_path / "weights.pt"))
    assert "--weights" in caught.value.hint
    (tmp_path / "empty.pt2").write_bytes(b"")
    with pytest.raises(UserError):
        source.load(str(tmp_path / "empty.pt2"))


def test_damage_ends_in_one_message(tmp_path: Path) -> None:
    path = saved(tiny_network(), torch.rand(2, 1, 8, 8), tmp_path / "model.pt2")
    data = path.read_bytes()
    generator = random.Random(0)
    refused = 0
    for trial in range(150):
        damaged = bytearray(data)
        if trial % 3 == 0:
            del damaged[generator.randrange(len(damaged)) :]
        else:
            for _ in range(1 + trial % 5):
                damaged[generator.randrange(len(damaged))] ^= 1 << generator.randrange(8)
        path.write_bytes(damaged)
        try:
            source.load(str(path))
        except UserError:
            refused += 1
    assert refused >= 100


@pytest.mark.parametrize("key", ["nodes", "tensor_values"])
def test_a_graph_without_its_parts_is_damaged(tmp_path: Path, key: str) -> None:
    path = saved(tiny_network(), torch.rand(2, 1, 8, 8), tmp_path / "model.pt2")

    def without(name: str, data: bytes) -> bytes:
        if not name.endswith("models/model.json"):
            return data
        program = json.loads(data)
        del program["graph_module"]["graph"][key]
        return json.dumps(program).encode()

    with pytest.raises(UserError, match="damaged"):
        source.load(str(altered(path, without)))
