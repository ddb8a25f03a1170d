"""Draw the logo and the favicon: the book's first theorem as a picture.

The line holds every model that fits the target samples. The open point is the pretrained model;
fine-tuning takes it straight to the nearest point of the line, the filled one.
"""

from pathlib import Path

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#808080"  # legible on white and on black

LINE = (4, 84), (96, 38)  # two points of the line, in a square of side 100
SOURCE = 32, 18


def projection(point, line):
    """Return the point of the line that is nearest to a point."""
    (x, y), ((x1, y1), (x2, y2)) = point, line
    dx, dy = x2 - x1, y2 - y1
    t = ((x - x1) * dx + (y - y1) * dy) / (dx**2 + dy**2)
    return x1 + t * dx, y1 + t * dy


def drawing(size):
    """Return the picture as an SVG document of the given size in pixels."""
    (x1, y1), (x2, y2) = LINE
    x, y = SOURCE
    fx, fy = projection(SOURCE, LINE)
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" width="{size}" height="{size}" viewBox="0 0 100 100">
  <title>A point and its projection on a line</title>
  <g stroke-width="6" stroke-linecap="round">
    <line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{BLUE}"/>
    <line x1="{x}" y1="{y}" x2="{fx:.2f}" y2="{fy:.2f}" stroke="{GREY}"/>
    <circle cx="{x}" cy="{y}" r="9" stroke="{ORANGE}" fill="white"/>
    <circle cx="{fx:.2f}" cy="{fy:.2f}" r="9" stroke="{ORANGE}" fill="{ORANGE}"/>
  </g>
</svg>
"""


FILES = {"logo.svg": drawing(160), "favicon.svg": drawing(32)}

if __name__ == "__main__":
    for name, content in FILES.items():
        Path(__file__).with_name(name).write_text(content, encoding="utf-8")
