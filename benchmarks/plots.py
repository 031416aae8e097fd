from __future__ import annotations

import statistics
from pathlib import Path

import matplotlib

matplotlib.use("svg")
# Use the same text and ids in each run, so plots differ only in the results.
matplotlib.rcParams.update({"svg.hashsalt": "closient-auth", "svg.fonttype": "none"})

from matplotlib import pyplot  # noqa: E402

from benchmarks.report import Rounds, get_parts, get_totals  # noqa: E402
from benchmarks.variants import BARE, MALFORMED, MISTYPED, VARIANTS  # noqa: E402


def plot_costs(title: str, rounds: Rounds, path: Path) -> None:
    """Draw each variant's CPU time above the bare view, including the servers for HTTP. Each round is a point."""
    parts = get_parts(title)
    bare = get_totals(rounds, BARE, parts)
    costs = {
        variant.name: [mine - base for mine, base in zip(get_totals(rounds, variant, parts), bare, strict=True)]
        for variant in VARIANTS
        if variant not in (BARE, MALFORMED, MISTYPED)
    }
    names = sorted(costs, key=lambda name: -statistics.median(costs[name]))
    figure, axes = pyplot.subplots(figsize=(8, 4.2), layout="constrained")
    colors = ["#1f6f8b" if name.startswith("closient-auth") else "#b8bec4" for name in names]
    axes.barh(names, [statistics.median(costs[name]) for name in names], color=colors)
    for row, name in enumerate(names):
        axes.plot(costs[name], [row] * len(costs[name]), "|", color="#333333", alpha=0.4)
    axes.set_xlabel("CPU µs a request above the bare view")
    axes.set_title(title)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
