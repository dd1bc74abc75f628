"""The Kalman filter of a sensor that forgets (Harvey 1989, ch. 2), hour by hour and in plain Python."""


def after_silence(
    said: float, said_variance: float, hours: int, correlation: float, variance: float
) -> tuple[float, float]:
    """Mean and variance of a deviation with AR(1) memory, some whole hours after it was said, then not heard again.

    The word itself stands for the state: its own error is all that is not known of it.
    """
    mean, unsure = said, said_variance
    for _ in range(hours):
        mean = correlation * mean
        unsure = correlation**2 * unsure + (1.0 - correlation**2) * variance
    return mean, unsure
