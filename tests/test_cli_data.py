"""`fourfold data check` prints what it finds as tables or JSON, writes nothing but the picture, and exits 0 or 2."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image as Pillow

from fourfold.cli_data import data_app

app = typer.Typer()
app.add_typer(data_app, name="data")


def put(root: Path, name: str, seed: int) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    rough = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    Pillow.fromarray(rough).resize((48, 40), Pillow.Resampling.BICUBIC).save(root / name)


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    """Two classes of three; one photo lies in both, and one cannot be read."""
    root = tmp_path / "data"
    for number in range(3):
        put(root, f"cat/{number}.png", number)
        put(root, f"dog/{number}.png", 10 + number)
    put(root, "dog/again.png", 1)
    (root / "cat/text.png").write_bytes(b"no image")
    return root


def run(*arguments: object) -> int:
    return app(["data", "check", *map(str, arguments)], standalone_mode=False) or 0


def test_tables_say_how_many_and_name_an_example(faulty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(faulty) == 0

    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert lines[:4] == ["class images", "cat 4", "dog 4", "all 2 8"]
    assert lines[4] == "pixels: width 48 to 48, median 48; height 40 to 40, median 40"
    assert lines[5] == "finding images such as"
    assert lines[6].startswith("cannot be read 1 cat/text.png is not an image")
    assert lines[7:] == ["the same image in two classes 1 cat/1.png = dog/again.png"]


def test_json_holds_every_name(faulty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(faulty, "--json") == 0

    captured = capsys.readouterr()
    record = json.loads(captured.out)
    assert record["counts"] == {"all": {"cat": 4, "dog": 4}}
    assert record["sizes"] == {"width": [48, 48, 48], "height": [40, 40, 40]}
    assert [broken["source"] for broken in record["broken"]] == [str(faulty / "cat/text.png")]
    assert record["twins"] == [
        {
            "images": [str(faulty / "cat/1.png"), str(faulty / "dog/again.png")],
            "parts": ["all", "all"],
            "classes": ["cat", "dog"],
            "is_exact": True,
            "alike": 1.0,
        }
    ]
    assert (record["odd"], record["notes"], record["path"]) == ({}, [], str(faulty))
    assert captured.err == ""


def test_a_sound_data_set_says_so_and_the_picture_is_the_only_new_file(
    faulty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (faulty / "cat/text.png").unlink()
    (faulty / "dog/again.png").unlink()
    before = set(faulty.parent.rglob("*"))
    picture = faulty.parent / "new" / "check.png"

    assert run(faulty, "--save", picture) == 0

    assert set(faulty.parent.rglob("*")) - before == {picture.parent, picture}
    with Pillow.open(picture) as drawn:
        assert drawn.size[0] == 1300
    output = capsys.readouterr().out
    assert "nothing" in output
    assert output.endswith(f"wrote {picture}\n")


def test_of_many_classes_the_largest_and_the_smallest_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for label in range(25):
        for number in range(1 + label // 8):
            put(tmp_path, f"class{label:02}/{number}.png", 10 * label + number)

    run(tmp_path)

    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[1] == "class24 4"
    assert lines[11] == "... 5 more"
    assert lines[21] == "class07 1"
    assert lines[22] == "all 25 52"


def test_a_file_name_with_control_characters_stays_on_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(tmp_path, "cat/1.png", 0)
    put(tmp_path, "dog/1.png", 1)
    put(tmp_path, "dog/a\n\x1b[31mb.png", 0)

    run(tmp_path)

    assert r"cat/1.png = dog/a\n\x1b[31mb.png" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [(("nowhere",), "no folder or file nowhere"), ((".", "--save", "x.jpg"), "x.jpg is not the name of a PNG file")],
)
def test_what_cannot_be_done_is_one_line(arguments: tuple[str, ...], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        run(*arguments)
