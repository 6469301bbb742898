"""Evaluations as one HTML page each: nothing is loaded from elsewhere, pictures lie in it, and tables can be sorted.

The frame, its style and its few lines of script are page.html beside this file.
"""

from __future__ import annotations

import base64
import html
import io
import string
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from fourfold import draw, plots
from fourfold.data.listing import Broken
from fourfold.evaluate import figures
from fourfold.evaluate.answers import Reply
from fourfold.evaluate.figures import visible
from fourfold.evaluate.metrics import ClassScore, Interval
from fourfold.evaluate.summary import Evaluation

if TYPE_CHECKING:
    from PIL import Image as Pillow

FRAME = Path(__file__).with_name("page.html")
WORST = 12  # wrong answers shown, with their photos
AT_SIGHT = 40  # classes of which all have a row at sight; of more the worst few, and all on demand
FEW = 20  # rows at sight of a longer table
MOST_BROKEN = 1000  # broken images listed
NOTHING = "–"
FOOT = """<footer><p>Top-1 and top-5: the share of the images whose true class is the likeliest, or among the five likeliest.
Intervals: 95 %, by Wilson's score. Precision: the share of the images taken for a class that are of it. Recall: the share of
the images of a class that are taken for it. F1: their harmonic mean. Calibration error: the mean distance between the
probability of the first class and how often it is right, over 15 bins (Guo et al. 2017).</p></footer>"""


@dataclass(frozen=True)
class Head:
    """The heading of a column, and whether it holds numbers."""

    words: str
    is_number: bool = True


@dataclass(frozen=True)
class Table:
    """Rows of cells that are HTML already; the first cell of a row names it."""

    caption: str
    heads: tuple[Head, ...]
    rows: tuple[tuple[str, ...], ...]
    is_sortable: bool = True


def page(evaluation: Evaluation, examples: Mapping[int, Tensor], views_picture: Pillow.Image | None) -> str:
    """An evaluation as an HTML page: accuracies, classes, confusions, calibration, the surest mistakes and broken images.

    examples: images uint8 (3,H,W) by `Reply.index`, of `evaluation.worst(WORST)` as far as they can still be read.
    views_picture: what the protocol shows the network of one photo.
    """
    parts = [
        f"<h1>{_text(evaluation.model)}</h1>",
        f"<p>Protocol: {_text(evaluation.protocol)}</p>",
        _cards(evaluation),
        _views(evaluation, views_picture),
        _classes(evaluation),
        _calibration(evaluation),
        _worst(evaluation, examples),
        _broken(evaluation.broken),
        FOOT,
    ]
    return _framed(f"{evaluation.model}: top-1 {evaluation.top1:.2f} %", parts)


def comparison_page(rows: Sequence[tuple[str, Evaluation]]) -> str:
    """Several evaluations, by the names given, as a table in the form of GoogLeNet Table 3 and a plot of accuracy and cost.

    Costs and differences are against the first. Raises ValueError where there is none.
    """
    if not rows:
        raise ValueError("there is no evaluation to compare; give one at least")
    models = list(dict.fromkeys(each.model for _, each in rows))
    title = f"{'; '.join(models)}: {len(rows)} {_plural(len(rows), 'protocol' if len(models) == 1 else 'evaluation')}"
    parts = [f"<h1>{_text(title)}</h1>", _costs(rows), _html(_comparison(rows)), _html(_protocols(rows)), FOOT]
    return _framed(title, parts)


