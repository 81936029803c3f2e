"""Protocols: which pictures are drawn to judge an erasure."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """Pictures that answer one question: one label, said in several ways.

    `role` is `concept` (its own words), `synonyms` (held out), `sibling` (its family) or `kept` (everything else).
    Cells of one `batch` are drawn together: batches are the same for every concept, so that their pictures are shared.
    """

    role: str
    head: str
    label: str
    batch: str
    prompts: tuple[str, ...]
    seeds: tuple[int, ...]
