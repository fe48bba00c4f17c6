"""Models that others exported, out of the onnx package: each one imports and agrees, or is refused with reasons."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import onnx
import pytest
from onnx_cases import Case, judge_model, judge_node, node_cases, torch_cases, with_weights

from admmfpga.frontend import unsupported

DATA = Path(onnx.__file__).parent / "backend" / "test" / "data"

LEAST_NODES, LEAST_EXPORTED, LEAST_WITH_WEIGHTS = 214, 76, 41
"""Cases that pass today; the rest is refused with a reason, see docs/conformance.md."""


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return node_cases()


def test_nodes(cases: list[Case], tmp_path: Path) -> None:
    verdicts = [judge_node(case, tmp_path) for case in cases]
    assert not [v for v in verdicts if v.outcome in ("failed", "crashed")]
    assert all(v.reason for v in verdicts if v.outcome == "refused")
    assert len(verdicts) == 317
    assert Counter(v.outcome for v in verdicts)["passed"] >= LEAST_NODES


def test_exported_from_torch(tmp_path: Path) -> None:
    paths = torch_cases()
    verdicts = [judge_model(path, tmp_path) for path in paths]
    assert not [v for v in verdicts if v.outcome in ("failed", "crashed")]
    assert all(v.reason for v in verdicts if v.outcome == "refused")
    passed = [path for path, verdict in zip(paths, verdicts, strict=True) if verdict.outcome == "passed"]
    assert len(passed) >= LEAST_EXPORTED
    assert sum(map(with_weights, passed)) >= LEAST_WITH_WEIGHTS


def test_a_wrong_result_is_noticed(cases: list[Case], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The judge must be able to say no: every code of the result is moved by one step."""
    case = next(c for c in cases if c.name == "test_basic_conv_with_padding")
    assert judge_node(case, tmp_path).outcome == "passed"
    from admmfpga.network import reference

    run = reference.run
    monkeypatch.setattr(reference, "run", lambda network, codes: run(network, codes) + 1)
    assert judge_node(case, tmp_path).outcome == "failed"


@pytest.mark.parametrize(
    "name,operators",
    [
        ("squeezenet", set()),
        ("shufflenet", set()),
        ("inception_v1", set()),
    ],
)
def test_real_topology_names_all_that_is_missing(name: str, operators: set[str]) -> None:
    path = DATA / "light" / f"light_{name}.onnx"
    if not path.is_file():
        pytest.skip("this onnx package does not carry the model")
    problems = unsupported(path)
    assert operators <= {p.op for p in problems}
    assert all(p.hint for p in problems)
