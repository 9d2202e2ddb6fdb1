"""The array type of the sample's generator, and colours."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def rgb(red: int, green: int, blue: int) -> Array:
    """Reflectance (3,) of a surface that looks like this sRGB colour in white light."""
    return ((np.array([red, green, blue], np.float32) / 255) ** 2.2).astype(np.float32)
