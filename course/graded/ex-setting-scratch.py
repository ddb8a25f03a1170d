# %% As bad as no source [markdown]
# Not only $2\theta_T$ is as bad as no source, if $\Sigma$ is known and only the
# risk *before* fine-tuning counts. Write `break_even`: a source points along
# `direction`, with a positive inner product $v^\top\Sigma\theta_T$; by which
# number $c \ne 0$ is the direction $v$ to be multiplied, such that the source
# $cv$ has the same risk before fine-tuning as the source zero? Then put into
# `scale` the number for *your* direction.

# %% parameters
rng = np.random.default_rng([student, 3])
d = int(rng.integers(5, 9))
A = rng.standard_normal((d, d))
Sigma = A @ A.T / d
target = rng.standard_normal(d)
direction = target + 0.7 * rng.standard_normal(d)
direction = direction * np.sign(direction @ Sigma @ target)


# %% solution
def break_even(direction, target, Sigma):
    """Return the number c, not zero, for which c * direction is like zero.

    Sigma is the second-moment matrix of the inputs.
    """
    # BEGIN SOLUTION
    along = direction @ Sigma @ direction
    return 2 * (direction @ Sigma @ target) / along
    # END SOLUTION


scale = break_even(direction, target, Sigma)  # SOLUTION


# %% check points=1
def check_along_the_target(break_even):
    target = np.array([1.0, 0, 2])
    scale = break_even(target, target, np.eye(3))
    assert np.shape(scale) == (), "return one number"
    assert scale > 0, "the number is positive"
    assert abs(scale - 2) < 1e-8, "along the target it is two, as in the book"


# %% check points=2 hidden=true
def check_other_inputs(break_even):
    rng = np.random.default_rng(2021)
    for d in (2, 5, 11):
        A, v, target = (rng.standard_normal(s) for s in [(d, d), d, d])
        Sigma = A.T @ A
        v = v * np.sign(v @ Sigma @ target)
        gap = break_even(v, target, Sigma) * v - target
        assert np.linalg.norm(gap + target) > 1e-12
        assert np.isclose(gap @ Sigma @ gap, target @ Sigma @ target, rtol=1e-6)


# %% check points=1 hidden=true
def check_inputs_all_alike(break_even):
    rng = np.random.default_rng(2021)
    v, target = rng.standard_normal((2, 6))
    v = v * np.sign(v @ target)
    gap = break_even(v, target, 3 * np.eye(6)) * v - target
    assert np.isclose(gap @ gap, target @ target, rtol=1e-6)


# %% check points=1 hidden=true
def check_your_number(scale, student):
    # The risk is a parabola: from zero, the way down is as long as the way up.
    tried = np.linspace(0, 20, 2_000_001)
    quadratic = direction @ Sigma @ direction
    risks = tried**2 * quadratic - 2 * tried * (direction @ Sigma @ target)
    # The grid is a hundred-thousandth wide.
    assert abs(scale - 2 * tried[np.argmin(risks)]) < 1e-4


# %% wrong marks=2 because="Measures in the weights, not in the inputs: forgets Σ"
def break_even(direction, target, Sigma):
    return 2 * (direction @ target) / (direction @ direction)


# %% wrong marks=0 because="Gives the best multiple, not the one that breaks even"
def break_even(direction, target, Sigma):
    return direction @ Sigma @ target / (direction @ Sigma @ direction)


# %% wrong marks=1 because="Compares lengths only, as if every source pointed at the target"
def break_even(direction, target, Sigma):
    return 2 * np.linalg.norm(target) / np.linalg.norm(direction)
