"""Evaluations as one HTML page each, made of the parts in parts.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from fourfold import draw, plots
from fourfold.data.listing import Broken
from fourfold.evaluate import figures
from fourfold.evaluate.answers import Reply
from fourfold.evaluate.figures import visible
from fourfold.evaluate.metrics import ClassScore, Interval
from fourfold.evaluate.parts import (
    FEW,
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
from fourfold.evaluate.summary import Evaluation

if TYPE_CHECKING:
    from PIL import Image as Pillow

WORST = 12  # wrong answers shown, with their photos
MOST_BROKEN = 1000  # broken images listed
FOOT = """<footer><p>Top-1 and top-5: the share of the images whose true class is the likeliest, or among the five likeliest.
Intervals: 95 %, by Wilson's score. Precision: the share of the images taken for a class that are of it. Recall: the share of
the images of a class that are taken for it. F1: their harmonic mean. Calibration error: the mean distance between the
probability of the first class and how often it is right, over 15 bins (Guo et al. 2017).</p></footer>"""


def page(evaluation: Evaluation, examples: Mapping[int, Tensor], views_picture: Pillow.Image | None) -> str:
    """An evaluation as an HTML page: accuracies, classes, confusions, calibration, the surest mistakes and broken images.

    examples: images uint8 (3,H,W) by `Reply.index`, of `evaluation.worst(WORST)` as far as they can still be read.
    views_picture: what the protocol shows the network of one photo.
    """
    parts = [
        f"<h1>{shown(evaluation.model)}</h1>",
        f"<p>Protocol: {shown(evaluation.protocol)}</p>",
        _cards(evaluation),
        _views(evaluation, views_picture),
        _classes(evaluation),
        _calibration(evaluation),
        _worst(evaluation, examples),
        _broken(evaluation.broken),
        FOOT,
    ]
    return framed(f"{evaluation.model}: top-1 {evaluation.top1:.2f} %", parts)


def comparison_page(rows: Sequence[tuple[str, Evaluation]]) -> str:
    """Several evaluations, by the names given, as a table in the form of GoogLeNet Table 3 and a plot of accuracy and cost.

    Costs and differences are against the first. Raises ValueError where there is none.
    """
    if not rows:
        raise ValueError("there is no evaluation to compare; give one at least")
    models = list(dict.fromkeys(each.model for _, each in rows))
    title = f"{'; '.join(models)}: {len(rows)} {plural(len(rows), 'protocol' if len(models) == 1 else 'evaluation')}"
    parts = [f"<h1>{shown(title)}</h1>", _costs(rows), table_html(_comparison(rows)), table_html(_protocols(rows)), FOOT]
    return framed(title, parts)


def _comparison(rows: Sequence[tuple[str, Evaluation]]) -> Table:
    first = rows[0][1]
    heads = ("views", "cost", "ms / image", "top-1 %", "95 % interval", "top-5 %", "top-1 against the first", "images")
    cells = [
        (
            shown(name),
            f"{each.views:,}",
            three(each.seconds_per_image / first.seconds_per_image) if each.seconds and first.seconds else NOTHING,
            _milliseconds(each),
            f"{each.top1:.2f}",
            _range(each.top1_interval),
            f"{each.top5:.2f}",
            NOTHING if each is first else f"{each.top1 - first.top1:+.2f}",
            f"{each.images:,}",
        )
        for name, each in rows
    ]
    return Table(
        f"Accuracy and cost; the cost is the time for an image against that of {visible(rows[0][0])}.",
        (words_head("protocol"), *map(Head, heads)),
        tuple(cells),
    )


def _protocols(rows: Sequence[tuple[str, Evaluation]]) -> Table:
    heads = (words_head("protocol"), words_head("what is done"), words_head("model"))
    cells = [(shown(name), shown(each.protocol), shown(each.model)) for name, each in rows]
    return Table("The protocols in words", heads, tuple(cells), is_sortable=False)


def _costs(rows: Sequence[tuple[str, Evaluation]]) -> str:
    if not any(each.seconds for _, each in rows):
        return ""
    alt = "Top-1 accuracy of each protocol against its time for an image; the table below holds the numbers"
    caption = "The grey line joins the protocols that no other one beats in both accuracy and time."
    return figure_html(drawn(lambda path: figures.costs(rows, path)), "png", alt, caption)


def _cards(evaluation: Evaluation) -> str:
    """The headline numbers."""
    broken = len(evaluation.broken)
    rows = [
        ("Top-1", f"{evaluation.top1:.2f} %", f"95 %: {_range(evaluation.top1_interval)}"),
        ("Top-5", f"{evaluation.top5:.2f} %", f"95 %: {_range(evaluation.top5_interval)}"),
        ("Images", f"{evaluation.images:,}", f"of {evaluation.classes:,} {plural(evaluation.classes, 'class', 'es')}"),
        ("Broken images", f"{broken:,}", "not counted"),
        (
            "Time for an image",
            f"{_milliseconds(evaluation)} ms",
            f"{evaluation.views:,} {plural(evaluation.views, 'view')}",
        ),
        ("Calibration error", f"{100 * evaluation.calibration.error:.2f} %", "of the probabilities"),
        ("Log loss", f"{evaluation.log_loss:.3f}", "of the true class, in nats"),
        ("Mean F1", f"{100 * evaluation.macro.f1:.2f} %", "each class counts alike"),
    ]
    return cards(rows)


def _views(evaluation: Evaluation, picture: Pillow.Image | None) -> str:
    if picture is None:
        return ""
    alt = f"A photo with the {evaluation.views} views that the network is shown of it"
    caption = f"What the network is shown of an image: {evaluation.protocol}"
    return "<h2>Views</h2>" + figure_html(jpeg_bytes(picture), "jpeg", alt, caption)


def _classes(evaluation: Evaluation) -> str:
    """Rows for the classes that occur, worst first, and the picture of their confusions."""
    scores = sorted(
        ((index, each) for index, each in enumerate(evaluation.per_class) if each.support or each.guessed),
        key=lambda pair: (not pair[1].support, pair[1].f1, -pair[1].support),
    )
    taken = _most_taken(evaluation)
    rows = tuple(_class_row(score, taken.get(index, NOTHING)) for index, score in scores)
    heads = (words_head("class"), *map(Head, ("images", "precision %", "recall %", "F1 %")),
             words_head("most often taken for"))  # fmt: skip
    unseen = len(evaluation.labels) - evaluation.classes
    note = f" {unseen:,} of the model's {len(evaluation.labels):,} classes have no image here." if unseen else ""
    whole = Table(f"All classes that occur, lowest F1 first.{note}", heads, rows)
    right = int(evaluation.confusion.diagonal().sum())
    picture = figure_html(
        drawn(lambda path: figures.confusion(evaluation, path)),
        "png",
        f"Confusion matrix: {right:,} of {evaluation.images:,} images lie on the diagonal",
        "Which classes are taken for which.",
        kind="sheet" if len(scores) > plots.WRITTEN_OUT else "",
    )
    return f"<h2>Classes</h2>{at_sight(whole, 'classes with the lowest F1')}{picture}"


def _class_row(score: ClassScore, taken: str) -> tuple[str, ...]:
    precision = f"{100 * score.precision:.1f}" if score.guessed else NOTHING
    if not score.support:
        return shown(score.label), "0", precision, NOTHING, NOTHING, NOTHING
    percents = (precision, f"{100 * score.recall:.1f}", f"{100 * score.f1:.1f}")
    return shown(score.label), f"{score.support:,}", *percents, taken


def _most_taken(evaluation: Evaluation) -> dict[int, str]:
    """For each class with mistakes the class that most of them were taken for, and how many."""
    wrong = evaluation.confusion.clone().fill_diagonal_(0)
    counts, guesses = wrong.max(1)
    return {
        index: f"{shown(evaluation.labels[guess])} ({count:,})"
        for index, (count, guess) in enumerate(zip(counts.tolist(), guesses.tolist(), strict=True))
        if count
    }


def _calibration(evaluation: Evaluation) -> str:
    percent = f"{100 * evaluation.calibration.error:.2f} %"
    picture = drawn(lambda path: figures.reliability(evaluation.calibration, path))
    alt = f"Reliability diagram: the expected calibration error is {percent}"
    caption = "How often the first class is right, by the probability it was given; below, how many images were given it."
    return "<h2>Calibration</h2>" + figure_html(picture, "png", alt, caption)


def _worst(evaluation: Evaluation, examples: Mapping[int, Tensor]) -> str:
    """The surest wrong answers: their photos on a sheet, and their names in a table."""
    worst = evaluation.worst(WORST)
    if not worst:
        return "<h2>Mistakes</h2><p>No image was taken for another class.</p>"
    tiles = [_tile(evaluation, each, examples[each.index]) for each in worst if each.index in examples]
    heads = (words_head("image"), words_head("true class"), words_head("taken for"),
             Head("probability %"))  # fmt: skip
    rows = [
        (
            shown(each.name),
            *(shown(evaluation.labels[at]) for at in (each.truth, each.top[0][0])),
            f"{100 * each.top[0][1]:.1f}",
        )
        for each in worst
    ]
    sheet = ""
    if tiles:
        number = int((evaluation.truth != evaluation.guesses).sum())
        made = draw.contact_sheet([(f"Wrong: {number:,}, the surest first", tiles)])
        sheet = figure_html(jpeg_bytes(made), "jpeg", "Photos of the mistakes in the table below", kind="sheet")
    return f"<h2>Mistakes</h2>{sheet}{table_html(Table('The surest mistakes', heads, tuple(rows)))}"


def _tile(evaluation: Evaluation, each: Reply, image: Tensor) -> draw.Tile:
    guess, probability = each.top[0]
    truth, taken = visible(evaluation.labels[each.truth]), visible(evaluation.labels[guess])
    return draw.Tile(image, (truth, f"-> {taken}\t{100 * probability:.0f} %"), is_right=False)


def _broken(broken: Sequence[Broken]) -> str:
    if not broken:
        return ""
    rows = tuple((shown(each.name), shown(each.error)) for each in broken[:MOST_BROKEN])
    more = f"; the first {MOST_BROKEN:,} of them" if len(broken) > MOST_BROKEN else ""
    table = Table(f"Images that could not be used{more}", (words_head("image"), words_head("why")), rows)
    is_open = " open" if len(broken) <= FEW else ""
    return (
        f"<h2>Broken images</h2><details{is_open}><summary>{len(broken):,} {plural(len(broken), 'image')}</summary>"
        f"{table_html(table)}</details>"
    )


def _range(interval: Interval) -> str:
    return f"{interval.low:.2f} to {interval.high:.2f}"


def _milliseconds(evaluation: Evaluation) -> str:
    return three(1000 * evaluation.seconds_per_image) if evaluation.seconds else NOTHING
