import pytest

from accounts.services.actors import actor_for_user
from licensing.models import License
from tests.licensing.exchange.export_cast import HSEC
from tests.licensing.stock import deliver, import_rows, line


@pytest.fixture
def hsec(engineering, now):
    """Five units of an export-controlled license in Engineering."""
    row = f'"{HSEC}",entitlement,Router US Export Lic. for DNA,,perpetual,ENFORCED,RESTRICTED,'
    import_rows(
        [row], now, columns="tag,kind,display_name,feature_name,license_type,enforcement_type,export_status,pids"
    )
    license = License.objects.get(tag=HSEC)
    deliver(engineering, line(license, 5), now=now)
    return license


@pytest.fixture
def admin(alice, acme):
    return actor_for_user(alice)
