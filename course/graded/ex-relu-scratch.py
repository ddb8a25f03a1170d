# %% The angle from which a source harms [markdown]
# Now the source has another length. Write `critical_angle`: from which angle on
# between the teachers, in degrees, is fine-tuning no better in the mean than
# training from scratch, for a source that is `ratio` times as long as the
# target? If a source of this length is never better, the angle is 0. Then put
# into `longest` the largest ratio at which a source at *your* `angle` is not
# worse than scratch.

# %% parameters
rng = np.random.default_rng([student, 14])
angle = float(rng.uniform(20, 80))  # degrees


# %% solution
def critical_angle(ratio):
    """Return the angle in degrees, from 0 to 90. The ratio is above 0."""
    # BEGIN SOLUTION
    return np.degrees(np.arccos(min(ratio / 2, 1)))
    # END SOLUTION


longest = 2 * np.cos(np.radians(angle))  # SOLUTION


# %% check points=1
def check_same_length(critical_angle):
    found = critical_angle(1.0)
    assert np.shape(found) == (), "return one number"
    assert abs(found - 60) < 1e-6, "for the same length it is 60 degrees"


# %% check points=1 hidden=true
def check_other_lengths(critical_angle):
    rng = np.random.default_rng(2021)
    for ratio in rng.uniform(0.05, 1.95, size=20):
        found = np.radians(critical_angle(ratio))
        source = ratio * np.array([np.cos(found), np.sin(found)])
        assert np.isclose(np.linalg.norm(source - [1, 0]), 1, rtol=1e-6)


# %% check points=1 hidden=true
def check_too_long(critical_angle):
    for ratio in (2.0, 2.5, 100.0):
        assert abs(critical_angle(ratio)) < 1e-6


# %% check points=1 hidden=true
def check_your_number(longest, student):
    turned = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
    assert longest > 0
    assert np.isclose(np.linalg.norm(longest * turned - [1, 0]), 1, rtol=1e-6)


# %% wrong marks=2 because="Says 60 degrees, whatever the length of the source"
def critical_angle(ratio):
    return 60.0


# %% wrong marks=3 because="Forgets that a source may be too long at every angle"
def critical_angle(ratio):
    return np.degrees(np.arccos(ratio / 2)) if ratio <= 2 else 60.0


# %% wrong marks=1 because="Asks where the gap is shorter than the source, not than the target"
def critical_angle(ratio):
    return np.degrees(np.arccos(min(1, 1 / (2 * ratio))))


longest = 1 / (2 * np.cos(np.radians(angle)))
