"""How much boxes overlap."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


def overlaps(boxes: Floats, others: Floats) -> Floats:
    """Intersection over union of every box with every other one.

    Args:
        boxes: (N, 4), xyxy, in any unit.
        others: (M, 4), in the same unit.

    Returns:
        (N, M) in [0, 1]; 0 where a box has no area.
    """
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:4], others[None, :, 2:4])
    shared = np.clip(high - low, 0, None).prod(axis=-1)
    areas = [np.clip(each[:, 2:4] - each[:, :2], 0, None).prod(axis=-1) for each in (boxes, others)]
    union = areas[0][:, None] + areas[1][None, :] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
