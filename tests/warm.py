"""This file is what every command does before its own work, done once where they are forked from. Nothing here may compute with
gradients or start a thread, which no fork survives."""

import torch
from conftest import QUICK
from hydra import compose, initialize_config_dir
from hydra.core.plugins import Plugins
from PIL import Image

from erase import schema
from erase.command import CONF
from erase.record.key import code
from erase.record.page.write import _plotly

with torch.random.fork_rng():
    Plugins.instance()
    schema.register(schema.Train)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        str(compose("train", ["method=esd", "concept=church", "logger=none", *QUICK]).name)
    Image.init()
    code()
    _plotly()
