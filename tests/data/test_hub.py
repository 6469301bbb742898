"""Data sets of the `datasets` library: saved folders and parquet files give the bytes and classes that were put in."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from fourfold.data.hub import is_hub, list_hub
from fourfold.data.listing import WHOLE, Listing


def encoded(number: int) -> bytes:
    """A PNG whose pixels are this number."""
    file = io.BytesIO()
    Pillow.fromarray(np.full((5, 6, 3), number, dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The library, with its cache in a folder that goes away and without the network."""
    library = pytest.importorskip("datasets")
    monkeypatch.setattr(library.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(library.config, "HF_HUB_OFFLINE", True)
    library.disable_progress_bars()
    return library


def table(library: Any, labels: list[Any], label: Any, *, column: str = "label", start: int = 0) -> Any:
    features = library.Features({"image": library.Image(), "id": library.Value("int64"), column: label})
    images = [{"bytes": encoded(start + row), "path": None} for row in range(len(labels))]
    return library.Dataset.from_dict({"image": images, "id": [7] * len(labels), column: labels}, features=features)


def rows(listing: Listing) -> list[tuple[int, str]]:
    """(the number in the pixels, class) of each image; the content is a file's bytes."""
    contents = [item.content() for item in listing.items]
    numbers = [
        int(np.asarray(Pillow.open(io.BytesIO(content)))[0, 0, 0]) for content in contents if isinstance(content, bytes)
    ]
    return list(zip(numbers, (listing.classes[label] for label in listing.labels), strict=True))


def test_a_saved_data_set_with_three_splits(library: Any, tmp_path: Path) -> None:
    names = library.ClassLabel(names=["zebra", "ant"])
    library.DatasetDict(
        {
            "train": table(library, [0, 1, 1], names),
            "validation": table(library, [1, 0], names, start=10),
            "test": table(library, [0], names, start=20),
        }
    ).save_to_disk(tmp_path / "saved")

    parts = list_hub(str(tmp_path / "saved"))

    assert is_hub(tmp_path / "saved")
    assert {part: rows(listing) for part, listing in parts.items()} == {
        "train": [(0, "zebra"), (1, "ant"), (2, "ant")],
        "val": [(10, "ant"), (11, "zebra")],
        "test": [(20, "zebra")],
    }
    assert parts["train"].classes == ("zebra", "ant")
    assert parts["val"].items[1].name.endswith("validation#1")


@pytest.mark.parametrize(("kind", "labels"), [("string", ["dog", "cat", "dog"]), ("int64", [10, 9, 10])])
def test_a_saved_table_without_splits_and_labels_as_plain_values(
    library: Any, tmp_path: Path, kind: str, labels: list[Any]
) -> None:
    table(library, labels, library.Value(kind), column="category").save_to_disk(tmp_path / "saved")

    parts = list_hub(str(tmp_path / "saved"))

    assert rows(parts[WHOLE]) == [(row, str(label)) for row, label in enumerate(labels)]
    assert parts[WHOLE].classes == tuple(map(str, sorted(set(labels))))


def test_a_folder_of_parquet_files(library: Any, tmp_path: Path) -> None:
    names = library.ClassLabel(names=["ant", "bee"])
    (tmp_path / "set/data").mkdir(parents=True)
    for number, split in enumerate(("train", "test")):
        table(library, [0, 1], names, start=10 * number).to_parquet(tmp_path / f"set/data/{split}-00000-of-00001.parquet")

    parts = list_hub(str(tmp_path / "set"))

    assert is_hub(tmp_path / "set")
    assert {part: rows(listing) for part, listing in parts.items()} == {
        "train": [(0, "ant"), (1, "bee")],
        "test": [(10, "ant"), (11, "bee")],
    }


def test_a_test_split_without_labels_is_left_out_and_one_row_without_is_an_error(library: Any, tmp_path: Path) -> None:
    names = library.ClassLabel(names=["ant", "bee"])
    good = table(library, [0, 1], names)
    library.DatasetDict({"train": good, "test": table(library, [-1, -1], names)}).save_to_disk(tmp_path / "a")
    library.DatasetDict({"train": table(library, [0, -1], names)}).save_to_disk(tmp_path / "b")

    assert list(list_hub(str(tmp_path / "a"))) == ["train"]
    with pytest.raises(ValueError, match=r"b/train row 1 has no label \(-1\)"):
        list_hub(str(tmp_path / "b"))


def test_fine_labels_are_preferred_where_there_are_two_kinds(library: Any, tmp_path: Path) -> None:
    made = table(library, [1, 0], library.ClassLabel(names=["ant", "bee"]), column="fine_label")
    made = made.add_column("coarse_label", [0, 0]).cast_column("coarse_label", library.ClassLabel(names=["insect"]))
    made.save_to_disk(tmp_path / "saved")

    assert list_hub(str(tmp_path / "saved"))[WHOLE].classes == ("ant", "bee")


def test_tables_without_images_or_labels_name_their_columns(library: Any, tmp_path: Path) -> None:
    made = table(library, ["a", "b"], library.Value("string"), column="text")
    made.save_to_disk(tmp_path / "no-label")
    made.remove_columns("image").save_to_disk(tmp_path / "no-image")

    with pytest.raises(ValueError, match="has no single label column; its columns are image, id, text"):
        list_hub(str(tmp_path / "no-label"))
    with pytest.raises(ValueError, match="has no single image column; its columns are id, text"):
        list_hub(str(tmp_path / "no-image"))


def test_a_data_set_that_cannot_be_had_is_one_line(library: Any, tmp_path: Path) -> None:  # noqa: ARG001
    with pytest.raises(ValueError, match=r"\Acannot load the data set .*nowhere \([^\n]*\); check the name"):
        list_hub(str(tmp_path / "nowhere"))


def test_without_the_library_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)

    with pytest.raises(ValueError, match=r"reading some/set needs the library datasets; install it: pip install 'fourfold"):
        list_hub("some/set")
