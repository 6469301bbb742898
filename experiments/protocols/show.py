"""The figure and the tables of a result: how much each protocol gains or loses against the single view.

python experiments/protocols/show.py RESULT.json OUT.png
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from matplotlib.figure import Figure

SHOWN = ("single", "ten", "dense3-fixed", "crops144")  # protocols whose ensembles have a column
BLUE, ORANGE = "#2563eb", "#ea580c"


def draw(result: dict, path: Path) -> None:
    """A panel for each network: differences of top-1 in points, with 95 % intervals of the paired difference."""
    networks = result["networks"]
    figure = Figure(figsize=(3.2 * len(networks) + 1.5, 6), layout="constrained")
    panels = figure.subplots(1, len(networks), sharey=True, squeeze=False)[0]
    names = list(dict.fromkeys(name for rows in networks.values() for name in rows if name != "single"))
    for axes, (network, rows) in zip(panels, networks.items(), strict=True):
        for place, name in enumerate(names):
            if name not in rows:
                continue
            low, high = rows[name]["against_base_interval"]
            gain = rows[name]["against_base"]
            axes.plot([low, high], [place, place], color=BLUE if gain >= 0 else ORANGE, linewidth=2)
            axes.plot([gain], [place], "o", color=BLUE if gain >= 0 else ORANGE)
        axes.axvline(0, color="black", linewidth=0.8)
        axes.set_title(f"{network}\nsingle view {rows['single']['top1']:.2f} %", fontsize=10)
        axes.grid(alpha=0.3)
        axes.set_xlabel("points of top-1")
    panels[0].set_yticks(range(len(names)), names)
    panels[0].set_ylim(len(names) - 0.5, -0.5)
    figure.suptitle("against the single view on the same images; lines: 95 % intervals", fontsize=10)
    figure.savefig(path, dpi=110, format="png")


def tables(result: dict) -> str:
    """Markdown: for each protocol the gain of each network; then for each ensemble its gain over its best member."""
    networks = result["networks"]
    names = list(dict.fromkeys(name for rows in networks.values() for name in rows))
    lines = [f"| protocol | views | {' | '.join(networks)} |", "|---|---|" + "---|" * len(networks)]
    for name in names:
        cells = [_cell(name, rows.get(name)) for rows in networks.values()]
        views = next((rows[name].get("views", "") for rows in networks.values() if name in rows), "")
        lines.append(f"| `{name}` | {views} | {' | '.join(cells)} |")
    sets = list(dict.fromkeys(title.rpartition(", ")[0] for title in result["ensembles"]))
    lines += ["", f"| ensemble | {' | '.join(f'`{name}`' for name in SHOWN)} |", "|---|" + "---|" * len(SHOWN)]
    for members in sets:
        cells = [_gain(result["ensembles"].get(f"{members}, {name}")) for name in SHOWN]
        lines.append(f"| {members} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(name: str, row: dict | None) -> str:
    if row is None:
        return "–"
    if name == "single":
        return f"{row['top1']:.2f} % of {row['images']:,}"
    low, high = row["against_base_interval"]
    return f"{row['against_base']:+.2f} ({low:+.2f} to {high:+.2f})"


def _gain(row: dict | None) -> str:
    if row is None:
        return "–"
    low, high = row["against_base_interval"]
    return f"{row['top1']:.2f} %, {row['against_base']:+.2f} ({low:+.2f} to {high:+.2f})"


if __name__ == "__main__":
    found = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    draw(found, Path(sys.argv[2]))
    print(tables(found))
