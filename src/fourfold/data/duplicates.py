"""Which images are the same, or nearly: by a hash of their pixels, and by a perceptual hash checked on small copies.

The perceptual hash (pHash, 64 bits, of the library imagehash) finds candidates; two copies of 16x16 grey values must
then agree, which leaves out most pairs that a hash confuses. Found so are copies that were compressed again, scaled,
brightened, turned grey, or cut by up to 2 % at each side; not those mirrored, turned or cut further.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from fourfold.draw import to_pillow
from fourfold.images import resize

DISTANCE = 8  # bits of 64 that two hashes may differ in
ALIKE = 0.92  # least correlation; of CIFAR-10's 1.8 billion pairs 1,035 are left, by eye 1 to 2 % of them no copies
FLAT = 2.0  # standard deviation in grey values below which an image has nothing to hash
SIDE = 16  # pixels of a small copy
MOST = 100_000  # pairs; a data set with more is a film
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow turns colours into grey


@dataclass(frozen=True, eq=False)
class Print:
    """What is kept of an image to find it again: a hash of its pixels, its pHash, and its small copy uint8 (256,)."""

    digest: bytes
    bits: int
    small: np.ndarray


def fingerprint(image: Tensor) -> Print:
    """The print of uint8 (3,H,W) RGB. Raises ValueError where the library imagehash is not installed."""
    try:
        import imagehash
    except ImportError:
        raise ValueError(
            "finding duplicates needs the library imagehash; install it: pip install 'fourfold[check]'"
        ) from None
    pixels = np.ascontiguousarray(image.numpy())
    digest = hashlib.blake2b(repr(image.shape).encode() + pixels.tobytes(), digest_size=16).digest()
    bits = imagehash.phash(to_pillow(image)).hash.flatten()
    small = (resize(image, SIDE, SIDE).float() * torch.tensor(LUMA).view(3, 1, 1)).sum(0)
    return Print(digest, int("".join("1" if bit else "0" for bit in bits), 2), small.round().byte().flatten().numpy())


def exact_pairs(digests: Sequence[bytes]) -> list[tuple[int, int]]:
    """(first, other) for each image whose pixels have been seen before, by place in the sequence."""
    first: dict[bytes, int] = {}
    places = [(first.setdefault(digest, place), place) for place, digest in enumerate(digests)]
    return [(before, place) for before, place in places if before != place]


def near_pairs(prints: Sequence[Print]) -> list[tuple[int, int, float]]:
    """(i, j, correlation of the small copies), i < j, for pairs that are nearly the same.

    Flat images are left out, and of images with equal pixels all but the first.
    """
    repeated = {place for _, place in exact_pairs([one.digest for one in prints])}
    kept = np.array([p for p, one in enumerate(prints) if p not in repeated and one.small.std() >= FLAT], dtype=np.int64)
    if len(kept) < 2:
        return []
    bits = np.array([prints[place].bits for place in kept], dtype=np.uint64)
    small = np.stack([prints[place].small for place in kept])
    pairs = close_pairs(bits, DISTANCE)
    alike = np.concatenate([_correlation(small, part) for part in np.array_split(pairs, len(pairs) // 10_000 + 1)])
    return [
        (int(kept[one]), int(kept[other]), float(value))
        for (one, other), value in zip(pairs, alike, strict=True)
        if value >= ALIKE
    ]


def close_pairs(bits: np.ndarray, distance: int) -> np.ndarray:
    """int64 (P,2): pairs i < j of uint64 (N,) that differ in at most `distance` bits; sorted, at most about MOST of them.

    The 64 bits are cut into `distance` + 1 bands: two that differ in no more bits agree in one band at least, so only
    those that agree in a band are compared, each with its neighbours in sorted order.
    """
    edges = [64 * number // (distance + 1) for number in range(distance + 2)]
    found = [np.zeros((0, 2), dtype=np.int64)]
    for low, high in pairwise(edges):
        band = (bits >> np.uint64(low)) & np.uint64((1 << (high - low)) - 1)
        order = np.argsort(band, kind="stable")
        band, step = band[order], 1
        here = np.arange(len(bits) - 1)
        while len(here) and sum(map(len, found)) < MOST:
            here = here[here + step < len(bits)]
            here = here[band[here] == band[here + step]]
            one, other = order[here], order[here + step]
            is_close = np.bitwise_count(bits[one] ^ bits[other]) <= distance
            found.append(np.sort(np.stack([one[is_close], other[is_close]], axis=1), axis=1))
            step += 1
    return np.unique(np.concatenate(found), axis=0)


def _correlation(small: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    one, other = (small[pairs[:, side]].astype(np.float32) for side in (0, 1))
    one, other = (part - part.mean(axis=1, keepdims=True) for part in (one, other))
    scale = np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
    return (one * other).sum(axis=1) / scale
