"""The book's one figure style, its recurring plot elements, and its tables."""

import builtins

import matplotlib as mpl
import numpy as np
import pandas as pd
from cycler import cycler

from lib import checks
from lib.numerics import ten_digits, unit

__all__ = [
    "COLOURS",
    "MARKERS",
    "WIDTH",
    "curves",
    "measured",
    "rate",
    "standard_error",
    "summary",
    "table",
    "theory",
    "use_style",
]

# Okabe and Ito's palette, without its yellow: told apart by colour-blind readers, and dark enough
# to be read on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
WIDTH = 6  # inches: small, so that the lettering is still legible on a phone


def use_style():
    """Set matplotlib's defaults to the book's style, for the rest of the session.

    In a notebook each figure is stored twice: as SVG, which the book's pages show, and as PNG,
    which JupyterLab shows until the notebook is trusted. Both are equally wide, and running a cell
    again stores the same bytes.
    """
    get_ipython = getattr(builtins, "get_ipython", None)  # put there by IPython
    if get_ipython:
        from matplotlib_inline.config import InlineBackend

        # The backend asks this object when it draws, whenever it was loaded.
        backend = InlineBackend.instance(parent=get_ipython())
        # Not cut to what is drawn: the layout leaves no margins, and all have the same width.
        backend.print_figure_kwargs = {"bbox_inches": None, "metadata": {"Date": None}}
        backend.figure_formats = {"svg", "png"}
    mpl.rcParams.update(
        {
            "figure.figsize": (WIDTH, 3.8),
            "figure.dpi": 96,  # pixels of CSS
            "figure.constrained_layout.use": True,
            "figure.facecolor": "white",
            "axes.prop_cycle": cycler(color=COLOURS),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": "#e3e3e3",
            "grid.linewidth": 0.6,
            "font.size": 12,
            "axes.titlesize": 12,
            "legend.frameon": False,
            "legend.fontsize": 11,
            "lines.linewidth": 2,
            "lines.markersize": 5.5,
            "errorbar.capsize": 2,
            "svg.fonttype": "path",  # the same letters on every machine
            "svg.hashsalt": "figures",  # the same names inside the file every time
        }
    )


def theory(axes, x, y, index=0, **options):
    """Draw what theory predicts: a line, in the colour of series ``index``."""
    return axes.plot(x, y, **{"color": COLOURS[index % len(COLOURS)]} | options)


def measured(axes, x, values, index=0, **options):
    """Draw what was measured: the mean over seeds with its standard error, as points.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where to draw.
    x : array (p,)
        Abscissae.
    values : array (seeds, p)
        One row per seed.
    index : int
        Number of the series: its colour and marker.
    **options
        For ``Axes.errorbar``.
    """
    values = checks.array("values", values, (None, len(x)))
    error = standard_error(values) if len(values) > 1 else None  # one run: points without bars
    return _points(axes, x, values.mean(axis=0), error, index, options)


def _points(axes, x, mean, error, index, options):
    style = {
        "color": COLOURS[index % len(COLOURS)],
        "marker": MARKERS[index % len(MARKERS)],
        "linestyle": "none",
    }
    return axes.errorbar(x, mean, error, **style | options)


def curves(axes, runs, x, value, by=None, *, draw="measured", label="{}", **options):
    """Draw one curve for each value of a column of ``runs``: means over all runs of the same x.

    Parameters
    ----------
    axes : matplotlib.axes.Axes
        Where to draw.
    runs : pandas.DataFrame
        One row per run, as ``sweep`` returns.
    x, value : str
        The columns of abscissae and of what is averaged.
    by : str, optional
        The column whose values tell the curves apart: one colour each, in the order of ``runs``.
        None draws one curve.
    draw : {"measured", "theory"}
        Points with their standard errors, or lines.
    label : str or None
        Of each curve in the legend, with "{}" for its value of ``by``; None leaves them out.
    **options
        For ``Axes.errorbar`` or ``Axes.plot``.
    """
    checks.choice("draw", draw, ("measured", "theory"))
    series = [("", runs)] if by is None else runs.groupby(by, sort=False)
    for index, (name, rows) in enumerate(series):
        groups = rows.groupby(x)[value]
        mean = groups.mean().dropna()
        shown = {} if label is None else {"label": label.format(_label(name))}
        if draw == "theory":
            theory(axes, mean.index, mean, index, **shown | options)
        else:
            error = groups.sem().loc[mean.index].fillna(0)
            _points(axes, mean.index, mean, error, index, shown | options)


