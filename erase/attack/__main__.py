"""Try to bring an erased concept back. `python -m erase.attack --help`."""

import json
import re
from functools import partial

from omegaconf import DictConfig, OmegaConf

from erase import schema
from erase.command import build, command

STARTS = ("unnamed", "named")


@command("attack", schema.Attack)
def main(config: DictConfig) -> None:
    """Attack each victim that `config` names, and print what this attack has done to the run by now."""
    from hydra.core.hydra_config import HydraConfig

    from erase.attack.victim import VICTIMS, Victims
    from erase.errors import BadInput
    from erase.model.edit import Edit
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
    with trainer:
        made = partial(build, config.attack, "attack")
        attacked = Victims(run.folder, Edit.load(run.folder), config, name, choice, trainer, made)
        attacked.check(victims)
        new = [attacked.siege(victim) for victim in victims]
    results = {victim: attacked.path(victim) for victim in VICTIMS}
    write([experiment := read(run.folder)], run.folder / "report.html")
    attack_table(name, run.folder, {v: json.loads(path.read_text()) for v, path in results.items() if path.exists()})
    if any(new):
        attacked.tell({n: f for n, f in experiment.figures.items() if n.startswith("attack/")})


if __name__ == "__main__":
    main()
