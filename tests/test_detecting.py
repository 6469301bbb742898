"""What a detector finds on many images and on videos: in order, shown from a score on, with failures among them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from fourfold.detect.detections import Detections
from fourfold.detect.detector import Finder, Look
from fourfold.detecting import Found, detect_each, found_on, is_video
from fourfold.sources import Failure


@dataclass(frozen=True)
class Bright(Finder):
    """Finds a box as large as the image: the surest class 1, and class 0 with the image's mean red in per cent."""

    least: tuple[float, ...] = (0.5, 0.9)

    @property
    def labels(self) -> tuple[str, ...]:
        return ("dim", "red [cell]")

    @property
    def title(self) -> str:
        return "bright"

    @property
    def words(self) -> str:
        return "by hand"

    def look(self, image: Tensor, name: str = "") -> Look:
        if "bad" in name:
            raise ValueError(f"no boxes for {name}")
        box = torch.tensor([[0.0, 0.0, image.shape[2], image.shape[1]]])
        scores = torch.tensor([float(image[0].float().mean()) / 256, 0.95])
        return Look(Detections(box.expand(2, 4), torch.tensor([0, 1]), scores), box, 0.0, 0.0)

    def least_shown(self) -> tuple[float, ...]:
        return self.least


def photo(path: Path, red: int) -> Path:
    Image.fromarray(np.full((20, 30, 3), (red, 0, 0), dtype=np.uint8)).save(path)
    return path


def film(path: Path, reds: list[int]) -> Path:
    cv2 = pytest.importorskip("cv2")
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10.0, (64, 48))
    for red in reds:
        writer.write(np.full((48, 64, 3), (0, 0, red), dtype=np.uint8))
    writer.release()
    return path


def test_images_come_in_order_with_failures_in_their_places(tmp_path: Path) -> None:
    paths = [photo(tmp_path / f"{name}.png", red) for name, red in (("a", 200), ("bad", 90), ("c", 40))]
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    told = Failure("*.gif", "nothing matches")

    a, failed, unread, kept, c = detect_each(Bright(), [paths[0], paths[1], broken, told, paths[2]])

    assert isinstance(a, Found)
    assert isinstance(c, Found)
    assert (a.source, a.model, a.labels, a.frame) == (str(paths[0]), "bright", ("dim", "red [cell]"), None)
    assert a.image.shape == (3, 20, 30)
    assert a.detections.labels.tolist() == [1, 0]
    assert c.detections.labels.tolist() == [1]  # 40/256 is below the class's own score
    assert failed == Failure(str(paths[1]), f"no boxes for {paths[1]}")
    assert isinstance(unread, Failure)
    assert "not an image" in unread.error
    assert kept is told


@pytest.mark.parametrize(("score", "shown"), [(None, [1]), (0.0, [1, 0]), (0.95, [1]), (0.96, [])])
def test_a_score_takes_the_place_of_the_classes_own(score: float | None, shown: list[int]) -> None:
    image = torch.full((3, 5, 9), 100, dtype=torch.uint8)

    found = found_on(Bright((0.5, 0.9)), "x", image, score)

    assert isinstance(found, Found)
    assert found.detections.labels.tolist() == shown


def test_without_thresholds_everything_is_shown() -> None:
    found = found_on(Bright(()), "x", torch.zeros(3, 5, 9, dtype=torch.uint8))

    assert isinstance(found, Found)
    assert found.detections.labels.tolist() == [1, 0]


def test_a_picture_has_the_photos_size_and_a_frame() -> None:
    image = torch.full((3, 300, 400), 100, dtype=torch.uint8)
    found = found_on(Bright(), "x", image)

    assert isinstance(found, Found)
    drawn = found.drawn()
    assert (drawn.shape, drawn.dtype) == ((3, 300, 400), torch.uint8)
    assert torch.equal(drawn, torch.from_numpy(np.array(found.plot())).permute(2, 0, 1))
    assert torch.equal(drawn[:, 150, 200], image[:, 150, 200])
    assert not torch.equal(drawn[:, 150, :3], image[:, 150, :3])


def test_each_frame_of_a_video_has_its_number_and_stands_among_the_images(tmp_path: Path) -> None:
    video = film(tmp_path / "film.AVI", [255, 0, 255])
    a, b = (photo(tmp_path / f"{name}.png", 255) for name in "ab")

    first, *frames, last = detect_each(Bright(), [a, video, b])

    assert [isinstance(each, Found) and each.source for each in (first, last)] == [str(a), str(b)]
    assert [isinstance(each, Found) and each.frame for each in frames] == [0, 1, 2]
    assert [isinstance(each, Found) and each.source for each in frames] == [f"{video}#{n}" for n in range(3)]
    assert [isinstance(each, Found) and len(each.detections) for each in frames] == [2, 1, 2]


def test_a_video_that_is_none_is_one_failure(tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    path = tmp_path / "film.mp4"
    path.write_bytes(b"no video")

    broken, missing, last = detect_each(Bright(), [path, tmp_path / "gone.mkv", photo(tmp_path / "a.png", 255)])

    assert isinstance(broken, Failure)
    assert broken.source == str(path)
    assert "is not a video" in broken.error
    assert isinstance(missing, Failure)
    assert "there is no video" in missing.error
    assert isinstance(last, Found)


def test_videos_are_told_by_their_names() -> None:
    assert is_video(Path("a.MP4"))
    assert is_video("some/film.webm")
    assert not is_video("a.png")
    assert not is_video("mp4")
    assert not is_video(b"a.mp4")
    assert not is_video(Failure("a.mp4", "x"))


def test_nothing_gives_nothing() -> None:
    assert list(detect_each(Bright(), [])) == []
