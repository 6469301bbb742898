"""Images or a video in, objects out: what a detector finds on each of many images, in order and in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from fourfold.data.video import frames
from fourfold.detect.boxes_picture import boxes_picture
from fourfold.detect.detections import Detections
from fourfold.detect.detector import Finder
from fourfold.sources import Failure, Source, read_each

if TYPE_CHECKING:
    from PIL import Image as Pillow

AHEAD = 4
VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg")


@dataclass(frozen=True, eq=False)
class Found:
    """What a detector finds on one image: those worth showing, best first, or all above a score that was asked for.

    frame: its number, where the image is one of a video.
    """

    source: str
    detections: Detections
    labels: tuple[str, ...]
    model: str
    image: Tensor
    frame: int | None = None

    def drawn(self) -> Tensor:
        """`plot` as uint8 (3,H,W)."""
        return torch.from_numpy(np.array(self.plot())).permute(2, 0, 1).contiguous()

    def plot(self) -> Pillow.Image:
        """The image with its boxes, their classes and scores."""
        return boxes_picture(self.image, self.detections, self.labels)


def detect_each(
    detector: Finder, sources: Sequence[Source | Failure], score: float | None = None
) -> Iterator[Found | Failure]:
    """One Found or Failure for each source that `sources.find` has found, in order; for a video one for each frame.

    score: from which on boxes are shown, in place of the thresholds of the classes.
    """
    plain = [source for source in sources if not is_video(source)]
    images = read_each(plain, AHEAD)
    for source in sources:
        if not is_video(source):
            name, image = next(images)
            yield image if isinstance(image, Failure) else found_on(detector, name, image, score)
            continue
        try:
            for number, _, image in frames(Path(str(source))):
                found = found_on(detector, f"{source}#{number}", image, score)
                yield found if isinstance(found, Failure) else replace(found, frame=number)
        except ValueError as error:
            yield Failure(str(source), str(error))


def found_on(detector: Finder, name: str, image: Tensor, score: float | None = None) -> Found | Failure:
    """What the detector finds on one image, uint8 (3,H,W)."""
    try:
        found = detector(image, name)
    except ValueError as error:  # such as boxes from a file that has none for this image
        return Failure(name, str(error))
    shown = detector.shown(found) if score is None else found.take(found.scores >= score)
    return Found(name, shown, detector.labels, detector.title, image)


def is_video(source: Source | Failure) -> bool:
    """Whether a source is a video by its name."""
    return isinstance(source, str | Path) and Path(source).suffix.lower() in VIDEOS
