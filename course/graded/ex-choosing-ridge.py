# %% All sources, all ridges [markdown]
# Write `leave_one_out`, which computes the mean of the squared leave-one-out
# errors for every ridge and every source, from *one* factorisation of $K =
# XX^\top$: for the residual $\tilde y$ of a source, the error on sample $i$ is
# $(K_\delta^{-1}\tilde y)_i/(K_\delta^{-1})_{ii}$ with $K_\delta = K + \delta
# I$. Then put into `least` the least of all these numbers on *your* samples.

# %% parameters
rng = np.random.default_rng([student, 15])
d, n = int(rng.integers(15, 25)), int(rng.integers(8, 14))
X = rng.standard_normal((n, d))
target = rng.standard_normal(d)
sources = target + rng.standard_normal((12, d))
y = X @ target + 0.5 * rng.standard_normal(n)
ridges = np.geomspace(0.1, 100, 20)


# %% solution
def leave_one_out(X, y, sources, ridges):
    """Return an array with a row for each ridge, a column for each source.

    The sources are the rows of an array; all ridges are above zero.
    """
    # BEGIN SOLUTION
    values, vectors = np.linalg.eigh(X @ X.T)
    residuals = y[:, None] - X @ sources.T
    table = []
    for ridge in ridges:
        inverse = vectors / (values + ridge) @ vectors.T
        errors = inverse @ residuals / np.diag(inverse)[:, None]
        table.append(np.mean(errors**2, axis=0))
    return np.array(table)
    # END SOLUTION


least = np.min(leave_one_out(X, y, sources, ridges))  # SOLUTION


# %% check points=1
def check_huge_ridge(leave_one_out):
    X, y = np.eye(3), np.array([1.0, 2, 3])
    found = leave_one_out(X, y, np.zeros((2, 3)), np.array([1.0, 1e9, 1e10, 2.0]))
    assert np.shape(found) == (4, 2), "return a row for each ridge, a column for each source"
    assert np.allclose(found[1], 14 / 3), "a huge ridge leaves a source as it is"


# %% check points=2 hidden=true
def check_fitted_anew(leave_one_out):
    rng = np.random.default_rng(2021)
    for n, d, count in [(5, 9, 3), (12, 4, 2)]:
        X, y = rng.standard_normal((n, d)), rng.standard_normal(n)
        sources, ridges = rng.standard_normal((count, d)), np.array([0.2, 5.0, 1.0])
        truth = np.zeros((3, count))
        for a, ridge in enumerate(ridges):
            for b, source in enumerate(sources):
                for i in range(n):
                    A, r = np.delete(X, i, 0), np.delete(y - X @ source, i)
                    moved = np.linalg.solve(A.T @ A + ridge * np.eye(d), A.T @ r)
                    truth[a, b] += (y[i] - X[i] @ (source + moved)) ** 2 / n
        assert np.allclose(leave_one_out(X, y, sources, ridges), truth, rtol=1e-6)


# %% check points=1 hidden=true
def check_one_factorisation(leave_one_out):
    rng = np.random.default_rng(2021)
    X, y = rng.standard_normal((6, 9)), rng.standard_normal(6)
    ridges, sources, calls = np.geomspace(0.1, 10, 30), rng.standard_normal((40, 9)), []
    names = ["eigh", "eig", "svd", "inv", "solve", "pinv", "lstsq", "cholesky", "qr"]
    kept = {name: getattr(np.linalg, name) for name in names}

    def counted(name):
        def call(*args, **options):
            calls.append(name)
            return kept[name](*args, **options)

        return call

    try:
        for name in names:
            setattr(np.linalg, name, counted(name))
        found = leave_one_out(X, y, sources, ridges)
    finally:
        for name in names:
            setattr(np.linalg, name, kept[name])
    assert np.shape(found) == (30, 40)
    # One for the kernel; a few more for whoever works without it. Not one a ridge.
    assert len(calls) <= 3, "this factorises for each ridge or source anew"


# %% check points=1 hidden=true
def check_your_number(least, student):
    found = []
    for source in sources:
        for ridge in ridges:
            H = X @ np.linalg.solve(X.T @ X + ridge * np.eye(d), X.T)
            left = (np.eye(n) - H) @ (y - X @ source) / (1 - np.diag(H))
            found.append(np.mean(left**2))
    assert np.isclose(least, min(found), rtol=1e-6)


# %% wrong marks=4 because="Inverts for every ridge anew: right, and slow"
def leave_one_out(X, y, sources, ridges):
    residuals, table = y[:, None] - X @ sources.T, []
    for ridge in ridges:
        inverse = np.linalg.inv(X @ X.T + ridge * np.eye(len(y)))
        errors = inverse @ residuals / np.diag(inverse)[:, None]
        table.append(np.mean(errors**2, axis=0))
    return np.array(table)


# %% wrong marks=2 because="Takes the errors on samples that the model has seen"
def leave_one_out(X, y, sources, ridges):
    values, vectors = np.linalg.eigh(X @ X.T)
    residuals = vectors.T @ (y[:, None] - X @ sources.T)
    return np.array(
        [np.mean((ridge / (values + ridge) * residuals.T) ** 2, axis=1) for ridge in ridges]
    )


# %% wrong marks=2 because="Fits the labels themselves: forgets what the source already answers"
def leave_one_out(X, y, sources, ridges):
    values, vectors = np.linalg.eigh(X @ X.T)
    table = []
    for ridge in ridges:
        inverse = vectors / (values + ridge) @ vectors.T
        error = np.mean((inverse @ y / np.diag(inverse)) ** 2)
        table.append(np.full(len(sources), error))
    return np.array(table)
