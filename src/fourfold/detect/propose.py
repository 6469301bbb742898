"""What every maker of proposals promises."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor


class Propose(ABC):
    """Finds boxes that may hold an object, of whatever class (R-CNN 2.1).

    A value: its `repr` says all that its boxes depend on besides the image and the name, so that they can be kept on disk.
    """

    @abstractmethod
    def __call__(self, image: Tensor, name: str = "") -> Tensor:
        """Boxes float32 (R,4), the likeliest first, as edges in pixels of an image uint8 (3,H,W).

        name: that of the image's file, for those that look boxes up by it.
        """
