"""What PyInstaller asks an installed package: where its hooks are."""

from pathlib import Path


def get_hook_dirs() -> list[str]:
    """The entry point "hook-dirs" of the group "pyinstaller40"."""
    return [str(Path(__file__).parent)]
