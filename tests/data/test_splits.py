"""What a path is, is recognised; a hold-out takes a tenth of each class by a hash of names and moves little as data grow."""

from __future__ import annotations

import io
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fourfold.data.listing import File, Listing
from fourfold.data.splits import Splits, find_data, find_test, hold_out


def put(root: Path, layout: dict[str, int]) -> Path:
    """Empty files NUMBER.png in each folder."""
    for folder, count in layout.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            (root / folder / f"{number}.png").touch()
    return root


def listing(names: list[str], labels: list[int], classes: int) -> Listing:
    return Listing(tuple(File(Path(name)) for name in names), tuple(labels), tuple(f"c{k}" for k in range(classes)))


def held_names(names: list[str], seed: int = 0) -> set[str]:
    """What is held out of one class with these names."""
    _, held = hold_out(listing(names, [0] * len(names), 1), seed, lambda item: item.name)
    return {item.name for item in held.items}


def counts(splits: Splits) -> tuple[dict[str, int], dict[str, int], dict[str, int] | None]:
    """Images of each class in train, val and test."""
    train, val, test = (
        dict(Counter(part.classes[label] for label in part.labels)) if part else None
        for part in (splits.train, splits.val, splits.test)
    )
    assert train is not None
    assert val is not None
    return train, val, test


def test_plain_class_folders_have_a_tenth_of_each_class_held_out(tmp_path: Path) -> None:
    splits = find_data(put(tmp_path, {"cat": 30, "dog": 14, "emu": 2}), seed=0)

    assert counts(splits) == ({"cat": 27, "dog": 13, "emu": 1}, {"cat": 3, "dog": 1, "emu": 1}, None)
    assert splits.origin == "10% of each class, held out"
    assert not splits.val_is_test


def test_train_alone_is_divided_as_well(tmp_path: Path) -> None:
    splits = find_data(put(tmp_path, {"train/cat": 20, "train/dog": 10}), seed=0)

    assert counts(splits) == ({"cat": 18, "dog": 9}, {"cat": 2, "dog": 1}, None)
    assert splits.origin == "10% of each class of train/, held out"


def test_val_is_taken_as_it_is_and_test_is_kept_apart(tmp_path: Path) -> None:
    layout = {
        f"{part}/{name}": count for part, count in (("train", 5), ("valid", 3), ("test", 2)) for name in ("cat", "dog")
    }
    splits = find_data(put(tmp_path, layout), seed=0)

    assert counts(splits) == ({"cat": 5, "dog": 5}, {"cat": 3, "dog": 3}, {"cat": 2, "dog": 2})
    assert (splits.origin, splits.val_is_test) == ("val/", False)


def test_where_test_stands_in_for_val_it_is_said(tmp_path: Path) -> None:
    layout = {f"{part}/{name}": count for part, count in (("train", 5), ("test", 2)) for name in ("cat", "dog")}
    splits = find_data(put(tmp_path, layout), seed=0)

    assert counts(splits) == ({"cat": 5, "dog": 5}, {"cat": 2, "dog": 2}, None)
    assert splits.val_is_test
    assert splits.origin == "test/, as there is no val/"


def test_a_hold_out_depends_on_names_below_the_data_path_and_on_the_seed(tmp_path: Path) -> None:
    def held(root: str, seed: int) -> set[str]:
        splits = find_data(put(tmp_path / root, {"cat": 40, "dog": 40}), seed=seed)
        return {Path(item.name).relative_to(tmp_path / root).as_posix() for item in splits.val.items}

    assert held("here", 3) == held("else/where", 3)
    assert held("here", 3) != held("here", 4)


def test_photos_added_later_move_hardly_any_of_the_others() -> None:
    names = [f"{number}.png" for number in range(1000)]

    moved = [len(held_names(names[:900], seed) ^ (held_names(names, seed) & set(names[:900]))) for seed in range(20)]

    # of 900 the line at a tenth shifts by the spread of Binomial(100, 0.1), which is 3 places
    assert max(moved) <= 12
    assert sum(moved) / len(moved) < 4


