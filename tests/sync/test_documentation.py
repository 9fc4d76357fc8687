"""What the file reference says is what the product does: its example is read, its commands are run."""

import io
import re
import shutil
import subprocess
import textwrap
from pathlib import Path

from pki.services import authorities as pki_authorities
from sync.codecs.synchronization import Instance, SynchronizationReader
from sync.errors import FileCode
from sync.services.storage import StoredFile
from sync.states import MarkReason, Side
from tests.sync.conftest import Plant

REFERENCE = (Path(__file__).parents[2] / "docs" / "onprem-files.md").read_text()


def block_after(heading: str, first: str) -> str:
    """The indented block below a heading that begins with `first`."""
    part = REFERENCE[REFERENCE.index(heading) :]
    found = re.search(rf"(?:^    {re.escape(first)}.*\n)(?:^    .*\n)*", part, re.MULTILINE)
    assert found is not None
    return textwrap.dedent(found[0])


def test_the_worked_example_is_a_file_that_is_read():
    content = block_after("## A worked example", ":format:").encode()
    items = list(SynchronizationReader(io.BytesIO(content), len(content)))
    [instance] = [item for item in items if isinstance(item, Instance)]
    assert (instance.id, instance.ha_group, instance.uses[0].quantity) == ("7", "pair", 3)


def test_the_commands_of_the_reference_verify_a_file_of_ours(plant: Plant, tmp_path: Path):
    exchange = plant.register()
    (tmp_path / "response.yaml").write_bytes(b"".join(StoredFile(exchange, Side.RESPONSE)))
    for path in pki_authorities.export_trust(tmp_path):
        assert path.exists()
    # The test's clock stands; OpenSSL's does not.
    commands = (
        block_after("## The envelope", "n=$(") + block_after("## The envelope", "sed -n '/^:local_sub_ca_cert_1_1")
    ).replace("-x509_strict", f"-x509_strict -attime {int(plant.now.timestamp())}")
    bash = shutil.which("bash") or "bash"
    finished = subprocess.run([bash, "-ec", commands], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.splitlines() == ["Verified OK", "signer.pem: OK", "local-sub-ca.pem: OK"]


def test_every_reason_and_code_is_in_the_reference():
    missing = [value.value for kind in (FileCode, MarkReason) for value in kind if f"`{value.value}`" not in REFERENCE]
    assert missing == []
