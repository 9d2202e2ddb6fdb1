"""How people move their limbs: poses as functions of the way covered, so that feet do not slide."""

import numpy as np

from datamodules.samples.campus.body import Look, Pose

ANKLE = 0.075  # metres above the ground of a foot that stands


def stride(look: Look, speed: float) -> float:
    """Metres covered by one cycle of both legs; people lengthen their strides when they hurry."""
    return look.height * (0.45 + 0.27 * speed) if speed < 2.2 else look.height * (0.6 + 0.24 * speed)


def walking(look: Look, phase: float) -> Pose:
    """Pose at ``phase`` cycles (one cycle: two steps)."""
    reach = 0.205 * look.height
    ankles, toes = zip(*(_foot(phase + shift, 0.6, reach, 0.09) for shift in (0.0, 0.5)), strict=True)
    beat = 2 * np.pi * phase
    arms = [(-0.42 * np.cos(beat + shift) + 0.05, 0.3 - 0.15 * np.cos(beat + shift)) for shift in (0.0, np.pi)]
    hip = look.height * 0.505 + 0.018 * -np.cos(2 * beat)
    return Pose(hip=hip, lean=0.05, ankles=list(ankles), arms=arms, toes=list(toes))


def running(look: Look, phase: float) -> Pose:
    """Pose of a runner at ``phase`` cycles: long flight, high heels, bent arms."""
    reach = 0.27 * look.height
    ankles, toes = zip(*(_foot(phase + shift, 0.36, reach, 0.42) for shift in (0.0, 0.5)), strict=True)
    beat = 2 * np.pi * phase
    arms = [(-0.85 * np.cos(beat + shift) - 0.15, 1.5 - 0.3 * np.cos(beat + shift)) for shift in (0.0, np.pi)]
    hip = look.height * 0.50 + 0.045 * np.cos(2 * beat + 0.8)
    return Pose(hip=hip, lean=0.2, ankles=list(ankles), arms=arms, toes=list(toes))


def _foot(phase: float, stance: float, reach: float, lift: float) -> tuple[tuple[float, float], float]:
    """Ankle (forward, up) and pitch of the foot; phase 0 is the moment the heel touches the ground in front."""
    cycle = phase % 1.0
    if cycle < stance:
        share = cycle / stance
        heel = max(0.0, share - 0.65) / 0.35
        return (reach * (1 - 2 * share), ANKLE + 0.10 * heel**2), 0.7 * heel
    share = (cycle - stance) / (1 - stance)
    forward = -reach * np.cos(np.pi * share)
    rise = 0.10 * (1 - share) ** 2 + lift * np.sin(np.pi * share**0.8)
    return (forward, ANKLE + rise), 0.8 * (1 - share) - 0.25 * share


def pedalling(phase: float, saddle: float, crank: tuple[float, float]) -> Pose:
    """Pose of a cyclist whose hips are ``saddle`` metres high; ``crank`` is the bottom bracket (forward, up)."""
    ankles = []
    for shift in (0.0, np.pi):
        angle = -2 * np.pi * phase + shift
        ankles.append((crank[0] + 0.17 * np.cos(angle) - 0.05, crank[1] + 0.17 * np.sin(angle) + 0.08))
    return Pose(hip=saddle, lean=0.42, ankles=ankles, arms=[(0.75, 0.35)] * 2, toes=[0.2, 0.2], spread=0.02)


def standing_on_board(look: Look, time: float, deck: float, *, holds: bool) -> Pose:
    """Pose on a scooter (``holds`` a handlebar) or skateboard whose deck is ``deck`` metres high."""
    sway = 0.06 * np.sin(2.1 * time)
    arms = [(0.55, 0.75)] * 2 if holds else [(0.35 + sway, 0.5), (-0.3 + sway, 0.4)]
    feet = [(0.14, deck + ANKLE), (-0.16, deck + ANKLE)]
    return Pose(hip=deck + look.height * 0.485, lean=0.06 + sway / 2, ankles=feet, arms=arms)


def sitting(seat: float, *, forward: float, foot: tuple[float, float], lean: float) -> Pose:
    """Pose of somebody whose hips are ``seat`` metres high, with feet at ``foot`` (forward, up) and hands on a bar."""
    return Pose(hip=seat, lean=lean, ankles=[foot] * 2, arms=[(0.55 + forward, 0.6)] * 2, spread=0.1)


def standing(look: Look, time: float) -> Pose:
    """Pose of somebody who waits and shifts the weight a little."""
    sway = 0.03 * np.sin(1.7 * time)
    ankles = [(0.04, ANKLE), (-0.04, ANKLE)]
    return Pose(hip=look.height * 0.49 + ANKLE, lean=0.02 + sway / 3, ankles=ankles, arms=[(0.06 + sway, 0.2)] * 2)


def crouching(look: Look, time: float) -> Pose:
    """Pose of somebody who squats, the arms on the knees."""
    sway = 0.04 * np.sin(1.3 * time)
    ankles = [(0.14, ANKLE), (0.02, ANKLE)]
    arms = [(0.75 + sway, 0.75)] * 2
    return Pose(hip=look.height * 0.19, lean=0.5 + sway, ankles=ankles, arms=arms, spread=0.08)


JUMP = 1.0  # seconds from one take-off to the next
_FLIGHT = 0.55  # share of it spent in the air
_RISE = 0.37  # metres, what gravity makes of that flight


def jumping(look: Look, time: float) -> Pose:
    """Pose of somebody who jumps up again and again, with arms swung up; at full `JUMP`s the feet are on the ground."""
    ground, stand = (1 - _FLIGHT) / 2, look.height * 0.49 + ANKLE
    cycle = time / JUMP % 1.0
    flight = min(max((cycle - ground) / _FLIGHT, 0.0), 1.0)
    rise = 4 * _RISE * flight * (1 - flight)
    bent = abs(cycle - 0.5) > 0.5 - ground
    dip = 0.2 * np.sin(np.pi * min(cycle, 1 - cycle) / ground) ** 2 if bent else 0.0
    swing = -0.6 + 3.2 * np.sin(np.pi * min(max((cycle - 0.1) / 0.8, 0.0), 1.0))
    tuck = 0.1 * np.sin(np.pi * flight)
    ankles = [(0.04 - tuck, ANKLE + rise + tuck), (-0.04 - tuck, ANKLE + rise + tuck)]
    toe = 0.7 * np.sin(np.pi * flight)
    arms = [(float(swing), 0.3)] * 2
    return Pose(hip=stand + rise - dip, lean=0.05 + dip, ankles=ankles, arms=arms, toes=[toe, toe])
