"""This file is a .wandb file read back: what an offline run will send."""

import struct
from collections.abc import Iterator
from pathlib import Path

from wandb.proto import wandb_internal_pb2


def records(path: Path, block: int = 32768) -> Iterator[wandb_internal_pb2.Record]:
    """What a .wandb file holds: LevelDB's log of protobuf records, behind a head of seven bytes."""
    data, part, at = path.read_bytes(), b"", 7
    while at + 7 <= len(data):
        if block - at % block < 7:  # no room for a head: the rest of a block is padding
            at += block - at % block
            continue
        _, size, kind = struct.unpack("<IHB", data[at : at + 7])
        part += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # whole, or the last part of one
            yield wandb_internal_pb2.Record.FromString(part)
            part = b""
