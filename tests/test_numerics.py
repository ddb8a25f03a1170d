"""lib.numerics: what ties stays tied, and units round nothing."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from strategies import seeds

from lib.numerics import minima, ten_digits, unit

numbers = st.floats(allow_nan=False, allow_infinity=False, width=64)


@given(numbers.filter(lambda value: abs(value) < 1e300))
def test_ten_digits_are_those_that_are_written(value):
    (result,) = ten_digits([value])
    assert result == float(f"{value:.9e}")
    assert abs(result - value) <= 0.5000001e-9 * abs(value) or abs(value) < 1e-300
    assert ten_digits(result) == result and ten_digits(value).shape == ()


@given(st.integers(1, 999_999), st.integers(-30, 30), seeds)
def test_what_ties_is_tied(value, exponent, seed):
    """Numbers of six digits, which no jitter of 10⁻¹³ moves over a boundary of ten."""
    jitter = 1 + 1e-13 * np.random.default_rng(seed).uniform(-1, 1, 50)
    assert np.unique(ten_digits(value * 10.0**exponent * jitter)).size == 1


def test_other_numbers_stay_apart():
    assert np.unique(ten_digits([1, 1 + 1e-8, 1 - 1e-8])).size == 3
    assert ten_digits([-1e-300, 1e-300]).tolist() == [-1e-300, 1e-300]
    result = ten_digits([np.inf, -np.inf, np.nan, -0.0])
    assert result[:2].tolist() == [math.inf, -math.inf] and np.isnan(result[2])
    assert not np.signbit(result[3])


@pytest.mark.parametrize("scale", [1.0, 9.99, 1e-200, 1e200])
def test_beside_what_was_added_up_the_rest_is_nothing(scale):
    result = ten_digits(scale * np.array([1e-16, -1e-13, 1e-8, 1, np.inf]), scale)
    assert result[:2].tolist() == [0, 0] and not np.signbit(result[:2]).any()
    np.testing.assert_allclose(result[2:4], scale * np.array([1e-8, 1]), rtol=0.01)
    assert result[4] == np.inf


@pytest.mark.parametrize("power", [1e-200, 1.0, 1e3])
@pytest.mark.parametrize("lead", [1.5, 9.99])
def test_ten_digits_below_the_scale_are_kept(lead, power):
    result = ten_digits(power * np.array([0.4e-10, 0.6e-10, 2.34e-10, -7.6e-10]), lead * power)
    np.testing.assert_allclose(result, power * np.array([0, 1e-10, 2e-10, -8e-10]), rtol=1e-9)


@given(st.lists(numbers, min_size=1, max_size=5), st.lists(numbers, max_size=3))
def test_units_are_powers_of_two_near_the_largest(first, second):
    result = unit(np.array(first), np.array(second))
    assert math.frexp(result)[0] == 0.5
    largest = max(map(abs, (*first, *second)))
    assert largest == 0 and result == 1 or 1 <= largest / result < 2


def test_units_of_the_extremes():
    assert unit(5e-324) == 5e-324 and unit(np.finfo(float).max) == 2.0**1023
    assert unit(np.zeros((2, 3))) == unit(np.zeros(0)) == 1


def test_minima_are_found_however_far_apart():
    """Of a product of parabolas in log t, by its slope."""
    where = np.log([1e-9, 3.0, 1e12])
    turns = np.poly1d(np.sort(np.concatenate([where, (where[1:] + where[:-1]) / 2])), r=True)

    def slope(x):
        return turns(x) / (1 + np.abs(turns(x)))

    np.testing.assert_allclose(minima(slope, 1e-20, 1e20), np.exp(where), rtol=1e-9)
    np.testing.assert_allclose(minima(slope, 1.0, 100.0), [3.0], rtol=1e-9)
    assert minima(slope, 10.0, 100.0).size == 0
    assert minima(lambda x: np.where(x < 0, -1e-13, 1.0), 1e-3, 1e3).size == 0  # rounding errors
    assert minima(lambda x: np.where(x < 0, -1e-11, 1.0), 1e-3, 1e3).size == 1
    calls = []
    minima(lambda x: calls.append(np.size(x)) or np.ones_like(x), 1.0, math.exp(10))
    assert calls == [42]  # four a unit
