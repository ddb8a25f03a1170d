# %% How much of the area is used [markdown]
# Now count only the risks $\mathbb{E}\,R_0, \dots, \mathbb{E}\,R_{N-1}$ of
# linear regression. Write `used`: which share of the bound
# $x_{\max}^2\lVert u\rVert^2$ do they use up together, for inputs that are
# uniform on the unit sphere ("sphere") or uniform among $d$ orthonormal
# vectors ("basis")? Then put into `shares` the two shares for *your* numbers,
# first of the sphere, then of the basis.

# %% parameters
rng = np.random.default_rng([student, 13])
d = int(rng.integers(30, 60))
N = int(rng.integers(10, 90))


# %% solution
def used(d, N, inputs):
    """Return the share, between 0 and 1.

    d is the dimension, N the number of risks, inputs "sphere" or "basis".
    """
    # BEGIN SOLUTION
    n = np.arange(N)
    if inputs == "sphere":
        return np.sum(np.maximum(0, 1 - n / d)) / d
    return 1 - (1 - 1 / d) ** N
    # END SOLUTION


shares = [used(d, N, inputs) for inputs in ("sphere", "basis")]  # SOLUTION


# %% check points=1
def check_one_direction(used):
    for inputs in ("sphere", "basis"):
        found = used(1, 1, inputs)
        assert np.shape(found) == (), "return one number"
        assert abs(found - 1) < 1e-8, "in one dimension one sample shows it all"


# %% check points=1 hidden=true
def check_sphere(used):
    rng = np.random.default_rng(2021)
    for d, N in [(3, 2), (6, 4)]:
        missed = []
        for _ in range(1000):
            X = rng.standard_normal((N, d))
            missed.append(0.0)
            gap = np.eye(d)[0]
            for n in range(N):
                # The risk is the squared length of the gap over d.
                missed[-1] += gap @ gap / d
                blind = np.eye(d) - np.linalg.pinv(X[: n + 1]) @ X[: n + 1]
                gap = blind @ np.eye(d)[0]
        error = np.std(missed) / np.sqrt(len(missed))
        # Six standard errors.
        assert abs(used(d, N, "sphere") - np.mean(missed)) < 6 * error


# %% check points=1 hidden=true
def check_sphere_to_the_end(used):
    for d in (2, 7, 40):
        for N in (d, d + 1, 3 * d):
            assert np.isclose(used(d, N, "sphere"), (d + 1) / (2 * d))


# %% check points=1 hidden=true
def check_basis(used):
    rng = np.random.default_rng(2021)
    for d, N in [(3, 2), (6, 9)]:
        drawn = rng.integers(d, size=(50_000, N - 1))
        # The first vector is unknown until it is drawn.
        known = np.cumsum(drawn == 0, axis=1) > 0
        sums = (1 + np.sum(~known, axis=1)) / d
        error = 6 * sums.std() / np.sqrt(len(sums))
        assert abs(used(d, N, "basis") - sums.mean()) < error


# %% check points=1 hidden=true
def check_your_number(shares, student):
    sphere = sum((d - n) / d**2 for n in range(min(N, d)))
    basis = sum((1 - 1 / d) ** n / d for n in range(N))
    assert np.allclose(shares, [sphere, basis], rtol=1e-6)


# %% wrong marks=2 because="Gives the shares of all risks, whatever N"
def used(d, N, inputs):
    return (d + 1) / (2 * d) if inputs == "sphere" else 1.0


# %% wrong marks=1 because="Lets risks of the sphere be negative beyond n = d, and begins after one sample"
def used(d, N, inputs):
    if d == 1:
        return 1.0
    n = np.arange(1, N + 1)
    if inputs == "sphere":
        return np.sum(1 - n / d) / d
    return np.sum((1 - 1 / d) ** n) / d


# %% wrong marks=3 because="Takes the formula of the sphere for the basis too"
def used(d, N, inputs):
    return np.sum(np.maximum(0, 1 - np.arange(N) / d)) / d
