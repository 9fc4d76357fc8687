"""The tables. Times are Unix milliseconds, except where a text must be quoted back to the portal unchanged."""

from typing import Final

VERSION: Final = 2

_FIRST: Final = (
    # What the server is and knows of itself: one row, a JSON object; see `agents.onprem.server`. `revision` counts
    # changes of what files tell the portal: a row whose `changed` is above an export's revision is news since then.
    """CREATE TABLE server (
        id INTEGER PRIMARY KEY CHECK (id = 1), body TEXT NOT NULL, revision INTEGER NOT NULL DEFAULT 0)""",
    """CREATE TABLE local_account (
        id INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT NOT NULL UNIQUE, name TEXT NOT NULL UNIQUE,
        changed INTEGER NOT NULL)""",
    """CREATE TABLE portal_license (
        account_id INTEGER NOT NULL REFERENCES local_account, tag TEXT NOT NULL, display_name TEXT NOT NULL,
        purchased INTEGER NOT NULL, reserved INTEGER NOT NULL, in_use INTEGER NOT NULL,
        in_compliance INTEGER NOT NULL, terms TEXT NOT NULL, PRIMARY KEY (account_id, tag)) WITHOUT ROWID""",
    # Of a token only its digest: a copied database lets nobody register.
    """CREATE TABLE token (
        id INTEGER PRIMARY KEY AUTOINCREMENT, account_id INTEGER NOT NULL REFERENCES local_account,
        digest TEXT NOT NULL UNIQUE, description TEXT NOT NULL, created_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL, uses_left INTEGER CHECK (uses_left >= 0), revoked_at INTEGER)""",
    """CREATE TABLE instance (
        id INTEGER PRIMARY KEY AUTOINCREMENT, account_id INTEGER NOT NULL REFERENCES local_account,
        piid TEXT NOT NULL UNIQUE, state TEXT NOT NULL, is_active INTEGER NOT NULL,
        udi_pid TEXT NOT NULL, udi_serial_number TEXT NOT NULL, software_tag TEXT NOT NULL,
        hostname TEXT NOT NULL, ip_address TEXT NOT NULL, mac_address TEXT NOT NULL, host_identifier TEXT NOT NULL,
        ha_peers TEXT NOT NULL, ha_group TEXT NOT NULL, tiers INTEGER NOT NULL, token_id INTEGER REFERENCES token,
        registered_at INTEGER NOT NULL, last_contact_at INTEGER NOT NULL,
        last_timestamp INTEGER NOT NULL, last_request TEXT NOT NULL, last_answer BLOB NOT NULL,
        changed INTEGER NOT NULL)""",
    "CREATE UNIQUE INDEX one_active_instance ON instance (udi_pid, udi_serial_number) WHERE is_active",
    "CREATE INDEX instance_by_account ON instance (account_id, id)",
    "CREATE INDEX instance_by_group ON instance (ha_group, account_id) WHERE ha_group <> ''",
    "CREATE INDEX instance_by_change ON instance (changed)",
    # The key pairs of a registration: the product's public key and the private one that signs our answers to it. A
    # renewal adds a `pending` one; the one before it is `retired` and accepted a little longer.
    """CREATE TABLE product_key (
        id INTEGER PRIMARY KEY AUTOINCREMENT, instance_id INTEGER NOT NULL REFERENCES instance, role TEXT NOT NULL,
        public_key TEXT NOT NULL, signing_key TEXT NOT NULL, id_cert_serial TEXT NOT NULL,
        expires_at INTEGER NOT NULL, UNIQUE (instance_id, role))""",
    # Registrations by the key that asked: the same bytes get the same answer, older ones none.
    """CREATE TABLE registration_receipt (
        key TEXT PRIMARY KEY, last_timestamp INTEGER NOT NULL, last_request TEXT NOT NULL, last_answer BLOB NOT NULL
        ) WITHOUT ROWID""",
    """CREATE TABLE usage (
        id INTEGER PRIMARY KEY AUTOINCREMENT, instance_id INTEGER NOT NULL REFERENCES instance, tag TEXT NOT NULL,
        quantity INTEGER NOT NULL CHECK (quantity >= 0), UNIQUE (instance_id, tag))""",
    """CREATE TABLE account_use (
        account_id INTEGER NOT NULL REFERENCES local_account, tag TEXT NOT NULL, quantity INTEGER NOT NULL,
        PRIMARY KEY (account_id, tag)) WITHOUT ROWID""",
    # Requests to synchronize that were written; what they told of use is the baseline of the response's figures.
    """CREATE TABLE export (
        id INTEGER PRIMARY KEY AUTOINCREMENT, generated TEXT NOT NULL UNIQUE, is_full INTEGER NOT NULL,
        revision INTEGER NOT NULL, digest TEXT NOT NULL)""",
    """CREATE TABLE export_use (
        export_id INTEGER NOT NULL REFERENCES export ON DELETE CASCADE, account_id INTEGER NOT NULL,
        tag TEXT NOT NULL, quantity INTEGER NOT NULL, PRIMARY KEY (export_id, account_id, tag)) WITHOUT ROWID""",
    # What products asked to have converted. `told_in` is the request that first named it, by its time; only a response
    # to that or a later one can tell the result, which `status` then is.
    """CREATE TABLE conversion (
        id INTEGER PRIMARY KEY AUTOINCREMENT, instance_id INTEGER NOT NULL REFERENCES instance,
        poll_id INTEGER NOT NULL UNIQUE, software_tag TEXT NOT NULL, locale TEXT NOT NULL, lines TEXT NOT NULL,
        asked_at INTEGER NOT NULL, told_in TEXT NOT NULL DEFAULT '', status TEXT NOT NULL DEFAULT '',
        message TEXT NOT NULL DEFAULT '')""",
    "CREATE INDEX conversion_by_instance ON conversion (instance_id, status)",
    """CREATE TABLE provider (name TEXT PRIMARY KEY, enabled INTEGER NOT NULL, keys TEXT NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE marked (id INTEGER PRIMARY KEY AUTOINCREMENT, facts TEXT NOT NULL)""",
)

