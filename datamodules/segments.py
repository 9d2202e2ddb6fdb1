"""Videos of any length as the same number of segments."""

import numpy as np


def pooled(rows: np.ndarray, num_segments: int = 32) -> np.ndarray:
    """Average the rows of a video within segments of equal length, for training.

    With r the integer parts of ``num_segments`` + 1 numbers spread evenly over [0, T], segment i is the mean of rows
    r[i] to r[i + 1] - 1, or row r[i] where there are none: a video of fewer rows repeats them (Tian et al., RTFM,
    2021; tianyu0207/RTFM).

    Args:
        rows: (V, T, C), T at least 1.
        num_segments: S.

    Returns:
        float32 (V, S, C).
    """
    borders = np.linspace(0, rows.shape[1], num_segments + 1, dtype=np.int64)
    # reduceat takes the row at the start alone where a segment is empty, which is the rule
    sums = np.add.reduceat(rows, borders[:-1], axis=1, dtype=np.float64)
    lengths = np.maximum(np.diff(borders), 1)
    return (sums / lengths[:, None]).astype(np.float32)
