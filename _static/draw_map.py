"""Draw the reader's map, chapters and what each needs: python _static/draw_map.py."""

from pathlib import Path

# Name: title, column and row, and the chapters that it needs.
CHAPTERS = {
    "setting": ("The setting", 1, 0, []),
    "linear_regression": ("Where it ends", 1, 1, ["setting"]),
    "sample_complexity": ("How many\nsamples", 0, 2, ["linear_regression"]),
    "exact_risk": ("The exact risk", 1, 2, ["linear_regression"]),
    "deep_linear": ("The bias of\ndepth", 2, 2, ["linear_regression"]),
    "lora": ("Adapters", 3, 2, ["deep_linear"]),
    "relu": ("ReLU networks", 0, 3, ["exact_risk"]),
    "planning": ("Planning", 1, 3, ["exact_risk"]),
    "depth": ("What depth\nchanges", 2, 3, ["deep_linear", "exact_risk"]),
    "frozen_layers": ("Frozen layers", 3, 3, ["deep_linear"]),
    "width": ("How wide?", 0, 4, ["relu"]),
    "noise": ("Noise", 1, 4, ["planning"]),
    "layers": ("Layers that are\nnot alike", 2, 4, ["depth", "frozen_layers"]),
    "finite_source": ("How good must\npretraining be?", 0, 5, ["noise"]),
    "choosing_a_source": ("Which source?", 1, 5, ["noise"]),
    "real_data": ("Digits and\nphotographs", 2, 5, ["noise"]),
    "forecasting": ("How many more\nlabels?", 1, 6, ["choosing_a_source"]),
    "pretrained": ("Vectors that\npeople use", 2, 6, ["forecasting"]),
}
PATHS = {
    "in practice": [
        *("setting", "linear_regression", "exact_risk", "planning", "noise", "real_data"),
        *("choosing_a_source", "forecasting", "pretrained"),
    ],
    "for theory": [
        *("linear_regression", "sample_complexity", "exact_risk", "planning", "noise"),
        *("finite_source", "deep_linear", "depth", "frozen_layers", "layers", "lora"),
        *("relu", "width"),
    ],
    "four lectures": [
        *("setting", "linear_regression", "exact_risk", "noise", "deep_linear"),
        *("frozen_layers", "choosing_a_source"),
    ],
}
MARKS = {  # of the three paths: told apart by shape as well
    "in practice": '<circle cx="{x}" cy="{y}" r="5.5" fill="#0072B2"/>',
    "for theory": '<path d="M{x},{y}m-5,-5h10v10h-10z" fill="#D55E00"/>',
    "four lectures": '<path d="M{x},{y}m0,-6.5l6.5,11h-13z" fill="#009E73"/>',
}
WIDTH, HEIGHT, ACROSS, DOWN = 122, 58, 138, 84  # of a box, and from one to the next


def corner(column, row):
    return 6 + ACROSS * column, 6 + DOWN * row


def arrow(start, end):
    """A curve from the bottom of a box to the top of another, or from side to side."""
    (x, y), (u, v) = corner(*start), corner(*end)
    if start[1] == end[1]:
        return f"M{x + WIDTH},{y + HEIGHT / 2}H{u - 3}"
    x, y, u, v = x + WIDTH / 2, y + HEIGHT, u + WIDTH / 2, v - 3
    return f"M{x},{y}C{x},{y + 26} {u},{v - 26} {u},{v}"


def box(name):
    title, column, row, _ = CHAPTERS[name]
    x, y = corner(column, row)
    lines = title.split("\n")
    text = [
        f'<text x="{x + WIDTH / 2}" y="{y + 27 - 9 * (len(lines) - 1) + 17 * k}">{line}</text>'
        for k, line in enumerate(lines)
    ]
    on = [mark for path, mark in MARKS.items() if name in PATHS[path]]
    first = x + WIDTH / 2 - 9 * (len(on) - 1)
    marks = [mark.format(x=first + 18 * k, y=y + HEIGHT - 9) for k, mark in enumerate(on)]
    frame = f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="6"/>'
    return "".join([frame, *text, *marks])


def draw():
    """Return the map as SVG."""
    places = {name: (column, row) for name, (_, column, row, _) in CHAPTERS.items()}
    arrows = [
        f'<path class="arrow" d="{arrow(places[need], places[name])}" marker-end="url(#tip)"/>'
        for name, (*_, needs) in CHAPTERS.items()
        for need in needs
    ]
    legend = [
        MARKS[path].format(x=300, y=18 + 24 * k)
        + f'<text x="315" y="{23 + 24 * k}" class="left">{path}</text>'
        for k, path in enumerate(PATHS)
    ]
    style = (
        "text{font:14px system-ui,sans-serif;text-anchor:middle;fill:#222}.left{text-anchor:start}"
        "rect{fill:#f4f6f8;stroke:#888}.arrow{fill:none;stroke:#888;stroke-width:1.5}"
    )
    tip = (
        '<marker id="tip" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0,0L8,4L0,8z" fill="#888"/></marker>'
    )
    width, height = 12 + 3 * ACROSS + WIDTH, 12 + 6 * DOWN + HEIGHT
    paper = f'<path d="M0,0H{width}V{height}H0z" fill="white"/>'  # for a dark notebook or viewer
    parts = [paper, tip, *arrows, *map(box, CHAPTERS), *legend]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}"><style>{style}</style>{"".join(parts)}</svg>\n'
    )


if __name__ == "__main__":
    Path(__file__).with_name("map.svg").write_text(draw(), encoding="utf-8")
