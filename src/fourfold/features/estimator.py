"""`FourfoldFeatures`: images to vectors as a transformer of scikit-learn. Importing this imports scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from torch import Tensor

from fourfold import catalog
from fourfold.catalog import DEFAULT
from fourfold.features.describe import MEAN, describer
from fourfold.sources import Failure, Source, read_each

try:
    from sklearn.base import BaseEstimator, TransformerMixin  # pyright: ignore[reportMissingImports]
    from sklearn.utils.validation import check_is_fitted  # pyright: ignore[reportMissingImports]
except ImportError:
    raise ImportError("FourfoldFeatures needs scikit-learn; install it: pip install 'fourfold[features]'") from None

BATCH = 32  # images decoded and described together


class FourfoldFeatures(TransformerMixin, BaseEstimator):  # the order that scikit-learn asks for
    """Describes images by a layer of a network, within a Pipeline; nothing is learned from the images.

    Images are a sequence of paths, Pillow images, or uint8 arrays (H,W,3) or tensors (3,H,W) in RGB, of any sizes; an array
    of N x H x W x 3 is one too.

    model: a name or a run folder, see `load`. layer, scales, pooling, aggregate, normalise, mirrored: see `describer`.
    After `fit` there are describer_ and n_features_out_.
    """

    def __init__(
        self,
        model: str | Path = DEFAULT,
        layer: str | None = None,
        scales: Sequence[int] | None = None,
        pooling: str | Sequence[int] = MEAN,
        aggregate: str = MEAN,
        normalise: bool = True,
        mirrored: bool = True,
    ) -> None:
        self.model = model
        self.layer = layer
        self.scales = scales
        self.pooling = pooling
        self.aggregate = aggregate
        self.normalise = normalise
        self.mirrored = mirrored

    def fit(self, X: Sequence[Source] | np.ndarray, y: object = None) -> Self:  # noqa: ARG002, N803 (scikit-learn's names)
        """Open the network; the images are not looked at. Raises ValueError for parameters that will not do."""
        self.describer_ = describer(
            catalog.load(self.model),
            self.layer,
            scales=self.scales,
            pooling=self.pooling,
            aggregate=self.aggregate,
            normalise=self.normalise,
            mirrored=self.mirrored,
        )
        self.n_features_out_ = self.describer_.width
        return self

    def transform(self, X: Sequence[Source] | np.ndarray) -> np.ndarray:  # noqa: N803
        """Images -> float32 (N, n_features_out_).

        Raises ValueError for the first image that cannot be read, as every image must have its row.
        """
        check_is_fitted(self, "describer_")
        if isinstance(X, str | Path | bytes) or not hasattr(X, "__len__"):
            raise ValueError(f"transform takes a sequence of images and not one {type(X).__name__}; put it into a list")
        images = [_opened(name, image) for name, image in read_each([_source(each) for each in X], BATCH)]
        parts = [self.describer_(images[at : at + BATCH]).numpy() for at in range(0, len(images), BATCH)]
        return np.concatenate([np.zeros((0, self.n_features_out_), np.float32), *parts])

    def get_feature_names_out(self, input_features: object = None) -> np.ndarray:  # noqa: ARG002 (images have none)
        """Names of the columns, such as "relu7_0012"."""
        check_is_fitted(self, "describer_")
        return np.array(self.describer_.names(), dtype=object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.no_validation = True
        tags.requires_fit = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def _source(each: Source) -> Source:
    """A path as NumPy's arrays of text hold it is text too."""
    return str(each) if isinstance(each, np.str_) else each


def _opened(name: str, image: Tensor | Failure) -> Tensor:
    if isinstance(image, Failure):
        raise ValueError(f"{name}: {image.error}" if name not in image.error else image.error)
    return image
