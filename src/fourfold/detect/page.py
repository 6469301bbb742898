"""A detector's evaluation as one HTML page, made of the parts that pages of classification have too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

from fourfold.detect import figures
from fourfold.detect.coco_ap import CocoScores
from fourfold.detect.errors import KINDS
from fourfold.detect.found_class import FoundClass
from fourfold.detect.recall import Coverage
from fourfold.detect.summary import DetectionEvaluation, Photo
from fourfold.evaluate.parts import (
    NOTHING,
    Head,
    Table,
    at_sight,
    cards,
    drawn,
    figure_html,
    framed,
    jpeg_bytes,
    plural,
    shown,
    table_html,
    three,
    words_head,
)

if TYPE_CHECKING:
    from PIL import Image as Pillow

PHOTOS = 6  # shown of the worst, and of the best
LISTED = 20  # of the worst photos, in a table
FOOT = """<footer><p>A detection is right where it overlaps an object of its class by half of their union or more, and
no surer one has found that object. Average precision (AP): of VOC 2007 by eleven points, of VOC 2010 by the area under the
curve of precision and recall; mAP is the mean over the classes. COCO's AP is the mean over ten overlaps from 0.5 to 0.95.
Intervals: 95 %, from the images drawn anew a thousand times. Precision, recall and F1 are those of the detections with the
score of the class's threshold or a higher one; the threshold is where F1 is highest on these images, so that other images
will have somewhat less. Objects marked as difficult are neither asked for nor held against a detector.</p></footer>"""


def page(evaluation: DetectionEvaluation, examples: Mapping[int, Pillow.Image]) -> str:
    """An evaluation as an HTML page: average precision, classes, errors, COCO's numbers, proposals, time, and photos.

    examples: pictures by `Photo.index`, of `shown_photos(evaluation)` as far as they can be had.
    """
    parts = [
        f"<h1>{shown(evaluation.detector)}</h1>",
        f"<p>{shown(evaluation.protocol)}</p>",
        cards(_headlines(evaluation)),
        _classes(evaluation),
        _errors(evaluation),
        _coco(evaluation),
        _proposals(evaluation.coverage),
        _time(evaluation),
        _worst(evaluation, examples),
        _best(evaluation, examples),
        FOOT,
    ]
    return framed(f"{evaluation.detector}: mAP {_percent(evaluation.voc.map_2007)} %", parts)


def shown_photos(evaluation: DetectionEvaluation) -> tuple[Photo, ...]:
    """The photos of which the page wants pictures: the worst, then the best."""
    return (*evaluation.worst(PHOTOS), *evaluation.best(PHOTOS))


def _headlines(evaluation: DetectionEvaluation) -> list[tuple[str, str, str]]:
    coco, images = evaluation.coco, len(evaluation.images)
    detections = sum(len(each) for each in evaluation.found)
    time = NOTHING
    if evaluation.seconds is not None:
        time = f"{three(evaluation.seconds.total / images)} s"
    return [
        ("mAP, VOC 2007", f"{_percent(evaluation.voc.map_2007)} %", _range(evaluation.map_2007_interval)),
        ("mAP, VOC 2010", f"{_percent(evaluation.voc.map_2010)} %", _range(evaluation.map_2010_interval)),
        ("AP, COCO", f"{_percent(coco.ap)} %" if coco else NOTHING, "mean over overlaps 0.5 to 0.95"),
        (
            "AP50, COCO",
            f"{_percent(coco.ap_50)} %" if coco else NOTHING,
            f"AP75: {_percent(coco.ap_75)} %" if coco else "not counted",
        ),
        ("Objects", f"{evaluation.objects:,}", f"on {images:,} {plural(images, 'image')}"),
        ("Detections", f"{detections:,}", f"{three(detections / images)} an image"),
        ("Photos without a mistake", f"{sum(not each.mistakes for each in evaluation.photos):,}", f"of {images:,}"),
        ("Time for an image", time, "see below" if evaluation.seconds else "not measured"),
    ]


def _classes(evaluation: DetectionEvaluation) -> str:
    """Rows for the classes that occur or are found, worst first, and the picture of their curves."""
    scores = [score for score in evaluation.per_class if score.objects or score.difficult or score.found]
    scores.sort(key=lambda score: (score.ap_2007 is None, score.ap_2007 or 0, -score.objects))
    numbers = ("objects", "AP 2007 %", "AP 2010 %", "threshold", "precision %", "recall %", "F1 %", "detections")
    unseen = sum(not score.objects for score in evaluation.per_class)
    note = f" {unseen:,} of {len(evaluation.classes):,} classes have no object here." if unseen else ""
    whole = Table(
        f"All classes that occur, lowest average precision first.{note}",
        (words_head("class"), *map(Head, numbers)),
        tuple(_class_row(score) for score in scores),
    )
    panels = len(figures.shown_classes(evaluation.per_class))
    picture = figure_html(
        drawn(lambda path: figures.precision_recall(evaluation, path)),
        "png",
        f"Precision against recall of {panels} {plural(panels, 'class', 'es')}; the table above holds the numbers",
        "Precision against recall. The dot is the threshold of the highest F1.",
        kind="sheet" if panels > 2 else "",
    )
    return f"<h2>Classes</h2>{at_sight(whole, 'classes with the lowest average precision')}{picture}"


def _class_row(score: FoundClass) -> tuple[str, ...]:
    if score.threshold is None:
        chosen = (NOTHING,) * 4
    else:
        chosen = (f"{score.threshold:.3f}", *(f"{100 * value:.1f}" for value in (score.precision, score.recall, score.f1)))
    aps = (NOTHING if value is None else f"{100 * value:.1f}" for value in (score.ap_2007, score.ap_2010))
    return shown(score.label), f"{score.objects:,}", *aps, *chosen, f"{score.found:,}"


def _errors(evaluation: DetectionEvaluation) -> str:
    """How many of the surest detections are right, and what is wrong with the others."""
    kept = [at for at, kind in enumerate(("right", *KINDS)) if kind != "similar" or evaluation.groups]
    heads = [list(figures.WORDS.values())[at] for at in kept]
    rows = [(score.label, score.outcomes) for score in evaluation.per_class if score.objects]
    table = Table(
        "Of each class as many of its surest detections as it has objects",
        (words_head("class"), *map(Head, heads)),
        tuple((shown(label), *(f"{outcomes[at]:,}" for at in kept)) for label, outcomes in rows),
    )
    picture = figure_html(
        drawn(lambda path: figures.error_kinds(evaluation, path)),
        "png",
        "What the surest detections are: right, off the mark, another class, or background; the table below has numbers",
        "What the surest detections are; above the bars, how many there are.",
    )
    return f"<h2>Errors</h2>{picture}{at_sight(table, 'classes that come first')}"


def _coco(evaluation: DetectionEvaluation) -> str:
    scores = evaluation.coco
    if scores is None:
        return f"<h2>COCO's numbers</h2><p>Not counted: {shown(evaluation.why_no_coco)}</p>"
    table = Table(
        "Average precision over overlaps 0.5 to 0.95, and average recall with a hundred detections, in per cent",
        (words_head("objects"), Head("AP"), Head("AR")),
        tuple((name, _percent(ap), _percent(ar)) for name, ap, ar in _by_size(scores)),
        is_sortable=False,
    )
    more = f"With one detection of each class on an image AR is {_percent(scores.ar_1)}, with ten {_percent(scores.ar_10)}."
    return f"<h2>COCO's numbers</h2>{table_html(table)}<p>{more}</p>"


def _by_size(scores: CocoScores) -> list[tuple[str, float | None, float | None]]:
    return [
        ("all", scores.ap, scores.ar_100),
        ("small, below 32 x 32 pixels", scores.ap_small, scores.ar_small),
        ("medium", scores.ap_medium, scores.ar_medium),
        ("large, above 96 x 96 pixels", scores.ap_large, scores.ar_large),
    ]


def _proposals(covered: Coverage | None) -> str:
    if covered is None:
        return ""
    at_half, at_seven, mabo = covered.recall(0.5).tolist(), covered.recall(0.7).tolist(), covered.mabo().tolist()
    rows = zip(covered.counts, covered.proposals.tolist(), at_half, at_seven, mabo, strict=True)
    table = Table(
        "How the first proposals of each image cover the objects, in per cent",
        (words_head("at most"), *map(Head, ("an image", "recall at 0.5", "recall at 0.7", "mean best overlap"))),
        tuple((f"{count:,}", f"{mean:,.0f}", *map(_percent, shares)) for count, mean, *shares in rows),
        is_sortable=False,
    )
    return f"<h2>Proposals</h2>{table_html(table)}"


def _time(evaluation: DetectionEvaluation) -> str:
    spent = evaluation.seconds
    if spent is None:
        return ""
    parts = (("propose boxes", spent.propose), ("features of boxes", spent.features), ("all else", spent.rest))
    rows = [
        (name, three(1000 * part / len(evaluation.images)), f"{100 * part / (spent.total or 1):.0f}") for name, part in parts
    ]
    heads = (words_head("step"), Head("ms / image"), Head("% of all"))
    return f"<h2>Time</h2>{table_html(Table('Where the time goes', heads, tuple(rows), is_sortable=False))}"


def _worst(evaluation: DetectionEvaluation, examples: Mapping[int, Pillow.Image]) -> str:
    worst = evaluation.worst(LISTED)
    if not worst:
        return "<h2>Mistakes</h2><p>No object was missed, and nothing was found where there is none.</p>"
    heads = (words_head("image"), *map(Head, ("objects", "found", "missed", "false alarms")))
    rows = [
        (
            shown(evaluation.images[each.index].item.name),
            *(f"{count:,}" for count in (each.objects, each.right, each.missed, each.false_alarms)),
        )
        for each in worst
    ]
    table = table_html(Table("The photos with most mistakes, at the thresholds of the classes", heads, tuple(rows)))
    return f"<h2>Mistakes</h2>{_photos(evaluation, worst[:PHOTOS], examples)}{table}"


def _best(evaluation: DetectionEvaluation, examples: Mapping[int, Pillow.Image]) -> str:
    photos = _photos(evaluation, evaluation.best(PHOTOS), examples)
    return f"<h2>Without a mistake</h2>{photos}" if photos else ""


def _photos(evaluation: DetectionEvaluation, photos: Sequence[Photo], examples: Mapping[int, Pillow.Image]) -> str:
    made = [
        figure_html(jpeg_bytes(examples[each.index]), "jpeg", f"Boxes on {name}: {_words(each)}", f"{_words(each)}. {name}")
        for each in photos
        if each.index in examples
        for name in [PurePath(evaluation.images[each.index].item.name).name]
    ]
    return f'<div class="photos">{"".join(made)}</div>' if made else ""


def _words(photo: Photo) -> str:
    alarms = f", {photo.false_alarms:,} false {plural(photo.false_alarms, 'alarm')}" if photo.false_alarms else ""
    return f"{photo.right:,} of {photo.objects:,} found{alarms}"


def _percent(share: float | None) -> str:
    return NOTHING if share is None else f"{100 * share:.2f}"


def _range(interval: tuple[float, float] | None) -> str:
    return "no interval of one image" if interval is None else f"95 %: {_percent(interval[0])} to {_percent(interval[1])}"
