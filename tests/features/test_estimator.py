"""FourfoldFeatures: scikit-learn's own checks as far as they apply to images, and its place in a Pipeline."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

import fourfold
from fourfold import catalog
from fourfold.features.describe import describer
from fourfold.features.estimator import FourfoldFeatures

IMAGES = np.random.default_rng(0).integers(0, 255, (6, 33, 40, 3)).astype(np.uint8)


class OfRows(FourfoldFeatures):
    """Takes the numbers of scikit-learn's checks for pixels of small images, so that the checks have something to do."""

    def transform(self, X: Any) -> np.ndarray:  # noqa: N803
        rows = np.asarray(X, dtype=float)
        pixels = [np.resize((40 * row) % 256, (8, 8, 3)).astype(np.uint8) for row in rows]
        return super().transform(pixels)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        return tags


SIZES = "images have sizes of their own, so there is no number of input columns"
NOT_OF_IMAGES = {
    "check_transformer_general": SIZES,
    "check_estimator_sparse_tag": "fit does not look at the images, so it refuses none",
}


@parametrize_with_checks([OfRows()], expected_failed_checks=lambda _: NOT_OF_IMAGES)
def test_the_checks_of_scikit_learn_pass(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.fixture(scope="module")
def fitted() -> FourfoldFeatures:
    return FourfoldFeatures().fit([])


def test_columns_are_those_of_the_describer(fitted: FourfoldFeatures) -> None:
    ask = describer(catalog.load(catalog.DEFAULT))
    found = fitted.transform(IMAGES)
    assert found.dtype == np.float32
    assert found.shape == (6, fitted.n_features_out_)
    expected = ask([torch.from_numpy(image).permute(2, 0, 1) for image in IMAGES])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert list(fitted.get_feature_names_out()) == ask.names()


def test_all_parameters_reach_the_describer() -> None:
    settings: dict[str, Any] = {"layer": "conv2_1", "scales": [40, 32], "pooling": "2,1", "aggregate": "stack"}
    made = FourfoldFeatures(**settings, normalise=False, mirrored=False).fit([])
    ask = describer(catalog.load(catalog.DEFAULT), "conv2_1", scales=[40, 32], pooling=(2, 1), aggregate="stack",
                    normalise=False, mirrored=False)  # fmt: skip
    assert made.describer_.record() == ask.record()
    copied = clone(made)
    assert isinstance(copied, FourfoldFeatures)
    assert copied.get_params() == made.get_params()
    with pytest.raises(ValueError, match="no layer"):
        FourfoldFeatures(layer="fc99").fit([])


def test_paths_pillow_images_arrays_and_tensors_are_the_same(fitted: FourfoldFeatures, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(IMAGES[0]).save(path)
    tensor = torch.from_numpy(IMAGES[0]).permute(2, 0, 1)
    found = fitted.transform([path, str(path), Image.open(path), IMAGES[0], tensor, path.read_bytes()])
    np.testing.assert_allclose(found, np.repeat(found[:1], 6, 0), rtol=1e-4, atol=1e-5)
    texts = fitted.transform(np.array([str(path)]))
    np.testing.assert_allclose(texts, found[:1], rtol=1e-4, atol=1e-5)


def test_many_images_keep_their_order(fitted: FourfoldFeatures) -> None:
    many = [IMAGES[index % 6][: 20 + index % 3] for index in range(70)]  # more than a batch
    found = fitted.transform(many)
    single = np.concatenate([fitted.transform([image]) for image in many[30:36]])
    np.testing.assert_allclose(found[30:36], single, rtol=1e-4, atol=1e-5)
    assert found.shape == (70, 64)
    assert fitted.transform([]).shape == (0, 64)


def test_a_pipeline_learns_from_images() -> None:
    flat = [np.full((32, 32, 3), 20 + 30 * (index % 2) + index, np.uint8) for index in range(12)]
    noisy = list(np.random.default_rng(1).integers(0, 255, (12, 32, 32, 3)).astype(np.uint8))
    pipeline = make_pipeline(FourfoldFeatures(layer="conv2_3"), LogisticRegression(C=100))
    truth = ["flat"] * 8 + ["noisy"] * 8
    pipeline.fit(flat[:8] + noisy[:8], truth)
    assert list(pipeline.predict(flat[8:] + noisy[8:])) == ["flat"] * 4 + ["noisy"] * 4
    again = pickle.loads(pickle.dumps(pipeline))
    assert list(again.predict(flat[8:])) == ["flat"] * 4


def test_a_table_of_pandas_has_named_columns() -> None:
    frame = FourfoldFeatures().set_output(transform="pandas").fit_transform(IMAGES)
    assert list(frame.columns)[:2] == ["pool_0000", "pool_0001"]  # pyright: ignore
    assert frame.shape == (6, 64)


def test_an_image_that_cannot_be_read_stops_it(fitted: FourfoldFeatures, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none\.png does not exist"):
        fitted.transform([IMAGES[0], tmp_path / "none.png"])
    with pytest.raises(ValueError, match="an image in memory"):
        fitted.transform([IMAGES[0].astype(float)])
    with pytest.raises(ValueError, match="takes a sequence of images and not one str"):
        fitted.transform("a.png")


def test_it_is_had_from_the_package() -> None:
    assert fourfold.FourfoldFeatures is FourfoldFeatures