def _comparison(rows: Sequence[tuple[str, Evaluation]]) -> Table:
    first = rows[0][1]
    heads = ("views", "cost", "ms / image", "top-1 %", "95 % interval", "top-5 %", "top-1 against the first", "images")
    cells = [
        (
            _text(name),
            f"{each.views:,}",
            _three(each.seconds_per_image / first.seconds_per_image) if each.seconds and first.seconds else NOTHING,
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
        (_words("protocol"), *map(Head, heads)),
        tuple(cells),
    )


def _protocols(rows: Sequence[tuple[str, Evaluation]]) -> Table:
    heads = (_words("protocol"), _words("what is done"), _words("model"))
    cells = [(_text(name), _text(each.protocol), _text(each.model)) for name, each in rows]
    return Table("The protocols in words", heads, tuple(cells), is_sortable=False)


def _costs(rows: Sequence[tuple[str, Evaluation]]) -> str:
    if not any(each.seconds for _, each in rows):
        return ""
    alt = "Top-1 accuracy of each protocol against its time for an image; the table below holds the numbers"
    caption = "The grey line joins the protocols that no other one beats in both accuracy and time."
    return _figure(_drawn(lambda path: figures.costs(rows, path)), "png", alt, caption)


def _cards(evaluation: Evaluation) -> str:
    """The headline numbers."""
    broken = len(evaluation.broken)
    cards = [
        ("Top-1", f"{evaluation.top1:.2f} %", f"95 %: {_range(evaluation.top1_interval)}"),
        ("Top-5", f"{evaluation.top5:.2f} %", f"95 %: {_range(evaluation.top5_interval)}"),
        ("Images", f"{evaluation.images:,}", f"of {evaluation.classes:,} {_plural(evaluation.classes, 'class', 'es')}"),
        ("Broken images", f"{broken:,}", "not counted"),
        (
            "Time for an image",
            f"{_milliseconds(evaluation)} ms",
            f"{evaluation.views:,} {_plural(evaluation.views, 'view')}",
        ),
        ("Calibration error", f"{100 * evaluation.calibration.error:.2f} %", "of the probabilities"),
        ("Log loss", f"{evaluation.log_loss:.3f}", "of the true class, in nats"),
        ("Mean F1", f"{100 * evaluation.macro.f1:.2f} %", "each class counts alike"),
    ]
    cells = [f"<div><dt>{term}</dt><dd>{value} <small>{note}</small></dd></div>" for term, value, note in cards]
    return f'<dl class="cards">{"".join(cells)}</dl>'


def _views(evaluation: Evaluation, picture: Pillow.Image | None) -> str:
    if picture is None:
        return ""
    alt = f"A photo with the {evaluation.views} views that the network is shown of it"
    caption = f"What the network is shown of an image: {evaluation.protocol}"
    return "<h2>Views</h2>" + _figure(_jpeg(picture), "jpeg", alt, caption)


def _classes(evaluation: Evaluation) -> str:
    """Rows for the classes that occur, worst first, and the picture of their confusions."""
    scores = sorted(
        ((index, each) for index, each in enumerate(evaluation.per_class) if each.support or each.guessed),
        key=lambda pair: (not pair[1].support, pair[1].f1, -pair[1].support),
    )
    taken = _most_taken(evaluation)
    rows = tuple(_class_row(score, taken.get(index, NOTHING)) for index, score in scores)
    heads = (_words("class"), *map(Head, ("images", "precision %", "recall %", "F1 %")),
             _words("most often taken for"))  # fmt: skip
    unseen = len(evaluation.labels) - evaluation.classes
    note = f" {unseen:,} of the model's {len(evaluation.labels):,} classes have no image here." if unseen else ""
    whole = Table(f"All classes that occur, lowest F1 first.{note}", heads, rows)
    right = int(evaluation.confusion.diagonal().sum())
    picture = _figure(
        _drawn(lambda path: figures.confusion(evaluation, path)),
        "png",
        f"Confusion matrix: {right:,} of {evaluation.images:,} images lie on the diagonal",
        "Which classes are taken for which.",
        kind="sheet" if len(scores) > plots.WRITTEN_OUT else "",
    )
    return f"<h2>Classes</h2>{_at_sight(whole)}{picture}"


def _at_sight(whole: Table) -> str:
    """A table, or of a long one the first rows, and all of them on demand."""
    if len(whole.rows) <= AT_SIGHT:
        return _html(whole)
    few = Table(f"The {FEW} classes with the lowest F1", whole.heads, whole.rows[:FEW])
    return f"{_html(few)}<details><summary>All {len(whole.rows):,} classes</summary>{_html(whole)}</details>"


def _class_row(score: ClassScore, taken: str) -> tuple[str, ...]:
    precision = f"{100 * score.precision:.1f}" if score.guessed else NOTHING
    if not score.support:
        return _text(score.label), "0", precision, NOTHING, NOTHING, NOTHING
    percents = (precision, f"{100 * score.recall:.1f}", f"{100 * score.f1:.1f}")
    return _text(score.label), f"{score.support:,}", *percents, taken


def _most_taken(evaluation: Evaluation) -> dict[int, str]:
    """For each class with mistakes the class that most of them were taken for, and how many."""
    wrong = evaluation.confusion.clone().fill_diagonal_(0)
    counts, guesses = wrong.max(1)
    return {
        index: f"{_text(evaluation.labels[guess])} ({count:,})"
        for index, (count, guess) in enumerate(zip(counts.tolist(), guesses.tolist(), strict=True))
        if count
    }


def _calibration(evaluation: Evaluation) -> str:
    percent = f"{100 * evaluation.calibration.error:.2f} %"
    picture = _drawn(lambda path: figures.reliability(evaluation.calibration, path))
    alt = f"Reliability diagram: the expected calibration error is {percent}"
    caption = "How often the first class is right, by the probability it was given; below, how many images were given it."
    return "<h2>Calibration</h2>" + _figure(picture, "png", alt, caption)


def _worst(evaluation: Evaluation, examples: Mapping[int, Tensor]) -> str:
    """The surest wrong answers: their photos on a sheet, and their names in a table."""
    worst = evaluation.worst(WORST)
    if not worst:
        return "<h2>Mistakes</h2><p>No image was taken for another class.</p>"
    tiles = [_tile(evaluation, each, examples[each.index]) for each in worst if each.index in examples]
    heads = (_words("image"), _words("true class"), _words("taken for"),
             Head("probability %"))  # fmt: skip
    rows = [
        (
            _text(each.name),
            *(_text(evaluation.labels[at]) for at in (each.truth, each.top[0][0])),
            f"{100 * each.top[0][1]:.1f}",
        )
        for each in worst
    ]
    sheet = ""
    if tiles:
        number = int((evaluation.truth != evaluation.guesses).sum())
        made = draw.contact_sheet([(f"Wrong: {number:,}, the surest first", tiles)])
        sheet = _figure(_jpeg(made), "jpeg", "Photos of the mistakes in the table below", kind="sheet")
    return f"<h2>Mistakes</h2>{sheet}{_html(Table('The surest mistakes', heads, tuple(rows)))}"


def _tile(evaluation: Evaluation, each: Reply, image: Tensor) -> draw.Tile:
    guess, probability = each.top[0]
    truth, taken = visible(evaluation.labels[each.truth]), visible(evaluation.labels[guess])
    return draw.Tile(image, (truth, f"-> {taken}\t{100 * probability:.0f} %"), is_right=False)


def _broken(broken: Sequence[Broken]) -> str:
    if not broken:
        return ""
    rows = tuple((_text(each.name), _text(each.error)) for each in broken[:MOST_BROKEN])
    more = f"; the first {MOST_BROKEN:,} of them" if len(broken) > MOST_BROKEN else ""
    table = Table(f"Images that could not be used{more}", (_words("image"), _words("why")), rows)
    is_open = " open" if len(broken) <= FEW else ""
    return (
        f"<h2>Broken images</h2><details{is_open}><summary>{len(broken):,} {_plural(len(broken), 'image')}</summary>"
        f"{_html(table)}</details>"
    )


def _html(table: Table) -> str:
    heads = "".join(f'<th scope="col"{_kind(head)}>{_text(head.words)}</th>' for head in table.heads)
    rows = "".join(_row(row, table.heads) for row in table.rows)
    sortable = ' class="sortable"' if table.is_sortable else ""
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{_text(table.caption)}"><table{sortable}>'
        f"<caption><span>{_text(table.caption)}</span></caption><thead><tr>{heads}</tr></thead><tbody>\n{rows}</tbody></table></div>"
    )


