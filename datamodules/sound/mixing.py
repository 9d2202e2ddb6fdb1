"""Another voice laid over the sound of a track: the label stays, and the lips tell whose voice it is.

Published as negative-sampling augmentation (Tao et al., TalkNet, 2021, section 4.2). The published code squares 16-bit
integers, which overflow, and casts mixed fractions to integers, which leaves silence; here all arithmetic is in float.
"""

import numpy as np


def mix(voice: np.ndarray, other: np.ndarray, snr_db: float) -> np.ndarray:
    """Lay another voice over a voice.

    Args:
        voice: (N,) float in [-1, 1].
        other: (M,) float in [-1, 1], repeated or cut to N samples.
        snr_db: Power of ``voice`` over that of ``other`` in the mixture, in dB. Where ``voice`` is silent there is no
            such ratio, and ``other`` stays as loud as it is.

    Returns:
        (N,) float32 in [-1, 1]: what is louder is clipped, after mixing.
    """
    voice = np.asarray(voice, dtype=np.float64)
    if not len(voice) or not len(other):
        return np.clip(voice, -1, 1).astype(np.float32)
    other = np.resize(np.asarray(other, dtype=np.float64), len(voice))
    power, other_power = np.mean(voice**2), np.mean(other**2)
    gain = np.sqrt(power / other_power / 10 ** (snr_db / 10)) if power and other_power else 1.0
    return np.clip(voice + gain * other, -1, 1).astype(np.float32)
