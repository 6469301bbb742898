"""The picture shows a bar as high as its class, the copies themselves, and the odd images; red is only what leaks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from fourfold.data.check import check_data
from fourfold.data.check_picture import draw_check

BLUE, ORANGE, RED = (37, 99, 235), (234, 88, 12), (220, 38, 38)


def put(root: Path, name: str, seed: int, tint: tuple[int, int, int] | None = None) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    rough = np.random.default_rng(seed).integers(60, 190, (5, 6, 3), dtype=np.uint8)
    if tint:
        rough = (0.1 * rough + np.array(tint) * 0.9).astype(np.uint8)
    Pillow.fromarray(rough).resize((48, 40), Pillow.Resampling.BICUBIC).save(root / name)


def pixels(root: Path) -> np.ndarray:
    """The picture of a data set, int (H,W,3)."""
    draw_check(check_data(root), root / "picture.png")
    with Pillow.open(root / "picture.png") as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB")).astype(int)


def share(picture: np.ndarray, colour: tuple[int, int, int], near: int = 12) -> int:
    """How many pixels have this colour."""
    return int((np.abs(picture - np.array(colour)).max(axis=2) <= near).sum())


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    for number in range(12):
        put(tmp_path, f"train/cat/{number}.png", number)
    for number in range(4):
        put(tmp_path, f"train/dog/{number}.png", 20 + number)
        put(tmp_path, f"val/cat/{number}.png", 30 + number)
        put(tmp_path, f"val/dog/{number}.png", 40 + number)
    return tmp_path


def test_bars_are_as_large_as_their_classes(sound: Path) -> None:
    picture = pixels(sound)

    assert picture.shape[0] < 450  # no rows of images
    assert share(picture, BLUE) / share(picture, ORANGE) == pytest.approx(16 / 8, rel=0.05)  # grid lines and the legend
    assert share(picture, RED) == 0


def test_a_leak_is_shown_with_both_its_images_in_red_letters(sound: Path) -> None:
    plain = pixels(sound)
    violet = (150, 30, 200)
    for name in ("train/cat/a.png", "val/cat/b.png"):
        put(sound, name, 7, violet)

    picture = pixels(sound)

    assert picture.shape[0] > plain.shape[0] + 150
    assert share(picture, RED, 40) > 100
    assert share(picture, violet, 30) > 2 * 150 * 100
    left, right = (share(half, violet, 30) for half in np.split(picture[:, : picture.shape[1] // 6 * 2], 2, axis=1))
    assert left == pytest.approx(right, rel=0.1)


def test_a_copy_in_one_class_is_not_red(sound: Path) -> None:
    put(sound, "train/cat/copy.png", 3)

    picture = pixels(sound)

    assert picture.shape[0] > 500
    assert share(picture, RED, 40) == 0


def test_odd_images_are_shown_and_the_rare_are_not_crowded_out(sound: Path) -> None:
    for number in range(30):
        put(sound, f"train/dog/g{number}.png", 100 + number)
        with Pillow.open(sound / f"train/dog/g{number}.png") as image:
            grey = image.convert("L")
        grey.save(sound / f"train/dog/g{number}.png")
    Pillow.new("RGB", (64, 64), (150, 30, 200)).save(sound / "train/dog/zz.png")

    assert share(pixels(sound), (150, 30, 200)) > 100 * 100


def test_many_classes_and_names_that_are_no_plain_text_can_be_drawn(tmp_path: Path) -> None:
    for number in range(70):
        put(tmp_path, f"${number}_{{^ a long name of a class_{number}/1$.png", number)
    put(tmp_path, "$1\n{/2.png", 1)

    assert pixels(tmp_path).shape[1] == 1300
