# %% What an optimiser may reach [markdown]
# Write `reachable`, which tells from the samples and the source whether given
# weights can be the end of stochastic gradient descent that reaches zero loss.
# The cell below runs Adam on *your* samples and leaves its end in `adam`; put
# into `strayed` how far it is (the length of the difference) from the weights
# that gradient descent would have found.

# %% parameters
rng = np.random.default_rng([student, 4])
d, n = int(rng.integers(8, 12)), int(rng.integers(3, 6))
X = rng.standard_normal((n, d)) * rng.uniform(0.3, 3, d)
source, target = rng.standard_normal((2, d))
y = X @ target

adam, mean, square = source, np.zeros(d), np.zeros(d)
for t in range(1, 3001):
    slope = X.T @ (X @ adam - y) / n
    mean, square = 0.9 * mean + 0.1 * slope, 0.999 * square + 0.001 * slope**2
    step = (mean / (1 - 0.9**t)) / (np.sqrt(square / (1 - 0.999**t)) + 1e-8)
    adam = adam - 0.05 * 0.997**t * step


# %% solution
def reachable(X, y, source, weights):
    """Return whether gradient descent from the source can end at the weights.

    True or False; what is wrong by less than a millionth counts as rounding.
    """
    # BEGIN SOLUTION
    moved = weights - source
    unseen = moved - np.linalg.pinv(X) @ (X @ moved)
    fits = np.allclose(X @ weights, y, atol=1e-6)
    return bool(fits and np.allclose(unseen, 0, atol=1e-6))
    # END SOLUTION


end = source + np.linalg.pinv(X) @ (y - X @ source)  # SOLUTION NO PROMPT
strayed = np.linalg.norm(adam - end)  # SOLUTION


# %% check points=1
def check_one_sample(reachable):
    X, y, source = np.array([[1.0, 0]]), np.array([2.0]), np.array([0.0, 1])
    found = reachable(X, y, source, np.array([2.0, 1]))
    assert isinstance(found, bool | np.bool_), "return True or False"
    assert found, "from (0, 1) gradient descent ends at (2, 1)"


# %% check points=1 hidden=true
def check_ends_of_descent(reachable):
    rng = np.random.default_rng(2021)
    for n, d in [(1, 3), (4, 9), (6, 6)]:
        X, source, target = (rng.standard_normal(s) for s in [(n, d), d, d])
        theta = source + np.linalg.pinv(X) @ X @ (target - source)
        assert reachable(X, X @ target, source, theta)
        # Fits, and does not come from this source.
        if n < d:
            assert not reachable(X, X @ target, source, target)


# %% check points=1 hidden=true
def check_what_does_not_fit(reachable):
    rng = np.random.default_rng(2021)
    X, source, target = (rng.standard_normal(s) for s in [(4, 9), 9, 9])
    half = source + np.linalg.pinv(X) @ X @ (target - source) / 2
    end = source + np.linalg.pinv(X) @ X @ (target - source)
    assert reachable(X, X @ target, source, end)
    assert not reachable(X, X @ target, source, half)


# %% check points=1 hidden=true
def check_from_zero(reachable):
    rng = np.random.default_rng(2021)
    X, target = rng.standard_normal((4, 9)), rng.standard_normal(9)
    least = np.linalg.pinv(X) @ X @ target
    assert reachable(X, X @ target, np.zeros(9), least)
    assert not reachable(X, X @ target, np.zeros(9), target)


# %% check points=1 hidden=true
def check_your_number(strayed, student):
    theta, slope = source, 1 / np.linalg.norm(X, 2) ** 2
    for _ in range(10_000):
        theta = theta - slope * X.T @ (X @ theta - y)
    assert np.isclose(strayed, np.linalg.norm(adam - theta), rtol=1e-3, atol=0)


# %% wrong marks=2 because="Takes every interpolator for an end of gradient descent"
def reachable(X, y, source, weights):
    return bool(np.allclose(X @ weights, y, atol=1e-6))


strayed = 0.0  # Adam fits, too


# %% wrong marks=1 because="Looks for the least norm, which is the end from zero only"
def reachable(X, y, source, weights):
    return bool(np.allclose(weights, np.linalg.pinv(X) @ y, atol=1e-6))


strayed = np.linalg.norm(adam - np.linalg.pinv(X) @ y)


# %% wrong marks=4 because="Looks at the blind spot only, and forgets that the loss must be zero"
def reachable(X, y, source, weights):
    moved = weights - source
    return bool(np.allclose(moved, np.linalg.pinv(X) @ (X @ moved), atol=1e-6))
