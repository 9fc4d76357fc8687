"""`make run`: prepare what is missing, then run web, workers and beat in one terminal until Ctrl-C.

Each process gets its own environment: only the root worker is given the root key's passphrase.
"""

import json
import os
import secrets
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from dotenv import dotenv_values
from honcho.manager import Manager

BASE_DIR = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
ENV_FILE = BASE_DIR / ".env"
ROOT_PASSPHRASE_FILE = BASE_DIR / ".env.root-passphrase"
VAR_DIR = Path(os.environ.get("VAR_DIR", BASE_DIR / "var"))


MOST_WAITING = 4096
"""Connections of one web process at a time. Waiting takes no thread, and of whom the server does not look at, it cannot
know that they want something else."""


def web_command(*, port: int | str, workers: int) -> list[str]:
    """How the web is served on this machine's own address, by so many processes."""
    options = {"--interface": "asgi", "--host": "127.0.0.1", "--port": port, "--workers": workers}
    options |= {"--backlog": MOST_WAITING, "--backpressure": MOST_WAITING, "--log-level": "warning"}
    named = [str(part) for option in options.items() for part in option]
    return [str(BIN / "granian"), *named, "--no-ws", "cssm.asgi:application"]


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, never for a moment otherwise."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def ensure_secrets() -> None:
    """Random secrets for this checkout, made once."""
    if not ENV_FILE.exists():
        lines = [f"{name}={secrets.token_urlsafe(48)}" for name in ("SECRET_KEY", "KEY_ENCRYPTION_KEY")]
        write_private(ENV_FILE, "\n".join([*lines, "DEBUG=false", ""]))
    if not ROOT_PASSPHRASE_FILE.exists():
        write_private(ROOT_PASSPHRASE_FILE, secrets.token_urlsafe(48))


def find_address(port: str) -> str:
    """The portal's own address: what is set, in the environment or in `.env`, else this machine and port."""
    given = os.environ.get("PUBLIC_URL") or dotenv_values(ENV_FILE).get("PUBLIC_URL")
    return given or f"http://127.0.0.1:{port}"


def keep_address(url: str) -> None:
    """Tell commands that are typed beside the running portal where it is: see `cssm.settings`."""
    VAR_DIR.mkdir(parents=True, exist_ok=True)
    (VAR_DIR / "run.env").write_text(f"PUBLIC_URL={url}\n")


def manage(environment: dict[str, str], *arguments: str) -> str:
    """Run a management command to its end; its standard output is returned, its errors are shown."""
    finished = subprocess.run(  # noqa: S603  our own program and arguments
        [sys.executable, str(BASE_DIR / "manage.py"), *arguments],
        env=environment,
        cwd=BASE_DIR,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if finished.returncode:
        sys.exit(f"manage.py {' '.join(arguments)} failed with exit code {finished.returncode}")
    return finished.stdout


def announce(demo: dict[str, object], url: str) -> None:
    say = sys.stdout.write
    say(f"\nSmart Account Portal: {url}\n\nDemo logins\n")
    for user in demo["users"]:  # type: ignore[attr-defined]  # a list of objects, see seed_demo
        say(f"  {user['email']:<28} {user['password']}   {', '.join(user['roles'])}\n")
    tokens = demo["tokens"]
    if isinstance(tokens, list) and tokens:
        say(f"\nSample ID token for {tokens[0]['domain']} / {tokens[0]['virtual_account']}\n  {tokens[0]['token']}\n")
    say("\nCtrl-C stops everything.\n\n")
    sys.stdout.flush()


def main() -> int:
    port = os.environ.get("PORT", "8000")
    ensure_secrets()
    url = find_address(port)
    keep_address(url)
    environment = {**os.environ, "PUBLIC_URL": url, "PYTHONUNBUFFERED": "1", "DJANGO_SETTINGS_MODULE": "cssm.settings"}
    # Celery tells every worker of an administrator's account so, at length; here they do what that account started.
    environment.setdefault("PYTHONWARNINGS", "ignore:You're running the worker with superuser privileges")
    with_passphrase = {**environment, "ROOT_KEY_PASSPHRASE_FILE": str(ROOT_PASSPHRASE_FILE)}
    # Nudges carry no data, and what they point at is in rows: old ones are only in the way.
    shutil.rmtree(VAR_DIR / "broker", ignore_errors=True)
    manage(with_passphrase, "bootstrap")
    manage(environment, "collectstatic", "--noinput", "--verbosity", "0")
    demo = json.loads(manage(environment, "seed_demo", "--json"))
    announce(demo, url)

    celery = f"{BIN / 'celery'} -A cssm --quiet"
    manager = Manager()
    manager.add_process(
        "web",
        shlex.join(web_command(port=port, workers=1)),
        env=environment,
        cwd=str(BASE_DIR),
    )
    manager.add_process(
        "worker",
        f"{celery} worker -P threads -c 4 -Q default,sync,mail -n worker@%h --without-gossip --without-mingle",
        env=environment,
        cwd=str(BASE_DIR),
    )
    manager.add_process(
        "root",
        f"{celery} worker -P threads -c 1 -Q root-ca -n root@%h --without-gossip --without-mingle",
        env=with_passphrase,
        cwd=str(BASE_DIR),
    )
    manager.add_process("beat", f"{celery} beat --loglevel warning", env=environment, cwd=str(BASE_DIR))
    manager.loop()
    return manager.returncode or 0


if __name__ == "__main__":
    sys.exit(main())
