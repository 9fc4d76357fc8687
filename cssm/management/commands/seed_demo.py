"""`manage.py seed_demo`: two Smart Accounts as they might be, made through services and by real device messages."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from cssm.common.actor import SYSTEM
from cssm.common.clock import read_clock
from cssm.management.base import PortalCommand
from cssm.management.demo import accounts, content
from cssm.management.demo.devices import AgentFailed, seed_devices
from cssm.management.demo.secrets_file import DemoSecrets
from cssm.schedule import run_all
from licensing.models import Order
from licensing.services.ownership.orders import deliver_order


class Command(PortalCommand):
    help = (
        "Fill an installation with the demo: people, accounts, orders, tokens, API clients and registered devices. "
        "It can be repeated: what is there stays as it is. Its secrets are kept in a file that only its owner can read."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        secrets = DemoSecrets(settings.DEMO_FILE)
        try:
            answer = self._seed(secrets)
        except AgentFailed as error:
            raise CommandError(str(error)) from error
        finally:
            secrets.save()
        self.answer(options, answer, self._describe(answer))

    def _seed(self, secrets: DemoSecrets) -> dict[str, Any]:
        now = read_clock()
        users = accounts.seed_people(secrets, now)
        accounts.seed_accounts(now)
        clients = accounts.seed_clients(secrets, now)
        tokens = accounts.seed_tokens(secrets, now)
        secrets.save()
        starts, ends = now.date() - timedelta(days=30), now.date() + timedelta(days=335)
        for order in content.orders(starts=starts.isoformat(), ends=ends.isoformat()):
            if not Order.objects.filter(order_ref=order["orderRef"]).exists():
                deliver_order(
                    actor=SYSTEM,
                    domain=order["domain"],
                    virtual_account=order["virtualAccount"],
                    order_ref=order["orderRef"],
                    lines=order["lines"],
                    now=now,
                )
        if seed_devices({(t["domain"], t["virtual_account"]): t["token"] for t in tokens}):
            run_all(now=read_clock())
        return {"url": settings.PUBLIC_URL, "users": users, "api_clients": clients, "tokens": tokens}

    @staticmethod
    def _describe(answer: dict[str, Any]) -> str:
        people = [f"{user['email']}  {user['password']}  {', '.join(user['roles'])}" for user in answer["users"]]
        return "\n".join([answer["url"], *people])
