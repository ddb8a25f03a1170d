"""lib.checks: what is accepted, what is refused, and in which words."""

import math
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import torch

from lib import checks, deep_linear, linear_regression, lora, selection


@pytest.mark.parametrize(
    "value",
    [
        [[1, 2], [3, 4]],
        ((1, 2), (3, 4)),
        np.array([[1, 2], [3, 4]], dtype=np.uint8),
        np.array([[1, 2], [3, 4]], dtype=np.float32),
        np.array([[1, 2], [3, 4]], dtype=">f8"),
        np.array([[Fraction(1), 2], [3, 4]], dtype=object),
        np.array([[4.0, 3], [2, 1]])[::-1, ::-1],
        pd.DataFrame({"a": [1, 3], "b": [2, 4]}),
        torch.tensor([[1.0, 2], [3, 4]]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_holds_real_numbers_is_an_array(value):
    for shape in (2, 2), (None, 2), (None, None), (..., 2), (..., None, 2), (...,):
        result = checks.array("X", value, shape)
        assert type(result) is np.ndarray and result.dtype == np.float64
        assert result.dtype.isnative
        np.testing.assert_array_equal(result, [[1, 2], [3, 4]])


def test_precision_is_that_of_what_was_given():
    single, double = np.finfo("float32").eps, np.finfo(float).eps
    for value in np.ones(2, "float32"), pd.DataFrame({"a": [1.0]}, dtype="float32"), torch.ones(2):
        assert checks.rounding(value) == single
    for value in (
        np.ones(2),
        [1.0, 2],
        3,
        np.ones(2, int),
        np.ones(2, "longdouble"),
        ["a"],
        [[1], 2],
    ):
        assert checks.rounding(value) == double
    assert checks.rounding(np.ones(2, "float16")) == np.finfo("float16").eps


def test_what_an_array_cannot_hold_is_not_lost_in_silence():
    """A mask, a unit, gradients: a TypeError that says what came; a file in memory is as good."""
    quantity = type("Quantity", (np.ndarray,), {})
    tensor = torch.ones(2, dtype=torch.float32, requires_grad=True)
    for value, kind in (
        (np.ma.masked_equal([1.0, -9999], -9999), "MaskedArray of dtype float64"),
        (np.ones(2).view(quantity), "Quantity of dtype float64"),
        (np.ones((1, 2)).view(np.matrix), "matrix of dtype float64"),
        (tensor, "Tensor of dtype torch.float32"),
        (np.array([1, "2"], dtype=object), "ndarray of dtype object"),
        (pd.Series(["1", "2"]), "Series of dtype"),
    ):
        for check in checks.array, checks.integers:
            with pytest.raises(TypeError, match=f"^y must be a.* array of .*got {kind}"):
                check("y", value, (2,))
    missing = pd.Series([1, pd.NA], dtype="Int64")  # an object to pandas 2, a NaN from 3 on
    with pytest.raises((TypeError, ValueError), match="^y must be .*, got .* of dtype"):
        checks.array("y", missing, (2,))
    with pytest.raises(TypeError, match="^y must be an array of integers, got Series of dtype"):
        checks.integers("y", missing, (2,))
    with pytest.raises(
        ValueError, match="^y must be finite, got NaN or infinity, of dtype float32"
    ):
        checks.array("y", np.array([1, np.nan], "float32"), (2,))


@pytest.mark.parametrize("wrap", [lambda row: [row, row], lambda row: [[row, row]], tuple])
def test_masks_inside_lists_are_refused(wrap):
    row = np.ma.masked_equal([1.0, -9999.0], -9999)
    with pytest.raises(TypeError, match="^X must be a plain array .*got Masked"):
        checks.array("X", wrap(row), (...,))


def test_numbers_too_large_for_a_float_are_refused():
    with pytest.raises(TypeError, match="^X must be an array of real numbers, got list"):
        checks.array("X", [1, 10**400], (2,))
    with pytest.raises(ValueError, match="^ridge must be a number that fits a float64"):
        checks.real("ridge", 10**400)


def test_depths_are_whole_numbers_or_infinity():
    for value in 3, 3.0, np.int8(3), np.float32(3):
        assert checks.depth("depth", value) == 3 and type(checks.depth("depth", value)) is int
    for value in math.inf, np.float32(math.inf):
        assert checks.depth("depth", value) == math.inf
        with pytest.raises(TypeError, match="^depth must"):
            checks.depth("depth", value, infinite=False)
    for value in 2.5, math.nan, -math.inf, "2", None, True, [2]:
        with pytest.raises(TypeError, match="^depth must"):
            checks.depth("depth", value)
    for value in 0, 0.0, -1:
        with pytest.raises(ValueError, match="^depth must be at least 1"):
            checks.depth("depth", value)


def test_files_in_memory_are_arrays(tmp_path):
    value = np.memmap(tmp_path / "X", dtype=float, mode="w+", shape=(2, 3))
    assert checks.array("X", value, (2, 3)).tolist() == np.zeros((2, 3)).tolist()


def test_integers_are_integers():
    for value in [1, 2], np.array([1, 2], np.uint8), pd.Series([1, 2]), torch.tensor([1, 2]):
        result = checks.integers("k", value, (2,))
        assert result.dtype.kind in "iu" and result.tolist() == [1, 2]
    assert checks.integers("k", [True, False], (None,), booleans=True).tolist() == [True, False]
    objects = np.array([2, np.int8(3)], dtype=object)  # as a column of a frame may be
    assert checks.integers("k", objects, (2,)).tolist() == [2, 3]
    with pytest.raises(TypeError, match="^k must be an array of integers, got ndarray of dtype"):
        checks.integers("k", np.array([True, False], dtype=object), (2,))
    for value in [1.0, 2.0], [True, False], ["1"], [1j], [None], [1, "2"]:
        with pytest.raises(TypeError, match="^k must be an array of integers, got list of dtype"):
            checks.integers("k", value, (None,))
    with pytest.raises(ValueError, match=r"^k must have shape \(3\), got \(2,\)"):
        checks.integers("k", [1, 2], (3,))


def test_infinity_only_where_it_is_meant():
    assert checks.array("ridge", [0, np.inf], (...,), infinite=True).tolist() == [0, np.inf]
    for value in [np.nan], [-np.inf]:
        with pytest.raises(ValueError, match="^ridge must be finite"):
            checks.array("ridge", value, (...,), infinite=True)


def test_float64_is_not_copied():
    X = np.ones((2, 3))
    assert checks.samples(X) is X


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        ("ab", TypeError, "real numbers, got str"),
        (["1", "2"], TypeError, "real numbers, got list"),  # not even if they could be parsed
        ([1, 1j], TypeError, "real numbers"),
        (np.array(["2020-01-01"], dtype="M8[D]"), TypeError, "real numbers"),
        ([[1], [1, 2]], TypeError, "real numbers"),
        ([object()], TypeError, "real numbers"),
        ({"a": 1}, TypeError, "real numbers, got dict"),
        ([1, 2, 3], ValueError, r"shape \(2\), got \(3,\)"),
        ([[1, 2]], ValueError, r"shape \(2\), got \(1, 2\)"),
        (1.0, ValueError, r"got \(\)"),
        ([1, np.nan], ValueError, "finite, got NaN or infinity"),
        ([1, -np.inf], ValueError, "finite"),
        ([1, None], ValueError, "finite"),
    ],
)
def test_anything_else_is_refused(value, error, text):
    with pytest.raises(error, match=f"^theta must .*{text}"):
        checks.array("theta", value, (2,))


@pytest.mark.parametrize("shape", [(3,), (3, 1), (3, 5), (3, 0)])
def test_columns_are_one_or_more(shape):
    value = np.ones(shape)
    assert checks.columns("values", value, 3) is value
    result = checks.columns("values", value.astype(int).tolist(), 3)
    assert result.dtype == np.float64 and result.shape == shape


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (1.0, ValueError, r"shape \(3\), got \(\)"),
        ([1, 2], ValueError, r"shape \(3\), got \(2,\)"),
        ([[1, 2, 3]], ValueError, r"shape \(3, any\), got \(1, 3\)"),
        (np.ones((3, 1, 1)), ValueError, r"shape \(3, any\), got \(3, 1, 1\)"),
        ([1, 2, np.nan], ValueError, "finite"),
        ([[1], [2], [np.inf]], ValueError, "finite"),
        (None, TypeError, "real numbers, got NoneType"),
        ([[1, 2], [3], [4]], TypeError, "real numbers, got list"),
        ("abc", TypeError, "real numbers, got str"),
        (np.ones(3) * 1j, TypeError, "real numbers"),
    ],
)
def test_columns_of_another_length_are_refused(value, error, text):
    with pytest.raises(error, match=f"^values must .*{text}"):
        checks.columns("values", value, 3)


