"""The verbs of boxes as a program calls them: propose, detect, evaluate; one detector or several, on what there is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from fourfold import verbs_detect
from fourfold.detect.detector import Averaged, Detector, United
from fourfold.detecting import Found
from fourfold.detector_files import load_detector
from fourfold.images import read_image
from fourfold.sources import Failure
from fourfold.verbs_detect import detect, detector, evaluate_detections, propose, write_detections

Make = Callable[..., Path]  # conftest's, which writes into a folder
CLASSES = ("blue", "red [cell]")
CORNERS = ((4, 6, 30, 40), (44, 20, 70, 50), (0, 0, 79, 63), (10, 30, 60, 60), (50, 2, 78, 22))


def photos(home: Path) -> list[Path]:
    return sorted((home / "data" / "JPEGImages").iterdir())


def test_proposals_of_a_file_come_with_the_image(home: Path) -> None:
    (photo, *_), boxes = photos(home), home / "data" / "boxes.csv"
    image, found = propose(str(photo), str(boxes), 3)

    assert torch.equal(image, read_image(photo))
    assert found.tolist() == [list(map(float, corner)) for corner in CORNERS[:3]]
    with pytest.raises(ValueError, match="0 proposals are none"):
        propose(photo, str(boxes), 0)
    with pytest.raises(ValueError, match="does not exist; check the path"):
        propose(home / "gone.png", str(boxes))


def test_a_folder_gives_one_answer_for_each_image_and_equals_the_detector_itself(home: Path) -> None:
    found = detect(home / "data" / "JPEGImages", home / "one")

    assert [isinstance(each, Found) and each.source for each in found] == [str(path) for path in photos(home)]
    alone = load_detector(home / "one")
    shown = 0
    for each, path in zip(found, photos(home), strict=True):
        assert isinstance(each, Found)
        wanted = alone.shown(alone(read_image(path), path.name))
        assert torch.equal(each.detections.boxes, wanted.boxes)
        assert torch.equal(each.detections.scores, wanted.scores)
        shown += len(wanted)
    assert shown > 0


def test_inputs_of_every_kind_and_failures_among_them(home: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(photos(home)[0].read_bytes()[:3000])

    first, cut, gone, array, last = detect(
        [photos(home)[0], broken, "gone.png", np.zeros((8, 9, 3), np.uint8), str(photos(home)[1])],
        load_detector(home / "one"),
    )

    assert isinstance(first, Found)
    assert isinstance(last, Found)
    assert isinstance(cut, Failure)
    assert "damaged or cut off" in cut.error
    assert isinstance(gone, Failure)
    assert isinstance(array, Failure)  # the file has boxes by name, and this image has none
    assert "boxes.csv" in array.error


def test_a_score_and_a_number_of_proposals_are_obeyed(home: Path) -> None:
    (every,) = detect(photos(home)[0], home / "one", score=-10)
    (none,) = detect(photos(home)[0], home / "one", score=1e6)
    (few,) = detect(photos(home)[0], home / "one", score=-10, count=1)

    assert isinstance(every, Found)
    assert isinstance(none, Found)
    assert isinstance(few, Found)
    assert len(none.detections) == 0
    assert 0 < len(few.detections) <= 2 < len(every.detections)
    assert {tuple(box) for box in few.detections.boxes.tolist()} == {tuple(map(float, CORNERS[0]))}


def test_fc_layers_of_low_rank_are_cheaper_and_find_about_the_same(home: Path) -> None:
    whole, cheap = detector(home / "one"), detector(home / "one", low_rank=4)
    assert isinstance(whole, Detector)
    assert isinstance(cheap, Detector)
    sizes = [sum(value.numel() for value in one.network.classifier.head.fc.parameters()) for one in (whole, cheap)]

    (found,) = detect(photos(home)[0], home / "one", score=-10, low_rank=4)
    (exact,) = detect(photos(home)[0], home / "one", score=-10)

    assert sizes[1] < 0.7 * sizes[0]
    assert isinstance(found, Found)
    assert isinstance(exact, Found)
    assert 0 < (found.detections.scores[0] - exact.detections.scores[0]).abs() < 1
    with pytest.raises(ValueError, match="a detector that is loaded already has its proposals and layers"):
        detector(whole, low_rank=4)
    with pytest.raises(ValueError, match="no fc layer gets cheaper at a rank of 4000"):
        detector(home / "one", low_rank=4000)


def test_several_detectors_are_united_or_averaged(home: Path) -> None:
    folders = [home / "one", home / "two"]
    united, averaged = detector(folders), detector(folders, average=True)
    assert isinstance(united, United)
    assert isinstance(averaged, Averaged)
    assert united.title == averaged.title == "one + two"

    (apart,) = detect(photos(home)[0], folders, score=-10)
    (mean,) = detect(photos(home)[0], folders, score=-10, average=True)
    each = [detect(photos(home)[0], folder, score=-10)[0] for folder in folders]

    assert isinstance(apart, Found)
    assert isinstance(mean, Found)
    scores = [set(one.detections.scores.tolist()) for one in each if isinstance(one, Found)]
    assert set(apart.detections.scores.tolist()) <= scores[0] | scores[1]
    assert not set(mean.detections.scores.tolist()) & (scores[0] | scores[1])
    with pytest.raises(ValueError, match="united already"):
        detector([united, home / "one"])


def test_detectors_that_do_not_go_together_are_refused(home: Path, tmp_path: Path, write_detector: Make) -> None:
    other = write_detector(tmp_path / "other", 1, home / "data" / "boxes.csv", ("blue", "green"))

    with pytest.raises(ValueError, match="other finds other classes than one"):
        detector([home / "one", other])
    with pytest.raises(ValueError, match="no detector given"):
        detector([])
    with pytest.raises(ValueError, match="is loaded already has its proposals"):
        detector(load_detector(home / "one"), count=3)
    asked = load_detector(home / "one")
    assert detector(asked) is asked
    opened = detector(home / "one", count=3)
    assert isinstance(opened, Detector)
    assert asdict(opened.propose)["count"] == 3  # pyright: ignore[reportArgumentType]


def test_an_evaluation_counts_what_the_data_hold_and_writes_its_report(home: Path, tmp_path: Path) -> None:
    seen: list[int] = []
    found = evaluate_detections(home / "one", home / "data", watch=lambda done, total: seen.append(100 * done // total))

    assert (len(found.images), found.objects, found.classes) == (4, 8, CLASSES)
    assert seen == [25, 50, 75, 100]
    assert found.protocol.endswith(f"at most 5 proposals, on {home / 'data'}")
    assert found.proposals is not None
    assert found.coverage is not None
    assert float(found.coverage.recall(0.99)[0]) == 1  # the objects are among the proposals
    write_detections(found, tmp_path / "report")
    assert {path.name for path in (tmp_path / "report").iterdir()} == {
        "detections.json", "per_class.csv", "report.html", "result.json",
    }  # fmt: skip


def test_data_that_lack_a_class_are_measured_with_the_labels_of_the_detector(home: Path, tmp_path: Path, put: Make) -> None:
    """VOC's classes are those that occur: a few photos without one must not make the others impossible to measure."""
    data = put(tmp_path / "data", names=("red [cell]",))
    found = evaluate_detections(home / "one", data, proposals=str(data / "boxes.csv"))

    assert found.classes == CLASSES
    assert [each.objects for each in found.per_class] == [0, 4]
    assert all(image.labels.tolist() == [1] for image in found.images)


