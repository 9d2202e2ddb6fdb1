"""Parts of wav files, sample by sample as they are stored: any width, any number of channels."""

import struct
from dataclasses import dataclass
from pathlib import Path

from datamodules.errors import SoundReadError

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
EIGHT_BITS_SILENCE = b"\x80"  # samples of up to 8 bits have no sign
HEADER_BYTES = 12


@dataclass(frozen=True)
class WaveFile:
    """A wav file whose samples are stored one after the other.

    Attributes:
        path: The file.
        sample_rate: Hz.
        num_samples: Of each channel.
        format: Content of its chunk ``fmt``.
        block: Bytes of a sample of all channels.
        start: Place of the first one in the file.
    """

    path: Path
    sample_rate: int
    num_samples: int
    format: bytes
    block: int
    start: int

    @property
    def silence(self) -> bytes:
        """One sample of silence."""
        bits = struct.unpack_from("<H", self.format, 14)[0]
        return (EIGHT_BITS_SILENCE if bits <= 8 else b"\0") * self.block

    def part(self, first: int, stop: int) -> tuple[bytes, int]:
        """A wav file of samples ``first`` to ``stop`` - 1, and how many of them are silence behind the end."""
        there = max(0, min(stop, self.num_samples) - first)
        with self.path.open("rb") as file:
            file.seek(self.start + first * self.block)
            data = file.read(there * self.block)
        missing = stop - first - len(data) // self.block
        return wave_bytes(self.format, data + missing * self.silence), missing


def open_wave(path: Path) -> WaveFile | None:
    """Describe a wav file; None when it is something else, or its samples are compressed.

    Raises:
        FileNotFoundError: When there is no such file.
        SoundReadError: When a wav file has no samples.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        if not is_wave(file.read(HEADER_BYTES)):
            return None
        form = b""
        while len(head := file.read(8)) == 8:
            name, length = struct.unpack("<4sI", head)
            if name == b"fmt ":
                form = file.read(length)
            elif name == b"data" and len(form) >= 16:
                kind, _, rate, _, block, _ = struct.unpack_from("<HHIIHH", form)
                if kind not in (PCM, FLOAT, EXTENSIBLE):
                    return None
                start = file.tell()
                length = min(length, size - start)  # a program that was writing to a pipe leaves it open
                return WaveFile(path, rate, length // block, form, block, start)
            else:
                file.seek(length, 1)
            file.seek(length % 2, 1)  # chunks begin at even places
    raise SoundReadError(path, "is a wav file without samples")


def is_wave(head: bytes) -> bool:
    """Whether a file begins as wav files do."""
    return head[:4] in (b"RIFF", b"RF64") and head[8:] == b"WAVE"


def wave_bytes(form: bytes, data: bytes) -> bytes:
    """Content of a wav file."""
    chunks = b"".join(
        name + struct.pack("<I", len(part)) + part + b"\0" * (len(part) % 2)
        for name, part in ((b"fmt ", form), (b"data", data))
    )
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def pcm_format(sample_rate: int, channels: int = 1, bits: int = 16) -> bytes:
    """Chunk ``fmt`` of whole numbers."""
    block = channels * bits // 8
    return struct.pack("<HHIIHH", PCM, channels, sample_rate, sample_rate * block, block, bits)
