"""A detector made stage by stage: what its folder holds, that a seed decides all, and that a stop changes nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from fourfold.data.boxed import find_boxed_parts
from fourfold.data.listing import WHOLE
from fourfold.detector_files import load_detector
from fourfold.detector_jobs import DetectorArguments, run_detector_training
from fourfold.detector_training import TrainedDetector, Watch, evaluate_detector
from fourfold.images import read_image
from fourfold.networks import build
from fourfold.train.loop import Moment, Watchers
from fourfold.weights import save_weights

COLOURS = {"blue": (30, 40, 210), "red [cell]": (220, 30, 30)}
OBJECT = (
    "<object><name>{}</name><difficult>{}</difficult><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax>"
    "<ymax>{}</ymax></bndbox></object>"
)
TENSORS = ("weights.safetensors", "svm.safetensors", "boxes.safetensors", "detector.json", "entry.json")


def put(folder: Path, count: int = 6, names: tuple[str, ...] = tuple(COLOURS), difficult: int = 0) -> Path:
    """VOC's layout: 64x80 noise with one rectangle of each class; and beside it boxes.csv with proposals."""
    (folder / "Annotations").mkdir(parents=True)
    (folder / "JPEGImages").mkdir()
    draw = np.random.default_rng(3)
    lines = ["image,class,score,x1,y1,x2,y2"]
    for index in range(count):
        pixels = draw.integers(90, 160, (64, 80, 3)).astype(np.uint8)
        objects = ""
        for place, name in enumerate(names):
            x, y, width, height = (int(draw.integers(*span)) for span in ((0, 20), (0, 34), (14, 20), (18, 28)))
            x += 40 * place
            pixels[y : y + height, x : x + width] = COLOURS[name]
            objects += OBJECT.format(name, difficult, x + 1, y + 1, x + width, y + height)
            for _ in range(8):
                dx, dy = draw.integers(-4, 5, 2)
                lines.append(f"{index:02}.png,,1,{x + dx},{y + dy},{x + width + dx},{y + height + dy}")
        for _ in range(14):
            left, top, wide, high = draw.integers((0, 0, 8, 8), (60, 44, 21, 21)).tolist()
            lines.append(f"{index:02}.png,,0.5,{left},{top},{left + wide},{top + high}")
        Image.fromarray(pixels).save(folder / "JPEGImages" / f"{index:02}.png")
        (folder / "Annotations" / f"{index:02}.xml").write_text(f"<annotation>{objects}</annotation>", encoding="utf-8")
    (folder / "boxes.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def start(folder: Path, **options: object) -> str:
    """A run folder of a small ResNet with random weights."""
    folder.mkdir(parents=True)
    torch.manual_seed(5)
    options = {"classes": 3, "width": 0.25, **options}
    save_weights(folder / "weights.safetensors", build("resnet20", **options).state_dict())
    pixels = {"mean": [120.0, 121.0, 122.0], "std": [60.0, 61.0, 62.0], "order": "RGB"}
    entry = {"name": "start", "network": "resnet20", "options": options, "classes": ["a", "b", "c"], "pixels": pixels}
    (folder / "entry.json").write_text(json.dumps({**entry, "licence": "yours"}), encoding="utf-8")
    return str(folder)


def go(given: DetectorArguments, run: Path, watch: Watch | None = None, *, resume: bool = False) -> TrainedDetector:
    return run_detector_training(given, run, resume=resume, watch=watch or Watch())


def files_of(run: Path) -> dict[str, bytes]:
    return {name: (run / name).read_bytes() for name in TENSORS if (run / name).exists()}


@dataclass
class Said:
    """What a run says and does, and where it is to be stopped: at the nth call of a stage."""

    stop: str = ""
    after: int = 3
    lines: list[str] = field(default_factory=list)
    stages: list[str] = field(default_factory=list)

    def watch(self) -> Watch:
        return Watch(self._stage, Watchers(step=self._step), self.lines.append)

    def _stage(self, what: str, done: int, total: int) -> None:
        assert 1 <= done <= total
        if what not in self.stages:
            self.stages.append(what)
        if what == self.stop and done >= min(self.after, total):
            raise Stopped

    def _step(self, moment: Moment) -> None:
        self._stage("tuning", moment.step, moment.steps)


class Stopped(BaseException):
    """Raised in the midst of a stage, as nothing in the package catches."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data/ with boxes.csv, the network plain/, and pyramid/ with a pyramid."""
    folder = tmp_path_factory.mktemp("home")
    put(folder / "data")
    start(folder / "plain")
    start(folder / "pyramid", levels=[2, 1], units=8)
    return folder


def arguments(home: Path, method: str, **changes: object) -> DetectorArguments:
    begun = home / ("plain" if method == "googlenet" else "pyramid")
    given = DetectorArguments(
        str(home / "data"), method, str(begun), proposals=str(home / "data" / "boxes.csv"), count=30, steps=5, seed=1
    )
    return replace(given, **changes)  # pyright: ignore[reportArgumentType]


@pytest.fixture(scope="module")
def sppnet(home: Path) -> tuple[TrainedDetector, Said]:
    said = Said()
    return go(arguments(home, "sppnet"), home / "whole" / "run", said.watch()), said


METHODS = {
    "modern": ({"boxes"}, "softmax", {"pooled": {"scales": [98]}}),  # 688 of 224 pixels, of 32
    "sppnet": ({"svm", "boxes"}, "svm", {"pooled": {"scales": [98]}}),
    "rcnn": ({"svm", "boxes"}, "svm", {"warped": {"context": 16}}),
    "googlenet": (set(), "softmax", {"warped": {"context": 16}}),
}


@pytest.mark.parametrize("method", METHODS)
def test_each_method_makes_a_folder_that_finds_what_the_detector_made_finds(method: str, home: Path, tmp_path: Path) -> None:
    tensors, scores, regions = METHODS[method]
    made = go(arguments(home, method, count=12), tmp_path / "run")

    record = json.loads((tmp_path / "run" / "detector.json").read_text(encoding="utf-8"))
    assert (record["scores"], record["regions"], record["count"], record["refines"]) == (
        scores, regions, 12, "boxes" in tensors,
    )  # fmt: skip
    assert {path.stem for path in (tmp_path / "run").glob("*.safetensors")} == {"weights", *tensors}
    assert made.detector.labels == ("blue", "red [cell]")
    assert made.evaluation is not None
    assert len(record["thresholds"]) == 2
    loaded = load_detector(tmp_path / "run")
    least = {"svm": -1.0, "softmax": 0.01}[scores]
    found = [each.threshold for each in made.evaluation.per_class if each.threshold is not None]
    wanted = tuple(max(found) if each.threshold is None else each.threshold for each in made.evaluation.per_class)
    assert loaded.thresholds == made.detector.thresholds == wanted
    assert any(each > least for each in wanted)
    for path in sorted((home / "data" / "JPEGImages").iterdir())[:3]:
        ours, theirs = (each(read_image(path), str(path)) for each in (made.detector, loaded))
        assert len(ours) > 0
        assert torch.equal(ours.boxes, theirs.boxes)
        assert torch.equal(ours.labels, theirs.labels)
        assert torch.equal(ours.scores, theirs.scores)


def test_a_seed_decides_every_byte(home: Path, sppnet: tuple[TrainedDetector, Said], tmp_path: Path) -> None:
    whole = files_of(sppnet[0].folder)
    go(arguments(home, "sppnet"), tmp_path / "run")
    go(arguments(home, "sppnet", seed=2), tmp_path / "other" / "run")

    assert len(whole) == len(TENSORS)
    assert files_of(tmp_path / "run") == whole
    other = files_of(tmp_path / "other" / "run")
    assert all(other[name] != whole[name] for name in TENSORS[:3])


def test_the_svm_of_a_class_has_learnt_from_its_own_objects(home: Path, sppnet: tuple[TrainedDetector, Said]) -> None:
    detector = sppnet[0].detector
    margins = []
    for image in find_boxed_parts(home / "data")[WHOLE].images:
        pooled = detector.regions.pooled(detector.network, read_image(Path(image.item.name)), image.boxes)
        scores = detector.score(detector.network, pooled)
        assert image.labels.tolist() == [0, 1]
        margins += (scores.diagonal() - scores.flip(1).diagonal()).tolist()

    assert len(margins) == 12
    assert min(margins) > 0  # small, as features of random weights are much alike


def test_the_stages_come_in_the_order_that_is_documented(sppnet: tuple[TrainedDetector, Said]) -> None:
    trained, said = sppnet

    assert said.stages == [
        "proposals", "proposals to check on", "pooling regions", "tuning", "features", "hard negatives", "box regression",
        "testing",
    ]  # fmt: skip
    assert trained.origin == "10%, held out"
    assert said.lines == [
        "5 images, 10 boxes of 2 classes; checked on 10%, held out",
        "SPP-net 4, one scale: regions pooled from maps at 98, starting from start",
    ]


@pytest.mark.parametrize(
    "stage", ["proposals", "pooling regions", "tuning", "features", "hard negatives", "box regression", "testing"]
)
def test_a_run_that_was_stopped_anywhere_ends_like_one_that_was_not(
    stage: str, home: Path, sppnet: tuple[TrainedDetector, Said], tmp_path: Path
) -> None:
    given, run = arguments(home, "sppnet"), tmp_path / "run"
    with pytest.raises(Stopped):
        go(given, run, Said(stop=stage).watch())
    assert not (run / "detector.json").exists()
    with pytest.raises(ValueError, match=r"has no detector\.json"):
        load_detector(run)
    if stage != "proposals":  # what was finished with one set of arguments is not taken up with another
        with pytest.raises(ValueError, match="holds a run already; add --resume to go on"):
            go(given, run)

    said = Said()
    resumed = go(DetectorArguments(), run, said.watch(), resume=True)

    assert files_of(run) == files_of(sppnet[0].folder)
    assert resumed.evaluation is not None
    assert sppnet[0].evaluation is not None
    assert resumed.evaluation.voc.map_2010 == sppnet[0].evaluation.voc.map_2010
    done = {"hard negatives": "tuning", "box regression": "hard negatives", "testing": "box regression"}
    assert done.get(stage) not in said.stages  # what was done is not done again


def test_a_run_does_not_go_on_with_other_data(home: Path, tmp_path: Path) -> None:
    data = put(tmp_path / "data")
    given = arguments(home, "sppnet", data=str(data), proposals=str(data / "boxes.csv"))
    with pytest.raises(Stopped):
        go(given, tmp_path / "run", Said(stop="box regression").watch())
    (data / "Annotations" / "03.xml").unlink()

    with pytest.raises(ValueError, match="run began with other images or boxes; restore them to go on"):
        go(DetectorArguments(), tmp_path / "run", resume=True)


def test_damaged_and_missing_images_are_named_and_left_out(home: Path, tmp_path: Path) -> None:
    data = put(tmp_path / "data")
    photo = data / "JPEGImages" / "00.png"
    photo.write_bytes(photo.read_bytes()[:4000])  # its header is whole
    (data / "JPEGImages" / "02.png").unlink()
    (data / "Annotations" / "03.xml").write_text("<annotation></annotation>", encoding="utf-8")  # nothing to see, no fault
    given = arguments(home, "sppnet", data=str(data), proposals=str(data / "boxes.csv"))
    said = Said()

    go(given, tmp_path / "run", said.watch())

    assert said.lines[2].startswith(f"{data / 'Annotations' / '02.xml'}: there is no image")
    assert [line for line in said.lines if line.startswith("left out: ")] == [said.lines[3]]
    assert str(photo) in said.lines[3]
    assert len(said.lines) == 4
    assert (tmp_path / "run" / "detector.json").exists()


@pytest.mark.parametrize("method", ["modern", "sppnet"])
def test_held_out_images_that_cannot_be_read_stop_nothing(method: str, home: Path, tmp_path: Path) -> None:
    data = put(tmp_path / "data")
    given = arguments(home, method, data=str(data), proposals=str(data / "boxes.csv"))
    (data / "train").mkdir()
    (data / "val").mkdir()
    for path in sorted((data / "Annotations").iterdir()):
        part = "val" if path.stem == "04" else "train"
        path.rename(data / part / path.name)
        (data / "JPEGImages" / f"{path.stem}.png").rename(data / part / f"{path.stem}.png")
    photo = data / "val" / "04.png"
    photo.write_bytes(photo.read_bytes()[:4000])

    made = go(given, tmp_path / "run")

    assert made.evaluation is None
    assert made.detector.thresholds == ()
    assert load_detector(tmp_path / "run").labels == made.detector.labels


def test_one_image_is_enough(home: Path, tmp_path: Path) -> None:
    data = put(tmp_path / "data", count=1)
    made = go(arguments(home, "sppnet", data=str(data), proposals=str(data / "boxes.csv")), tmp_path / "run")

    assert (made.evaluation, made.origin) == (None, "none, as there is one image only")
    photo = data / "JPEGImages" / "00.png"
    assert len(load_detector(tmp_path / "run")(read_image(photo), str(photo))) > 0


def test_objects_marked_as_difficult_are_nothing_to_learn_from(home: Path, tmp_path: Path) -> None:
    data = put(tmp_path / "data", count=3, difficult=1)

    with pytest.raises(ValueError, match="no object is left in the 2 images to learn from; mend those that were named"):
        go(arguments(home, "sppnet", data=str(data), proposals=str(data / "boxes.csv")), tmp_path / "run")


def test_a_class_without_an_object_to_learn_from_is_named_and_never_found(home: Path, tmp_path: Path) -> None:
    data = put(tmp_path / "data")
    for path in (data / "Annotations").iterdir():
        if path.stem != "04":  # which is held out
            path.write_text(path.read_text(encoding="utf-8").replace("red [cell]", "blue"), encoding="utf-8")
    (data / "ImageSets" / "Main").mkdir(parents=True)
    (data / "ImageSets" / "Main" / "train.txt").write_text("00\n01\n02\n03\n05\n", encoding="utf-8")
    (data / "ImageSets" / "Main" / "val.txt").write_text("04\n", encoding="utf-8")
    said = Said()

    given = arguments(home, "sppnet", data=str(data), proposals=str(data / "boxes.csv"))
    made = go(given, tmp_path / "run", said.watch())

    assert "red [cell] has no object to learn from, and will never be found" in said.lines
    assert load_file(tmp_path / "run" / "boxes.safetensors")["pairs"][1] == 0
    assert made.evaluation is not None
    assert [each.found > 0 for each in made.evaluation.per_class] == [True, False]
    assert made.detector.thresholds == (made.evaluation.per_class[0].threshold,) * 2  # no flood of what was never found


def test_boxes_for_some_of_the_images_leave_the_others_out(home: Path, tmp_path: Path) -> None:
    data = put(tmp_path / "data")
    boxes = data / "boxes.csv"
    kept = [line for line in boxes.read_text(encoding="utf-8").splitlines() if not line.startswith("02")]
    boxes.write_text("\n".join(kept), encoding="utf-8")
    said = Said()

    go(arguments(home, "sppnet", data=str(data), proposals=str(boxes)), tmp_path / "run", said.watch())

    (line,) = (line for line in said.lines if line.startswith("left out: "))
    assert "02.png" in line


def test_ten_thousand_boxes_of_a_file(home: Path, tmp_path: Path) -> None:
    data = put(tmp_path / "data", count=2)
    draw = np.random.default_rng(0)
    corners = draw.integers((0, 0), (60, 44), (10_000, 2))
    sides = draw.integers(6, 20, (10_000, 2))
    lines = [f"{i:02}.png,,,{x},{y},{x + w},{y + h}" for i in (0, 1) for (x, y), (w, h) in zip(corners, sides, strict=True)]
    (data / "boxes.csv").write_text("\n".join(["image,class,score,x1,y1,x2,y2", *lines]), encoding="utf-8")

    given = arguments(home, "sppnet", data=str(data), proposals=str(data / "boxes.csv"), count=10_000, steps=0)
    made, again = (go(given, tmp_path / name / "run") for name in "ab")

    photo = data / "JPEGImages" / "00.png"
    assert len(made.detector.look(read_image(photo), str(photo)).proposals) == 10_000
    assert files_of(made.folder) == files_of(again.folder)  # also what is drawn of them


def test_an_evaluation_leaves_out_and_names_what_cannot_be_read(
    sppnet: tuple[TrainedDetector, Said], tmp_path: Path
) -> None:
    data = put(tmp_path / "data", count=3)
    photo = data / "JPEGImages" / "01.png"
    photo.write_bytes(photo.read_bytes()[:4000])
    (part,) = find_boxed_parts(data).values()
    seen: list[tuple[int, int]] = []
    said: list[str] = []

    found = evaluate_detector(sppnet[0].detector, part, lambda done, total: seen.append((done, total)), said.append)

    assert [image.item.name for image in found.images] == [str(data / "JPEGImages" / f"0{n}.png") for n in (0, 2)]
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert len(said) == 1
    assert str(photo) in said[0]
    assert found.seconds is not None
    assert found.seconds.total > 0
