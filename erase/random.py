"""This file is where chance comes from: every draw is a function of (seed, use, step) and of nothing else."""

import hashlib

import torch


def stream(seed: int, use: str, step: int = 0) -> torch.Generator:
    """The CPU generator of one draw: the same after a resume, in any worker, whatever was drawn before."""
    key = hashlib.blake2b(f"{seed}\0{use}\0{step}".encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(key, "big") >> 1)
