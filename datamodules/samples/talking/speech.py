"""Babble: syllables, the mouth that forms them and what is heard of them, both from the same movements."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
RATE = 200  # movements are known this often a second


class Vowel(NamedTuple):
    """A vowel: formants in Hz (of a vocal tract of 17 cm), opening of the jaw, spread of the lips, loudness."""

    formants: tuple[float, float, float]
    opening: float
    spread: float
    loudness: float


class Consonant(NamedTuple):
    """A consonant: opening and spread of the mouth; loudness of voice and noise; Hz around which it hisses."""

    opening: float
    spread: float
    voice: float
    noise: float
    hiss: float


VOWELS = {
    "a": Vowel((740, 1250, 2600), 1.0, 0.1, 1.0),
    "e": Vowel((500, 1850, 2550), 0.62, 0.6, 0.85),
    "i": Vowel((290, 2250, 3000), 0.36, 1.0, 0.65),
    "o": Vowel((480, 860, 2450), 0.66, -0.7, 0.9),
    "u": Vowel((310, 720, 2300), 0.34, -1.0, 0.65),
}
CONSONANTS = {
    "b": Consonant(0.0, 0.0, 0.08, 0.0, 900),
    "m": Consonant(0.0, 0.0, 0.22, 0.0, 900),
    "p": Consonant(0.0, 0.0, 0.0, 0.25, 1100),
    "f": Consonant(0.06, 0.1, 0.0, 0.12, 5500),
    "v": Consonant(0.06, 0.1, 0.12, 0.06, 4500),
    "w": Consonant(0.1, -1.0, 0.2, 0.0, 900),
    "d": Consonant(0.16, 0.2, 0.08, 0.15, 3500),
    "n": Consonant(0.14, 0.2, 0.22, 0.0, 900),
    "t": Consonant(0.14, 0.2, 0.0, 0.35, 4200),
    "s": Consonant(0.12, 0.4, 0.0, 0.4, 6000),
    "g": Consonant(0.2, 0.1, 0.08, 0.15, 1900),
    "k": Consonant(0.2, 0.1, 0.0, 0.3, 2100),
}


@dataclass(frozen=True)
class Syllable:
    """A syllable.

    Attributes:
        begin: Second, from the begin of the utterance.
        consonant_s, vowel_s: Lengths of its two sounds.
        consonant, vowel: Keys of `CONSONANTS` and `VOWELS`.
        stress: 0.6 (weak) to 1.
        last: Whether the lips close behind it because a word ends.
    """

    begin: float
    consonant_s: float
    vowel_s: float
    consonant: str
    vowel: str
    stress: float
    last: bool

    @property
    def end(self) -> float:
        """Second at which it ends."""
        return self.begin + self.consonant_s + self.vowel_s


def babble(seconds: float, pace: float, rng: np.random.Generator) -> list[Syllable]:
    """Draw words that fill an utterance.

    Args:
        seconds: Length of the utterance.
        pace: Speed of the speaker, 1 = about four syllables a second.
        rng: Draws.
    """
    syllables, now = [], 0.0
    while True:
        word, then = [], now
        for left in reversed(range(rng.integers(1, 4))):
            consonant_s, vowel_s = rng.uniform(0.05, 0.1) / pace, rng.uniform(0.09, 0.27) / pace
            sounds = (str(rng.choice(list(CONSONANTS))), str(rng.choice(list(VOWELS))))
            word.append(Syllable(then, consonant_s, vowel_s, *sounds, float(rng.uniform(0.6, 1)), left == 0))
            then = word[-1].end
        if then > seconds:
            fitting = [syllable for syllable in word if syllable.end <= seconds]
            syllables += fitting if fitting or syllables else word[:1]
            return [*syllables[:-1], replace(syllables[-1], last=True)]
        syllables += word
        now = then + rng.choice([0.06, rng.uniform(0.18, 0.5)]) / pace


@dataclass(frozen=True)
class Movements:
    """What mouth and larynx do, `RATE` times a second.

    Attributes:
        opening: Opening of the mouth (n,), 0 closed to 1.
        spread: -1 rounded to 1 spread (n,).
        voice, noise: Amplitudes (n,) of voice and hiss.
        hiss: Middle of the hiss in Hz (n,).
        pitch: Semitones above the voice's own pitch (n,).
        formants: In Hz (n, 3), of a vocal tract of 17 cm.
    """

    opening: Array
    spread: Array
    voice: Array
    noise: Array
    hiss: Array
    pitch: Array
    formants: Array


def articulate(syllables: list[Syllable], seconds: float, rng: np.random.Generator) -> Movements:
    """Movements (n = seconds * RATE rounded) of an utterance."""
    times = np.arange(round(seconds * RATE)) / RATE
    shape: list[tuple[float, ...]] = [(0.0, 0.0, 0.0)]  # second, opening, spread
    sound: list[tuple[float, ...]] = [(0.0, 0.0)]  # second, voice
    tones: list[tuple[float, ...]] = [(0.0, 0.0)]  # second, accent
    colour: list[tuple[float, ...]] = [(0.0, *VOWELS["e"].formants)]
    noise, hiss = np.zeros((2, len(times)))
    closed = False
    for syllable in syllables:
        consonant, vowel = CONSONANTS[syllable.consonant], VOWELS[syllable.vowel]
        begin, middle, end = syllable.begin, syllable.begin + syllable.consonant_s, syllable.end
        steady = (middle + 0.25 * syllable.vowel_s, middle + 0.7 * syllable.vowel_s)
        if closed:
            shape.append((begin - 0.03, 0.0, 0.0))
            sound.append((begin, 0.0))
        closed = syllable.last
        shape.append((0.5 * (begin + middle), consonant.opening, consonant.spread))
        sound += [(begin + 0.01, consonant.voice), (middle - 0.01, consonant.voice)]
        for time in steady:
            shape.append((time, vowel.opening * syllable.stress, vowel.spread))
            sound.append((time, vowel.loudness * syllable.stress))
            colour.append((time, *vowel.formants))
        tones.append((steady[0], 5 * (syllable.stress - 0.75)))
        if syllable.last:
            shape.append((end + 0.02, 0.0, 0.0))
            sound.append((end, 0.0))
        heard = (times >= begin + 0.5 * syllable.consonant_s) & (times < middle + 0.015)
        noise[heard], hiss[heard] = consonant.noise * syllable.stress, consonant.hiss
    declination = 2.5 - 5 * times / max(seconds, 0.5) + 0.5 * np.sin(times * rng.uniform(2, 5) + rng.uniform(0, 6))
    opening, spread = (_glide(times, shape, column, width=11) for column in (1, 2))
    return Movements(
        opening=opening,
        spread=spread,
        voice=_glide(times, sound, 1, width=5),
        noise=_smooth(noise, 3),
        hiss=hiss.astype(np.float32),
        pitch=(declination + _glide(times, tones, 1, width=21)).astype(np.float32),
        formants=np.stack([_glide(times, colour, column, width=9) for column in (1, 2, 3)], 1),
    )


def _glide(times: np.ndarray, keys: list[tuple[float, ...]], column: int, width: int) -> Array:
    """Values of a column of ``keys`` (second first) at ``times``, corners rounded over ``width`` steps."""
    where = np.array([key[0] for key in keys])
    return _smooth(np.interp(times, where, [key[column] for key in keys]), width)


def _smooth(values: np.ndarray, width: int) -> Array:
    weights = np.hanning(width + 2)[1:-1]
    padded = np.pad(values, width // 2, mode="edge")
    return np.convolve(padded, weights / weights.sum(), mode="valid").astype(np.float32)
