"""lib.figures: tables say what they round, plots draw the numbers they are given.

And the figures that the chapters hold.
"""

import base64
import io
import json
import re

import hypothesis.strategies as st
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from conftest import ROOT
from lib import figures

CHAPTERS = sorted((ROOT / "chapters").glob("*.ipynb"))


@pytest.fixture
def axes():
    return Figure().add_subplot()


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.0995, 2, "0.10"),
        (0.0995, 3, "0.0995"),
        (0.09949, 2, "0.099"),
        (9.996, 3, "10.0"),
        (99.96, 3, "100"),
        (0.5, 3, "0.500"),
        (12.0, 3, "12.0"),
        (1234.5, 2, "1200"),
        (123456.0, 3, "123000"),
        (999999.0, 3, "1.00e+06"),
        (1e-9, 3, "1.00e-09"),
        (1e-9, 1, "1e-09"),
        (1.26e-4, 2, "0.00013"),
        (1.26e-5, 2, "1.3e-05"),
        (-0.25, 2, "-0.25"),
        (0.0, 3, "0.00"),
        (1.0, 1, "1"),
        (np.float64(0.25), 2, "0.25"),
        (np.float32(0.25), 2, "0.25"),
        (np.inf, 3, "∞"),
        (-np.inf, 3, "−∞"),
        (np.nan, 3, "–"),
        (123456789, 3, "123456789"),
        (np.int64(12345), 2, "12345"),
        (True, 2, "True"),
        ("0.123456", 2, "0.123456"),
        (None, 2, "None"),
    ],
)
def test_cells_are_rounded_to_significant_digits(value, digits, text):
    frame = figures.table({"row": ["a"], "value": [value]}, digits)
    assert frame.loc["a", "value"] == text


@given(st.floats(-1e300, 1e300).filter(lambda x: x == 0 or abs(x) > 1e-300), st.integers(1, 6))
def test_rounded_cells_are_right_to_half_a_digit(value, digits):
    text = figures.table({"row": [0], "value": [value]}, digits).iloc[0, 0]
    exponent = np.floor(np.log10(abs(value))) if value else 0
    # Half a unit of the last digit shown, and the rounding of binary fractions.
    assert abs(float(text) - value) <= 0.500001 * 10.0 ** (exponent - digits + 1)


def test_tables_have_one_heading_line_and_label_their_rows():
    columns = {"n": [10, 20], "risk": [0.12345, 2.0], "note": ["a", "b"]}
    frame = figures.table(columns)
    assert frame.columns.tolist() == ["risk", "note"] and frame.index.tolist() == ["10", "20"]
    assert frame["risk"].tolist() == ["0.123", "2.00"]
    assert str(frame).splitlines()[0].split() == ["n", "risk", "note"]
    assert len(str(frame).splitlines()) == 3
    assert figures.table(columns, index="note").index.tolist() == ["a", "b"]
    # A DataFrame, or anything that can be iterated over, is as good.
    for other in pd.DataFrame(columns), {k: (x for x in v) for k, v in columns.items()}:
        pd.testing.assert_frame_equal(figures.table(other), frame)
    assert columns["risk"] == [0.12345, 2.0]


def test_standard_error_is_that_of_the_mean():
    values = np.array([[1.0, 5], [3, 5], [8, 5]])
    expected = np.sqrt(((values - values.mean(axis=0)) ** 2).sum(axis=0) / 2 / 3)
    np.testing.assert_allclose(figures.standard_error(values), expected)
    alone = figures.standard_error(values[:1])
    assert alone.shape == (2,) and not alone.any()
    # Of two seeds, half their difference: the deviation is |a − b|/√2, and √2 divides it.
    np.testing.assert_allclose(figures.standard_error(values[:2]), [1, 0])
    # It predicts the spread of means: 2000 means of 25 normals.
    rng = np.random.default_rng(0)
    samples = rng.standard_normal((25, 2000))
    assert figures.standard_error(samples).mean() == pytest.approx(
        samples.mean(axis=0).std(), rel=0.05
    )


def test_measured_draws_the_mean_with_its_standard_error(axes):
    x, values = [1, 2], np.array([[1.0, 10], [3, 10], [8, 13]])
    drawn = figures.measured(axes, x, values, index=1, label="risk")
    points, _, (bars,) = drawn.lines
    np.testing.assert_allclose(points.get_xydata(), [[1, 4], [2, 11]])
    error = np.array([np.sqrt(26 / 6), 1])
    ends = [segment[:, 1] for segment in bars.get_segments()]
    np.testing.assert_allclose(ends, [[4 - error[0], 4 + error[0]], [10, 12]])
    assert points.get_linestyle() == "None" and points.get_marker() == figures.MARKERS[1]
    assert to_rgb(points.get_color()) == to_rgb(figures.COLOURS[1])
    assert drawn.get_label() == "risk"
    # What the caller says, goes.
    assert figures.measured(axes, x, values, marker="x").lines[0].get_marker() == "x"


