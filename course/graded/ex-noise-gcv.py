# %% A ridge from the data alone [markdown]
# Write `gcv`, generalised cross-validation as above, for fine-tuning from a
# source: the model is $\theta = \theta_S + X^\top(XX^\top + \delta I)^{-1}(y -
# X\theta_S)$. Then put into `best` the smallest estimate that it gives
# for one of `ridges` on *your* samples (the estimate, not the ridge).

# %% parameters
rng = np.random.default_rng([student, 6])
d, n = int(rng.integers(25, 40)), int(rng.integers(30, 50))
X = rng.standard_normal((n, d)) / np.sqrt(np.arange(1, d + 1))
source, gap = rng.standard_normal((2, d))
y = X @ (source + gap) + rng.standard_normal(n)
ridges = np.geomspace(0.01, 100, 41)


# %% solution
def gcv(X, y, source, ridge):
    """Return the generalised cross-validation estimate of the test error."""
    # BEGIN SOLUTION
    K = X @ X.T + ridge * np.eye(len(y))
    inverse = np.linalg.inv(K)
    left = ridge * inverse @ (y - X @ source)  # what the fit leaves
    return np.mean(left**2) / (ridge / len(y) * np.trace(inverse)) ** 2
    # END SOLUTION


best = min(gcv(X, y, source, ridge) for ridge in ridges)  # SOLUTION


# %% check points=1
def check_a_large_ridge(gcv):
    X, y = np.array([[1.0, 0], [0, 2], [1, 1]]), np.array([1.0, 2, 3])
    found = gcv(X, y, np.zeros(2), 1e9)
    assert np.shape(found) == (), "return one number"
    assert abs(found - 14 / 3) < 1e-4, "a huge ridge leaves the source as it is"


# %% check points=1 hidden=true
def check_from_zero(gcv):
    rng = np.random.default_rng(2021)
    X, y = rng.standard_normal((9, 5)), rng.standard_normal(9)
    for ridge in (0.1, 3.0):
        H = X @ np.linalg.solve(X.T @ X + ridge * np.eye(5), X.T)
        share = 1 - np.trace(H) / 9
        truth = np.mean((y - H @ y) ** 2) / share**2
        assert np.isclose(gcv(X, y, np.zeros(5), ridge), truth, rtol=1e-6)


# %% check points=2 hidden=true
def check_from_a_source(gcv):
    rng = np.random.default_rng(2021)
    for n, d in [(6, 11), (20, 4)]:
        X, y, source = (rng.standard_normal(s) for s in [(n, d), n, d])
        for ridge in (0.05, 2.0):
            H = X @ np.linalg.solve(X.T @ X + ridge * np.eye(d), X.T)
            missed = (np.eye(n) - H) @ (y - X @ source)
            truth = np.mean(missed**2) / (1 - np.trace(H) / n) ** 2
            assert np.isclose(gcv(X, y, source, ridge), truth, rtol=1e-6)


# %% check points=1 hidden=true
def check_your_number(best, student):
    values, vectors = np.linalg.eigh(X @ X.T)
    parts = vectors.T @ (y - X @ source)
    shares = ridges[:, None] / (np.maximum(values, 0) + ridges[:, None])
    errors = np.mean((shares * parts) ** 2, axis=1) / np.mean(shares, axis=1) ** 2
    assert np.isclose(best, errors.min(), rtol=1e-6)


# %% wrong marks=1 because="Takes the training error for the test error"
def gcv(X, y, source, ridge):
    K = X @ X.T + ridge * np.eye(len(y))
    left = ridge * np.linalg.solve(K, y - X @ source)
    return np.mean(left**2)


# %% wrong marks=1 because="Divides by the mean share once: forgets its square"
def gcv(X, y, source, ridge):
    inverse = np.linalg.inv(X @ X.T + ridge * np.eye(len(y)))
    left = ridge * inverse @ (y - X @ source)
    return np.mean(left**2) / (ridge / len(y) * np.trace(inverse))


# %% wrong marks=2 because="Shrinks towards zero, not towards the source"
def gcv(X, y, source, ridge):
    inverse = np.linalg.inv(X @ X.T + ridge * np.eye(len(y)))
    left = ridge * inverse @ y
    return np.mean(left**2) / (ridge / len(y) * np.trace(inverse)) ** 2
