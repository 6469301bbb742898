"""A localizer's evaluation as one HTML page, made of the parts that pages of classification have too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

from fourfold.evaluate.parts import (
    NOTHING,
    Head,
    Table,
    at_sight,
    cards,
    figure_html,
    framed,
    jpeg_bytes,
    plural,
    shown,
    table_html,
    three,
    words_head,
)
from fourfold.localize.replies import LocationReply
from fourfold.localize.summary import ErrorRate, LocalizationEvaluation, LocatedClass

if TYPE_CHECKING:
    from PIL import Image as Pillow

PHOTOS = 9  # shown of the worst, and of the others
LISTED = 20  # of the worst photos, in a table
FOOT = """<footer><p>An image is judged by its largest object. A box is right where it overlaps that object by more than half
of their union (IoU). Top-1 and top-5 errors: images of which none of the first one or five guesses has both the true class
and a right box. Class given: images whose box for the true class, were it told, is not right. Intervals: 95 %, by
Wilson.</p></footer>"""
Found = Sequence[tuple[str, LocalizationEvaluation]]


def page(found: Found, examples: Mapping[int, Pillow.Image]) -> str:
    """Evaluations of one localizer under several protocols as an HTML page; classes and photos are those of the first.

    examples: pictures by `LocationReply.index`, of `shown_replies` as far as they can be had.
    """
    name, first = found[0]
    parts = [
        f"<h1>{shown(first.model)}</h1>",
        f"<p>{shown(first.protocol)}</p>",
        cards(_headlines(first)),
        _protocols(found) if len(found) > 1 else "",
        _classes(name, first),
        _worst(first, examples),
        _others(first, examples),
        FOOT,
    ]
    return framed(f"{first.model}: top-5 localization error {_percent(first.localization(5))} %", parts)


def shown_replies(evaluation: LocalizationEvaluation) -> tuple[LocationReply, ...]:
    """The replies of which the page wants pictures: the worst, then some that are right."""
    return (*evaluation.worst(PHOTOS), *_right(evaluation))


def _right(evaluation: LocalizationEvaluation) -> tuple[LocationReply, ...]:
    """Of the images that are right at once, some that lie evenly from the least overlap to the most."""
    right = sorted((each for each in evaluation.answered if each.is_right(1)), key=lambda each: each.given_overlap)
    count = min(PHOTOS, len(right))
    return tuple(right[(2 * place + 1) * len(right) // (2 * count)] for place in range(count))


def _headlines(evaluation: LocalizationEvaluation) -> list[tuple[str, str, str]]:
    rates = (
        ("Top-1 localization error", evaluation.localization(1)),
        ("Top-5 localization error", evaluation.localization(5)),
        ("Error with the class given", evaluation.given_class),
        ("Top-1 classification error", evaluation.classification(1)),
        ("Top-5 classification error", evaluation.classification(5)),
    )
    broken = len(evaluation.broken)
    time = NOTHING if evaluation.seconds is None else f"{three(evaluation.seconds / len(evaluation.replies))} s"
    return [
        *((name, f"{_percent(rate)} %", f"95 %: {_range(rate)}") for name, rate in rates),
        ("Mean overlap", f"{evaluation.overlap:.3f}", "IoU of the boxes for the true class"),
        ("Images", f"{evaluation.images:,}", f"{broken:,} more could not be used" if broken else "all could be used"),
        ("Time for an image", time, "decoding included" if evaluation.seconds is not None else "not measured"),
    ]


def _protocols(found: Found) -> str:
    heads = ("class given %", "95 %", "top-1 %", "95 %", "top-5 %", "95 %", "mean IoU", "s / image")
    rows = []
    for name, each in found:
        rates = (each.given_class, each.localization(1), each.localization(5))
        cells = [text for rate in rates for text in (_percent(rate), _range(rate))]
        time = NOTHING if each.seconds is None else three(each.seconds / len(each.replies))
        rows.append((shown(name), *cells, f"{each.overlap:.3f}", time))
    table = Table("Localization errors by protocol", (words_head("protocol"), *map(Head, heads)), tuple(rows))
    words = "".join(f"<li>{shown(name)}: {shown(each.protocol)}</li>" for name, each in found)
    return f"<h2>Protocols</h2>{table_html(table)}<ul>{words}</ul>"


def _classes(name: str, evaluation: LocalizationEvaluation) -> str:
    """Rows for the classes that have images, worst first."""
    classes = sorted((each for each in evaluation.per_class if each.given.count), key=lambda each: -each.given.per_cent)
    heads = ("images", "class given %", "top-1 %", "top-5 %", "class top-1 %", "mean IoU")
    unseen = len(evaluation.labels) - len(classes)
    note = f" {unseen:,} of {len(evaluation.labels):,} classes have no image here." if unseen else ""
    table = Table(
        f"Errors by class under {name}, highest first.{note}",
        (words_head("class"), *map(Head, heads)),
        tuple(map(_class_row, classes)),
    )
    return f"<h2>Classes</h2>{at_sight(table, 'classes with the highest error')}"


def _class_row(each: LocatedClass) -> tuple[str, ...]:
    rates = (each.given, each.top1, each.top5, each.classification)
    return shown(each.label), f"{each.given.count:,}", *map(_percent, rates), f"{each.overlap:.3f}"


def _worst(evaluation: LocalizationEvaluation, examples: Mapping[int, Pillow.Image]) -> str:
    worst = evaluation.worst(LISTED)
    if not worst:
        return "<h2>Wrong boxes</h2><p>Wherever the first class was right, so was its box.</p>"
    heads = (words_head("image"), words_head("class"), Head("overlap"))
    rows = [(shown(each.name), shown(evaluation.labels[each.truth]), f"{each.given_overlap:.3f}") for each in worst]
    caption = "Images whose class is right and whose box is not, least overlap first"
    return f"<h2>Wrong boxes</h2>{_photos(worst[:PHOTOS], examples)}{table_html(Table(caption, heads, tuple(rows)))}"


def _others(evaluation: LocalizationEvaluation, examples: Mapping[int, Pillow.Image]) -> str:
    right, images = sum(each.is_right(1) for each in evaluation.answered), evaluation.images
    photos = _photos(_right(evaluation), examples)
    counted = f"<p>{right:,} of {images:,} {plural(images, 'image')}; some of them, the least overlap first.</p>"
    return f"<h2>Class and box right</h2>{counted}{photos}" if photos else ""


def _photos(replies: Sequence[LocationReply], examples: Mapping[int, Pillow.Image]) -> str:
    made = []
    for each in replies:
        if each.index in examples:
            name, words = PurePath(each.name).name, f"Overlap {each.given_overlap:.2f}"
            made.append(figure_html(jpeg_bytes(examples[each.index]), "jpeg", f"Boxes on {name}", f"{words}. {name}"))
    return f'<div class="photos">{"".join(made)}</div>' if made else ""


def _percent(rate: ErrorRate) -> str:
    return f"{rate.per_cent:.1f}"


def _range(rate: ErrorRate) -> str:
    return f"{rate.interval.low:.1f} to {rate.interval.high:.1f}"