def test_free_lengths_are_said():
    with pytest.raises(ValueError, match=r"^X must have shape \(any, 3\), got \(2, 4\)"):
        checks.samples(np.ones((2, 4)), dim=3)
    with pytest.raises(ValueError, match=r"^theta must have shape \(..., 3\), got \(\)"):
        checks.array("theta", 1, (..., 3))
    with pytest.raises(ValueError, match=r"^X must have at least one row and one column"):
        checks.samples(np.ones((2, 0)))


def test_labels_are_as_many_as_rows():
    X, y = checks.samples([[1, 2, 3], [4, 5, 6]], [7, 8])
    assert X.shape == (2, 3) and y.dtype == np.float64 and y.tolist() == [7, 8]
    with pytest.raises(ValueError, match=r"^y must have shape \(2\), got \(3,\)"):
        checks.samples(np.ones((2, 3)), np.ones(3))


def test_options_are_given_by_name():
    """So that a value is not taken for another one's limit."""
    for call in (
        lambda: checks.array("x", [1], (1,), True),
        lambda: checks.integers("x", [1], (1,), True),
        lambda: checks.samples([[1]], [1], 1),
        lambda: checks.symmetric("x", [[1]], 1),
        lambda: checks.real("x", 1, 0),
        lambda: checks.integer("x", 1, 0),
    ):
        with pytest.raises(TypeError, match="positional"):
            call()