def test_one_run_has_no_error_bars(axes):
    drawn = figures.measured(axes, [1, 2], [[3.0, 4]])
    points, caps, bars = drawn.lines
    np.testing.assert_array_equal(points.get_xydata(), [[1, 3], [2, 4]])
    assert not caps and not bars


def test_theory_is_a_line_in_the_colour_of_its_series(axes):
    for index in 0, 2, len(figures.COLOURS) + 2:
        (line,) = figures.theory(axes, [1, 2], [3, 4], index, label="theory")
        np.testing.assert_array_equal(line.get_xydata(), [[1, 3], [2, 4]])
        assert line.get_color() == figures.COLOURS[index % len(figures.COLOURS)]
        assert line.get_linestyle() == "-" and line.get_marker() == "None"
    (line,) = figures.theory(axes, [1, 2], [3, 4], color="red", linestyle="--")
    assert (line.get_color(), line.get_linestyle()) == ("red", "--")


def test_a_series_is_known_by_its_colour(axes):
    """Theory and measurement of one series share it; there are always more; the first is meant."""
    x, values = [1, 2], np.array([[1.0, 2], [3, 5]])
    points = [figures.measured(axes, x, values, index).lines[0] for index in range(20)]
    for index, drawn in enumerate(points):
        (line,) = figures.theory(axes, x, [3, 4], index)
        assert drawn.get_color() == line.get_color()
        # Seven colours and markers, then the same again, in the same order.
        again = points[index % 7]
        assert (drawn.get_color(), drawn.get_marker()) == (again.get_color(), again.get_marker())
    for drawn in figures.measured(axes, x, values).lines[0], *figures.theory(axes, x, [3, 4]):
        assert drawn.get_color() == points[0].get_color() == figures.COLOURS[0]
    assert figures.measured(axes, x, values).lines[0].get_marker() == figures.MARKERS[0]


def test_rate_is_a_straight_guide_on_log_axes(axes):
    x = np.array([10, 100, 1000])
    (line,) = figures.rate(axes, x, 5.0, -1.5, label="n^(−3/2)")
    np.testing.assert_array_equal(line.get_xdata(), x)
    np.testing.assert_allclose(line.get_ydata(), [5, 5 * 10**-1.5, 5e-3])
    assert line.get_linestyle() == "--" and line.get_label() == "n^(−3/2)"


