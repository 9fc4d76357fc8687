"""Golden files: bytes that programs in the field hold us to. A change here is a change of the protocol."""

from pathlib import Path

FOLDER = Path(__file__).parent


def read_golden(name: str) -> str:
    return (FOLDER / name).read_text()