def test_numbers_of_any_library_are_numbers():
    for value in 2, 2.0, np.float32(2), np.int8(2), Fraction(2):
        assert checks.real("x", value, at_least=2, at_most=2) == 2
    for value in 2, np.int8(2), np.uint64(2):
        assert type(checks.integer("x", value, at_least=2, at_most=2)) is int


@pytest.mark.parametrize("value", [-(10**300), -1, 0, 1, 10**300])
def test_without_limits_any_number_will_do(value):
    assert checks.real("x", value) == float(value) and type(checks.real("x", value)) is float
    assert checks.integer("x", value) == value


@pytest.mark.parametrize("value", [True, np.True_, "2", None, [2], 2j, np.array(2)])
def test_things_that_are_not_numbers_are_refused(value):
    with pytest.raises(TypeError, match="^x must be a real number, got"):
        checks.real("x", value)
    with pytest.raises(TypeError, match="^x must be an integer, got"):
        checks.integer("x", value)


def test_limits_are_said():
    for value in 0, -1, 3, np.nan, np.inf, -np.inf:
        with pytest.raises(ValueError, match="^x must be finite, above 0, at most 2, got"):
            checks.real("x", value, above=0, at_most=2)
    with pytest.raises(TypeError, match="integer"):
        checks.integer("x", 2.0)
    with pytest.raises(ValueError, match="^x must be at least 1, got 0"):
        checks.integer("x", 0, at_least=1)
    with pytest.raises(ValueError, match="^x must be at most 1, got 2"):
        checks.integer("x", 2, at_most=1)


def test_choices_generators_and_instances():
    assert checks.choice("law", "a", ("a", "b")) == "a"
    with pytest.raises(ValueError, match="^law must be one of 'a', 'b', got 'c'"):
        checks.choice("law", "c", ("a", "b"))
    rng = np.random.default_rng(0)
    assert checks.generator("rng", rng) is rng
    for value in 0, None, np.random, np.random.RandomState(0):
        with pytest.raises(TypeError, match=r"^rng must be a numpy.random.Generator"):
            checks.generator("rng", value)
    assert checks.instance("x", 1, int) == 1
    with pytest.raises(TypeError, match="^x must be a int, got str"):
        checks.instance("x", "1", int)


def test_symmetric_matrices_pass_and_others_are_named():
    K = [[2, 1], [1 + 1e-10, 3]]
    np.testing.assert_array_equal(checks.symmetric("K", K), K)
    np.testing.assert_array_equal(checks.symmetric("K", [[0]]), [[0.0]])
    for bad in ([[1, 2, 3]], [], np.zeros((0, 0)), [[1, 2], [3, 4]], [[1, 1 + 1e-6], [1, 1]]):
        with pytest.raises(ValueError, match="^K must"):
            checks.symmetric("K", bad)
    with pytest.raises(ValueError, match="^K must be square with at least 2 rows"):
        checks.symmetric("K", [[1]], at_least=2)
    assert checks.symmetric("K", np.zeros((0, 0)), at_least=0).shape == (0, 0)


