# %% The floor of frozen features [markdown]
# Write `floor`, which computes the least risk that a network with these frozen
# features can reach, however many samples it gets. Then put into `lowest` the
# floor of *your* features.

# %% parameters
rng = np.random.default_rng([student, 8])
d, k = int(rng.integers(8, 12)), int(rng.integers(2, 5))
F = rng.standard_normal((d, k))
A = rng.standard_normal((d, d))
Sigma = A @ A.T / d
target = rng.standard_normal(d)


# %% solution
def floor(F, target, Sigma):
    """Return the least risk of predictors x @ F @ w.

    F has a row for each coordinate of an input and a column for each feature.
    Sigma is the second-moment matrix of the inputs.
    """
    # BEGIN SOLUTION
    w = np.linalg.pinv(F.T @ Sigma @ F) @ F.T @ Sigma @ target
    missed = target - F @ w
    return missed @ Sigma @ missed
    # END SOLUTION


lowest = floor(F, target, Sigma)  # SOLUTION


# %% check points=1
def check_a_target_among_the_features(floor):
    F, Sigma = np.array([[1.0, 0], [0, 1], [0, 0]]), np.diag([3.0, 2, 1])
    lowest = floor(F, np.array([2.0, -1, 0]), Sigma)
    assert np.shape(lowest) == (), "return one number"
    assert abs(lowest) < 1e-8, "this target is a combination of the features"


# %% check points=2 hidden=true
def check_many_labels(floor):
    rng = np.random.default_rng(2021)
    for d, k in [(4, 1), (7, 3), (12, 8)]:
        F, A, target = (rng.standard_normal(s) for s in [(d, k), (d, d), d])
        # Inputs whose second moments are exactly Sigma: least squares on them
        # is least risk.
        left = np.linalg.lstsq(A @ F, A @ target)[0]
        missed = A @ (target - F @ left)
        assert np.isclose(floor(F, target, A.T @ A), missed @ missed, rtol=1e-6)


# %% check points=1 hidden=true
def check_a_feature_said_twice(floor):
    rng = np.random.default_rng(2021)
    F, A, target = (rng.standard_normal(s) for s in [(6, 2), (6, 6), 6])
    once = floor(F, target, A.T @ A)
    twice = floor(np.hstack([F, F[:, :1]]), target, A.T @ A)
    left = np.linalg.lstsq(A @ F, A @ target)[0]
    assert np.isclose(once, twice, rtol=1e-6)
    assert np.isclose(once, np.sum((A @ (target - F @ left)) ** 2), rtol=1e-6)


# %% check points=1 hidden=true
def check_your_number(lowest, student):
    w = np.zeros(k)
    H = F.T @ Sigma @ F
    for _ in range(20_000):  # gradient descent on the risk, to about eight digits
        w = w + F.T @ Sigma @ (target - F @ w) / np.linalg.norm(H, 2)
    missed = target - F @ w
    assert np.isclose(lowest, missed @ Sigma @ missed, rtol=1e-4)


# %% wrong marks=1 because="Projects the target on the features as if all inputs were alike"
def floor(F, target, Sigma):
    missed = target - F @ np.linalg.lstsq(F, target)[0]
    return missed @ Sigma @ missed


# %% wrong marks=1 because="Gives the distance, not its square"
def floor(F, target, Sigma):
    w = np.linalg.pinv(F.T @ Sigma @ F) @ F.T @ Sigma @ target
    missed = target - F @ w
    return np.sqrt(abs(missed @ Sigma @ missed))


# %% wrong marks=4 because="Takes features for independent, and inverts what has no inverse"
def floor(F, target, Sigma):
    H = F.T @ Sigma @ F
    if np.linalg.matrix_rank(H) < len(H):
        raise np.linalg.LinAlgError("Singular matrix")
    missed = target - F @ np.linalg.solve(H, F.T @ Sigma @ target)
    return missed @ Sigma @ missed
