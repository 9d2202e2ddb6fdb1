"""The mean and standard deviation of pixels that a network's weights were trained with."""

from collections.abc import Sequence


def require_statistics(mean: Sequence[float], std: Sequence[float]) -> None:
    """Refuse what are no means and standard deviations of red, green and blue in [0, 1].

    Raises:
        ValueError: When they are not three each, or out of range.
    """
    if len(mean) != 3 or not all(0 <= value <= 1 for value in mean):
        raise ValueError(f"mean: expected 3 numbers in [0, 1], found {list(mean)}")
    if len(std) != 3 or min(std) <= 0:
        raise ValueError(f"std: expected 3 numbers above 0, found {list(std)}")
