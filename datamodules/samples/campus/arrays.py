"""The array type of the sample's generator, and colours."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
MUTED = 0.22  # share of grey in every colour: lenses and air of outdoor cameras take saturation away


def rgb(red: int, green: int, blue: int) -> Array:
    """Reflectance (3,) of a surface that looks like this sRGB colour in white light, a little muted."""
    light = (np.array([red, green, blue], np.float32) / 255) ** 2.2
    return (light + MUTED * (light.mean() - light)).astype(np.float32)