def test_symmetry_is_up_to_rounding():
    """10⁻⁸ of the largest entry, or a hundred rounding errors if that is more."""
    for rounding, tolerance in (np.finfo(float).eps, 1e-8), (1e-6, 1e-4), (1e-9, 1e-7):
        for share, accepted in (0.999, True), (1.001, False):
            K = 50 * np.array([[1, 0.5], [0.5 + share * tolerance, 1]])
            if accepted:
                assert checks.symmetric("K", K, rounding=rounding) is K
            else:
                with pytest.raises(ValueError, match="^K must be symmetric"):
                    checks.symmetric("K", K, rounding=rounding)


def test_frames_must_agree_on_what_their_numbers_are_about():
    frame = pd.DataFrame(np.eye(2), columns=["b", "a"], index=[5, 3])
    teacher = pd.Series([1.0, 2], index=["b", "a"])
    checks.aligned(X=frame, source=teacher, other=None, third=[1.0, 2], fourth=np.ones(2))
    checks.aligned(X=frame, source=pd.Series([1.0, 2]))  # 0, 1: no names
    checks.aligned(X=np.eye(2), sources=pd.DataFrame([[1, 2]], columns=["a", "b"]))
    with pytest.raises(ValueError, match="^source must name its features as X does.*another order"):
        checks.aligned(X=frame, other=np.ones(2), source=teacher[::-1])
    with pytest.raises(ValueError, match="^sources must name its features as X does.*otherwise"):
        checks.aligned(X=frame, sources=pd.DataFrame([[1, 2]], columns=["a", "c"]))
    checks.samples(frame, pd.Series([1.0, 2], index=[5, 3]))
    checks.samples(frame, [1.0, 2])
    with pytest.raises(ValueError, match="^y must name its rows as X does"):
        checks.samples(frame, pd.Series([1.0, 2]))
    with pytest.raises(ValueError, match="^y must name its rows as Z does.*in another order"):
        checks.samples(frame, pd.Series([1.0, 2], index=[3, 5]), name="Z")


@pytest.mark.parametrize(
    "call",
    [
        lambda X, y, source: linear_regression.finetune(X, y, source),
        lambda X, y, source: linear_regression.gradient_flow(X, y, source, [1.0]),
        lambda X, y, source: linear_regression.measured_curve(X, y, X, y, source, ridge=0.1),
        lambda X, y, source: deep_linear.finetune(X, y, source, 2),
        lambda X, y, source: lora.finetune(X, y, source, np.ones(2)),
        lambda X, y, source: selection.rank_sources(X, y, pd.DataFrame([source])),
        lambda X, y, source: selection.combine(X, y, pd.DataFrame([source])),
        lambda X, y, source: selection.compare({"it": (X, source)}, y),
    ],
)
def test_every_way_to_start_from_a_source_asks_for_the_same_features(call):
    X, y = pd.DataFrame([[3.0, 1], [1, 3], [1, 1]], columns=["a", "b"]), [1.0, 2.0, 4.0]
    source = pd.Series([2.0, 1], index=["a", "b"])
    call(X, y, source)
    with pytest.raises(ValueError, match="^sources? must name its features as X does"):
        call(X, y, source[::-1])


def test_none_is_no_labels_and_each_series_of_a_list_has_names():
    for call in (
        lambda: linear_regression.finetune(np.eye(2), None, np.ones(2)),
        lambda: selection.combine(np.eye(2), None, np.ones((1, 2))),
        lambda: selection.rank_sources(np.eye(2), None, np.ones((1, 2))),
    ):
        with pytest.raises(TypeError, match="^y must be an array of real numbers"):
            call()
    X = pd.DataFrame([[3.0, 1], [1, 3]], columns=["a", "b"])
    source = pd.Series([2.0, 1], index=["a", "b"])
    selection.combine(X, [1.0, 2], [source, source])
    with pytest.raises(ValueError, match=r"^sources\[1\] must name its features as X does"):
        selection.combine(X, [1.0, 2], [source, source[::-1]])
