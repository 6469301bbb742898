"""A claim is measured seed by seed, and nothing twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from PIL import Image

from fourfold.reproduce.claim import Arm, Claim, Measured, Scene, Table, higher
from fourfold.reproduce.claims import CLAIMS
from fourfold.reproduce.effort import CPU_EFFORT, GPU_EFFORT, SMOKE_EFFORT
from fourfold.reproduce.run import effort_of, measure_claim, scene_for


@dataclass(frozen=True)
class Noting(Arm):
    """Notes when it is measured."""

    name: str
    log: list[tuple[str, int]] = field(default_factory=list)

    needs_images = False

    def record(self, scene: Scene) -> dict[str, object]:
        return {"name": self.name, "budget": scene.budget}

    def measure(self, scene: Scene, seed: int) -> Measured:
        self.log.append((self.name, seed))
        scene.say(f"measuring {self.name}")
        return Measured({"val_error": len(self.name) + seed / 3}, {"training": ((1.0, seed / 3),)}, 1.5)


class Fleeting(Noting):
    """Must take turns."""

    is_kept = False


class Sure(Noting):
    """Has no noise."""

    is_exact = True


def claim_of(**arms: Arm) -> Claim:
    first, second = list(arms)[:2]
    return Claim("made", "Nobody", "1", "So.", Table(("net",), (("a",),)), arms, (higher("val_error", first, second),))


@pytest.fixture
def log() -> list[tuple[str, int]]:
    return []


def scene_in(folder: Path, seeds: int = 2) -> Scene:
    return Scene("cpu", replace(CPU_EFFORT, seeds=seeds), None, folder)


def test_arms_take_turns_seed_by_seed(tmp_path: Path, log: list[tuple[str, int]]) -> None:
    seen: list[tuple[int, int, str]] = []
    claim = claim_of(a=Noting("a", log), bb=Noting("bb", log))
    result = measure_claim(claim, scene_in(tmp_path), lambda done, total, note: seen.append((done, total, note)))
    assert log == [("a", 0), ("bb", 0), ("a", 1), ("bb", 1)]
    assert result.seeds == (0, 1)
    assert [each.values["val_error"] for each in result.measured["bb"]] == [2.0, 2 + 1 / 3]
    assert result.seconds == 6.0
    assert (result.claim, result.budget, result.data) == ("made", "cpu", "no images")
    assert result.arms["a"] == {"name": "a", "budget": "cpu"}
    assert [done for done, _, note in seen if note.startswith("measuring")] == [0, 1, 2, 3]
    assert seen[-1] == (4, 4, "bb")


def test_what_was_measured_is_not_measured_again(tmp_path: Path, log: list[tuple[str, int]]) -> None:
    first = measure_claim(claim_of(a=Noting("a", log), bb=Noting("bb", log)), scene_in(tmp_path))
    again = measure_claim(claim_of(bb=Noting("bb", log), a=Noting("a", log), c=Noting("c", log)), scene_in(tmp_path, 3))
    assert log[4:] == [("c", 0), ("c", 1), ("bb", 2), ("a", 2), ("c", 2)]
    assert again.measured["a"][:2] == first.measured["a"]


def test_an_experiment_that_was_stopped_goes_on(tmp_path: Path, log: list[tuple[str, int]]) -> None:
    class Stopped(Noting):
        def measure(self, scene: Scene, seed: int) -> Measured:
            if seed == 1 and len(self.log) < 4:
                self.log.append(("cut", seed))
                raise KeyboardInterrupt
            return super().measure(scene, seed)

    claim = claim_of(a=Noting("a", log), bb=Stopped("bb", log))
    with pytest.raises(KeyboardInterrupt):
        measure_claim(claim, scene_in(tmp_path))
    result = measure_claim(claim, scene_in(tmp_path))
    assert log == [("a", 0), ("bb", 0), ("a", 1), ("cut", 1), ("bb", 1)]
    assert len(result.measured["bb"]) == 2


def test_what_must_take_turns_is_always_measured(tmp_path: Path, log: list[tuple[str, int]]) -> None:
    claim = claim_of(a=Fleeting("a", log), bb=Noting("bb", log))
    measure_claim(claim, scene_in(tmp_path))
    measure_claim(claim, scene_in(tmp_path))
    assert log.count(("a", 1)) == 2
    assert log.count(("bb", 1)) == 1


def test_what_has_no_noise_is_measured_once(tmp_path: Path, log: list[tuple[str, int]]) -> None:
    result = measure_claim(claim_of(a=Sure("a", log), bb=Noting("bb", log)), scene_in(tmp_path))
    assert log == [("a", 0), ("bb", 0), ("bb", 1)]
    assert len(result.measured["a"]) == 2


@pytest.mark.parametrize("text", ["", "{", "[]", '{"values": {"val_error": "x"}, "curves": {}, "seconds": 1}'])
def test_a_damaged_measurement_is_made_again(text: str, tmp_path: Path, log: list[tuple[str, int]]) -> None:
    claim = claim_of(a=Noting("a", log), bb=Noting("bb", log))
    first = measure_claim(claim, scene_in(tmp_path, 1))
    for path in (tmp_path / "measured").iterdir():
        path.write_text(text, encoding="utf-8")
    assert measure_claim(claim, scene_in(tmp_path, 1)) == first
    assert len(log) == 4
    assert all(json.loads(path.read_text(encoding="utf-8")) for path in (tmp_path / "measured").iterdir())


def test_budgets_have_their_efforts() -> None:
    noisy, exact = CLAIMS["vgg-depth"], CLAIMS["vgg-parameters"]
    assert effort_of(noisy, "smoke") == SMOKE_EFFORT
    assert effort_of(noisy, "cpu") == noisy.effort
    assert effort_of(noisy, "gpu") == GPU_EFFORT
    assert effort_of(noisy, "cpu", 5) == replace(noisy.effort, seeds=5)
    assert effort_of(exact, "cpu").seeds == 1
    assert noisy.effort.seeds >= 3


@pytest.mark.parametrize(
    ("claim", "budget", "seeds", "words"),
    [
        ("vgg-lrn", "rich", None, "no budget 'rich'; choose from smoke, cpu, gpu, paper"),
        ("vgg-lrn", "cpu", 0, "0 seeds cannot be; choose 1 or more"),
        ("resnet-1202", "cpu", None, "resnet-1202 cannot be run at the budget cpu; choose smoke or gpu"),
        ("vgg-lrn", "paper", None, "vgg-lrn cannot be run at the budget paper"),
    ],
)
def test_what_cannot_be_is_refused(claim: str, budget: str, seeds: int | None, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        effort_of(CLAIMS[claim], budget, seeds)


def folders(root: Path) -> Iterator[Path]:
    for part, count in (("train", 6), ("test", 3)):
        for colour in ("red", "blue"):
            for index in range(count):
                path = root / part / colour / f"{index}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (40, 36), colour).save(path)
                yield path


def test_images_are_a_part_of_the_users_and_none_where_none_are_needed(tmp_path: Path) -> None:
    assert len(list(folders(tmp_path / "data"))) == 18
    claim = replace(CLAIMS["vgg-kernels"], effort=replace(CPU_EFFORT, train_images=8, val_images=4))
    scene = scene_for(claim, "cpu", tmp_path / "data", tmp_path)
    assert (len(scene.data.train), len(scene.data.val)) == (8, 4)
    assert scene.data.origin == "test/, as there is no val/"
    assert scene_for(CLAIMS["resnet-cost"], "cpu", None, tmp_path).splits is None
    assert scene_for(claim, "smoke", tmp_path / "data", tmp_path).data.origin == "made images"
    with pytest.raises(ValueError, match="vgg-kernels needs images; give --data"):
        scene_for(claim, "cpu", None, tmp_path)