def rate(axes, x, start, exponent, label=None):
    """Draw a dashed guide: x to the power ``exponent``, through ``start`` at x[0]."""
    x = np.asarray(x, dtype=float)
    return axes.plot(x, start * (x / x[0]) ** exponent, "--", color="#777777", lw=1.2, label=label)


def standard_error(values):
    """Standard error of the mean over the first axis of ``values`` (seeds, ...); 0 for one seed."""
    values = checks.array("values", values, (...,))
    if values.ndim == 0:
        raise ValueError("values must have at least one axis, for the seeds")
    if len(values) < 2:
        return np.zeros(values.shape[1:])
    size = unit(values)  # squares must not over- or underflow
    return size * (values / size).std(axis=0, ddof=1) / np.sqrt(len(values))


def table(columns, digits=3, index=None, *, headings=None):
    """A table of text cells, every float rounded to ``digits`` significant digits.

    Parameters
    ----------
    columns : mapping of str to iterable, pandas.DataFrame, or list
        Heading → cells; or a list of rows: mappings of heading → cell, or sequences of cells.
    digits : int
        Significant digits of floats; what is printed must be stable on any machine.
    index : str, optional
        The column that labels the rows; None takes the first.
    headings : list of str, optional
        Of rows that are sequences.

    Returns
    -------
    pandas.DataFrame
    """
    if not isinstance(columns, list):
        columns = {heading: list(cells) for heading, cells in columns.items()}
    frame = pd.DataFrame(columns, columns=headings, dtype=object)
    frame = frame.map(lambda cell: _text(cell, digits))
    frame = frame.set_index(index or frame.columns[0])
    # Over the rows' labels, in the one line of headings, where pandas would use a line of its own.
    return frame.rename_axis(index=None, columns=frame.index.name)


def summary(runs, rows, columns, value=None, digits=2):
    """A table of means ± standard errors of ``runs``, rows by columns.

    Parameters
    ----------
    runs : pandas.DataFrame
        One row per run, as ``sweep`` returns.
    rows : str or list of str
        The columns of ``runs`` that label the rows of the table.
    columns : str or list of str
        With ``value``, the column of ``runs`` whose values are the columns of the table; without,
        the columns of ``runs`` to average, one column of the table each.
    value : str, optional
        The column that is averaged.
    digits : int
        Decimal places.

    Returns
    -------
    pandas.DataFrame
        Of text, for ``table``, in the order of ``runs``: the labels of the rows, joined by commas;
        and the means, in columns "``columns`` = …" or of the names given. A dash where there is no
        number, no error where there is one run, and no row where there is no number at all.
    """
    rows = [rows] if isinstance(rows, str) else list(rows)
    if value is None:
        groups = runs.groupby(rows, sort=False)[list(columns)]
        mean, error = groups.mean(), groups.sem()
    else:
        groups = runs.groupby([*rows, columns], sort=False)[value]
        mean, error = groups.mean().unstack(), groups.sem().unstack()
    mean = mean.dropna(how="all")
    error = error.loc[mean.index]
    labels = [key if len(rows) > 1 else (key,) for key in mean.index]
    table = {", ".join(rows): [", ".join(map(_label, label)) for label in labels]}
    for key in mean:
        heading = key if value is None else f"{columns} = {_label(key)}"
        table[heading] = [
            _mean_and_error(*cell, digits) for cell in zip(mean[key], error[key], strict=True)
        ]
    return pd.DataFrame(table)


def _label(key):
    return f"{key:g}".replace("inf", "∞") if isinstance(key, float) else str(key)


def _mean_and_error(mean, error, digits):
    if np.isnan(mean):
        return "–"
    mean, error = ten_digits([mean, error], 1.0) if np.isfinite(error) else (mean, np.nan)
    return f"{mean:.{digits}f}" + ("" if np.isnan(error) else f" ± {error:.{digits}f}")


def _text(cell, digits):
    if not isinstance(cell, float | np.floating):
        return str(cell)
    if not np.isfinite(cell):
        return "–" if np.isnan(cell) else "∞" if cell > 0 else "−∞"
    # What lies on the boundary between two roundings, 1/1600 say, lies there on any machine.
    scientific = f"{float(ten_digits(cell)):.{digits - 1}e}"
    exponent = int(scientific.partition("e")[2])
    if not -5 < exponent < 6:
        return scientific
    return f"{float(scientific):.{max(digits - 1 - exponent, 0)}f}"
