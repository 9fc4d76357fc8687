"""The commands that let time pass: `run` for one product, `fleet` for many."""

import argparse
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from agents.smart_agent.client import SmartAgent
from agents.smart_agent.errors import UsageError
from agents.smart_agent.fleet import Said, VirtualClock, summarise, walk
from agents.smart_agent.messages import Sudi
from agents.smart_agent.runner import Runner
from agents.smart_agent.schedule import DAY
from agents.smart_agent.state import Product, StateStore
from agents.smart_agent.status import describe
from agents.smart_agent.transport import open_transport, place_url

LONGEST_NAP: Final = 60.0
MOST_PRODUCTS: Final = 100_000
REPORT_DAYS: Final = 30.0
REPORTING: Final = f"report usage every so many days, 0 for never (real clock: {REPORT_DAYS:.0f}, virtual: never)"
NOTE: Final = (
    "With a virtual clock the server should keep the same time. One that keeps real time answers too, but its "
    "certificates end 365 real days from now, so that half a virtual year is the most that makes sense."
)


def add_running(add_parser: Callable[..., argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    """Add the two commands to the program's parser."""
    run = add_parser("run", help="Keep every schedule.", description=f"Keep every schedule. {NOTE}", parents=[common])
    run.add_argument("--clock", choices=("real", "virtual"), default="real")
    run.add_argument("--days", type=_parse_days, help="stop after so many days (virtual: 90, real: never)")
    run.add_argument("--report-every", type=_parse_period, metavar="DAYS", help=REPORTING)
    run.set_defaults(run=run_product)
    fleet = add_parser(
        "fleet",
        help="Walk many products.",
        description=f"Walk many products through virtual days. {NOTE}",
        parents=[common],
    )
    fleet.add_argument("--count", type=_parse_count, default=10, help="how many products")
    fleet.add_argument("--days", type=_parse_days, default=30.0, help="virtual days")
    fleet.add_argument("--url", required=True)
    fleet.add_argument("--trust", required=True, metavar="PEM", type=Path)
    fleet.add_argument("--token", required=True)
    fleet.add_argument("--pid", default="FLEET")
    fleet.add_argument("--tag", help="an entitlement tag that each product uses once")
    fleet.add_argument("--report-every", type=_parse_period, metavar="DAYS", default=0.0, help="usage reports (never)")
    fleet.set_defaults(run=run_fleet)


def run_product(agent: SmartAgent, options: argparse.Namespace) -> dict[str, Any]:
    """Print what the product says until it is interrupted, or so many days are over. Returns the status."""
    virtual = options.clock == "virtual"
    days = options.days if options.days is not None else (90.0 if virtual else None)
    clock = VirtualClock()
    if virtual:
        agent.use_clock(clock)
    every = options.report_every if options.report_every is not None else (0.0 if virtual else REPORT_DAYS)
    runner = Runner(agent, report_every=int(every * DAY))
    product = runner.state.product
    host = product.hostname if product else ""

    def say(said: Said) -> None:
        print(said.line.render(host), flush=True, file=sys.stderr if getattr(options, "json", False) else sys.stdout)

    if virtual:
        walk([runner], clock=clock, days=days or 0, say=say)
        return describe(runner.state, clock.milliseconds)
    deadline = None if days is None else time.time() + days * 86400
    try:
        while deadline is None or time.time() < deadline:
            runner.refresh()
            for line in runner.step():
                say(Said(0, line))
            following = runner.next_at()
            wait = LONGEST_NAP if following is None else following / 1000 - time.time()
            if deadline is not None:
                wait = min(wait, deadline - time.time())
            time.sleep(min(max(wait, 0.05), LONGEST_NAP))
    except KeyboardInterrupt:
        pass
    return agent.status()


def run_fleet(agent: SmartAgent, options: argparse.Namespace) -> dict[str, Any]:
    """Register the products, each with a folder of its own below that of the agent, and let time pass."""
    try:
        root = options.trust.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        raise UsageError(f"{options.trust} is not a PEM file that can be read.") from None
    folder = agent.folder
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    clock = VirtualClock(datetime.now(UTC))
    url = place_url(options.url, options.transport) if getattr(options, "transport", None) else options.url
    runners = []
    for number in range(options.count):
        one = SmartAgent(StateStore(folder / f"{number:06}", durable=False), connect=open_transport, clock=clock)
        if one.peek().identity is None:
            product = Product(
                sudi=Sudi(udi_pid=options.pid, udi_serial_number=f"F{number:06}"), software_tag=options.pid
            )
            one.register(url=url, root=root, product=product, token=options.token)
            one.acknowledge()
            if options.tag:
                one.authorize({options.tag: 1})
        runners.append(Runner(one, keeps_plan=False, report_every=int(options.report_every * DAY)))
    heard = walk(runners, clock=clock, days=options.days)
    return summarise(runners, heard, clock)


def _parse_count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MOST_PRODUCTS):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {MOST_PRODUCTS}")
    return int(text)


def _parse_period(text: str) -> float:
    return 0.0 if text == "0" else _parse_days(text)


def _parse_days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = -1.0
    if not 0 < days <= 36500:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of days")
    return days
