"""Results as plain data for JSON and as tables for the terminal; the only place that rounds."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from fourfold.sources import Failure

if TYPE_CHECKING:  # for types alone, so that importing this stays cheap
    from fourfold.answering import Answer
    from fourfold.catalog import ModelEntry
    from fourfold.data.listing import Broken
    from fourfold.evaluate.metrics import ClassScore, Interval
    from fourfold.evaluate.summary import Evaluation
    from fourfold.explain import Explanation, Layer
    from fourfold.training import Trained
    from fourfold.verbs import Listed

Record = dict[str, Any]
PAGE = "report.html"  # of an evaluation, in its folder
CONTROL = ("Cc", "Cs", "Zl", "Zp")  # Unicode's controls, lone surrogates (undecodable bytes), line and paragraph separators


def answer_record(answer: Answer | Failure) -> Record:
    """What `classify --json` prints for one input."""
    if isinstance(answer, Failure):
        return {"source": answer.source, "error": answer.error}
    guesses = [{"label": g.label, "index": g.index, "probability": round(g.probability, 6)} for g in answer.top]
    return {"source": answer.source, "top": guesses, "model": answer.model, "protocol": answer.protocol}


def answer_table(records: Sequence[Record]) -> Table:
    """A row for each answered input: the likeliest class, then the others."""
    first = records[0]
    table = plain_table("photo", "class", "probability", "then", caption=f"{first['model']}, {first['protocol']}")
    for record in records:
        best, *others = record["top"]
        then = ", ".join(f"{guess['label']} {_percent(guess['probability'])}" for guess in others)
        table.add_row(_tail(one_line(record["source"]), 40), best["label"], _percent(best["probability"]), then)
    return _keep_whole(table, but=3)


def evaluation_record(result: Evaluation) -> Record:
    """What `evaluate --json` prints; accuracies in per cent, scores of classes and calibration as shares of 1."""
    return {
        "model": result.model,
        "protocol": result.protocol,
        "images": result.images,
        "classes": result.classes,
        "top1": round(result.top1, 3),
        "top5": round(result.top5, 3),
        "top1_interval": _interval(result.top1_interval),
        "top5_interval": _interval(result.top5_interval),
        "calibration_error": round(result.calibration.error, 5),
        "log_loss": round(result.log_loss, 5),
        "views": result.views,
        "ms_per_image": round(1000 * result.seconds_per_image, 3),
        "macro": {key: round(getattr(result.macro, key), 5) for key in ("precision", "recall", "f1")},
        "per_class": [_class_record(score) for score in result.per_class if score.support or score.guessed],
        "broken": _broken_records(result.broken),
    }


def comparison_record(found: Sequence[tuple[str, Evaluation]]) -> Record:
    """What `evaluate --json` prints of several protocols: a record for each, with its name."""
    return {"protocols": [{"name": name, **evaluation_record(result)} for name, result in found]}


def evaluation_table(result: Evaluation) -> Table:
    """One row: how many images, how many of them right, and what it cost."""
    caption = f"{result.model}, {result.protocol}"
    table = plain_table("images", "top-1", "95 % interval", "top-5", "ECE", "views", "ms/image", caption=caption, right=0)
    table.add_row(f"{result.images:,}", *_accuracy_cells(result))
    return table


def comparison_table(found: Sequence[tuple[str, Evaluation]]) -> Table:
    """A row for each protocol (GoogLeNet Table 3, VGG Table 5)."""
    caption = f"{found[0][1].model}, {found[0][1].images:,} images"
    table = plain_table("protocol", "top-1", "95 % interval", "top-5", "ECE", "views", "ms/image", caption=caption, right=1)
    for name, result in found:
        table.add_row(name, *_accuracy_cells(result))
    return table


def _accuracy_cells(result: Evaluation) -> list[str]:
    low, high = result.top1_interval.low, result.top1_interval.high
    error = _percent(result.calibration.error)
    cost = f"{1000 * result.seconds_per_image:.3g}"
    return [f"{result.top1:.2f} %", f"{low:.2f} to {high:.2f}", f"{result.top5:.2f} %", error, str(result.views), cost]


def _interval(interval: Interval) -> list[float]:
    return [round(interval.low, 3), round(interval.high, 3)]


def _class_record(score: ClassScore) -> Record:
    shares = {key: round(getattr(score, key), 5) for key in ("precision", "recall", "f1")}
    return {"class": score.label, **shares, "images": score.support, "guessed": score.guessed}


def protocol_records(size: int) -> list[Record]:
    """What `protocols --json` prints: every protocol by name, for a network that reads size x size pixels."""
    from fourfold.papers.protocols import PROTOCOLS, protocol_named

    made = ((name, named.source, protocol_named(name, size)) for name, named in PROTOCOLS.items())
    return [
        {"name": name, "source": source, "views": len(protocol.views(3 * size, 4 * size)), "does": str(protocol)}
        for name, source, protocol in made
    ]


def protocol_table(records: Sequence[Record]) -> Table:
    """A row for each protocol."""
    table = plain_table("protocol", "views", "from", "what it does")
    table.columns[1].justify = "right"
    table.columns[3].no_wrap = False  # its words are worth several lines
    for row in records:
        table.add_row(row["name"], str(row["views"]), row["source"], row["does"])
    return table


def trained_record(result: Trained) -> Record:
    """What `train --json` prints; accuracies in per cent."""
    return {
        "run": str(result.folder),
        "network": result.model,
        "images": result.images,
        "top1": round(result.top1, 3),
        "top5": round(result.top5, 3),
        "validation": result.origin,
        "broken": _broken_records(result.broken),
    }


def trained_table(result: Trained) -> Table:
    """One row: the run and its accuracy."""
    table = plain_table("run", "network", "images", "top-1", "top-5", caption=f"validation on {result.origin}", right=2)
    table.add_row(str(result.folder), result.model, f"{result.images:,}", f"{result.top1:.2f} %", f"{result.top5:.2f} %")
    return table


def explanation_record(result: Explanation) -> Record:
    """`stride` and `receptive_field` are those of the map cells that the head reads."""
    return {
        "network": result.network,
        "input_size": result.input_size,
        "parameters": result.parameters,
        "auxiliary_parameters": result.auxiliary_parameters,
        "multiply_adds": result.multiply_adds,
        "stride": result.field.stride,
        "receptive_field": result.field.size,
        "layers": [_layer_record(layer) for layer in result.layers],
        "deviations": list(result.deviations),
    }


def explanation_table(result: Explanation) -> Table:
    """A row for each layer, and one for the whole."""
    table = plain_table("layer", "kind", "output", "sees", "stride", "parameters", "multiply-adds", right=5)
    for layer in result.layers:
        field = layer.field
        table.add_row(
            layer.name,
            layer.kind,
            "x".join(map(str, layer.output)),
            str(field.size) if field else "all",
            str(field.stride) if field else "",
            f"{layer.parameters:,}" if layer.parameters else "",
            _millions(layer.multiply_adds) if layer.multiply_adds else "",
        )
    table.add_section()
    total = f"all of {result.network}"
    table.add_row(
        total,
        "",
        "",
        str(result.field.size),
        str(result.field.stride),
        f"{result.parameters:,}",
        _millions(result.multiply_adds),
    )
    return _keep_whole(table, but=0)


def model_records(networks: Iterable[Listed], weights: Iterable[ModelEntry]) -> Record:
    """What `models --json` prints."""
    return {
        "networks": [
            {
                "name": listed.name,
                "aliases": list(listed.aliases),
                "input_size": listed.input_size,
                "parameters": listed.parameters,
            }
            for listed in networks
        ],
        "weights": [
            {
                "name": entry.name,
                "network": entry.network,
                "accuracy": dict(entry.accuracy),
                "protocol": entry.protocol,
                "megabytes": entry.megabytes,
                "licence": entry.licence,
                "recipe": entry.recipe,
                "deviations": list(entry.deviations),
                "is_bundled": not entry.url,
            }
            for entry in weights
        ],
    }


def model_tables(records: Record) -> list[Table]:
    """Networks, then weights, from `model_records`."""
    networks = plain_table("network", "also", "input", "parameters", caption="networks, to train or explain", right=2)
    for row in records["networks"]:
        size = row["input_size"]
        networks.add_row(row["name"], ", ".join(row["aliases"]), f"{size}x{size}", f"{row['parameters']:,}")
    weights = plain_table("weights", "network", "top-1", "top-5", "MB", "licence", right=2)
    weights.columns[-1].justify = "left"
    for row in records["weights"]:
        accuracy, note = row["accuracy"], "" if row["is_bundled"] else "*"
        weights.add_row(
            row["name"],
            row["network"],
            f"{accuracy['top1']:.2f}{note}",
            f"{accuracy['top5']:.2f}{note}",
            f"{row['megabytes']:g}",
            row["licence"],
        )
    weights.caption = "weights, to classify with (* as their publisher states; downloaded on first use)"
    return [_keep_whole(networks, but=1), _keep_whole(weights, but=5)]


def one_line(text: str) -> str:
    """The text with line breaks and other control characters, which file names may hold, written as escapes."""
    return "".join(
        character.encode("unicode_escape").decode("ascii") if unicodedata.category(character) in CONTROL else character
        for character in text
    )


def _broken_records(broken: Iterable[Broken]) -> list[Record]:
    return [{"source": file.name, "error": file.error} for file in broken]


def _layer_record(layer: Layer) -> Record:
    return {
        "name": layer.name,
        "kind": layer.kind,
        "output": list(layer.output),
        "receptive_field": layer.field.size if layer.field else None,
        "stride": layer.field.stride if layer.field else None,
        "parameters": layer.parameters,
        "multiply_adds": layer.multiply_adds,
    }


def plain_table(*columns: str, caption: str | None = None, right: int | None = None) -> Table:
    """A table whose columns from number `right` on are numbers; every row stays on one line, cut off where it must be."""
    table = Table(caption=caption, caption_justify="left", box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        justify = "right" if right is not None and index >= right else "left"
        table.add_column(column, justify=justify, overflow="ellipsis", no_wrap=True)
    return table


def _keep_whole(table: Table, *, but: int) -> Table:
    """Where the terminal is too narrow, cut off column number `but` and no other."""
    for index, column in enumerate(table.columns):
        if index != but:
            column.min_width = max(len(str(cell)) for cell in (column.header, *column.cells))
    return table


def _tail(text: str, most: int) -> str:
    return text if len(text) <= most else f"…{text[1 - most :]}"


def _millions(count: int) -> str:
    return f"{count / 1e6:,.1f} M"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
