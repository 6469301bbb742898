"""The images that a detector learns from: their candidates, and their pixels within bounds of memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from torch import Tensor

from fourfold.data.annotated import Annotated
from fourfold.data.held import PIXELS_HELD, Held, bytes_of
from fourfold.data.listing import read_item
from fourfold.detect.sampling import Matches, match


@dataclass(frozen=True, eq=False)
class Seen:
    """Annotated images with the candidates (R,4) of each: its objects, then its proposals."""

    images: tuple[Annotated, ...]
    candidates: tuple[Tensor, ...]
    _pixels: Held[Tensor] = field(default_factory=lambda: Held(PIXELS_HELD, bytes_of))

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def matches(self) -> tuple[Matches, ...]:
        """What the candidates of each image overlap."""
        return tuple(match(boxes, image) for boxes, image in zip(self.candidates, self.images, strict=True))

    def pixels(self, index: int) -> Tensor:
        """uint8 (3,H,W) of one image. Raises ValueError for a file that cannot be read any more."""
        item = self.images[index].item
        return self._pixels.get(index, lambda: read_item(item))