def _words(heading: str) -> Head:
    return Head(heading, is_number=False)


def _row(row: Iterable[str], heads: Sequence[Head]) -> str:
    name, *cells = row
    rest = "".join(f"<td{_kind(head)}>{cell}</td>" for head, cell in zip(heads[1:], cells, strict=True))
    return f'<tr><th scope="row">{name}</th>{rest}</tr>\n'


def _kind(head: Head) -> str:
    return ' class="number"' if head.is_number else ""


def _figure(picture: bytes, form: str, alt: str, caption: str = "", kind: str = "") -> str:
    data = base64.b64encode(picture).decode("ascii")
    words = f"<figcaption>{_text(caption)}</figcaption>" if caption else ""
    return (
        f'<figure class="{kind}"><div class="wide" tabindex="0" role="region" aria-label="{_text(alt)}">'
        f'<img src="data:image/{form};base64,{data}" alt="{_text(alt)}"></div>{words}</figure>\n'
    )


def _drawn(write: Callable[[Path], None]) -> bytes:
    """The bytes that a function writes to a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "picture")
        write(path)
        return path.read_bytes()


def _jpeg(picture: Pillow.Image) -> bytes:
    file = io.BytesIO()
    picture.convert("RGB").save(file, format="JPEG", quality=88)
    return file.getvalue()


def _framed(title: str, parts: Iterable[str]) -> str:
    frame = string.Template(FRAME.read_text(encoding="utf-8"))
    return frame.substitute(title=_text(title), body="\n".join(part for part in parts if part))


def _text(words: str) -> str:
    """Words from the data, as HTML that shows them and does nothing else; in attributes too."""
    return html.escape(visible(words))


def _range(interval: Interval) -> str:
    return f"{interval.low:.2f} to {interval.high:.2f}"


def _milliseconds(evaluation: Evaluation) -> str:
    return _three(1000 * evaluation.seconds_per_image) if evaluation.seconds else NOTHING


def _three(value: float) -> str:
    """A number with three digits, or all those before its point."""
    return f"{value:,.{0 if value >= 100 else 1 if value >= 10 else 2}f}"


def _plural(count: int, word: str, end: str = "s") -> str:
    return word if count == 1 else word + end