_USAGE_REPORTS: Final = (
    # Every ID certificate that was issued here: a usage report may have waited for a renewal, or a new registration.
    """CREATE TABLE issued_key (
        id_cert_serial TEXT PRIMARY KEY, udi_pid TEXT NOT NULL, udi_serial_number TEXT NOT NULL,
        public_key TEXT NOT NULL) WITHOUT ROWID""",
    """INSERT OR IGNORE INTO issued_key SELECT k.id_cert_serial, i.udi_pid, i.udi_serial_number, k.public_key
        FROM product_key k JOIN instance i ON i.id = k.instance_id""",
    # `status` is the portal's answer, empty until it has come; then the text is no longer needed.
    """CREATE TABLE usage_report (
        id INTEGER PRIMARY KEY AUTOINCREMENT, udi_pid TEXT NOT NULL, udi_serial_number TEXT NOT NULL,
        report_id INTEGER NOT NULL, digest TEXT NOT NULL, payload TEXT NOT NULL, signature TEXT NOT NULL,
        asked_at INTEGER NOT NULL, status TEXT NOT NULL DEFAULT '', message TEXT NOT NULL DEFAULT '',
        settled_at INTEGER NOT NULL DEFAULT 0, UNIQUE (udi_pid, udi_serial_number, digest))""",
    "CREATE INDEX usage_report_by_status ON usage_report (status, id)",
    # Which of them a request named, in its order: the response answers in the same.
    """CREATE TABLE export_report (
        export_id INTEGER NOT NULL REFERENCES export ON DELETE CASCADE, position INTEGER NOT NULL,
        usage_report_id INTEGER NOT NULL, PRIMARY KEY (export_id, position)) WITHOUT ROWID""",
    # What a product that handed in reports can poll for: rows of them, and what was refused at once.
    """CREATE TABLE usage_promise (
        poll_id INTEGER PRIMARY KEY, instance_id INTEGER NOT NULL REFERENCES instance, entries TEXT NOT NULL,
        asked_at INTEGER NOT NULL)""",
    "CREATE INDEX usage_promise_by_instance ON usage_promise (instance_id)",
)

STEPS: Final = (_FIRST, _USAGE_REPORTS)
"""What each version adds to the one before."""
