"""Another checkpoint than the one that was judged best, as the concept."""

from pathlib import Path
from typing import Any

from trainer import checkpoint, choice, concept, finish, models, optimizers, preparation
from trainer.config import training_config
from trainer.learner import Learner


def choose(directory: Path, step: int) -> None:
    """Make what `checkpoint-{step}` holds the finished concept: staged, loaded back and compared with the base first.

    It is taken for the newest training's. The checkpoints stay, so that another can be chosen again. Raises CheckpointError
    where it is not there, damaged or of an earlier training, BusyError during a training, ConceptError, TrainingError.
    """
    config = training_config(
        **concept.read_run_settings(directory)["config"] | {"output_dir": str(directory)}
    )
    lora = config.method == "lora"

    def load_base(**components: Any) -> Any:
        return preparation.load_base(config, **components)

    with concept.lock(directory):
        path = checkpoint.find(directory, f"checkpoint-{step}")
        assert path is not None
        then = checkpoint.read_run(path)["settings"]
        checkpoint.check_same(then, checkpoint.identity(config, then["num_processes"]), path)
        pipeline = load_base()
        prompt = config.concepts[0].instance_prompt
        answer, device = models.probe(pipeline, prompt), pipeline.device
        unet, text_encoder = pipeline.unet, pipeline.text_encoder if config.train_text_encoder else None
        learner = Learner(config, unet, text_encoder, processes=1, training_steps=1)
        learner.load(path)
        optimizers.restore_masters(learner.optimizer)
        try:
            staged = finish.stage(
                directory, learner.unet, learner.text_encoder, lora=lora, load_base=load_base
            )
            concept.write_settings(staged, config)
            finish.verify(staged, answer, prompt, device, lora=lora, load_base=load_base)
            if report := choice.read(choice.newest(directory)):
                choice.copy(choice.newest(directory), staged)
                concept.replace_text(staged / choice.FILE, report.choosing(step).text())
            concept.publish(staged, directory)
        finally:
            concept.remove(directory / concept.STAGING)
