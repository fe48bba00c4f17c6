"""Storage of layers and networks in the report."""

import numpy as np

from admmfpga.packing import FORMATS
from admmfpga.report.storage import layer_storage, network_storage


def matrix(rows, columns, density, seed):
    rng = np.random.default_rng(seed)
    return rng.integers(1, 8, (rows, columns)) * (rng.random((rows, columns)) < density)


def test_layer_names_the_smallest_format():
    found = layer_storage(matrix(60, 300, 0.02, 0))
    totals = {name: FORMATS[name].size(matrix(60, 300, 0.02, 0)).total for name in FORMATS}
    assert found["formats"][found["best"]]["total"] == min(totals.values())
    assert {name: size["total"] for name, size in found["formats"].items()}.items() <= totals.items()
    assert (found["positions"], found["kept"]) == (18000, np.count_nonzero(matrix(60, 300, 0.02, 0)))
    for size in found["formats"].values():
        assert sum(amount for name, amount in size.items() if name != "total") == size["total"]


def test_network_sums_each_layers_best_index_width():
    layers = [layer_storage(matrix(20, 200, 0.3, 1)), layer_storage(matrix(20, 200, 0.01, 2))]
    assert layers[0]["relative"] != layers[1]["relative"]
    total = network_storage(layers)
    assert total["formats"]["relative"]["total"] == sum(x["formats"][x["relative"]]["total"] for x in layers)
    assert total["formats"]["csr"]["indices"] == sum(x["formats"]["csr"]["indices"] for x in layers)
    assert total["best_bits"] <= min(size["total"] for size in total["formats"].values())
    assert total["positions"] == 8000


def test_kept_rows_and_columns():
    pruned = np.zeros((6, 9), dtype=np.int64)
    pruned[np.ix_([0, 4], [1, 2, 8])] = 3
    found = layer_storage(pruned)
    assert (found["kept_rows"], found["kept_columns"], found["best"]) == (2, 3, "compact")
