"""Look into the network abstraction layer of H.264, as far as telling a clean key frame takes."""

from av.packet import Packet

START_CODE = b"\x00\x00\x01"
NAL_TYPE = 0b11111
IDR_SLICE = 5  # ITU-T H.264, table 7-1
AVCC_VERSION = 1  # ISO/IEC 14496-15, 5.3.3.1: first byte of the decoder configuration record
NAL_LENGTH = 4  # place in that record of the size of the length fields, minus one, in the last two bits


def restarts_decoding(codec: str, extradata: bytes, packet: Packet) -> bool:
    """Tell whether a key frame cuts all ties to the frames stored before it.

    FFmpeg also calls recovery points of H.264 key frames; behind those, frames may refer to frames before them.

    Args:
        codec: FFmpeg's name of the codec; for all but H.264, key frames are taken at their word.
        extradata: The codec's configuration from the container.
        packet: A packet that FFmpeg calls a key frame.
    """
    if codec != "h264":
        return True
    data = bytes(packet)
    if extradata[:1] != bytes([AVCC_VERSION]):
        return IDR_SLICE in types_after_start_codes(data)
    return IDR_SLICE in types_after_lengths(data, (extradata[NAL_LENGTH] & 0b11) + 1)


def types_after_start_codes(data: bytes) -> set[int]:
    """Types of the NAL units in a byte stream (ITU-T H.264, annex B)."""
    return {part[0] & NAL_TYPE for part in data.split(START_CODE)[1:] if part}


def types_after_lengths(data: bytes, size: int) -> set[int]:
    """Types of the NAL units in an mp4 or Matroska sample, each after its length in ``size`` bytes."""
    types, place = set(), 0
    while place + size < len(data):
        types.add(data[place + size] & NAL_TYPE)
        place += size + int.from_bytes(data[place : place + size], "big")
    return types
