"""A made data set with known faults: each is found, counted and named, and nothing that is sound is accused."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from fourfold.data.check import DataReport, check_data

SIZE = (48, 40)  # width, height


def photo(seed: int, size: tuple[int, int] = SIZE) -> Pillow.Image:
    """Soft blobs of colour with noise, different for each seed."""
    rough = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Pillow.fromarray(rough).resize(size, Pillow.Resampling.BICUBIC)


def put(root: Path, name: str, image: Pillow.Image | bytes) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    if isinstance(image, bytes):
        (root / name).write_bytes(image)
    else:
        image.save(root / name)


def put_sound(root: Path, parts: tuple[str, ...] = ("train", "val")) -> None:
    """Four photos of each of two classes in each part."""
    for place, (part, name) in enumerate((part, name) for part in parts for name in ("cat", "dog")):
        for number in range(4):
            put(root, f"{part}/{name}/{number}.png", photo(10 * place + number))


def pairs(report: DataReport, root: Path) -> set[tuple[str, str, bool, bool, bool]]:
    """(first, second, is exact, is leak, is contradiction), with names below the root."""
    short = {
        place.item.name: Path(place.item.name).relative_to(root).as_posix()
        for twins in report.twins
        for place in (twins.first, twins.second)
    }
    return {
        (short[t.first.item.name], short[t.second.item.name], t.is_exact, t.is_leak, t.is_contradiction)
        for t in report.twins
    }


def found(report: DataReport) -> dict[str, int]:
    return {finding.what: finding.count for finding in report.findings()}


def test_a_sound_data_set_has_no_findings(tmp_path: Path) -> None:
    put_sound(tmp_path)
    seen: list[tuple[int, int]] = []

    report = check_data(tmp_path, lambda done, count: seen.append((done, count)))

    assert report.findings() == []
    assert report.counts == {"train": {"cat": 4, "dog": 4}, "val": {"cat": 4, "dog": 4}}
    assert report.sizes == ((48, 48, 48), (40, 40, 40))
    assert seen == [(done, 16) for done in range(1, 17)]


def test_copies_in_two_parts_in_two_classes_and_in_one_are_told_apart(tmp_path: Path) -> None:
    put_sound(tmp_path, ("train", "val", "test"))
    put(tmp_path, "val/cat/leak.bmp", photo(0))  # of train/cat/0.png, in other bytes
    put(tmp_path, "test/dog/leak.png", photo(21))  # of val/cat/1.png
    put(tmp_path, "train/dog/wrong.png", photo(2))
    put(tmp_path, "train/cat/again.png", photo(3))
    put(tmp_path, "test/cat/small.jpg", photo(11).resize((36, 36)))  # of train/dog/1.png

    report = check_data(tmp_path)

    assert pairs(report, tmp_path) == {
        ("train/cat/0.png", "val/cat/leak.bmp", True, True, False),
        ("val/cat/1.png", "test/dog/leak.png", True, True, True),
        ("train/cat/2.png", "train/dog/wrong.png", True, False, True),
        ("train/cat/3.png", "train/cat/again.png", True, False, False),
        ("train/dog/1.png", "test/cat/small.jpg", False, True, True),
    }
    assert found(report) == {
        "the same image in two parts": 2,
        "nearly the same image in two parts": 1,
        "the same image in two classes": 2,
        "nearly the same image in two classes": 1,
        "the same image in one part and class": 1,
    }
    assert report.twins[0].is_exact
    assert report.twins[0].is_leak


def test_three_of_the_same_are_two_copies_of_the_one_in_train(tmp_path: Path) -> None:
    put_sound(tmp_path)
    for name in ("val/cat/a.png", "val/cat/b.png"):
        put(tmp_path, name, photo(1))

    assert found(check_data(tmp_path)) == {"the same image in two parts": 2}


def test_an_image_that_is_near_to_two_others_counts_once(tmp_path: Path) -> None:
    put_sound(tmp_path)
    put(tmp_path, "train/cat/smaller.png", photo(1).resize((42, 35)))
    put(tmp_path, "val/cat/grey.png", photo(1).convert("L").convert("RGB"))

    assert found(check_data(tmp_path)) == {
        "nearly the same image in two parts": 1,
        "nearly the same image in one part and class": 1,
    }


def test_files_that_cannot_be_read_are_named_and_still_counted(tmp_path: Path) -> None:
    put_sound(tmp_path)
    put(tmp_path, "train/cat/text.jpg", b"no image")
    put(tmp_path, "val/dog/cut.png", (tmp_path / "val/dog/0.png").read_bytes()[:300])
    put(tmp_path, "val/dog/thin.png", Pillow.new("RGB", (300, 5)))

    report = check_data(tmp_path)

    assert [Path(broken.name).name for broken in report.broken] == ["text.jpg", "cut.png", "thin.png"]
    assert found(report) == {"cannot be read": 3}
    assert "text.jpg is not an image" in report.findings()[0].examples[0]
    assert report.counts["train"]["cat"] == 5


def test_odd_images_are_sorted_by_their_oddity(tmp_path: Path) -> None:
    put_sound(tmp_path)
    exif = Pillow.Exif()
    exif[0x0112] = 8
    turned = io.BytesIO()
    photo(50, (70, 50)).save(turned, "JPEG", exif=exif)
    put(tmp_path, "train/cat/turned.jpg", turned.getvalue())
    put(tmp_path, "train/cat/grey.png", photo(51).convert("L"))
    put(tmp_path, "train/dog/grey.png", photo(52).convert("L"))
    put(tmp_path, "val/cat/tiny.png", photo(53, (60, 31)))
    put(tmp_path, "val/cat/strip.png", photo(54, (201, 50)))
    put(tmp_path, "val/cat/no strip.png", photo(55, (200, 50)))
    put(tmp_path, "val/dog/blank.png", Pillow.new("RGB", (64, 64), (250, 250, 250)))

    report = check_data(tmp_path)

    names = {word: [Path(place.item.name).name for place in places] for word, places in report.odd.items()}
    assert names == {
        "grey": ["grey.png", "grey.png"],
        "turned by EXIF": ["turned.jpg"],
        "smaller than 32 pixels": ["tiny.png"],
        "strips, over 4 times as long as wide": ["strip.png"],
        "of one colour": ["blank.png"],
    }
    assert report.sizes == ((48, 48, 201), (31, 40, 70))  # the turned one counts as it is seen, 50 by 70


@pytest.mark.parametrize(("most", "is_said"), [(30, False), (31, True)])
def test_classes_out_of_balance_by_more_than_ten_to_one_are_said(tmp_path: Path, most: int, is_said: bool) -> None:
    for number in range(most):
        put(tmp_path, f"cat/{number}.png", photo(number))
    for number in range(3):
        put(tmp_path, f"dog/{number}.png", photo(100 + number))

    notes = check_data(tmp_path).notes

    assert notes == (("classes are out of balance: 31 of cat, 3 of dog",) if is_said else ())


def test_what_training_would_refuse_or_do_silently_is_noted(tmp_path: Path) -> None:
    put(tmp_path, "train/cat/1.png", photo(0))
    put(tmp_path, "train/dog/1.png", photo(1))
    put(tmp_path, "test/cat/1.png", photo(2))
    put(tmp_path / "one", "cat/1.png", photo(3))

    assert check_data(tmp_path).notes == (
        "train and test differ in classes: dog",
        "there are no validation images; training would look at the test images",
    )
    assert check_data(tmp_path / "one").notes == ("there is one class only, cat",)


def test_images_in_memory_are_checked_as_files_are(tmp_path: Path) -> None:
    rows = [np.asarray(photo(seed, (32, 32))).transpose(2, 0, 1).tobytes() for seed in range(3)]
    for name in [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]:
        (tmp_path / f"{name}.bin").write_bytes(b"\0" + rows[2 if name == "test_batch" else 0] + b"\1" + rows[1])
    (tmp_path / "batches.meta.txt").write_text("cat\ndog\n", encoding="utf-8")

    report = check_data(tmp_path)

    assert found(report)["the same image in two parts"] == 1
    assert found(report)["the same image in one part and class"] == 8
    assert "smaller than 32 pixels" not in found(report)


def test_nothing_on_disk_changes(tmp_path: Path) -> None:
    put_sound(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}

    check_data(tmp_path)

    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_path_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no folder or file"):
        check_data(tmp_path / "nowhere")
