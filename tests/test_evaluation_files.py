"""An evaluation's folder holds what its report promises; several have a comparison beside them."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fourfold.catalog import ModelEntry, Network
from fourfold.data.folder import list_folder
from fourfold.data.listing import Listing
from fourfold.evaluate.crops import Crops
from fourfold.evaluate.predictor import Member, Predictor
from fourfold.evaluate.views import CENTRE, TEN
from fourfold.evaluation_files import Job, evaluate_all
from fourfold.images import Pixels
from fourfold.models.base import Classifier, MeanHead, sequential
from fourfold.parallel import Group

LABELS = ("red", "green", "blue")


def asked(protocol: Crops) -> Predictor:
    """The class is the brightest channel."""
    classify = torch.nn.Linear(3, 3, bias=False)
    torch.nn.init.eye_(classify.weight)
    head = MeanHead(sequential({"fc": classify}), side=8)
    classifier = Classifier(sequential({"none": torch.nn.Identity()}), head, input_size=8).eval()
    return Predictor(
        (Member(Network(classifier, Pixels(std=(25.0,) * 3), LABELS, ModelEntry("colours", "colours")), protocol),)
    )


SINGLE, MANY = asked(Crops((8,), 8, CENTRE, are_mirrored=False)), asked(Crops((9,), 8, TEN))


@pytest.fixture
def listing(tmp_path: Path) -> Listing:
    """Two right answers, a wrong one, and a file that is no image."""
    for name, colour in [("red/a", "red"), ("red/b", "blue"), ("blue/c", "blue")]:
        path = tmp_path / "data" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 14), colour).save(path)
    (tmp_path / "data" / "blue" / "d.png").write_bytes(b"no image")
    return list_folder(tmp_path / "data")


def test_a_report_shows_its_mistakes_and_the_views_and_needs_no_other_file(listing: Listing, tmp_path: Path) -> None:
    ((name, result),) = evaluate_all([("ten", MANY)], Job(listing, "data"), tmp_path / "out")

    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert (name, result.images, len(result.broken)) == ("ten", 3, 1)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "answers.csv", "evaluation.json", "report.html", "report.json", "views.png",
    ]  # fmt: skip
    assert "d.png is not an image" in page
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)  # nothing is fetched from anywhere
    pictures = re.findall(r'src="data:image/\w+;base64,([^"]+)"', page)
    assert len(pictures) >= 4  # confusion, calibration, mistakes, views
    assert all(base64.b64decode(picture)[:4] in (b"\x89PNG", b"\xff\xd8\xff\xe0") for picture in pictures)
    assert json.loads((tmp_path / "out" / "report.json").read_text())["top1"] == pytest.approx(66.667)


def test_several_protocols_have_a_folder_each_and_a_comparison(listing: Listing, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []

    found = evaluate_all(
        [("single", SINGLE), ("ten", MANY)], Job(listing, "data"), tmp_path / "out", lambda *what: seen.append(what)
    )

    assert [(name, result.views) for name, result in found] == [("single", 1), ("ten", 10)]
    assert [seen[0][0], seen[-1]] == ["single", ("ten", 4, 4)]
    assert (tmp_path / "out" / "ten" / "answers.csv").is_file()
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "single" in page
    assert "ten" in page
    with Image.open(tmp_path / "out" / "comparison.png") as picture:
        assert np.asarray(picture.convert("L")).std() > 5  # something is drawn


def test_without_a_folder_nothing_is_written_and_nothing_can_be_shared(listing: Listing, tmp_path: Path) -> None:
    ((_, result),) = evaluate_all([("single", SINGLE)], Job(listing, "data"), None)

    assert result.images == 3
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    for job in (Job(listing, "data", Group(0, 2)), Job(listing, "data", ray="local")):
        with pytest.raises(ValueError, match="name it with --out FOLDER"):
            evaluate_all([("single", SINGLE)], job, None)


def test_a_place_that_cannot_be_written_is_an_error_in_one_line(listing: Listing, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ValueError, match="file"):
        evaluate_all([("single", SINGLE)], Job(listing, "data"), tmp_path / "file" / "out")
