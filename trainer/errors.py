"""What can go wrong in a way that a user can mend. Every message names the thing and the way out."""


class TrainerError(Exception):
    """The base of all; the edges (CLI, app) show its message without a traceback."""


class ConfigError(TrainerError):
    """A setting is unknown, out of range, or contradicts another."""


class PhotoError(TrainerError):
    """A photo, or a set of photos, cannot be used."""


class ModelError(TrainerError):
    """A base model is missing, unsafe to load, or of a family that cannot be trained."""


class CheckpointError(TrainerError):
    """A checkpoint is missing, incomplete, or belongs to another run."""


class ConceptError(TrainerError):
    """A concept folder is missing, unfinished, or unreadable."""


class TrainingError(TrainerError):
    """Training cannot go on: the loss is not finite, the disk is full, memory ran out."""


class OutOfMemoryError(TrainingError):
    """The device's memory did not suffice; leaner settings may."""


class BusyError(TrainerError):
    """The device is taken just now; later it will not be."""


class HubError(TrainerError):
    """A push to the Hub failed. `cause` names the kind: "unauthorized", "stalled", ..., for who wants to react to it."""

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause


class RepositoryExistsError(HubError):
    """Something else is in the repository; to be overwritten only where the user says so."""
