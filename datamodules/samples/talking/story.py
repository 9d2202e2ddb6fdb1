"""Who speaks when, and what the mouths of the others do meanwhile."""

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np

from datamodules.samples.talking.speech import RATE, Array, Movements, Syllable, articulate, babble

TURN = (1.0, 2.6)  # seconds of an utterance
SILENCE = (0.0, 0.7)  # seconds between two turns
OVERLAP = 0.08  # share of turns in which two in view speak at once
REST = (0.5, 2.0)  # seconds
BITE = (1.2, 1.9)  # jaw movements a second


class Doing(IntEnum):
    """What a mouth does."""

    RESTING = 0
    SPEAKING = 1
    MOUTHING = 2
    CHEWING = 3


@dataclass(frozen=True)
class Utterance:
    """What somebody says, or mouths without a sound.

    Attributes:
        begin: Second of the clip; may lie before it.
        syllables: What is said.
        movements: How, from ``begin`` on.
        heard: Whether it is heard.
    """

    begin: float
    syllables: list[Syllable]
    movements: Movements
    heard: bool

    @property
    def end(self) -> float:
        """Second at which it ends; may lie behind the clip."""
        return self.begin + len(self.movements.opening) / RATE

    @classmethod
    def draw(cls, begin: float, seconds: float, pace: float, heard: bool, rng: np.random.Generator) -> "Utterance":
        """Draw what is said in at most about ``seconds``."""
        syllables = babble(seconds, pace, rng)
        return cls(begin, syllables, articulate(syllables, syllables[-1].end + 0.03, rng), heard)


@dataclass(frozen=True)
class Chewing:
    """Somebody eats: seconds of the clip, bites a second, phase in radians."""

    begin: float
    end: float
    rate: float
    phase: float


@dataclass
class Part:
    """What somebody says and does.

    Args:
        pace: Speed of speaking, 1 = about four syllables a second.
        spoken: What is heard of him.
        mouthed: What is not.
        meals: When he chews.
    """

    pace: float
    spoken: list[Utterance] = field(default_factory=list)
    mouthed: list[Utterance] = field(default_factory=list)
    meals: list[Chewing] = field(default_factory=list)

    def mouth(self, times: np.ndarray) -> tuple[Array, Array, np.ndarray]:
        """Opening, spread and `Doing` (n,) of the mouth at ``times``, seconds of the clip."""
        opening, spread, doing = np.zeros_like(times), 0.12 * np.sin(0.9 * times + 7 * self.pace), np.zeros(len(times))
        for utterance in (*self.spoken, *self.mouthed):
            now = (times >= utterance.begin) & (times < utterance.end)
            steps = (times[now] - utterance.begin) * RATE
            grid = np.arange(len(utterance.movements.opening))
            opening[now] = np.interp(steps, grid, utterance.movements.opening)
            spread[now] = np.interp(steps, grid, utterance.movements.spread)
            doing[now] = Doing.SPEAKING if utterance.heard else Doing.MOUTHING
        for meal in self.meals:
            now = (times >= meal.begin) & (times < meal.end)
            turn = 2 * np.pi * meal.rate * times[now] + meal.phase
            opening[now] = 0.2 * np.maximum(0, np.sin(turn)) ** 2
            spread[now] = 0.35 * np.cos(turn)
            doing[now] = Doing.CHEWING
        return opening.astype(np.float32), spread.astype(np.float32), doing.astype(np.int8)


@dataclass(frozen=True)
class Story:
    """Parts of those who can come into view, of one who never does, and of the wearer of the camera."""

    faces: list[Part]
    bystander: Part
    wearer: Part


def tell(num_faces: int, seconds: float, rng: np.random.Generator) -> Story:
    """Draw a conversation: turns, and silent mouths in between that move as if they spoke."""
    *faces, bystander, wearer = (Part(float(rng.uniform(0.88, 1.12))) for _ in range(num_faces + 2))
    in_view = min(0.62, 0.1 + 0.18 * num_faces)
    now, queue = -rng.uniform(0, 1), []  # who will speak next: all take turns, lest the face alone tell who speaks much
    while now < seconds:
        length, kind = rng.uniform(*TURN), rng.random()
        if kind < in_view + OVERLAP:
            wanted = 1 if kind < in_view else 2
            if len(queue) < wanted:
                queue += [person for person in rng.permutation(num_faces).tolist() if person not in queue]
            speakers, queue = queue[:wanted], queue[wanted:]
            for place, speaker in enumerate(speakers):
                late = place * rng.uniform(0.2, 0.6)
                faces[speaker].spoken.append(_utterance(now + late, length, faces[speaker], rng))
        else:
            part = (wearer, bystander, None)[rng.choice(3, p=(0.5, 0.25, 0.25))]
            if part is not None:
                part.spoken.append(_utterance(now, length, part, rng))
        now += length + rng.uniform(*SILENCE)
    for part in faces:
        _keep_busy(part, seconds, rng)
    return Story(faces, bystander, wearer)


def _utterance(begin: float, length: float, part: Part, rng: np.random.Generator, heard: bool = True) -> Utterance:
    """One that begins behind all that ``part`` has said before."""
    begin = max([begin, *(before.end + 0.1 for before in part.spoken)]) if heard else begin
    return Utterance.draw(begin, length, part.pace, heard, rng)


def _keep_busy(part: Part, seconds: float, rng: np.random.Generator) -> None:
    """Fill the time in which ``part`` does not speak: it rests, mouths or chews."""
    edges = [-1.0, *(edge for said in part.spoken for edge in (said.begin, said.end)), seconds + TURN[1]]
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        now = begin + rng.uniform(0.05, 0.5)
        while now < end:
            kind, length = Doing(int(rng.choice([0, 2, 3], p=(0.33, 0.51, 0.16)))), rng.uniform(*TURN)
            if kind is Doing.RESTING or now + length > end - 0.05:
                now += rng.uniform(*REST)
                continue
            if kind is Doing.MOUTHING:
                part.mouthed.append(_utterance(now, length, part, rng, heard=False))
            else:
                part.meals.append(Chewing(now, now + length, float(rng.uniform(*BITE)), float(rng.uniform(0, 6))))
            now += length + rng.uniform(0, 0.25)
