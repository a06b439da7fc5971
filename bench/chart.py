"""The chart of docs/performance.svg: what a delivery costs the server, Atrium beside Node."""

from html import escape
from typing import Any, Final

BARS: Final = {"atrium": "#2563eb", "node": "#9ca3af"}
METRIC: Final = "cpu_us_per_delivery"
LABEL, PLOT, BAR, GAP, TOP, AFTER = 230, 420, 12, 12, 52, 90
"""Pixels: width of the labels and of the longest bar, height of a bar, of the gap, of the head; width after."""


def chart(cases: dict[str, Any]) -> str:
    """An SVG with a group of bars for every shape that both were measured in."""
    groups = [
        (f"{name}: {shape}", {peer: case["figures"][peer][shape][METRIC] for peer in BARS})
        for name, case in cases.items()
        for shape in case["figures"].get("atrium", {})
        if all(METRIC in case["figures"].get(peer, {}).get(shape, {}) for peer in BARS)
    ]
    longest = max((value for _, bars in groups for value in bars.values()), default=0) or 1
    parts, y = [_head()], TOP
    for label, bars in groups:
        middle = y + BAR * len(bars) / 2 + 4
        parts.append(f'<text x="{LABEL - 8}" y="{middle:.0f}" text-anchor="end">{escape(label)}</text>')
        for peer, value in bars.items():
            width = value / longest * PLOT
            parts.append(
                f'<rect x="{LABEL}" y="{y}" width="{width:.1f}" height="{BAR - 1}" fill="{BARS[peer]}"/>'
            )
            parts.append(f'<text x="{LABEL + width + 5:.1f}" y="{y + BAR - 2}">{value:.2f}</text>')
            y += BAR
        y += GAP
    size = f'width="{LABEL + PLOT + AFTER}" height="{y}" viewBox="0 0 {LABEL + PLOT + AFTER} {y}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="11">\n'
        f'<rect width="100%" height="100%" fill="#ffffff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _head() -> str:
    legend = "".join(
        f'<rect x="{LABEL + 90 * at}" y="28" width="11" height="11" fill="{colour}"/>'
        f'<text x="{LABEL + 90 * at + 16}" y="38">{peer}</text>'
        for at, (peer, colour) in enumerate(BARS.items())
    )
    title = "Server CPU per delivered event, microseconds (less is better)"
    return f'<text x="{LABEL}" y="18" font-size="13" font-weight="bold">{title}</text>\n{legend}'
