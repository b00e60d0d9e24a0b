"""What a process may import."""

from __future__ import annotations

import sys


class _WithoutPandas:
    """pyarrow looks for pandas when it makes its first array: 40 MB and a third of a second for nothing."""

    @staticmethod
    def find_spec(name: str, _path: object = None, _target: object = None) -> None:
        """Say that there is no pandas; leave every other module to the finders that follow."""
        if name == "pandas":
            raise ModuleNotFoundError("pandas is not used here", name=name)


def without_pandas() -> None:
    """Keep pandas out of this process, which does nothing that needs it; pyarrow never asks for it again."""
    sys.meta_path.insert(0, _WithoutPandas)
