"""Models are named before, behind and among the arguments; scales are whole numbers divided by commas."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import fourfold
from fourfold.cli_models import open_models, parse_scales, take_models, write_png
from fourfold.evaluate.predictor import Predictor

BUNDLED = Path(fourfold.__file__).parent / "bundled" / "resnet20-cifar10"
NAME = "resnet20-cifar10"


def test_scales_are_read_in_the_order_given() -> None:
    assert parse_scales("256, 384,512") == [256, 384, 512]
    assert parse_scales(None) is None


@pytest.mark.parametrize("text", ["", "256,", "large", "256;384", "25.6"])
def test_other_words_are_no_scales(text: str) -> None:
    with pytest.raises(ValueError, match="give whole numbers of pixels, such as 256,384,512"):
        parse_scales(text)


def test_words_that_name_models_are_told_from_others(tmp_path: Path) -> None:
    run = shutil.copytree(BUNDLED, tmp_path / "run")

    assert take_models(["photo.jpg", NAME, str(run), str(tmp_path), "x" * 5000]) == (
        [NAME, str(run)],
        ["photo.jpg", str(tmp_path), "x" * 5000],
    )


def test_several_models_are_averaged_wherever_they_are_named(run: Callable[..., Any], tmp_path: Path) -> None:
    other = shutil.copytree(BUNDLED, tmp_path / "other")
    photo = Path(__file__).parents[1] / "README.md"
    outputs = {
        run("classify", "--model", NAME, "--model", other, photo.with_name("none.png")).err,
        run("classify", "--model", NAME, other, photo.with_name("none.png")).err,
        run("classify", photo.with_name("none.png"), "--model", NAME, other).err,
    }

    assert len(outputs) == 1  # the other model is not taken for a photo
    assert "none.png does not exist" in outputs.pop()


def test_weights_are_for_one_network(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--weights is for one network, and 2 are named"):
        open_models(["resnet20", "vgg-a"], tmp_path / "w.pth", tmp_path / "names.txt", None)


def test_a_picture_must_be_called_png(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"views\.jpg is not the name of a PNG file"):
        write_png(tmp_path / "views.jpg", lambda path: path.touch())


def test_a_model_and_itself_give_what_it_gives_alone() -> None:
    image = torch.randint(0, 256, (3, 40, 60), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    alone, twice = fourfold.predictor(NAME), fourfold.predictor([NAME, NAME])

    assert isinstance(twice, Predictor)
    assert twice.model == f"{NAME} + {NAME}"
    torch.testing.assert_close(twice([image]), alone([image]), rtol=0, atol=1e-7)
