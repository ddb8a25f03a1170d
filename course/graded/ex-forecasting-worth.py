# %% How many labels to buy [markdown]
# The curve may fall with another power: $e(n) = \sigma^2 + An^{-a}$, $a > 0$.
# Write `buy`, the number of labels that costs least, labels and errors
# together (it need not be a whole number, and there is no bound on it). Then
# put into `paid` what *you* pay above $b\sigma^2$ if you believe in `belief` in
# the place of $A$, divided by the least that one can pay above it.

# %% parameters
rng = np.random.default_rng([student, 16])
c, b = float(rng.uniform(0.5, 2)), float(rng.uniform(1e3, 1e4))
A, a = float(rng.uniform(1, 5)), float(rng.uniform(0.4, 0.9))
belief = float(A * rng.uniform(2, 6))


# %% solution
def buy(c, b, A, a):
    """Return how many labels cost least.

    A label costs c, an error e costs b * e; the error is a constant plus
    A / n**a after n labels.
    """
    # BEGIN SOLUTION
    return (a * b * A / c) ** (1 / (1 + a))
    # END SOLUTION


# BEGIN SOLUTION NO PROMPT
def cost(n):
    return c * n + b * A * n**-a


# END SOLUTION
paid = cost(buy(c, b, belief, a)) / cost(buy(c, b, A, a))  # SOLUTION


# %% check points=1
def check_the_book(buy):
    found = buy(2.0, 8.0, 9.0, 1.0)
    assert np.shape(found) == (), "return one number"
    assert abs(found - 6) < 1e-8, "for a = 1 it is the number of the book's exercise"


# %% check points=2 hidden=true
def check_least_cost(buy):
    rng = np.random.default_rng(2021)
    for _ in range(10):
        c, b, A, a = rng.uniform([0.1, 10, 1, 0.2], [3, 1000, 9, 2.5])
        n = buy(c, b, A, a)
        assert n > 0
        # At the least cost one label more costs what it saves.
        assert np.isclose(c, a * b * A * n ** (-a - 1), rtol=1e-6)


# %% check points=1 hidden=true
def check_your_number(paid, student):
    n = np.geomspace(1, 1e6, 1_000_001)
    right, believed = (c * n + b * size * n**-a for size in (A, belief))
    # The grid is a hundred-thousandth wide, and costs are flat at their least.
    assert np.isclose(paid, right[np.argmin(believed)] / right.min(), rtol=1e-4)


# %% wrong marks=1 because="Takes the book's answer, for the power one, for every power"
def buy(c, b, A, a):
    return np.sqrt(b * A / c)


# %% wrong marks=1 because="Lets labels and errors cost the same, which is least for the power one only"
def buy(c, b, A, a):
    return (b * A / c) ** (1 / (1 + a))


# %% wrong marks=3 because="Reads the cost off the curve that it believes in"
def buy(c, b, A, a):
    return (a * b * A / c) ** (1 / (1 + a))


def cost(n):
    return c * n + b * belief * n**-a
