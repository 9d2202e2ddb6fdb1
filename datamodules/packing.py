"""How the clips of many videos are put into batches of one size, so that nothing but the list of videos decides it.

What is computed from a clip may depend, in its last bits, on the other clips of its batch. So videos are grouped into
packs that share batches among themselves alone: which rank or worker computes a pack, and which packs were computed
before an interruption, changes no bit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

PACK_BATCHES = 8  # of a pack of several videos: it is what an interruption may cost, and its last batch is not full


@dataclass(frozen=True)
class Segment:
    """Clips of one video that lie side by side in a batch.

    Attributes:
        video: Place of the video in the list.
        first: Number of the first clip among those of the video.
        stop: Number of the clip behind the last one; as ``first`` for a video that has none.
    """

    video: int
    first: int
    stop: int


def pack_videos(counts: Sequence[int], batch_size: int) -> list[tuple[int, ...]]:
    """Group videos so that the batches of a group are nearly all full.

    Longest first, each video goes to the pack of ``PACK_BATCHES`` batches in which it leaves the least room; one that
    is longer is a pack alone. Videos without clips make one pack, which is the last.

    Args:
        counts: Clips of each video.
        batch_size: Clips of a batch.

    Returns:
        Places of the videos of each pack, each video once.
    """
    capacity = PACK_BATCHES * batch_size
    packs: list[list[int]] = []
    with_room: list[list[int]] = [[] for _ in range(capacity + 1)]  # packs by the room that is left in them
    for video in sorted(range(len(counts)), key=lambda video: (-counts[video], video)):
        count = counts[video]
        if count == 0:
            break
        room = next((room for room in range(count, capacity) if with_room[room]), None)
        if room is None:
            packs.append([])
            place, room = len(packs) - 1, max(capacity, count)
        else:
            place = with_room[room].pop(0)
        packs[place].append(video)
        with_room[room - count].append(place)
    empty = [video for video, count in enumerate(counts) if count == 0]
    return [tuple(pack) for pack in (*packs, empty) if pack]


def split_into_batches(pack: Sequence[int], counts: Sequence[int], batch_size: int) -> list[list[Segment]]:
    """Cut the clips of a pack, one video after the other, into batches; the last one may have room left.

    Args:
        pack: Places of its videos.
        counts: Clips of each video of the list.
        batch_size: Clips of a batch.

    Returns:
        The segments of each batch; one batch for videos without clips, so that there is a place to say so.
    """
    total, begin = sum(counts[video] for video in pack), 0
    batches: list[list[Segment]] = [[] for _ in range(count_batches(total, batch_size))]
    for video in pack:
        end = begin + counts[video]
        for place in range(begin // batch_size, max(end - 1, begin) // batch_size + 1):
            first, stop = max(begin, place * batch_size), min(end, (place + 1) * batch_size)
            batches[place].append(Segment(video, first - begin, stop - begin))
        begin = end
    return batches


def count_batches(clips: int, batch_size: int) -> int:
    """Batches that clips need; one for none."""
    return max(-(-clips // batch_size), 1)


def deal(weights: Sequence[int], shares: int) -> list[list[int]]:
    """Deal things to ranks or workers, the heaviest first, each to the one that has the least.

    Args:
        weights: Of the things.
        shares: Number of ranks or workers.

    Returns:
        Places of the things of each share, heaviest first; some may be empty.
    """
    loads, dealt = np.zeros(shares, dtype=np.int64), [[] for _ in range(shares)]
    for place in sorted(range(len(weights)), key=lambda place: (-weights[place], place)):
        least = int(loads.argmin())
        loads[least] += weights[place]
        dealt[least].append(place)
    return dealt
