"""What hands do while the legs do something else: gestures laid over a pose."""

from dataclasses import replace

import numpy as np

from datamodules.samples.campus.body import Look, Pose, arm

WAVES = 1.5  # a second
REACH = (1.35, 0.1)  # angles of an arm stretched out in front


def waving(pose: Pose, time: float, *, aside: bool) -> Pose:
    """Wave with the right hand above the head.

    Args:
        pose: What the rest of the body does.
        time: Seconds.
        aside: Whether the hand goes from side to side, as people greet those they face; otherwise to and fro, which
            is what can be seen from the side.
    """
    beat = 0.6 * np.sin(2 * np.pi * WAVES * time)
    raised, angles = ((0.1, 0.0), (2.1, 3.0 + beat)) if aside else ((2.5, 0.4 + beat), (0.15, 0.0))
    return replace(pose, arms=[pose.arms[0], raised], sides=[pose.sides[0], angles])


def holding(pose: Pose) -> Pose:
    """Hold something before the chest with both hands."""
    return replace(pose, arms=[(0.5, 1.05)] * 2)


def reaching(pose: Pose) -> Pose:
    """Stretch both arms out, to give or to take."""
    return replace(pose, arms=[REACH] * 2)


def grip(look: Look, pose: Pose, radius: float) -> tuple[float, float, float]:
    """Centre (forward, left, up) of a ball of ``radius`` metres between the hands."""
    left, right = (arm(look, pose, side)[2] for side in (0, 1))
    return ((left[0] + right[0]) / 2 + 0.5 * radius, (left[1] + right[1]) / 2, (left[2] + right[2]) / 2)