def test_the_others_keep_their_order_and_labels() -> None:
    whole = listing([f"{number}" for number in range(50)], [number % 3 for number in range(50)], 3)
    rest, held = hold_out(whole, 0, lambda item: item.name)

    for part in (rest, held):
        numbers = [int(item.name) for item in part.items]
        assert numbers == sorted(numbers)
        assert list(part.labels) == [number % 3 for number in numbers]
        assert part.classes == whole.classes


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=5), st.integers(0, 99))
def test_both_parts_are_the_whole_and_every_class_gives_its_share(sizes: list[int], seed: int) -> None:
    labels = [label for label, size in enumerate(sizes) for _ in range(size)]
    names = [f"{label}/{number}" for number, label in enumerate(labels)]
    rest, held = hold_out(listing(names, labels, len(sizes)), seed, lambda item: item.name)

    assert sorted(item.name for part in (rest, held) for item in part.items) == sorted(names)
    for label, size in enumerate(sizes):
        expected = 0 if size == 1 else max(1, int(np.round(size / 10)))
        assert held.labels.count(label) == expected


def test_every_image_is_held_out_for_some_seed() -> None:
    names = [str(number) for number in range(10)]

    assert set.union(*(held_names(names, seed) for seed in range(80))) == set(names)


def put_tar(path: Path, count: int) -> None:
    with tarfile.open(path, "w") as tar:
        for number in range(count):
            for name, content in ((f"{number}.jpg", b"x"), (f"{number}.cls", str(number % 2).encode())):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


@pytest.mark.parametrize("spelling", ["{0}", "wds/{0}", "wds/{0}/s-{{0..1}}.tar", "{0}/s-0.tar"])
def test_shards_are_found_by_either_spelling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spelling: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shards").mkdir()
    for number in range(2):
        put_tar(tmp_path / f"shards/s-{number}.tar", 40)

    for root in ("shards", str(tmp_path / "shards")):
        splits = find_data(spelling.format(root), seed=0)
        both = len(splits.train) + len(splits.val)
        assert both == (40 if spelling.endswith("s-0.tar") else 80)
        assert len(splits.val) == both // 10


def test_an_absolute_path_after_the_word_for_shards_survives_being_made_a_path(tmp_path: Path) -> None:
    put_tar(tmp_path / "s.tar", 40)

    assert len(find_data(Path(f"wds/{tmp_path / 's.tar'}"), seed=0).val) == 4


def test_the_same_samples_in_other_shards_are_held_out_alike(tmp_path: Path) -> None:
    put_tar(tmp_path / "one.tar", 60)
    put_tar(tmp_path / "two.tar", 60)

    held = [{Path(item.name).name for item in find_data(tmp_path / f"{n}.tar", seed=1).val.items} for n in ("one", "two")]
    assert held[0] == held[1]


def test_a_manifest_is_found_with_its_parts(tmp_path: Path) -> None:
    put(tmp_path, {".": 3})
    (tmp_path / "m.csv").write_text("path,label,split\n0.png,a,train\n1.png,b,train\n2.png,b,val\n", encoding="utf-8")

    splits = find_data(tmp_path / "m.csv", seed=0)

    assert counts(splits) == ({"a": 1, "b": 1}, {"b": 1}, None)  # a manifest's val need not have every class
    assert splits.origin == "val/"


def test_cifar_is_found_and_its_test_stands_in_for_val(tmp_path: Path) -> None:
    rows = b"".join(bytes([label]) + bytes(3072) for label in (0, 1, 1))
    for name in [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]:
        (tmp_path / f"{name}.bin").write_bytes(rows)
    (tmp_path / "batches.meta.txt").write_text("cat\ndog\n", encoding="utf-8")

    splits = find_data(tmp_path, seed=0)

    assert counts(splits) == ({"cat": 5, "dog": 10}, {"cat": 1, "dog": 2}, None)
    assert splits.val_is_test


@pytest.mark.parametrize("spelling", ["{}", "hfds/{}"])
def test_a_saved_hub_data_set_is_found_by_either_spelling(tmp_path: Path, spelling: str) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])})
    rows = {"image": [{"bytes": b"x", "path": None}] * 40, "label": [0, 1] * 20}
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(tmp_path / "saved")

    splits = find_data(spelling.format(tmp_path / "saved"), seed=0)

    assert counts(splits) == ({"a": 18, "b": 18}, {"a": 2, "b": 2}, None)


