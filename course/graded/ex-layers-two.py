# %% The end of two layers [markdown]
# A network with two layers computes $x^\top wv$, with a vector $w$ and a number
# $v \ge \lVert w\rVert$ at the start, so that $v$ never changes its sign.
# Gradient flow with equal rates fits the samples, so $P_\parallel\theta_T =
# X^+y$. Write `two_layers`,
# which returns what the network computes at the end, as weights $\beta = wv$.
# Then put into `change` by which factor $v$ has grown on *your* samples,
# $v(\infty)/v(0)$.

# %% parameters
rng = np.random.default_rng([student, 11])
d, n = int(rng.integers(6, 10)), int(rng.integers(2, 5))
X = rng.standard_normal((n, d))
w = rng.standard_normal(d)
v = float(rng.uniform(1.1, 2) * np.linalg.norm(w))
y = X @ (w * v + rng.standard_normal(d))


# %% solution
def two_layers(X, y, w, v):
    """Return the weights beta at the end; w and v are those at the start."""
    # BEGIN SOLUTION
    seen = np.linalg.pinv(X) @ y
    unseen = w - np.linalg.pinv(X) @ (X @ w)
    rest = unseen @ unseen - (w @ w - v**2)  # m - D
    last = np.sqrt((rest + np.sqrt(rest**2 + 4 * seen @ seen)) / 2)
    return seen + last * unseen
    # END SOLUTION


unseen = w - np.linalg.pinv(X) @ (X @ w)  # SOLUTION NO PROMPT
change = unseen @ two_layers(X, y, w, v) / (unseen @ unseen) / v  # SOLUTION


# %% check points=1
def check_samples_are_fitted(two_layers):
    X, y = np.array([[1.0, 0, 0], [0, 1, 0]]), np.array([2.0, 1])
    beta = two_layers(X, y, np.array([1.0, 1, 1]), 2.0)
    assert np.shape(beta) == (3,), "return one weight for each column"
    assert np.allclose(beta[:2], y), "the samples are not fitted"


# %% check points=2 hidden=true
def check_the_flow(two_layers):
    rng = np.random.default_rng(2021)
    for n, d, factor in [(1, 3, 1.0), (2, 5, 1.3), (3, 6, 2.0)]:
        X = np.linalg.qr(rng.standard_normal((d, n)))[0].T
        start = rng.standard_normal(d)
        v = factor * np.linalg.norm(start)
        y = X @ (start * v) + rng.standard_normal(n)

        def flow(at, X=X, y=y):
            slope = X.T @ (X @ at[:-1] * at[-1] - y)
            return -np.append(at[-1] * slope, at[:-1] @ slope)

        at = np.append(start, v)
        for _ in range(1500):  # Runge and Kutta's method, good to five digits
            k1 = flow(at)
            k2 = flow(at + 0.01 * k1)
            k3 = flow(at + 0.01 * k2)
            at = at + 0.02 / 6 * (k1 + 2 * k2 + 2 * k3 + flow(at + 0.02 * k3))
        found = two_layers(X, y, start, v)
        assert np.allclose(found, at[:-1] * at[-1], rtol=1e-3, atol=1e-4)


# %% check points=1 hidden=true
def check_nothing_to_learn(two_layers):
    rng = np.random.default_rng(2021)
    X, w = rng.standard_normal((3, 7)), rng.standard_normal(7)
    for factor in (1.0, 1.5, 4.0):
        v = factor * np.linalg.norm(w)
        assert np.allclose(two_layers(X, X @ w * v, w, v), w * v, rtol=1e-6)


# %% check points=1 hidden=true
def check_your_number(change, student):
    # What is conserved, from the factor alone.
    blind = w - np.linalg.pinv(X) @ (X @ w)
    last, seen = change * v, np.linalg.pinv(X) @ y
    end = seen @ seen / last**2 + blind @ blind
    assert np.isclose(end - last**2, w @ w - v**2, rtol=1e-6)


# %% wrong marks=2 because="Leaves the blind spot as it is, as a linear model does"
def two_layers(X, y, w, v):
    theta = w * v
    return theta + np.linalg.pinv(X) @ (y - X @ theta)


# %% wrong marks=1 because="Takes the two layers for balanced"
def two_layers(X, y, w, v):
    seen = np.linalg.pinv(X) @ y
    unseen = w - np.linalg.pinv(X) @ (X @ w)
    m = unseen @ unseen
    last = np.sqrt((m + np.sqrt(m**2 + 4 * seen @ seen)) / 2)
    return seen + last * unseen


# %% wrong marks=1 because="Takes the imbalance with the wrong sign"
def two_layers(X, y, w, v):
    seen = np.linalg.pinv(X) @ y
    unseen = w - np.linalg.pinv(X) @ (X @ w)
    rest = unseen @ unseen + (w @ w - v**2)
    last = np.sqrt((rest + np.sqrt(rest**2 + 4 * seen @ seen)) / 2)
    return seen + last * unseen