def test_data_with_a_class_that_the_detector_does_not_know_are_refused(home: Path, tmp_path: Path, put: Make) -> None:
    data = put(tmp_path / "data", names=("blue", "green"))

    with pytest.raises(ValueError, match=r"has the classes blue, green, and one finds blue, red \[cell\]"):
        evaluate_detections(home / "one", data)


def test_parts_are_asked_for_by_name_and_test_comes_first(home: Path, tmp_path: Path, put: Make) -> None:
    data = put(tmp_path / "data")
    (data / "ImageSets" / "Main").mkdir(parents=True)
    for part, listed in (("train", "0\n1\n"), ("val", "2\n"), ("test", "3\n")):
        (data / "ImageSets" / "Main" / f"{part}.txt").write_text(listed, encoding="utf-8")

    def names(split: str | None) -> list[str]:
        return [Path(image.item.name).stem for image in evaluate_detections(home / "one", data, split=split).images]

    assert (names(None), names("val"), names("train")) == (["3"], ["2"], ["0", "1"])
    assert evaluate_detections(home / "one", data).protocol.endswith(f"on {data} (test)")
    with pytest.raises(ValueError, match="has no part 'valid'; it has train, val, test"):
        names("valid")


def test_images_that_cannot_be_read_are_said_and_left_out(home: Path, tmp_path: Path, put: Make) -> None:
    data = put(tmp_path / "data")
    photo = data / "JPEGImages" / "2.png"
    photo.write_bytes(photo.read_bytes()[:3000])
    said: list[str] = []

    found = evaluate_detections(home / "one", data, say=said.append)

    assert len(found.images) == 3
    assert len(said) == 1
    assert str(photo) in said[0]
    for path in (data / "JPEGImages").iterdir():
        path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ValueError, match="there is no image to evaluate"):
        evaluate_detections(home / "one", data)


def test_training_takes_the_arguments_that_it_names(home: Path, tmp_path: Path) -> None:
    """All of them reach the run's args.json; what they do is tested in test_detector_jobs.py."""
    given = {
        "method": "sppnet", "start": str(home / "one"), "options": {"units": 6}, "scales": [50, 60], "count": 5, "steps": 2,
        "proposals": str(home / "data" / "boxes.csv"), "rate": 0.01, "scores": "svm", "refines": True, "decay": 50.0,
        "seed": 3,
    }  # fmt: skip
    made = verbs_detect.train_detector(home / "data", run=tmp_path / "run", **given)  # pyright: ignore[reportArgumentType]

    kept = json.loads((tmp_path / "run" / "args.json").read_text(encoding="utf-8"))
    assert kept == {"data": str(home / "data"), **given}
    assert made.detector.labels == CLASSES
    assert made.folder == tmp_path / "run"
    again = verbs_detect.train_detector(run=tmp_path / "run", resume=True)
    (ours,), (theirs,) = (detect(photos(home)[1], each.detector, score=-10) for each in (made, again))
    assert isinstance(ours, Found)
    assert isinstance(theirs, Found)
    assert torch.equal(ours.detections.scores, theirs.detections.scores)
