"""Manifests: rows are read as people and spreadsheets write them, and every mistake is named with its line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fourfold.data.listing import WHOLE, File, Parts
from fourfold.data.manifest import list_manifest


def write(folder: Path, text: str | bytes, name: str = "all.csv") -> Path:
    """A manifest beside an image a.png, so that not all images are missing."""
    (folder / "a.png").touch()
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder / name


def rows(parts: Parts, folder: Path) -> list[tuple[str, str, str]]:
    """(part, path relative to the folder, class) of each image."""
    return [
        (part, item.path.relative_to(folder).as_posix(), listing.classes[label])
        for part, listing in parts.items()
        for item, label in zip(listing.items, listing.labels, strict=True)
        if isinstance(item, File)
    ]


@pytest.mark.parametrize(
    "text",
    [
        "path,label\na.png,cat\nsub/b.png,dog\n",
        "path,label\r\na.png,cat\r\n\r\nsub/b.png,dog\r\n",
        b"\xef\xbb\xbfpath,label\na.png,cat\nsub/b.png,dog",
        'file,class\n"a.png","cat"\n"sub/b.png",dog\n',
        "\n\nlabel,id,filename\ncat,1,a.png\n\n,,\ndog,2,sub/b.png\n",
        "IMAGE;Label\na.png;cat\nsub/b.png;dog\n",
        "image\tlabel\na.png\tcat\nsub/b.png\tdog\n",
        "path, label\na.png , cat\n sub/b.png,dog\n",
        "path,label\na.png,cat\na.png,cat\nsub/b.png,dog\n",
    ],
    ids=["plain", "windows", "mark", "quotes", "order and blanks", "semicolons", "tabs", "spaces", "repeated"],
)
def test_csv_is_read_however_it_is_written(tmp_path: Path, text: str | bytes) -> None:
    parts = list_manifest(write(tmp_path, text))

    assert rows(parts, tmp_path) == [(WHOLE, "a.png", "cat"), (WHOLE, "sub/b.png", "dog")]


def test_quotes_hold_commas_quotes_and_line_ends(tmp_path: Path) -> None:
    text = 'path,label\na.png,"cat, ""tabby"""\n"b\nc.png",dog\n'

    assert rows(list_manifest(write(tmp_path, text)), tmp_path) == [
        (WHOLE, "a.png", 'cat, "tabby"'),
        (WHOLE, "b\nc.png", "dog"),
    ]


def test_splits_divide_and_may_be_called_by_any_usual_name(tmp_path: Path) -> None:
    text = "path,label,split\na.png,cat,train\nb.png,dog,Validation\nc.png,dog,training\nd.png,cat,test\n"

    assert rows(list_manifest(write(tmp_path, text)), tmp_path) == [
        ("train", "a.png", "cat"),
        ("train", "c.png", "dog"),
        ("val", "b.png", "dog"),
        ("test", "d.png", "cat"),
    ]


def test_json_lines_say_the_same_and_labels_may_be_numbers(tmp_path: Path) -> None:
    lines = [{"path": "a.png", "label": 10, "split": "train"}, {"File": "b.png", "class": 9, "split": "val", "box": [1]}]
    text = "\n\n".join(map(json.dumps, lines)) + "\n"

    parts = list_manifest(write(tmp_path, text, "all.jsonl"))

    assert rows(parts, tmp_path) == [("train", "a.png", "10"), ("val", "b.png", "9")]
    assert parts["train"].classes == ("9", "10")


def test_absolute_paths_stay(tmp_path: Path) -> None:
    manifest = write(tmp_path, f"path,label\n{tmp_path / 'a.png'},cat\n")

    assert rows(list_manifest(manifest), tmp_path) == [(WHOLE, "a.png", "cat")]


NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc", "Z")), min_size=1, max_size=8)


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(NAMES, NAMES, min_size=1, max_size=6))
def test_csv_and_json_of_the_same_rows_give_the_same_items(
    tmp_path_factory: pytest.TempPathFactory, labels: dict[str, str]
) -> None:
    folder = tmp_path_factory.mktemp("made")
    quoted = ['"{}","{}"'.format(*(text.replace('"', '""') for text in pair)) for pair in labels.items()]
    text = "\n".join(["path,label", "a.png,cat", *quoted])
    lines = [json.dumps({"path": path, "label": label}) for path, label in [("a.png", "cat"), *labels.items()]]
    if labels.get("a.png", "cat") != "cat":
        return

    found = [
        [(item.name, listing.classes[label]) for item, label in zip(listing.items, listing.labels, strict=True)]
        for listing in (
            list_manifest(write(folder, text))[WHOLE],
            list_manifest(write(folder, "\n".join(lines), "all.jsonl"))[WHOLE],
        )
    ]

    assert found[0] == found[1] == [(str(folder / path), label) for path, label in {"a.png": "cat", **labels}.items()]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("m.csv", "", "names no images"),
        ("m.csv", "path,label\n", "names no images"),
        (
            "m.csv",
            "a.png,cat\nb.png,dog\n",
            "has no column path or file or image or filename; its first line is 'a.png,cat'",
        ),
        ("m.csv", "path,split\na.png,train\n", "has no column label or class"),
        ("m.csv", "path,label\na.png,cat\n\nb.png\n", "line 4 has 1 columns; the header has 2"),
        ("m.csv", "path,label\na.png,cat,extra\n", "line 2 has 3 columns"),
        ("m.csv", 'path,label\na.png,"cat\n', "line 2 is not CSV"),
        ("m.csv", "path,label\na.png,cat\n ,dog\n", "line 3 has no path"),
        ("m.csv", "path,label\na.png,\n", "line 2 has no label"),
        ("m.csv", "path,label\na.png,cat\na.png,dog\n", "line 3 gives a.png the class 'dog', but line 2 gives it 'cat'"),
        ("m.csv", "path,label,split\na.png,cat,train\na.png,cat,test\n", "line 3 gives a.png the split 'test', but line 2"),
        ("m.csv", "path,label,split\na.png,cat,holdout\n", "line 2: no split 'holdout'; splits are train, val and test"),
        ("m.csv", "path,label,split\na.png,cat,train\nb.png,cat,\n", "line 3 has no split, but line 2 has"),
        ("m.csv", "path,label\nno/b.png,cat\nno/c.png,cat\n", r"line 2: no image .*no/b\.png; write paths relative"),
        ("m.csv", b"path,label\na.png,caf\xe9\n", "cannot read .* UTF-8"),
        ("m.jsonl", '{"path": "a.png", "label": "cat"}\n{"path": \n', "line 2 is not JSON"),
        ("m.jsonl", '["a.png", "cat"]\n', "line 1 is no JSON object"),
        ("m.jsonl", '\n{"path": "a.png"}\n', "line 2 has no label"),
        ("m.jsonl", '{"path": "a.png", "label": true}\n', "line 1 has no label"),
    ],
)
def test_every_mistake_is_one_line_that_says_where(tmp_path: Path, name: str, text: str | bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        list_manifest(write(tmp_path, text, name))

    assert "\n" not in str(caught.value)
    assert name in str(caught.value)
