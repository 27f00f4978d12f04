"""Controls follow the settings' own fields."""

import gradio as gr

from trainer.config import TrainingConfig
from trainer.ui.controls import control


def test_what_is_typed_reaches_the_settings_own_check() -> None:
    steps = control(TrainingConfig, "max_train_steps")
    assert isinstance(steps, gr.Number) and not isinstance(steps, gr.Slider)
    assert (steps.minimum, steps.maximum, steps.precision) == (None, None, 0)
    assert steps.preprocess(0) == 0


def test_what_is_dragged_has_its_ends() -> None:
    slider = control(TrainingConfig, "num_validation_images")
    assert isinstance(slider, gr.Slider)
    assert slider.minimum < slider.maximum
