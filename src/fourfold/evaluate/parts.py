"""The parts that HTML pages are made of: words, tables that can be sorted, pictures that lie in the page, and their frame.

Nothing is loaded from elsewhere. The frame, its style and its few lines of script are page.html beside this file.
"""

from __future__ import annotations

import base64
import html
import io
import string
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fourfold.evaluate.figures import visible

if TYPE_CHECKING:
    from PIL import Image as Pillow

FRAME = Path(__file__).with_name("page.html")
AT_SIGHT = 40  # classes of which all have a row at sight; of more the worst few, and all on demand
FEW = 20  # rows at sight of a longer table
NOTHING = "–"


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


def table_html(table: Table) -> str:
    """A table that scrolls sideways where the window is narrow."""
    heads = "".join(f'<th scope="col"{_kind(head)}>{shown(head.words)}</th>' for head in table.heads)
    rows = "".join(_row(row, table.heads) for row in table.rows)
    sortable = ' class="sortable"' if table.is_sortable else ""
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{shown(table.caption)}"><table{sortable}>'
        f"<caption><span>{shown(table.caption)}</span></caption><thead><tr>{heads}</tr></thead><tbody>\n{rows}</tbody></table></div>"
    )


def at_sight(whole: Table, few: str) -> str:
    """A table of classes, or of a long one the first rows, and all of them on demand; few: which classes these rows are."""
    if len(whole.rows) <= AT_SIGHT:
        return table_html(whole)
    first = Table(f"The {FEW} {few}", whole.heads, whole.rows[:FEW])
    return f"{table_html(first)}<details><summary>All {len(whole.rows):,} classes</summary>{table_html(whole)}</details>"


def cards(rows: Iterable[tuple[str, str, str]]) -> str:
    """Headline numbers: what each is, the number, and a note to it; all of them HTML already."""
    cells = [f"<div><dt>{term}</dt><dd>{value} <small>{note}</small></dd></div>" for term, value, note in rows]
    return f'<dl class="cards">{"".join(cells)}</dl>'


def words_head(heading: str) -> Head:
    """The heading of a column of words."""
    return Head(heading, is_number=False)


def _row(row: Iterable[str], heads: Sequence[Head]) -> str:
    name, *cells = row
    rest = "".join(f"<td{_kind(head)}>{cell}</td>" for head, cell in zip(heads[1:], cells, strict=True))
    return f'<tr><th scope="row">{name}</th>{rest}</tr>\n'


def _kind(head: Head) -> str:
    return ' class="number"' if head.is_number else ""


def figure_html(picture: bytes, form: str, alt: str, caption: str = "", kind: str = "") -> str:
    """A picture's bytes in the page; form: "png" or "jpeg"; kind: "sheet" for one that is wide, and scrolls if need be."""
    data = base64.b64encode(picture).decode("ascii")
    words = f"<figcaption>{shown(caption)}</figcaption>" if caption else ""
    return (
        f'<figure class="{kind}"><div class="wide" tabindex="0" role="region" aria-label="{shown(alt)}">'
        f'<img src="data:image/{form};base64,{data}" alt="{shown(alt)}"></div>{words}</figure>\n'
    )


def drawn(write: Callable[[Path], None]) -> bytes:
    """The bytes that a function writes to a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "picture")
        write(path)
        return path.read_bytes()


def jpeg_bytes(picture: Pillow.Image) -> bytes:
    """The picture as a JPEG file."""
    file = io.BytesIO()
    picture.convert("RGB").save(file, format="JPEG", quality=88)
    return file.getvalue()


def framed(title: str, parts: Iterable[str]) -> str:
    """A whole page of those parts that are not empty."""
    frame = string.Template(FRAME.read_text(encoding="utf-8"))
    return frame.substitute(title=shown(title), body="\n".join(part for part in parts if part))


def shown(words: str) -> str:
    """Words from the data, as HTML that shows them and does nothing else; in attributes too."""
    return html.escape(visible(words))


def three(value: float) -> str:
    """A number with three digits, or all those before its point."""
    return f"{value:,.{0 if value >= 100 else 1 if value >= 10 else 2}f}"


def plural(count: int, word: str, end: str = "s") -> str:
    """The word, with its end where there is not one of it."""
    return word if count == 1 else word + end