def luminance(colour):
    """Return the relative luminance that the contrast of WCAG 2 is made of."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def test_style_is_set_and_legible():
    with mpl.rc_context():
        figures.use_style()
        assert mpl.rcParams["figure.constrained_layout.use"]
        assert mpl.rcParams["figure.figsize"][0] == figures.WIDTH
        cycle = mpl.rcParams["axes.prop_cycle"].by_key()["color"]
        assert cycle == list(figures.COLOURS)
    # Told apart without colour: a marker for each. Read on white: 2:1 at the least.
    assert len(set(figures.COLOURS)) == len(figures.COLOURS) == len(set(figures.MARKERS))
    assert all(1.05 / (luminance(colour) + 0.05) > 2 for colour in figures.COLOURS)


def test_a_figure_is_drawn_as_the_same_bytes_again():
    """The names inside an SVG are random unless they are salted; letters must need no font."""
    with mpl.rc_context():
        figures.use_style()
        files = []
        for _ in range(2):
            figure, file = Figure(), io.StringIO()
            figure.add_subplot(title="θ").plot([1, 2], "o")
            figure.savefig(file, format="svg", metadata={"Date": None})
            files.append(file.getvalue())
    assert files[0] == files[1]
    assert "<text" not in files[0]


def stored(path):
    """Yield the caption, the SVG, and the PNG of each figure of a chapter."""
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if any(kind.startswith("image/") for kind in data):
                caption = cell["metadata"]["mystnb"]["figure"]["caption"]
                svg = "".join(data["image/svg+xml"])
                yield caption, svg, base64.b64decode(data["image/png"])


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_stored_figures_are_light_and_fit_a_screen(path):
    """The page shows the SVG; JupyterLab shows the PNG, equally large, until one trusts it."""
    weights = []
    for caption, svg, png in stored(path):
        size = re.search(r'<svg\b[^>]*? width="([\d.]+)pt" height="([\d.]+)pt"', svg)
        width, height = (float(points) * 96 / 72 for points in size.groups())
        assert width <= 576 and height <= 600, caption
        pixels = [int.from_bytes(png[start : start + 4], "big") for start in (16, 20)]
        assert pixels == pytest.approx([width, height], abs=1), caption
        assert "<text" not in svg and "<dc:date>" not in svg, caption
        # In the dark the page turns black to white.
        assert not re.search(r"\b(black|white)\b", caption), caption
        weights.append(len(svg.encode()))
    assert max(weights) < 150_000 and sum(weights) < 400_000, weights


@pytest.mark.parametrize(
    ("values", "error"),
    [
        (np.ones((3, 3)), ValueError),
        (np.ones(2), ValueError),
        ([[1, np.nan]], ValueError),
        ("ab", TypeError),
    ],
)
def test_bad_measurements_are_named(axes, values, error):
    with pytest.raises(error, match="^values must"):
        figures.measured(axes, [1, 2], values)


@pytest.mark.parametrize("value", [1 / 1600, 0.0375, 0.145, 2.5])
def test_a_table_does_not_hang_on_the_last_bit(value):
    """Numbers on the boundary of two roundings, and what other processors make of them."""
    nearby = value * (1 + np.array([-1e-13, -1e-15, 0, 1e-15, 1e-13]))
    (text,) = set(figures.table({"row": range(5), "value": nearby}, digits=2)["value"])
    assert float(text) == pytest.approx(value, rel=0.05)


def test_tables_take_records():
    records = [{"n": 1, "risk": 0.12345}, {"n": 2, "risk": 0.5}]
    columns = {"n": [1, 2], "risk": [0.12345, 0.5]}
    pd.testing.assert_frame_equal(figures.table(records), figures.table(columns))
    rows = [[1, 0.12345], (2, 0.5)]
    pd.testing.assert_frame_equal(
        figures.table(rows, headings=["n", "risk"]), figures.table(columns)
    )


def test_summary_is_the_mean_and_its_error():
    """In the order of the runs, and without what has no numbers."""
    rng = np.random.default_rng(0)
    runs = pd.DataFrame(
        {"rule": rule, "n": n, "seed": seed, "risk": rng.random() if rule != "none" else np.nan}
        for rule in ("plain", "none", "careful")
        for n in (10, 5)
        for seed in range(4)
    )
    table = figures.summary(runs, "rule", "n", "risk")
    assert list(table) == ["rule", "n = 10", "n = 5"]
    assert table["rule"].tolist() == ["plain", "careful"]
    chosen = runs.query("rule == 'careful' and n == 5")["risk"].to_numpy()
    error = chosen.std(ddof=1) / 2
    assert table["n = 5"].tolist()[1] == f"{chosen.mean():.2f} ± {error:.2f}"
    part = runs[(runs["rule"] != "plain") | (runs["n"] == 5)]
    assert figures.summary(part, "rule", "n", "risk", 1).loc[0, "n = 10"] == "–"


def test_summary_of_several_columns_and_labels():
    """Rows are labelled by all of their columns; infinity is a sign; one run has no error."""
    runs = pd.DataFrame(
        {"task": task, "depth": depth, "seed": seed, "own": seed + depth, "other": 0.25}
        for task in ("b", "a")
        for depth in (2.0, np.inf)
        for seed in range(2)
    )
    table = figures.summary(runs, ["task", "depth"], ["own", "other"], digits=1)
    assert list(table) == ["task, depth", "own", "other"]
    assert table["task, depth"].tolist() == ["b, 2", "b, ∞", "a, 2", "a, ∞"]
    assert table["own"].tolist()[0] == "2.5 ± 0.5" and table["other"].tolist()[0] == "0.2 ± 0.0"
    alone = figures.summary(runs.query("seed == 0"), "task", "depth", "other")
    assert list(alone) == ["task", "depth = 2", "depth = ∞"]
    assert alone["depth = 2"].tolist() == ["0.25", "0.25"]


@pytest.mark.parametrize("draw", ["measured", "theory"])
def test_curves_are_the_means_of_each_series(axes, draw):
    """In the order of the runs, in the colours of theory; a mean over all that share an x."""
    rng = np.random.default_rng(1)
    runs = pd.DataFrame(
        {"depth": depth, "n": n, "seed": seed, "risk": rng.random()}
        for depth in (7, 1)
        for n in (5, 20, 10)
        for seed in range(4)
    )
    runs.loc[runs["n"] == 20, "risk"] = np.nan  # not run there
    figures.curves(axes, runs, "n", "risk", by="depth", draw=draw, label="L = {}", alpha=0.5)
    for index, depth in enumerate((7, 1)):
        line = axes.lines[index] if draw == "theory" else axes.containers[index].lines[0]
        assert line.get_color() == figures.COLOURS[index] and line.get_alpha() == 0.5
        np.testing.assert_array_equal(line.get_xdata(), [5, 10])
        chosen = runs[runs["depth"] == depth].pivot(index="seed", columns="n", values="risk")
        np.testing.assert_allclose(line.get_ydata().astype(float), chosen.mean()[[5, 10]])
        if draw == "measured":
            segments = axes.containers[index].lines[2][0].get_segments()
            lengths = [top - bottom for (_, bottom), (_, top) in segments]
            np.testing.assert_allclose(lengths, 2 * chosen[[5, 10]].sem().to_numpy())
    labels = axes.get_legend_handles_labels()[1]
    assert labels == ["L = 7", "L = 1"]


def test_one_curve_without_a_label(axes):
    runs = pd.DataFrame({"n": [1, 1, 2], "risk": [1.0, 3.0, 5.0]})
    figures.curves(axes, runs, "n", "risk", draw="theory", label=None)
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [2, 5])
    assert not axes.get_legend_handles_labels()[1]
    with pytest.raises(ValueError, match="draw"):
        figures.curves(axes, runs, "n", "risk", draw="both")
