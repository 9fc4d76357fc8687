"""The whole product as separate processes, on a database and a port of its own, with a mail sink behind it."""

import json
import os
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from cssm.launch import web_command
from tests.migrated import copy_migrated_database, copy_migrated_file, drop_database
from tests.programs import run_openssl

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


class MailSink:
    """Takes every message and keeps it with its recipients."""

    def __init__(self) -> None:
        self.messages: list[tuple[list[str], EmailMessage]] = []

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        message = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.messages.append((list(envelope.rcpt_tos), message))
        return "250 OK"

    def to(self, address: str) -> list[EmailMessage]:
        return [message for recipients, message in self.messages if address in recipients]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(look: Callable[[], Any], *, seconds: float, what: str) -> Any:
    """Look again until something is there; other processes work meanwhile, so there is nothing else to wait on."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s: {what}")


@dataclass
class Stack:
    """`url` is the live portal; `manage` runs a management command against the same database."""

    folder: Path
    port: int = field(default_factory=free_port)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    mail: MailSink = field(default_factory=MailSink)
    database: str = ""
    smtp: Any = None
    web_workers: int = 1
    key_pool_size: int = 12
    in_sessions: bool = False
    """Each process leads a session of its own, so that it can be killed with all that it started."""
    commands: dict[str, tuple["subprocess.Popen[bytes]", list[str], dict[str, str]]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.smtp = Controller(self.mail, hostname="127.0.0.1", port=free_port())
        self.smtp.start()
        server = os.environ.get("DATABASE_URL", "")
        self.database = f"flow_{secrets.token_hex(6)}"
        if server.startswith("postgres"):
            copy_migrated_database(server, self.database)
            database_url = urlsplit(server)._replace(path=f"/{self.database}").geturl()
        else:
            copy_migrated_file(self.folder / "flow.sqlite3")
            database_url = f"sqlite:///{self.folder / 'flow.sqlite3'}"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "DJANGO"))},
            "DATABASE_URL": database_url,
            "CELERY_BROKER_URL": os.environ.get("CELERY_BROKER_URL", ""),
            "CACHE_URL": os.environ.get("CACHE_URL", ""),
            "KEY_PREFIX": self.database,
            "SECRET_KEY": secrets.token_urlsafe(48),
            "KEY_ENCRYPTION_KEY": secrets.token_urlsafe(48),
            "ROOT_KEY_PASSPHRASE": secrets.token_urlsafe(48),
            "PUBLIC_URL": self.url,
            "EMAIL_URL": f"smtp://127.0.0.1:{self.smtp.port}",
            "KEY_POOL_SIZE": str(self.key_pool_size),
            "DEBUG": "false",
            "VAR_DIR": str(self.folder),
            "STATIC_ROOT": str(self.folder / "static"),
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "default",
        }
        self.manage("bootstrap")
        self.manage("collectstatic", "--noinput", "--verbosity", "0")
        without_root = {k: v for k, v in self.environment.items() if k != "ROOT_KEY_PASSPHRASE"}
        celery = [str(BIN / "celery"), "-A", "cssm", "--quiet"]
        self.spawn("web", web_command(port=self.port, workers=self.web_workers), without_root)
        queues = ["-P", "threads", "-c", "3", "-Q", "default,sync,mail", "--without-gossip", "--without-mingle"]
        self.spawn("worker", [*celery, "worker", *queues, "-n", f"{self.database}@%h"], without_root)
        self.spawn("beat", [*celery, "beat", "--loglevel", "warning"], without_root)
        wait_for(self._is_live, seconds=180, what=f"the web server on {self.url}")

    def stop(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self.smtp is not None:
            self.smtp.stop()
        server = os.environ.get("DATABASE_URL", "")
        if server.startswith("postgres"):
            drop_database(server, self.database)
        shutil.rmtree(self.folder, ignore_errors=True)

    def spawn(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        """Start a process of the installation, its output in a log in its folder."""
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command, env=environment, cwd=ROOT, stdout=log, stderr=log, start_new_session=self.in_sessions
            )
        self.processes.append(process)
        self.commands[name] = (process, command, environment)

    def kill(self, *names: str) -> None:
        """At once and without a chance to tidy up."""
        for name in names:
            os.killpg(self.commands[name][0].pid, signal.SIGKILL)
        for name in names:
            self.commands[name][0].wait()
            self.processes.remove(self.commands[name][0])

    def revive(self, *names: str) -> None:
        """Start again what was killed."""
        for name in names:
            _, command, environment = self.commands[name]
            self.spawn(name, command, environment)
        wait_for(self._is_live, seconds=180, what=f"the web server on {self.url}")

    def manage(self, *arguments: str, code: int = 0) -> str:
        return self.python(str(ROOT / "manage.py"), *arguments, code=code)

    def python(self, *arguments: str, code: int = 0) -> str:
        """Run Python with the settings of this stack (and the root's passphrase)."""
        finished = subprocess.run(
            [sys.executable, *arguments],
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert finished.returncode == code, f"{arguments}: {finished.returncode}\n{finished.stdout}\n{finished.stderr}"
        return finished.stdout

    def manage_json(self, *arguments: str) -> Any:
        return json.loads(self.manage(*arguments))

    def agent(self, state: Path, *arguments: str, code: int = 0) -> Any:
        """Run the reference Smart Agent as a program; returns what it prints as JSON."""
        finished = subprocess.run(
            [sys.executable, "-m", "agents.smart_agent", "--state", str(state), "--json", *arguments],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert finished.returncode == code, f"{arguments}: {finished.returncode}\n{finished.stdout}\n{finished.stderr}"
        return json.loads(finished.stdout) if finished.stdout.strip() else {}

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:  # noqa: S310  our own address
            return bytes(answer.read())

    def count(self, table: str) -> int:
        """Rows in a table of the journey's own database."""
        address = self.environment["DATABASE_URL"]
        statement = f"SELECT count(*) FROM {table}"  # noqa: S608  our own table names
        if address.startswith("sqlite"):
            with closing(sqlite3.connect(address.removeprefix("sqlite:///"))) as file:
                return int(file.execute(statement).fetchone()[0])
        with psycopg.connect(address.replace("postgres://", "postgresql://")) as connection:
            row = connection.execute(statement.encode()).fetchone()
            return int(row[0]) if row else 0

    def execute(self, statement: str) -> None:
        """Run a statement on the journey's own PostgreSQL database."""
        address = self.environment["DATABASE_URL"].replace("postgres://", "postgresql://")
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(statement.encode())

    def shift(self, table: str, column: str, *, hours: int) -> None:
        """Make times of all rows earlier, as if so much time had passed."""
        address = self.environment["DATABASE_URL"]
        if address.startswith("sqlite"):
            earlier = f"UPDATE {table} SET {column} = datetime({column}, '-{hours} hours')"  # noqa: S608  our own names
            with closing(sqlite3.connect(address.removeprefix("sqlite:///"), timeout=30)) as file, file:
                file.execute(earlier)
            return
        self.execute(f"UPDATE {table} SET {column} = {column} - interval '{hours} hours'")  # noqa: S608  our own names

    @staticmethod
    def read_state(state: Path) -> Any:
        """What an agent keeps."""
        return json.loads((state / "state.json").read_text())

    @staticmethod
    def openssl(*arguments: str) -> str:
        finished = run_openssl(*arguments)
        assert finished.returncode == 0, f"{arguments}: {finished.stdout}{finished.stderr}"
        return finished.stdout

    def logs(self) -> str:
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log")))

    def _is_live(self) -> bool:
        if any(process.poll() is not None for process in self.processes):
            raise AssertionError(self.logs())
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=2) as answer:  # noqa: S310  our own address
                return bool(answer.status == 200)
        except OSError:
            return False
