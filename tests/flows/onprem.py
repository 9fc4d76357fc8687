"""An on-prem license server of a customer, as its administrator meets it: programs, files carried to the portal."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.flows.stack import ROOT, Stack
from tests.flows.visitors import Program


class OnPrem:
    """One server in `folder`; its files are carried to the portal by an API client."""

    def __init__(self, stack: Stack, client: Program, folder: Path, account: str) -> None:
        self.stack, self.client, self.folder, self.account = stack, client, folder, account
        self.state = folder / "onprem"

    def run(self, *arguments: str, code: int = 0) -> Any:
        finished = subprocess.run(
            self._command(*arguments), env=self._environment, cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert finished.returncode == code, f"{arguments}: {finished.returncode}\n{finished.stdout}\n{finished.stderr}"
        return json.loads(finished.stdout)

    def register(self, *, name: str, va: str) -> None:
        """Registration file to the portal, authorization file back."""
        trust = self.folder / "trust"
        self.stack.manage("export_trust", str(trust))
        asked = self.run("request-registration", "--name", name, "--trust", str(trust))
        answer = self.carry(f"{self.account}/onprem-servers?virtualAccount={va}", Path(asked["file"]))
        self.registered_at = datetime.fromisoformat(self.run("install-authorization", str(answer))["last_sync"])

    def synchronize(self, *options: str) -> Any:
        """Request to the portal, response back; returns what installing it said."""
        asked = self.run("request-sync", *options)
        uuid = self.run("status")["instance_id"]
        return self.run(
            "install-sync",
            str(self.carry(f"{self.account}/onprem-servers/{uuid}/synchronizations", Path(asked["file"]))),
        )

    def carry(self, path: str, file: Path) -> Path:
        """Upload a file; the file that is answered."""
        status, content = self.client.upload(path, file.read_bytes())
        assert status in (200, 201), content.decode()
        answer = self.folder / "answer.yaml"
        answer.write_bytes(content)
        return answer

    @contextmanager
    def serving(self) -> Iterator[str]:
        """The URL at which products reach it."""
        command = self._command("serve", "--http", "127.0.0.1:0")
        with subprocess.Popen(command, env=self._environment, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                yield json.loads(process.stdout.readline())["serving"]["http"]
            finally:
                process.terminate()

    def verify_with_openssl(self, device: Path) -> int:
        """How many tiers OpenSSL sees from a product's certificate to the exported root."""
        kept = self.stack.read_state(device)["identity"]
        between = self.folder / "between.pem"
        between.write_text(kept["sub_ca_cert"] + "".join(kept["chain"]))
        root = self.folder / "trust" / "root.pem"
        for name in ("id_cert", "signing_cert"):
            (self.folder / f"{name}.pem").write_text(kept[name])
            shown = self.stack.openssl(
                "verify", "-x509_strict", "-show_chain", "-CAfile", str(root), "-untrusted", str(between),
                str(self.folder / f"{name}.pem"),
            )  # fmt: skip
        return shown.count("depth=")

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "agents.onprem", "--state", str(self.state), "--json", *arguments]

    @property
    def _environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
