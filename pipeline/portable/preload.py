"""What a server of workers loads before it forks: the kernels of all stages, and the default language model."""

from cc100.transforms import encode, sample  # noqa: F401 - imported once, before the first fork
from cc100.transforms.language_model import LanguageModel, default_model_path
from cc100.transforms.preload import preload as preload_corpus


def preload() -> None:
    """Load them. Another language model is loaded by the workers that need it."""
    loaded = LanguageModel.load(default_model_path())
    preload_corpus(path="", name=loaded.name, sha256=loaded.sha256)