@pytest.mark.parametrize(
    ("layout", "text"),
    [
        ({"cat": 3}, "there is one class only, 'cat'"),
        ({"train/cat": 3, "val/cat": 1}, "there is one class only, 'cat'"),
        ({"cat": 1, "dog": 1}, "has one image of each class; training needs at least two"),
        ({"cat": 3, "dog": 0}, "class folder .*dog has no images"),
        ({"train/cat": 3, "train/dog": 3, "val/cat": 3, "val/dog": 0}, "val/dog has no images"),
        ({"train/cat": 3, "train/dog": 3, "val/cat": 3}, "train/ and val/ differ in the classes dog; give both the same"),
        ({"train/a": 3, "train/b": 3, "test/a": 3, "test/c": 3}, "train/ and test/ differ in the classes b, c"),
        ({"train/a": 1, "train/b": 1, "val/a": 1, "val/b": 1, "test/a": 1, "test/z": 1}, "train/ and test/ differ"),
        ({"val/a": 3, "test/a": 3}, r"has test/ and val/ but no train/"),
        ({}, "has no folders in it"),
        ({"train": 0}, "has no folders in it"),
    ],
)
def test_folders_that_will_not_do_are_refused_in_one_line(tmp_path: Path, layout: dict[str, int], text: str) -> None:
    with pytest.raises(ValueError, match=text) as caught:
        find_data(put(tmp_path, layout), seed=0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ("0.png,a,train\n1.png,a,train\n2.png,b,val\n", "train/ and val/ differ in the classes b"),
        ("0.png,a,val\n1.png,b,test\n", "has val and test images but none to train on"),
        ("0.png,a,train\n1.png,a,val\n", "there is one class only, 'a'"),
    ],
)
def test_manifests_that_will_not_do_are_refused_in_one_line(tmp_path: Path, rows: str, text: str) -> None:
    put(tmp_path, {".": 3})
    (tmp_path / "m.csv").write_text(f"path,label,split\n{rows}", encoding="utf-8")

    with pytest.raises(ValueError, match=text):
        find_data(tmp_path / "m.csv", seed=0)


def test_paths_that_are_missing_or_no_data_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()

    for path, text in (
        (tmp_path / "nowhere", "no folder or file .*nowhere; give a folder of class folders"),
        ("wds/nowhere/at/all", "no folder or file wds/nowhere/at/all"),
        (tmp_path / "no-{0..1}.tar", r"no shard .*no-0\.tar"),
        (tmp_path / "notes.txt", r"notes\.txt is not known as data"),
    ):
        with pytest.raises(ValueError, match=text):
            find_data(path, seed=0)


@pytest.mark.parametrize(
    ("layout", "part", "count"),
    [
        ({"cat": 2, "dog": 3}, "all", 5),
        ({"train/cat": 9, "test/cat": 1, "test/dog": 2, "val/cat": 5}, "test", 3),
        ({"train/cat": 9, "val/cat": 5, "val/dog": 1}, "val", 6),
        ({"test/cat": 4}, "test", 4),
    ],
)
def test_a_network_is_measured_on_test_else_val_else_all(
    tmp_path: Path, layout: dict[str, int], part: str, count: int
) -> None:
    found, name = find_test(put(tmp_path, layout), ("cat", "dog"))

    assert (name, len(found)) == (part, count)


def test_a_class_called_test_is_a_class(tmp_path: Path) -> None:
    found, name = find_test(put(tmp_path, {"test": 2, "exam": 1}), ("Test", "exam"))

    assert (name, len(found), found.classes) == ("all", 3, ("exam", "test"))


def test_another_part_can_be_named(tmp_path: Path) -> None:
    data = put(tmp_path, {"train/cat": 9, "test/cat": 1})

    assert len(find_test(data, ("cat",), "train")[0]) == 9
    with pytest.raises(ValueError, match=r"has no folder val/; add it, or leave the part out"):
        find_test(data, ("cat",), "val")
    with pytest.raises(ValueError, match="no part 'dev'; the parts of a data set are train, val and test"):
        find_test(data, ("cat",), "dev")


def test_a_list_is_measured_by_its_parts(tmp_path: Path) -> None:
    put(tmp_path, {"x": 3})
    rows = ["path,label,split", "x/0.png,cat,train", "x/1.png,cat,test", "x/2.png,dog,test"]
    (tmp_path / "list.csv").write_text("\n".join(rows), encoding="utf-8")

    found, name = find_test(tmp_path / "list.csv", ("cat", "dog"))

    assert (name, [Path(item.name).name for item in found.items]) == ("test", ["1.png", "2.png"])
    with pytest.raises(ValueError, match=r"list.csv has no part val, but train and test"):
        find_test(tmp_path / "list.csv", ("cat", "dog"), "val")
