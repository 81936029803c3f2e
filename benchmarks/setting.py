"""This file is what benchmarks of training ask for: a run's config, its hardware, and its model as a run loads it."""

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any


def add_fields(parser: argparse.ArgumentParser) -> None:
    """The fields of a command line that say what is trained, and where."""
    parser.add_argument("--concept", default="nudity")
    parser.add_argument("--model", default="miniature", help="of conf/model/")
    parser.add_argument("--source", help="its folder")
    parser.add_argument("--device", default="cpu", help="of conf/trainer/")


def setting(given: argparse.Namespace, updates: int, choices: Sequence[str]) -> tuple[Any, Any, Callable[[], Any]]:
    """Config, hardware and loader of `updates` updates by `choices`."""
    from hydra import compose, initialize_config_dir

    from erase import schema
    from erase.command import CONF, build, quiet
    from erase.job import load

    quiet()
    source = [f"model.source={given.source}"] if given.source else []
    asked = [f"concept={given.concept}", f"steps={updates}", f"model={given.model}", f"trainer={given.device}"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        schema.register(schema.Train)
        config = compose("train", [*asked, *source, *choices])
    hardware = build(config.trainer, "trainer")
    return config, hardware, partial(load, config, hardware)
