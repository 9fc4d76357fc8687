"""What of each product is told to the portal beside its UDI (WP "Cisco SSM On-Prem data sharing and privacy")."""

from typing import Any

import msgspec

from agents.onprem.server import Site, load_server, next_revision, save_server


def set_privacy(site: Site, **choices: bool | None) -> dict[str, Any]:
    """Send `hostname`, `ip_address`, `mac_address` or not; None leaves a switch alone. Returns all three.

    What is no longer sent is erased at the portal by the next file: so every product that has it is named there.
    """
    chosen = {name: value for name, value in choices.items() if value is not None}
    with site.folder.writing() as database:
        server = load_server(database)
        before = msgspec.structs.asdict(server.privacy)
        server.privacy = msgspec.structs.replace(server.privacy, **chosen)
        save_server(database, server)
        for name, value in chosen.items():
            if before[name] != value:
                database.execute(
                    f"UPDATE instance SET changed = ? WHERE is_active AND {name} <> ''",  # noqa: S608  a column of ours
                    [next_revision(database)],
                )
    return msgspec.structs.asdict(server.privacy)
