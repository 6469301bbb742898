"""Shards: every sample's bytes come back from its own place, with its class; what is broken is named by its shard."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourfold.data.listing import WHOLE, Listing, Parts
from fourfold.data.shards import Member, expand_braces, is_shards, list_shards


def write_tar(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as tar:  # pyright: ignore[reportCallIssue, reportArgumentType]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def samples(*keys_and_labels: tuple[str, object]) -> dict[str, bytes]:
    """KEY.jpg, whose bytes say its key, and KEY.cls."""
    return {
        name: content
        for key, label in keys_and_labels
        for name, content in ((f"{key}.jpg", f"image {key}".encode() * 7), (f"{key}.cls", str(label).encode()))
    }


def rows(listing: Listing) -> list[tuple[str, str]]:
    """(what the bytes say, class) of each image."""
    contents = [item.content() for item in listing.items]
    texts = [content[: len(content) // 7].decode() for content in contents if isinstance(content, bytes)]
    return list(zip(texts, (listing.classes[label] for label in listing.labels), strict=True))


def parts_in(parts: Parts) -> dict[str, list[tuple[str, str]]]:
    return {part: rows(listing) for part, listing in parts.items()}


def test_every_image_is_read_from_its_own_place(tmp_path: Path) -> None:
    shard = write_tar(tmp_path / "all.tar", samples(("a", 1), ("b", 0), ("c", 10), ("d", 9)))

    parts = list_shards(shard)

    assert parts_in(parts) == {WHOLE: [("image a", "1"), ("image b", "0"), ("image c", "10"), ("image d", "9")]}
    assert parts[WHOLE].classes == ("0", "1", "9", "10")
    assert parts[WHOLE].items[0].name == f"{shard}/a.jpg"
    backwards = [item.content() for item in reversed(parts[WHOLE].items)]
    assert backwards[0] == b"image d" * 7  # order of reading does not matter


@pytest.mark.parametrize(
    "files",
    [
        {"a.png": b"x", "a.cls": b"3\n"},
        {"a.cls": b"3", "a.webp": b"x"},
        {"dir/a.JPG": b"x", "dir/a.CLS": b"3"},
        {"./a.jpeg": b"x", "./a.json": b'{"label": 3, "width": 5}'},
        {"a.jpg": b"x", "a.json": b'{"cls": "3"}'},
        {"a.jpg": b"x", "a.txt": b" 3 "},
        {"a.jpg": b"x", "a.txt": b"a caption", "a.json": b'{"other": 1}', "a.cls": b"3"},
        {"__url__": b"somewhere", "a.jpg": b"x", "a.seg.png": b"mask", "a.cls": b"3"},
        {"v1.2/a.jpg": b"x", "v1.2/a.cls": b"3", "a.cls": b"4"},
    ],
)
def test_labels_are_found_in_each_of_their_forms(tmp_path: Path, files: dict[str, bytes]) -> None:
    (listing,) = list_shards(write_tar(tmp_path / "x.tar", files)).values()

    assert [item.content() for item in listing.items] == [b"x"]
    assert listing.classes == ("3",)


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_in_each_format_of_tar_are_read(tmp_path: Path, kind: int) -> None:
    key = f"{'folder' * 14}/{'k' * 90}"
    with tarfile.open(tmp_path / "x.tar", "w", format=kind) as tar:
        for name, content in samples((key, 2)).items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))

    assert parts_in(list_shards(tmp_path / "x.tar")) == {WHOLE: [(f"image {key}", "2")]}


@pytest.mark.parametrize("name", ["classes.txt", "classnames.txt"])
def test_classes_are_named_by_the_file_beside_the_shards(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("zebra\nyak\n\nant\n", encoding="utf-8")
    write_tar(tmp_path / "x.tar", samples(("a", 0), ("b", 2), ("c", "ant")))

    (listing,) = list_shards(tmp_path).values()

    assert rows(listing) == [("image a", "zebra"), ("image b", "ant"), ("image c", "ant")]
    assert listing.classes == ("zebra", "ant")  # in the order of the file


def test_parts_come_from_names_of_shards_and_of_folders(tmp_path: Path) -> None:
    for number, name in enumerate(["net-train-000.tar", "net-train-001.tar", "net-validation-000.tar", "test_0.tar"]):
        write_tar(tmp_path / "names" / name, samples((str(number), number % 2)))
    for number, name in enumerate(["train/0.tar", "valid/0.tar"]):
        write_tar(tmp_path / "folders" / name, samples((str(number), 0)))

    by_name = parts_in(list_shards(tmp_path / "names"))
    by_folder = parts_in(list_shards(tmp_path / "folders"))

    assert by_name == {
        "train": [("image 0", "0"), ("image 1", "1")],
        "val": [("image 2", "0")],
        "test": [("image 3", "1")],
    }
    assert by_folder == {"train": [("image 0", "0")], "val": [("image 1", "0")]}


def test_a_folder_above_that_is_called_train_says_nothing(tmp_path: Path) -> None:
    write_tar(tmp_path / "train" / "x.tar", samples(("a", 0)))

    assert list(list_shards(tmp_path / "train")) == [WHOLE]


def test_a_pattern_stands_for_its_shards_in_order(tmp_path: Path) -> None:
    for number in range(12):
        write_tar(tmp_path / f"s-{number:03}.tar", samples((str(number), number % 2)))

    parts = list_shards(tmp_path / "s-{008..010}.tar")

    assert is_shards(tmp_path / "s-{008..010}.tar")
    assert [text for text, _ in rows(parts[WHOLE])] == ["image 8", "image 9", "image 10"]


def test_a_pattern_over_folders_divides_by_them(tmp_path: Path) -> None:
    for name in ("train/0.tar", "train/1.tar", "val/0.tar", "val/1.tar"):
        write_tar(tmp_path / name, samples((name[:-4], 0)))

    parts = list_shards(tmp_path / "{train,val}" / "{0..1}.tar")

    assert {part: len(listing) for part, listing in parts.items()} == {"train": 2, "val": 2}


@pytest.mark.parametrize(
    ("pattern", "expected"),  # as bash prints them
    [
        ("x.tar", ["x.tar"]),
        ("s{8..11}", ["s8", "s9", "s10", "s11"]),
        ("s{008..011}", ["s008", "s009", "s010", "s011"]),
        ("{a,b}-{0..1}", ["a-0", "a-1", "b-0", "b-1"]),
    ],
)
def test_braces_expand_as_in_a_shell(pattern: str, expected: list[str]) -> None:
    assert expand_braces(pattern) == expected


@given(st.integers(0, 1200), st.integers(0, 40), st.integers(1, 5))
def test_numbers_in_braces_are_all_there(first: int, count: int, width: int) -> None:
    pattern = f"s{{{first:0{width}}..{first + count:0{width}}}}"

    assert expand_braces(pattern) == [f"s{first + step:0{width}}" for step in range(count + 1)]


GOOD = samples(("a", 0), ("b", 1))


@pytest.mark.parametrize(
    ("files", "text"),
    [
        ({"a.jpg": b"x"}, r"x\.tar/a\.jpg has no label; put a\.cls, \.json or \.txt"),
        ({"a.jpg": b"x", "a.cls": b""}, r"x\.tar/a\.cls is empty"),
        ({"a.jpg": b"x", "a.json": b"{"}, r'x\.tar/a\.json holds no label; write a "label" or "cls"'),
        ({"a.jpg": b"x", "a.json": b"[1]"}, r"x\.tar/a\.json holds no label"),
        ({"a.jpg": b"x", "a.json": b'{"caption": "b"}'}, r"x\.tar/a\.json holds no label"),
        ({"a.jpg": b"x", "a.cls": b"\xff\xfe"}, r"x\.tar/a\.cls holds no label; write text in UTF-8"),
        ({"a.jpg": b"x", "a.png": b"y", "a.cls": b"1"}, r"x\.tar holds two images of sample 'a'"),
        ({"a.cls": b"1"}, "holds no images"),
        ({}, "holds no images"),
    ],
)
def test_samples_without_a_readable_label_are_named(tmp_path: Path, files: dict[str, bytes], text: str) -> None:
    with pytest.raises(ValueError, match=text) as caught:
        list_shards(write_tar(tmp_path / "x.tar", files))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("keep", [0, 100, 700, 1024, 1100, 1700, 3500])
def test_a_shard_that_is_cut_off_is_named(tmp_path: Path, keep: int) -> None:
    write_tar(tmp_path / "0.tar", GOOD)
    cut = write_tar(tmp_path / "1.tar", {"c.cls": b"1", "c.jpg": b"x" * 2000})
    cut.write_bytes(cut.read_bytes()[:keep])

    with pytest.raises(ValueError, match=r"\Ashard .*1\.tar is damaged, cut off or compressed \(.*\Z"):
        list_shards(tmp_path)


def test_a_compressed_shard_and_a_text_are_named(tmp_path: Path) -> None:
    write_tar(tmp_path / "gz.tar", GOOD, "w:gz")
    (tmp_path / "text.tar").write_text("nothing " * 200, encoding="utf-8")

    for name in ("gz.tar", "text.tar"):
        with pytest.raises(ValueError, match=rf"{name} is damaged, cut off or compressed"):
            list_shards(tmp_path / name)


def test_shards_that_are_missing_or_of_no_part_are_named(tmp_path: Path) -> None:
    for name in ("train-0.tar", "val-0.tar", "more-0.tar"):
        write_tar(tmp_path / name, samples((name, 0)))

    with pytest.raises(ValueError, match=r"no shard .*train-1\.tar; check the path, and the numbers"):
        list_shards(tmp_path / "train-{0..2}.tar")
    with pytest.raises(ValueError, match=r"more-0\.tar names no part, but other shards do"):
        list_shards(tmp_path)


def test_an_index_beyond_the_named_classes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("cat\ndog\n", encoding="utf-8")
    write_tar(tmp_path / "x.tar", samples(("a", 0), ("b", 2)))

    with pytest.raises(ValueError, match=r"b\.jpg has the label '2', but 2 classes are named"):
        list_shards(tmp_path)


def test_a_shard_that_goes_away_later_is_one_line(tmp_path: Path) -> None:
    shard = write_tar(tmp_path / "x.tar", GOOD)
    item = list_shards(shard)[WHOLE].items[0]
    shard.unlink()

    with pytest.raises(ValueError, match=r"x\.tar cannot be read \(No such file"):
        item.content()


def test_samples_as_another_library_writes_them(tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    with webdataset.TarWriter(str(tmp_path / "w.tar")) as writer:
        for number in range(3):
            writer.write({"__key__": f"k{number}", "jpg": f"image {number}".encode() * 7, "json": {"label": number}})

    assert parts_in(list_shards(tmp_path / "w.tar")) == {WHOLE: [(f"image {n}", str(n)) for n in range(3)]}


def test_members_are_values() -> None:
    assert Member(Path("a.tar"), "k", "jpg", 512, 9) == Member(Path("a.tar"), "k", "jpg", 512, 9)
    assert json.dumps(Member(Path("a.tar"), "dir/k", "jpg", 512, 9).name) == '"a.tar/dir/k.jpg"'
