"""Board files: what ships is sound, and every mistake in a user's own file is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from admmfpga.boards import Board, all_boards, load_board
from admmfpga.errors import UserError
from admmfpga.resources import resource_dir

NAMES = ["arty-a7-100t", "kv260", "pynq-z1", "pynq-z2", "ultra96-v2", "ulx3s-85f", "zcu104"]


def test_what_ships() -> None:
    assert [board.name for board in all_boards()] == NAMES


@pytest.mark.parametrize("board", all_boards(), ids=lambda board: board.name)
def test_every_board_is_sound(board: Board) -> None:
    path = resource_dir("boards") / f"{board.name}.toml"
    assert load_board(path) == board, "file and board have one name"
    assert board.part.lower().startswith({"xc7": "xc7", "xcup": "xc", "ecp5": "lfe5"}[board.family])
    assert bool(board.board_part) == (board.family != "ecp5")
    assert (board.port_bits > 0) == (board.processor != "none")
    assert board.resources.ff == board.resources.lut * (1 if board.family == "ecp5" else 2)
    assert 10 <= board.clock_mhz <= 500
    assert all(board.sources.values())
    assert set(board.sources) == {"part", "resources", "clock", "memory"}


def test_names_are_unique() -> None:
    names = [name for board in all_boards() for name in (board.name, *board.aliases)]
    assert len(set(names)) == len(names)


def test_figures_of_the_pynq() -> None:
    board = load_board("pynq")
    assert board.name == "pynq-z2"
    assert board.part == "xc7z020clg400-1"
    assert board.resources.as_dict() == {"lut": 53200, "ff": 106400, "bram18": 280, "dsp": 220}
    assert board.memory.bandwidth_mb_s == 2100


def test_case_does_not_matter() -> None:
    assert load_board("ZCU104").name == "zcu104"


def test_unknown_board_lists_all_and_suggests() -> None:
    with pytest.raises(UserError, match="unknown board 'pinq-z1'") as caught:
        load_board("pinq-z1")
    assert "did you mean pynq-z1?" in caught.value.hint
    assert all(name in caught.value.hint for name in NAMES)


def test_unknown_board_without_anything_close() -> None:
    with pytest.raises(UserError) as caught:
        load_board("stratix")
    assert "did you mean" not in caught.value.hint
    assert "kv260" in caught.value.hint


def text_of(name: str) -> str:
    return (resource_dir("boards") / f"{name}.toml").read_text()


def test_own_board_by_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text_of("arty-a7-100t").replace('name = "arty-a7-100t"', 'name = "mine"').replace("63400", "1000"))
    assert load_board(path).resources.lut == 1000
    assert load_board(str(path)).name == "mine"


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    text = text_of("pynq-z2")
    for old, new in [
        ("lut = 53200", "lut = -1"),
        ("ff = 106400", 'ff = "many"'),
        ("dsp = 220", "dps = 220"),
        ("uram = 0", "uram = true"),
        ('family = "xc7"', 'family = "virtex"'),
        ('processor = "zynq7"', 'processor = "arm"'),
        ("default_mhz = 100", "default_mhz = 0"),
        ('aliases = ["pynq"]', "aliases = [1]"),
        ('title = "PYNQ-Z2"', 'title = ""\ncolour = "pink"'),
        ("data_bits = 16", ""),
    ]:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        load_board(path)
    for problem in [
        "resources.lut is -1, expected an integer of at least 1",
        "resources.ff is 'many'",
        "missing resources.dsp",
        "unknown resources.dps",
        "resources.uram is True",
        "family is 'virtex', expected one of xc7, xcup, ecp5",
        "processor is 'arm'",
        "clock.default_mhz is 0, expected a positive number",
        "aliases is [1]",
        "title is ''",
        "unknown colour",
        "missing memory.data_bits",
    ]:
        assert problem in caught.value.message
    assert caught.value.message.count(";") == 11
    assert str(path) in caught.value.message


def test_missing_table_is_one_mistake(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    text = text_of("pynq-z2")
    path.write_text(text[: text.index("[memory]")])
    with pytest.raises(UserError) as caught:
        load_board(path)
    assert caught.value.message == f"board file {path}: missing memory"


def test_not_toml(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("name = ")
    with pytest.raises(UserError, match="is not TOML"):
        load_board(path)
    path.write_bytes(b"name = '\xff'")
    with pytest.raises(UserError, match="is not TOML"):
        load_board(path)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nothing\.toml cannot be read: No such file"):
        load_board(tmp_path / "nothing.toml")


def test_every_field_is_documented() -> None:
    readme = (resource_dir("boards") / "README.md").read_text()
    for line in text_of("pynq-z2").splitlines():
        key = line.split(" = ")[0]
        if key:
            assert f"`{key}`" in readme, key
