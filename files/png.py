"""PNG files as chunks, and pictures of 16 bits a channel in them, which Pillow cannot write.

Source: PNG Specification (Third Edition), W3C.
"""

from __future__ import annotations

import zlib

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # by the number of channels
COMPRESSION = 4  # zlib's level: twice as fast as 6, for 2 % more bytes
UP = 2  # the filter that stores each byte's difference from the one above it


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Name and content of each chunk that is whole, up to the first with pixels.

    Args:
        data: A PNG file, or its beginning.
    """
    found, place = [], len(SIGNATURE)
    while place + 12 <= len(data):
        length, name = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
        if name in (b"IDAT", b"IEND") or place + 12 + length > len(data):
            break
        found.append((name, data[place + 8 : place + 8 + length]))
        place += 12 + length
    return found


def with_chunks(data: bytes, more: list[tuple[bytes, bytes]]) -> bytes:
    """A PNG file with more chunks behind its header, but none twice."""
    header = len(SIGNATURE) + 25
    present = {name for name, _ in chunks(data)}
    return data[:header] + b"".join(_chunk(*each) for each in more if each[0] not in present) + data[header:]


def encode(levels: np.ndarray, more: list[tuple[bytes, bytes]]) -> bytes:
    """A PNG file of 16 bits a channel.

    Args:
        levels: uint16 ``[H, W, C]``; C = 1 (grey), 2 (grey and alpha), 3 (RGB) or 4 (RGBA).
        more: Chunks to stand before the pixels, but for the header.
    """
    height, width, channels = levels.shape
    stored = levels.astype(">u2").view(np.uint8).reshape(height, -1)
    rows = np.empty((height, 1 + stored.shape[1]), np.uint8)  # each begins with the number of its filter
    rows[:, 0] = UP
    rows[0, 1:] = stored[0]
    np.subtract(stored[1:], stored[:-1], out=rows[1:, 1:])
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes((16, COLOUR_TYPES[channels], 0, 0, 0))
    pixels = zlib.compress(rows.data, COMPRESSION)
    return SIGNATURE + b"".join(_chunk(*each) for each in [(b"IHDR", header), *more, (b"IDAT", pixels), (b"IEND", b"")])


def _chunk(name: bytes, content: bytes) -> bytes:
    check = zlib.crc32(content, zlib.crc32(name))
    return len(content).to_bytes(4, "big") + name + content + check.to_bytes(4, "big")
