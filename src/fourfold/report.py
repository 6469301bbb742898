"""Results as plain data for JSON and as tables for the terminal; the only place that rounds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

if TYPE_CHECKING:  # for types alone, so that importing this stays cheap
    from fourfold.catalog import ModelEntry
    from fourfold.evaluate.runner import Evaluation
    from fourfold.explain import Explanation, Layer
    from fourfold.training import Trained
    from fourfold.verbs import Answer, Failure, Listed

Record = dict[str, Any]


def answer_record(answer: Answer | Failure) -> Record:
    """What `classify --json` prints for one input."""
    from fourfold.verbs import Failure

    if isinstance(answer, Failure):
        return {"source": answer.source, "error": answer.error}
    guesses = [{"label": g.label, "index": g.index, "probability": round(g.probability, 6)} for g in answer.top]
    return {"source": answer.source, "top": guesses, "model": answer.model, "protocol": answer.protocol}


def answer_table(records: Sequence[Record]) -> Table:
    """A row for each answered input: the likeliest class, then the others."""
    first = records[0]
    table = _table("photo", "class", "probability", "then", caption=f"{first['model']}, {first['protocol']}")
    for record in records:
        best, *others = record["top"]
        then = ", ".join(f"{guess['label']} {_percent(guess['probability'])}" for guess in others)
        table.add_row(record["source"], best["label"], _percent(best["probability"]), then)
    return table


def evaluation_record(result: Evaluation) -> Record:
    return {
        "model": result.model,
        "protocol": result.protocol,
        "images": result.images,
        "classes": result.classes,
        "top1": round(result.top1, 3),
        "top5": round(result.top5, 3),
        "top1_interval": [round(result.top1_interval.low, 3), round(result.top1_interval.high, 3)],
        "broken": [{"source": str(broken.path), "error": broken.error} for broken in result.broken],
    }


def evaluation_table(result: Evaluation) -> Table:
    interval = result.top1_interval
    table = _table("images", "top-1", "95 % interval", "top-5", caption=f"{result.model}, {result.protocol}")
    table.add_row(
        f"{result.images:,}",
        f"{result.top1:.2f} %",
        f"{interval.low:.2f} to {interval.high:.2f}",
        f"{result.top5:.2f} %",
    )
    return table


def trained_record(result: Trained) -> Record:
    return {
        "run": str(result.folder),
        "images": result.images,
        "top1": round(result.top1, 3),
        "top5": round(result.top5, 3),
        "validation": result.origin,
    }


def trained_table(result: Trained) -> Table:
    table = _table("run", "images", "top-1", "top-5", caption=f"validation on {result.origin}")
    table.add_row(str(result.folder), f"{result.images:,}", f"{result.top1:.2f} %", f"{result.top5:.2f} %")
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
    table = _table("layer", "kind", "output", "sees", "stride", "parameters", "multiply-adds", right=5)
    for layer in result.layers:
        field = layer.field
        table.add_row(
            layer.name,
            layer.kind,
            "x".join(map(str, layer.output)),
            str(field.size) if field else "all",
            str(field.stride) if field else "",
            f"{layer.parameters:,}" if layer.parameters else "",
            f"{layer.multiply_adds:,}" if layer.multiply_adds else "",
        )
    table.add_section()
    total = f"{result.network}, {result.input_size}x{result.input_size}"
    table.add_row(
        total,
        "",
        "",
        str(result.field.size),
        str(result.field.stride),
        f"{result.parameters:,}",
        f"{result.multiply_adds:,}",
    )
    return table


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
    networks = _table("network", "also called", "input", "parameters", caption="networks, to train or explain", right=2)
    for row in records["networks"]:
        size = row["input_size"]
        networks.add_row(row["name"], ", ".join(row["aliases"]), f"{size}x{size}", f"{row['parameters']:,}")
    weights = _table("weights", "network", "top-1", "top-5", "MB", "licence", right=2)
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
    return [networks, weights]


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


def _table(*columns: str, caption: str | None = None, right: int | None = None) -> Table:
    """A table whose columns from number `right` on are numbers; every row stays on one line, cut off where it must be."""
    table = Table(caption=caption, caption_justify="left", box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if right is not None and index >= right else "left", overflow="ellipsis", no_wrap=True)
    return table


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
