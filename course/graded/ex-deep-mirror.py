# %% The map of a deep network, and back [markdown]
# Write `mirror`, the map $q$, for any depth, also for `np.inf`; and `back`,
# which gives the weights $\beta$ for a given $q(\beta)$ and a finite depth.
# Then put into `length` the length of the weights of *your* network of which
# `q` below is the image.

# %% parameters
rng = np.random.default_rng([student, 9])
depth = int(rng.integers(2, 6))
q = rng.standard_normal(int(rng.integers(3, 7)))


# %% solution
def mirror(beta, depth):
    """Return q(beta), an array. The depth may be np.inf; beta is not zero."""
    # BEGIN SOLUTION
    return beta / np.linalg.norm(beta) ** (1 - 1 / depth)
    # END SOLUTION


def back(q, depth):
    """Return the weights beta with mirror(beta, depth) = q. q is not zero."""
    # BEGIN SOLUTION
    return q * np.linalg.norm(q) ** (depth - 1)
    # END SOLUTION


length = np.linalg.norm(back(q, depth))  # SOLUTION


# %% check points=1
def check_depth_one(mirror, back):
    beta = np.array([3.0, 4])
    for function in (mirror, back):
        found = function(beta, 1)
        assert np.shape(found) == (2,), "return an array, as long as the argument"
        assert np.allclose(found, beta), "at depth 1 nothing changes"


# %% check points=2 hidden=true
def check_gradient(mirror):
    rng = np.random.default_rng(2021)
    for size, depth in [(2, 2), (5, 3), (4, 7)]:
        beta, a = rng.standard_normal(size), (depth + 1) / depth
        slope = [
            (np.linalg.norm(beta + e) ** a - np.linalg.norm(beta - e) ** a) / 2e-5 / a
            for e in 1e-5 * np.eye(size)
        ]
        # Differences of this step are right to about ten digits.
        assert np.allclose(mirror(beta, depth), slope, rtol=1e-5, atol=1e-6)


# %% check points=1 hidden=true
def check_back(back):
    rng = np.random.default_rng(2021)
    for size, depth in [(2, 2), (5, 4)]:
        beta = rng.standard_normal(size)
        image = beta * (beta @ beta) ** (0.5 / depth - 0.5)
        assert np.allclose(back(image, depth), beta, rtol=1e-6)


# %% check points=1 hidden=true
def check_your_number(length, mirror, student):
    assert np.isclose(length ** (1 / depth), np.sqrt(q @ q), rtol=1e-6)
    beta = np.array([3.0, 4])
    assert np.allclose(mirror(beta, np.inf), [0.6, 0.8])


# %% wrong marks=3 because="Divides by the length: takes every depth for infinite, but one"
def mirror(beta, depth):
    return beta if depth == 1 else beta / np.linalg.norm(beta)


def back(q, depth):
    return q * np.linalg.norm(q) ** (depth - 1)


# %% wrong marks=3 because="Inverts by the reciprocal exponent of the same length"
def mirror(beta, depth):
    return beta / np.linalg.norm(beta) ** (1 - 1 / depth)


def back(q, depth):
    return q * np.linalg.norm(q) ** (1 - 1 / depth)


# %% wrong marks=1 because="Takes the power of each weight instead of the length"
def mirror(beta, depth):
    return np.sign(beta) * np.abs(beta) ** (1 / depth)


def back(q, depth):
    return np.sign(q) * np.abs(q) ** depth
