"""The app as on ZeroGPU hardware, without CUDA: python tests/lent_gpu.py [the arguments of app.py].

Of Hugging Face's package all is real (the schedule, the process a call, the queues between) but its emulation of CUDA,
which takes a torch built for it: here are the package's own stand-ins for where there is no torch.
"""

import sys
from pathlib import Path
from types import ModuleType


def without_cuda() -> ModuleType:
    """In place of spaces.zero.torch."""
    module = ModuleType("spaces.zero.torch")
    for name in ("enter_mode", "patch", "unpatch", "init", "move"):
        setattr(module, name, lambda *_, **__: None)
    for name in ("pack", "size"):
        setattr(module, name, lambda *_, **__: 0)
    module.is_in_bad_fork = lambda: False  # type: ignore[attr-defined]
    return module


if __name__ == "__main__":
    sys.modules["spaces.zero.torch"] = without_cuda()
    sys.path.insert(0, str(Path(__file__).parent.parent))
    import app

    sys.exit(app.main(sys.argv[1:]))
