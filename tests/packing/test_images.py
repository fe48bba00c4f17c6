"""Text images: golden text, and back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from packing_strategies import memories

from admmfpga.errors import UserError
from admmfpga.packing import Memory, from_coe, from_mem, from_mif, to_coe, to_mem, to_mif, unpack_words

FORMATS = [(to_mem, from_mem), (to_coe, from_coe), (to_mif, from_mif)]
SMALL = Memory("m", np.array([[1, -1], [0, 3], [-4, 2]]), 5, "", "dense")


def test_golden_mem() -> None:
    assert to_mem(SMALL) == "3e1\n060\n05c\n"


def test_golden_coe() -> None:
    assert to_coe(SMALL) == "memory_initialization_radix=16;\nmemory_initialization_vector=\n3e1,\n060,\n05c;\n"


def test_golden_mif() -> None:
    assert to_mif(SMALL) == (
        "DEPTH = 3;\nWIDTH = 10;\nADDRESS_RADIX = HEX;\nDATA_RADIX = HEX;\nCONTENT BEGIN\n"
        "0 : 3e1;\n1 : 060;\n2 : 05c;\nEND;\n"
    )


@pytest.mark.parametrize("write, read", FORMATS)
@given(memory=memories())
def test_text_and_back(write: Callable[[Memory], str], read: Callable[[str, int], list[int]], memory: Memory) -> None:
    text = write(memory)
    assert text.endswith("\n") or memory.depth == 0
    words = read(text, memory.width)
    assert words == memory.words()
    lanes = unpack_words(words, memory.lanes.shape[1], memory.lane_bits, signed=memory.signed)
    assert np.array_equal(lanes, memory.lanes)


@pytest.mark.parametrize("write, read", FORMATS)
@pytest.mark.parametrize("cut", [1, 2, 5])
def test_cut_file_is_refused(write: Callable[[Memory], str], read: Callable[[str, int], list[int]], cut: int) -> None:
    with pytest.raises(UserError):
        read(write(SMALL)[:-cut], SMALL.width)


@pytest.mark.parametrize("write, read", FORMATS)
@pytest.mark.parametrize("old, new", [("060", "0g0"), ("060", "60"), ("060", "860"), ("060", "0060"), ("060", "")])
def test_bad_word_is_refused(
    write: Callable[[Memory], str], read: Callable[[str, int], list[int]], old: str, new: str
) -> None:
    with pytest.raises(UserError):
        read(write(SMALL).replace(old, new), SMALL.width)


def test_mif_addresses_in_order() -> None:
    with pytest.raises(UserError, match="expected address 1"):
        from_mif(to_mif(SMALL).replace("1 : ", "2 : "), SMALL.width)
