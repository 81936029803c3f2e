"""Judge any model, or hold several against each other. `python -m erase.evaluate --help`."""

from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from erase import schema
from erase.command import build, command
from erase.files import shortened, told_apart


@command("evaluate", schema.Evaluate)
def main(config: DictConfig) -> None:
    """Judge what `config` names, write down and print what comes out, and hold it against the gates."""
    from hydra.core.hydra_config import HydraConfig

    from erase.errors import BadInput
    from erase.judge.candidate import Candidate
    from erase.judge.trial import Trial, alike
    from erase.model.text_to_image import TextToImage
    from erase.record.console import evaluation_table
    from erase.record.evaluation import result, write
    from erase.record.gates import Gates
    from erase.record.run import peak_memory, reset_peak_memory

    gates = Gates(OmegaConf.to_container(config.gates))  # type: ignore[arg-type]
    if config.edits and config.run is not None:
        raise BadInput("run and edits are two questions: ask one of them.")
    if config.edits and _concepts(config):
        raise BadInput("edits know what they erase: no concept beside them.")
    if config.edits:
        candidates = [[candidate] for candidate in Candidate.stacked(config.edits)]
    else:
        candidates = [[Candidate.find(name, _concepts(config)) for name in side] for side in _given(config.run)]
    every = [candidate for side in candidates for candidate in side]
    places = [Path(candidate.given).expanduser().resolve() for candidate in every]
    for candidate, apart in zip(every, told_apart([c.name for c in every], places, "-"), strict=True):
        candidate.name = apart
    node, called = _judge(config, every)
    judge, protocol, trainer = (
        build(part, name) for name, part in {"judge": node, "protocol": config.protocol, "trainer": config.trainer}.items()
    )
    trainer.check_single("one process judges, and the same command started twice shares the work")
    asked = HydraConfig.get().runtime.choices["protocol"]
    name = f"{asked}-{called}"

    def load(settings: dict[str, Any] | None, source: str | None) -> TextToImage:
        node: dict[str, Any] = {**(settings or cast(dict[str, Any], OmegaConf.to_container(config.model)))}
        if source:
            node |= {"source": source, "retrained": None}
            if settings or source == config.base:  # model.revision is of what is judged, when that is a pipeline
                node["revision"] = None
        model: TextToImage = build(OmegaConf.create(node), "model", precision=trainer.precision)
        return model

    if len(every) > 1:
        alike(every, judge, protocol)
    trials: list[list[Trial]] = [[] for _ in candidates]
    with trainer:
        for side, made in zip(candidates, trials, strict=True):
            for candidate in side:
                reset_peak_memory(trainer.device)
                trial = Trial.of(candidate, load, config.base, judge, protocol, Path(config.cache).expanduser(), trainer)
                trial.cost["peak_memory_bytes"] = peak_memory(trainer.device)
                made.append(trial)
                found = result(trial, asked)
                at = write(trial, found, _folder(config, candidates, candidate), name)
                evaluation_table(candidate.name, found, at)
    if sum(map(len, trials)) == 1:
        gates.check(found["figures"])
    else:
        _together(config, trials, name, gates)


def _together(config: DictConfig, trials: list[list[Any]], name: str, gates: Any) -> None:
    """Several as one where only their seed differs, and each such side against the first."""
    from erase.metric.compare import compared, pooled
    from erase.record.console import comparison_table
    from erase.record.evaluation import write_comparison

    each = [trial for side in trials for trial in side]
    sides = trials if config.edits or any(len(side) > 1 for side in trials) else _by_kind(each)
    words = ["+".join(trial.candidate.name for trial in side) for side in sides]
    measured = [[trial.measures for trial in side] for side in sides]
    found: dict[str, Any] = {"pooled": {}, "compared": {}}
    for label, side, measures in zip(words, sides, measured, strict=True):
        if len(side) > 1:
            found["pooled"][label] = pooled(measures, side[0].unedited)
    for label, measures in zip(words[1:], measured[1:], strict=True):
        found["compared"][f"{words[0]} / {label}"] = compared(measured[0], measures)
    place = Path("evaluations", words[0] if config.edits else shortened("-".join(words)))
    at = write_comparison(found, each, Path(config.out or place), f"{name}-together")
    comparison_table(found, at)
    if len(sides) == 1:
        gates.check(found["pooled"][words[0]])
    gates.check_each(found["compared"])


def _given(run: Any) -> list[list[str]]:
    """What is to be judged, side by side. BadInput for what is no name or list of names."""
    from erase.errors import BadInput

    listed: Any = OmegaConf.to_container(run) if OmegaConf.is_list(run) else [run]
    sides: list[list[str]] = [side if isinstance(side, list) else [side] for side in listed]
    if not sides or not all(side and all(isinstance(name, str) for name in side) for side in sides):
        raise BadInput(f"run={run} must be a run, an edit, a pipeline's folder or a hub id, or a list of them; or edits=[…].")
    return sides


def _concepts(config: DictConfig) -> list[Any]:
    from erase.concept import resolve

    return resolve(**config.concept) if config.concept.members else []


def _judge(config: DictConfig, candidates: list[Any]) -> tuple[DictConfig, str]:
    """Who judges, and what that is called: who judged a run when it was made, unless protocol or command say otherwise."""
    from hydra.core.hydra_config import HydraConfig

    hydra = HydraConfig.get()
    called = hydra.runtime.choices["judge"]
    own = next((c.settings["judge"] for c in candidates if "judge" in c.settings), None)
    if own is None or called != "drawings" or any(o.startswith("judge") for o in hydra.overrides.task):
        return config.judge, called
    return OmegaConf.create(own), own["_target_"].rpartition(".")[2].lower()


def _folder(config: DictConfig, candidates: list[list[Any]], candidate: Any) -> Path:
    """Where the results of one of `candidates` go: a run's to the run, unless it is asked for more than it erases."""
    if config.out:
        return Path(config.out, candidate.name) if sum(map(len, candidates)) > 1 else Path(config.out)
    if config.edits:
        return Path("evaluations", candidates[0][0].name, candidate.name)
    return candidate.folder / "evaluations" if candidate.folder else Path("evaluations", candidate.name)


def _by_kind(trials: list[Any]) -> list[list[Any]]:
    """Runs of the same settings but for the seed stand together; what no run has made stands alone, as does a seed's second."""
    from erase.record.key import INDIFFERENT, deciding

    kinds: dict[str, list[Any]] = {}
    for trial in trials:
        settings, given = trial.candidate.settings, trial.candidate.given
        kind = str(deciding(settings, (*INDIFFERENT, "seed", "judge", "protocol"))) if settings else given
        alike = kinds.setdefault(kind, [])
        if settings.get("seed") in [other.candidate.settings.get("seed") for other in alike]:
            alike = kinds.setdefault(given, [])
        alike.append(trial)
    return [*kinds.values()]


if __name__ == "__main__":
    main()
