from __future__ import annotations

import pytest
import torch
from compress_made import tiny_data, tiny_network
from torch import nn

from admmfpga.compress.data import TrainingData


@pytest.fixture
def network() -> nn.Sequential:
    torch.manual_seed(7)
    return tiny_network()


@pytest.fixture
def data() -> TrainingData:
    return tiny_data()
