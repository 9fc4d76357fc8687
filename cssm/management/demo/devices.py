"""The demo's devices: the reference Smart Agent as a program, speaking to the portal as any product does."""

import shutil
import subprocess
import sys
from pathlib import Path

from django.conf import settings

from cssm.management.demo.content import DEVICES, Device
from cssm.management.demo.portal_server import serve_portal
from licensing.models import ProductInstance
from pki.services.authorities import export_trust


class AgentFailed(Exception):
    """The agent could not register or report; its message says why."""


def seed_devices(tokens: dict[tuple[str, str], str]) -> int:
    """Register what is not registered yet and report its use; `tokens` by (domain, VA). Returns how many."""
    missing = [device for device in DEVICES if not _is_registered(device)]
    if missing:
        folder = settings.VAR_DIR / "demo-devices"
        root = next(path for path in export_trust(folder / "trust") if path.name == "root.pem")
        with serve_portal() as url:
            for device in missing:
                token = tokens[device.domain, device.virtual_account]
                _register(device, folder / device.serial, url=url, root=root, token=token)
    return len(missing)


def _is_registered(device: Device) -> bool:
    rows = ProductInstance.objects.active().filter(udi_pid=device.pid, udi_serial_number=device.serial)
    return rows.filter(smart_account__domain=device.domain).exists()


def _register(device: Device, state: Path, *, url: str, root: Path, token: str) -> None:
    shutil.rmtree(state, ignore_errors=True)
    identity = ["--pid", device.pid, "--sn", device.serial, "--software-tag", device.software_tag]
    network = ["--hostname", device.hostname]
    _agent(state, "register", "--url", url, "--trust", str(root), "--token", token, *identity, *network)
    _agent(state, "authorize", *(f"{tag}={count}" for tag, count in device.use.items()))


def _agent(state: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "agents.smart_agent", "--state", str(state), *arguments]
    finished = subprocess.run(  # noqa: S603  our own program and arguments
        command, cwd=settings.BASE_DIR, capture_output=True, text=True, check=False
    )
    if finished.returncode:
        raise AgentFailed(f"smart-agent {arguments[0]}: {finished.stderr.strip() or finished.stdout.strip()}")
