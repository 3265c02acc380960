"""The picture of the page: bars of ratios, as SVG."""
import os
from xml.sax.saxutils import escape

import jobs

PICTURE = os.path.join("docs", "pictures", "performance.svg")
COLOURS = ("#4c78a8", "#72a5d8", "#9aa0a6")
WIDTH, LEFT, BAR, GAP, HEAD = 760, 20, 18, 14, 26


def svg(groups):
    """groups: [(label, [(worker, ratio)])]"""
    highest = max(value for _, bars in groups for _, value in bars)
    scale = (WIDTH - LEFT - 250) / highest
    parts, y = [], 34
    for label, bars in groups:
        parts.append(f'<text x="{LEFT}" y="{y + 12}" font-weight="bold">{escape(label)}</text>')
        y += HEAD
        for (worker, value), colour in zip(bars, COLOURS):
            parts.append(f'<rect x="{LEFT}" y="{y}" width="{value * scale:.1f}" height="{BAR - 3}" fill="{colour}"/>')
            parts.append(f'<text x="{LEFT + value * scale + 6:.1f}" y="{y + 12}">{value:.2f}x {escape(worker)}</text>')
            y += BAR
        y += GAP
    one = f'<line x1="{LEFT + scale:.1f}" x2="{LEFT + scale:.1f}" y1="30" y2="{y - GAP}" stroke="#333" stroke-dasharray="4 3"/>'
    title = f'<text x="{LEFT}" y="20">Training, images a second: Engram as a multiple of its peers (dashed: equal)</text>'
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}" font-family="sans-serif" '
            'font-size="13" fill="#222">\n' +
            "\n".join([f'<rect width="{WIDTH}" height="{y}" fill="#fff"/>', title, *parts, one, "</svg>\n"]))


def write(groups):
    with open(os.path.join(jobs.SOURCE, PICTURE), "w") as f:
        f.write(svg(groups))
    return "![Training speed beside PyTorch and Keras](pictures/performance.svg)\n"
