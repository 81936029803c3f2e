"""Try to bring an erased concept back. `python -m erase.attack --help`."""

import json
import re
from functools import partial
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from erase import schema
from erase.command import build, command

STARTS = ("unnamed", "named")


def settle(attack: DictConfig, model: DictConfig) -> None:
    """Give an attack that has a budget, and was told none, what fits the `model`: what finds all of the drawn world finds
    little of another."""
    if "budget" in attack and attack.budget is None:
        attack.budget = "miniature" if model.get("vocabulary") == "miniature" else "published"


@command("attack", schema.Attack)
def main(config: DictConfig) -> None:
    """Attack each victim that `config` names, and print what this attack has done to the run by now."""
    from hydra.core.hydra_config import HydraConfig

    from erase.attack.victim import VICTIMS, Plan, Victims
    from erase.errors import BadInput
    from erase.model.edit import Edit
    from erase.protocol.drawings import Drawings
    from erase.record.console import attack_table
    from erase.record.page.read import read
    from erase.record.page.write import write
    from erase.record.run import Run

    victims = list(config.victim) if OmegaConf.is_list(config.victim) else [config.victim]
    if not victims or not {*victims} <= {*VICTIMS}:
        raise BadInput(f"victim={config.victim} is not one or several of: {', '.join(VICTIMS)}.")
    if config.start not in STARTS:
        raise BadInput(f"start={config.start} is not one of: {', '.join(STARTS)}.")
    for name, most in (("prompts", 500), ("batch", 1024)):
        if not 1 <= config[name] <= most:
            raise BadInput(f"{name}={config[name]} must be from 1 to {most}.")
    run = Run.existing(config.run)
    choice = HydraConfig.get().runtime.choices["attack"]
    name, trainer = config.name or choice, build(config.trainer, "trainer")
    if not re.fullmatch(r"\w[\w.=+-]*", name) or name.endswith(tuple(f"-{victim}" for victim in VICTIMS)):
        raise BadInput(f"name={name} must be letters, digits and any of _ . = + -, and not end in -{', -'.join(VICTIMS)}.")
    trainer.check_single(f"an attack has one process, and batch={config.batch} in it")
    edit = Edit.load(run.folder)
    own = OmegaConf.create(edit.about["config"])
    protocol, judge = (build(config[part] or own[part], part) for part in ("protocol", "judge"))
    if not isinstance(protocol, Drawings):
        asked = type(protocol).__name__.lower()
        raise BadInput(f"protocol={asked} does not say from which prompts an attack begins: protocol=quick or full.")
    protocol.images = config.prompts
    settle(config.attack, own.model)
    fields = cast(dict[str, Any], OmegaConf.to_container(config.attack, resolve=True))
    plan = Plan(name, choice, fields, config.start, config.batch, config.seed)
    load = partial(build, own.model, "model", precision=trainer.precision)
    make = partial(build, config.attack, "attack")
    with trainer:
        attacked = Victims(run.folder, edit, plan, protocol, judge, trainer, load, make, Path(config.cache).expanduser())
        attacked.check(victims)
        new = [attacked.siege(victim) for victim in victims]
    results = {victim: attacked.path(victim) for victim in VICTIMS}
    write([experiment := read(run.folder)], run.folder / "report.html")
    attack_table(name, run.folder, {v: json.loads(path.read_text()) for v, path in results.items() if path.exists()})
    if any(new):
        told = {n: f for n, f in experiment.figures.items() if n.startswith("attack/")}
        attacked.tell(told, partial(build, own.logger, "logger"))


if __name__ == "__main__":
    main()
