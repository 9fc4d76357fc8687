"""Programs of the machine that some tests drive. Where one is missing its tests say so, and are skipped."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright


def find_chromium() -> str | None:
    """Debian's Chromium, or the browser that CHROMIUM names."""
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    return next((found for name in names if name and (found := shutil.which(name))), None)


def launch_chromium(playwright: Playwright) -> Browser:
    return playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])


def need_program(name: str) -> None:
    if shutil.which(name) is None:
        pytest.skip(f"needs the program {name}")


def run_openssl(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    need_program("openssl")
    return subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=False)
