# %% The best scale for given samples [markdown]
# Now the inputs are not isotropic, and the samples are given. Write
# `best_scale`: by which number is the source to be multiplied, such that a
# linear model that is fine-tuned from it to zero loss on the samples `X` has
# the least risk? Then put into `scale` the number for *your* samples.

# %% parameters
rng = np.random.default_rng([student, 10])
d, n = int(rng.integers(9, 14)), int(rng.integers(3, 7))
spread = 1 / np.sqrt(np.arange(1, d + 1))
X, Sigma = rng.standard_normal((n, d)) * spread, np.diag(spread**2)
target = rng.standard_normal(d)
source = 2 * target + rng.standard_normal(d)


# %% solution
def best_scale(source, target, X, Sigma):
    """Return the number c for which fine-tuning from c * source is best."""
    # BEGIN SOLUTION
    blind = np.eye(X.shape[1]) - np.linalg.pinv(X) @ X
    M = blind @ Sigma @ blind
    return source @ M @ target / (source @ M @ source)
    # END SOLUTION


scale = best_scale(source, target, X, Sigma)  # SOLUTION


# %% check points=1
def check_a_multiple_of_the_target(best_scale):
    X, target = np.array([[1.0, 0, 0]]), np.array([1.0, 2, 3])
    found = best_scale(2 * target, target, X, np.eye(3))
    assert np.shape(found) == (), "return one number"
    assert abs(found - 0.5) < 1e-8, "a source twice as long as the target: halve it"


# %% check points=2 hidden=true
def check_least_risk(best_scale):
    rng = np.random.default_rng(2021)
    for n, d in [(1, 3), (4, 9), (8, 10)]:
        X, A = rng.standard_normal((n, d)), rng.standard_normal((d, d))
        source, target = rng.standard_normal((2, d))
        Sigma = A.T @ A

        def risk(c, X=X, Sigma=Sigma, source=source, target=target):
            gap = c * source - target
            gap = gap - np.linalg.pinv(X) @ (X @ gap)
            return gap @ Sigma @ gap

        low, middle, high = risk(-1), risk(0), risk(1)  # of a parabola
        truth = (low - high) / (2 * (low - 2 * middle + high))
        assert np.isclose(best_scale(source, target, X, Sigma), truth, rtol=1e-4, atol=1e-6)


# %% check points=1 hidden=true
def check_inputs_all_alike(best_scale):
    rng = np.random.default_rng(2021)
    X = rng.standard_normal((3, 8))
    source, target = rng.standard_normal((2, 8))
    a, b = (v - np.linalg.pinv(X) @ (X @ v) for v in (source, target))
    found = best_scale(source, target, X, 2 * np.eye(8))
    assert np.isclose(found, a @ b / (a @ a), rtol=1e-6)


# %% check points=1 hidden=true
def check_your_number(scale, student):
    left = np.linalg.svd(X)[2][n:]  # rows span the blind spot
    a, b = (np.sqrt(np.diag(Sigma)) * (left.T @ (left @ v)) for v in (source, target))
    assert np.isclose(scale, np.linalg.lstsq(a[:, None], b)[0][0], rtol=1e-6)


# %% wrong marks=1 because="Gives the best scale before fine-tuning: forgets what the samples teach"
def best_scale(source, target, X, Sigma):
    return source @ Sigma @ target / (source @ Sigma @ source)


# %% wrong marks=2 because="Forgets that inputs vary more in some directions than in others"
def best_scale(source, target, X, Sigma):
    a = source - np.linalg.pinv(X) @ (X @ source)
    return a @ target / (a @ a)


# %% wrong marks=1 because="Compares lengths on the samples, as infinite depth does"
def best_scale(source, target, X, Sigma):
    return np.linalg.norm(X @ target) / np.linalg.norm(X @ source)
