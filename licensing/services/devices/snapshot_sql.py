"""The statements that apply a snapshot, in their order. Each reads whole sets; rows that do not change are left alone.

Parameters: `snap`, `origin`, `sa`, `now`, `generated` (the moment of the file), `lapse` (claims not heard of since then
hold nothing), `refresh`, `restricted` (the account gets no export-restricted license), `full`.
Temporary tables: snap_named (what the file names, beside what is known), snap_gone, snap_use, snap_use_gone,
snap_candidate, snap_verdict, snap_affected, snap_before, snap_change.
"""

from typing import Final

TABLES: Final = (
    "snap_named",
    "snap_gone",
    "snap_use",
    "snap_use_gone",
    "snap_candidate",
    "snap_verdict",
    "snap_affected",
    "snap_group",
    "snap_before",
    "snap_change",
)

# By which columns the later statements look rows up.
LOOKED_UP_BY: Final = {
    "snap_named": ("external_id", "instance_id"),
    "snap_gone": ("id",),
    "snap_use": ("instance_id",),
    "snap_use_gone": ("instance_id",),
    "snap_candidate": ("udi",),
    "snap_verdict": ("instance_id",),
    "snap_affected": ("id",),
}

_DETAILS: Final = (
    "software_tag", "udi", "udi_pid", "udi_serial_number", "hostname", "ip_address", "mac_address", "host_identifier",
)  # fmt: skip
# What stands in braces below.
_COMMON: Final = {
    "active": "('registering', 'registered', 'renewing')",
    "counted": "('registered', 'renewing')",
    "differs": " OR ".join(f"p.{name} <> s.{name}" for name in _DETAILS),
    "losers": "SELECT holder_id FROM snap_verdict"
    " WHERE reason = '' AND holder_id IS NOT NULL AND holder_id <> instance_id",
    "signed": "CASE WHEN s.quantity > 0 THEN '+' ELSE '−' END || CAST(ABS(s.quantity) AS text)",
    "group_key": "CASE WHEN s.ha_group = '' THEN '#' || s.external_id"
    " ELSE CAST(a.virtual_account_id AS text) || ':' || s.ha_group END",
}

NAMED: Final = """
CREATE TEMPORARY TABLE snap_named {drop} AS
SELECT s.id AS staged_id, s.line, s.external_id, s.udi, s.is_active, a.virtual_account_id AS va,
       {group_key} AS group_key, s.ha_group <> '' AS in_group, p.id AS instance_id,
       s.is_active AND a.virtual_account_id IS NOT NULL AS wanted,
       p.id IS NULL AS is_new,
       p.id IS NOT NULL AND p.state IN {active} AS was_active,
       p.id IS NOT NULL AND p.is_counted AS was_counted,
       p.id IS NOT NULL AND p.udi <> s.udi AS is_other_product,
       p.id IS NOT NULL AND p.virtual_account_id <> a.virtual_account_id AS moves, p.virtual_account_id AS old_va,
       p.id IS NOT NULL
         AND (p.virtual_account_id <> a.virtual_account_id OR g.key <> {group_key} OR {differs}) AS differs
  FROM licensing_stagedinstance s
  JOIN licensing_snapshotaccount a ON a.snapshot_id = s.snapshot_id AND a.position = s.account
  LEFT JOIN licensing_productinstance p ON p.origin_id = %(origin)s AND p.external_id = s.external_id
  LEFT JOIN licensing_hagroup g ON g.id = p.ha_group_id
 WHERE s.snapshot_id = %(snap)s
"""

GONE: Final = """
CREATE TEMPORARY TABLE snap_gone {drop} AS
SELECT instance_id AS id, 'deregistered' AS state FROM snap_named WHERE was_active AND NOT wanted
UNION ALL
SELECT p.id, 'removed' FROM licensing_productinstance p
 WHERE %(full)s AND p.origin_id = %(origin)s AND p.state IN {active}
   AND NOT EXISTS (SELECT 1 FROM snap_named n WHERE n.instance_id = p.id)
"""

MAKE: Final = (
    # Groups that are named for the first time.
    """
INSERT INTO licensing_hagroup (smart_account_id, virtual_account_id, created_at, origin_id, key)
SELECT %(sa)s, MIN(va), %(now)s, %(origin)s, group_key FROM snap_named
 WHERE wanted AND (is_new OR differs) GROUP BY group_key ORDER BY group_key
    ON CONFLICT (origin_id, key) DO NOTHING
""",
    # New instances. They count unless the claims, which are looked at later, say otherwise: then each is written once.
    """
INSERT INTO licensing_productinstance (smart_account_id, virtual_account_id, origin_id, external_id, piid, udi, udi_pid,
       udi_serial_number, udi_vid, uuid, host_identifier, software_tag, hostname, ip_address, mac_address, ha_group_id,
       ha_peers, state, is_counted, claim_lost, export_controlled_allowed, holds_export_key, registered_at)
SELECT %(sa)s, n.va, %(origin)s, s.external_id, {uuid}, s.udi, s.udi_pid, s.udi_serial_number, '', '',
       s.host_identifier, s.software_tag, s.hostname, s.ip_address, s.mac_address, g.id,
       '[]', 'registered', {true}, {false}, {true}, {false}, COALESCE(s.registered_at, %(generated)s)
  FROM snap_named n
  JOIN licensing_stagedinstance s ON s.id = n.staged_id
  JOIN licensing_hagroup g ON g.origin_id = %(origin)s AND g.key = n.group_key
 WHERE n.wanted AND n.is_new ORDER BY n.line
""",
    """
UPDATE snap_named SET instance_id = p.id FROM licensing_productinstance p
 WHERE p.origin_id = %(origin)s AND p.external_id = snap_named.external_id AND snap_named.is_new AND snap_named.wanted
""",
    """
INSERT INTO licensing_instancecontact (instance_id, last_timestamp, revision, request_digest, last_contact_at,
       is_overdue, rate_level, rate_at)
SELECT instance_id, 0, 0, '', %(generated)s, {false}, 0, 0 FROM snap_named WHERE wanted AND is_new
""",
)

USE: Final = (
    """
CREATE TEMPORARY TABLE snap_use {drop} AS
SELECT d.* FROM (
  SELECT n.instance_id, u.tag, u.quantity, l.id AS license_id,
         CASE WHEN l.id IS NULL THEN 'invalid_tag'
              WHEN l.export_restricted AND %(restricted)s THEN 'export_restricted' ELSE 'counted' END AS kind
    FROM licensing_stageduse u
    JOIN snap_named n ON n.external_id = u.external_id
    LEFT JOIN licensing_license l ON l.tag = u.tag
   WHERE u.snapshot_id = %(snap)s AND n.wanted
) d
LEFT JOIN licensing_usage o ON o.instance_id = d.instance_id AND o.tag = d.tag
WHERE o.id IS NULL OR o.quantity <> d.quantity OR o.kind <> d.kind
   OR COALESCE(o.license_id, 0) <> COALESCE(d.license_id, 0)
""",
    """
CREATE TEMPORARY TABLE snap_use_gone {drop} AS
SELECT o.id, o.instance_id FROM licensing_usage o
  JOIN snap_named n ON n.instance_id = o.instance_id
  LEFT JOIN licensing_stageduse u ON u.snapshot_id = %(snap)s AND u.external_id = n.external_id AND u.tag = o.tag
 WHERE n.wanted AND NOT n.is_new AND u.id IS NULL
""",
)

CLAIMS: Final = (
    """
DELETE FROM licensing_udiclaim WHERE instance_id IN (
  SELECT id FROM snap_gone UNION SELECT instance_id FROM snap_named WHERE is_other_product)
""",
    # Whose claim is to be looked at: what is new, came back or is another product, and what has not counted so far.
    # Only what was really in touch since (new, or with another use) can take the count from another registration.
    """
CREATE TEMPORARY TABLE snap_candidate {drop} AS
SELECT n.instance_id, n.udi, n.line,
       CASE WHEN n.is_new THEN COALESCE(s.registered_at, %(generated)s) ELSE %(generated)s END AS contact_at,
       n.is_new OR EXISTS (SELECT 1 FROM snap_use u WHERE u.instance_id = n.instance_id)
                OR EXISTS (SELECT 1 FROM snap_use_gone u WHERE u.instance_id = n.instance_id) AS contests
  FROM snap_named n JOIN licensing_stagedinstance s ON s.id = n.staged_id
 WHERE n.wanted AND (n.is_new OR NOT n.was_active OR NOT n.was_counted OR n.is_other_product)
""",
)
# Of a product that stands twice, the last line.
NEW_CLAIMS: Final = """
INSERT INTO licensing_udiclaim (udi, smart_account_id, instance_id, last_contact_at)
SELECT k.udi, %(sa)s, k.instance_id, %(generated)s FROM snap_candidate k
 WHERE NOT EXISTS (SELECT 1 FROM snap_candidate o WHERE o.udi = k.udi AND o.line > k.line) ORDER BY k.udi
    ON CONFLICT (udi) DO NOTHING
"""
LOCK_CLAIMS: Final = """
SELECT c.id FROM licensing_udiclaim c WHERE c.udi IN (SELECT udi FROM snap_candidate) ORDER BY c.udi FOR UPDATE
"""
VERDICT: Final = """
CREATE TEMPORARY TABLE snap_verdict {drop} AS
SELECT k.instance_id, c.id AS claim_id, c.instance_id AS holder_id,
       CASE WHEN k.line <> last.line THEN 'twice_in_file'
            WHEN h.state = 'reserved' OR h.holds_export_key THEN 'reserved'
            WHEN c.smart_account_id <> %(sa)s
                 AND {greatest}(c.last_contact_at, COALESCE(t.last_contact_at, c.last_contact_at)) >= %(lapse)s
                 THEN 'claimed_elsewhere'
            WHEN c.smart_account_id <> %(sa)s OR c.instance_id IS NULL OR c.instance_id = k.instance_id THEN ''
            WHEN h.state NOT IN {active} THEN ''
            WHEN k.contests AND t.last_contact_at < k.contact_at THEN ''
            ELSE 'later_contact' END AS reason
  FROM snap_candidate k
  JOIN (SELECT udi, MAX(line) AS line FROM snap_candidate GROUP BY udi) last ON last.udi = k.udi
  JOIN licensing_udiclaim c ON c.udi = k.udi
  LEFT JOIN licensing_productinstance h ON h.id = c.instance_id
  LEFT JOIN licensing_instancecontact t ON t.instance_id = c.instance_id
"""

AFFECTED: Final = """
CREATE TEMPORARY TABLE snap_affected {drop} AS
SELECT instance_id AS id FROM snap_named WHERE wanted AND (is_new OR differs OR NOT was_active)
 UNION SELECT id FROM snap_gone
 UNION SELECT instance_id FROM snap_use
 UNION SELECT instance_id FROM snap_use_gone
 UNION SELECT instance_id FROM snap_verdict
 UNION {losers}
"""
AFFECTED_PEERS: Final = """
INSERT INTO snap_affected (id)
SELECT p.id FROM (
  SELECT DISTINCT g.id FROM snap_affected f
    JOIN licensing_productinstance q ON q.id = f.id JOIN licensing_hagroup g ON g.id = q.ha_group_id
   WHERE q.origin_id = %(origin)s AND g.key NOT LIKE '#%%'
) h JOIN licensing_productinstance p ON p.ha_group_id = h.id
 WHERE p.origin_id = %(origin)s AND p.state IN {active} AND NOT EXISTS (SELECT 1 FROM snap_affected f WHERE f.id = p.id)
"""

# Who loses its UDI to this file and counts for a group in which others stand by for it.
LOSERS_IN_GROUPS: Final = """
SELECT p.id FROM licensing_productinstance p
 WHERE p.id IN ({losers}) AND p.is_counted AND p.origin_id <> %(origin)s AND EXISTS (
   SELECT 1 FROM licensing_productinstance q
    WHERE q.ha_group_id = p.ha_group_id AND q.id <> p.id AND q.state IN {counted} AND NOT q.claim_lost)
"""

BEFORE: Final = """
CREATE TEMPORARY TABLE snap_before {drop} AS
SELECT u.virtual_account_id AS va, u.license_id, u.instance_id, SUM(u.quantity) AS quantity
  FROM licensing_usage u
  JOIN snap_affected f ON f.id = u.instance_id
  JOIN licensing_productinstance p ON p.id = u.instance_id
 WHERE u.kind = 'counted' AND u.license_id IS NOT NULL AND p.is_counted AND p.state IN {counted}
 GROUP BY u.virtual_account_id, u.license_id, u.instance_id
"""
CHANGE: Final = """
CREATE TEMPORARY TABLE snap_change {drop} AS
SELECT va, license_id, instance_id, SUM(quantity) AS quantity FROM (
  SELECT va, license_id, instance_id, -quantity AS quantity FROM snap_before
  UNION ALL
  SELECT u.virtual_account_id AS va, u.license_id, u.instance_id, u.quantity
    FROM licensing_usage u
    JOIN snap_affected f ON f.id = u.instance_id
    JOIN licensing_productinstance p ON p.id = u.instance_id
   WHERE u.kind = 'counted' AND u.license_id IS NOT NULL AND p.is_counted AND p.state IN {counted}
) d GROUP BY va, license_id, instance_id HAVING SUM(quantity) <> 0
"""

CHANGE_ROWS: Final = (
    "UPDATE licensing_instancecontact SET revision = revision + 1 WHERE instance_id IN ({losers})",
    """
UPDATE licensing_productinstance SET state = d.state, ended_at = %(now)s FROM snap_gone d
 WHERE licensing_productinstance.id = d.id
""",
    "DELETE FROM licensing_usage WHERE instance_id IN (SELECT id FROM snap_gone)",
    """
UPDATE licensing_productinstance SET
       virtual_account_id = n.va, ha_group_id = g.id, state = 'registered', ended_at = NULL, udi = s.udi,
       udi_pid = s.udi_pid, udi_serial_number = s.udi_serial_number, software_tag = s.software_tag,
       hostname = s.hostname, ip_address = s.ip_address, mac_address = s.mac_address,
       host_identifier = s.host_identifier
  FROM snap_named n, licensing_stagedinstance s, licensing_hagroup g
 WHERE licensing_productinstance.id = n.instance_id AND s.id = n.staged_id
   AND g.origin_id = %(origin)s AND g.key = n.group_key
   AND n.wanted AND NOT n.is_new AND (n.differs OR NOT n.was_active)
""",
    """
UPDATE licensing_usage SET virtual_account_id = p.virtual_account_id, ha_group_id = p.ha_group_id
  FROM snap_named n, licensing_productinstance p
 WHERE licensing_usage.instance_id = n.instance_id AND p.id = n.instance_id AND n.wanted AND n.differs
""",
    """
UPDATE licensing_hagroup SET virtual_account_id = n.va FROM snap_named n
 WHERE licensing_hagroup.origin_id = %(origin)s AND licensing_hagroup.key = n.group_key AND n.wanted AND n.moves
""",
    "UPDATE licensing_productinstance SET is_counted = {false}, claim_lost = {true} WHERE id IN ({losers})",
    """
UPDATE licensing_productinstance SET is_counted = (v.reason = ''), claim_lost = (v.reason <> '') FROM snap_verdict v
 WHERE licensing_productinstance.id = v.instance_id
   AND (licensing_productinstance.is_counted <> (v.reason = '')
        OR licensing_productinstance.claim_lost <> (v.reason <> ''))
""",
    # Whose claim was released between finding and locking it has none: it counts with the next file, not beside others.
    """
UPDATE licensing_productinstance SET is_counted = {false} WHERE is_counted AND id IN (
  SELECT k.instance_id FROM snap_candidate k
   WHERE NOT EXISTS (SELECT 1 FROM snap_verdict v WHERE v.instance_id = k.instance_id))
""",
    """
UPDATE licensing_udiclaim SET smart_account_id = %(sa)s, instance_id = v.instance_id, last_contact_at = %(generated)s
  FROM snap_verdict v WHERE licensing_udiclaim.id = v.claim_id AND v.reason = ''
   AND (COALESCE(licensing_udiclaim.instance_id, 0) <> v.instance_id OR licensing_udiclaim.smart_account_id <> %(sa)s
        OR licensing_udiclaim.last_contact_at <> %(generated)s)
""",
    "DELETE FROM licensing_usage WHERE id IN (SELECT id FROM snap_use_gone)",
    """
INSERT INTO licensing_usage (smart_account_id, virtual_account_id, instance_id, ha_group_id, tag, license_id, kind,
       quantity, since, source)
SELECT %(sa)s, p.virtual_account_id, p.id, p.ha_group_id, d.tag, d.license_id, d.kind, d.quantity, %(now)s, 'report'
  FROM snap_use d JOIN licensing_productinstance p ON p.id = d.instance_id WHERE p.id > 0
    ON CONFLICT (instance_id, tag, source) DO UPDATE SET license_id = excluded.license_id, kind = excluded.kind,
       quantity = excluded.quantity, since = excluded.since
""",
    # Of a group that the server names, one member counts: the one that reports most (the active one reports), and at
    # once another one where it ended. Groups over 8 members, or of different products or software, are no such groups:
    # all count (domain: Products, HA).
    # The groups are found first, for most products have none: planned at once, all products would be gone through for
    # each of them.
    """
CREATE TEMPORARY TABLE snap_group {drop} AS
SELECT DISTINCT g.id FROM snap_affected f
  JOIN licensing_productinstance q ON q.id = f.id JOIN licensing_hagroup g ON g.id = q.ha_group_id
 WHERE g.key NOT LIKE '#%%'
""",
    """
UPDATE licensing_productinstance SET is_counted = NOT is_counted WHERE id IN (
  SELECT r.id FROM (
    SELECT p.id, p.is_counted, p.claim_lost,
           ROW_NUMBER() OVER (PARTITION BY p.ha_group_id ORDER BY
             CASE WHEN p.is_counted THEN 0 WHEN p.claim_lost THEN 2 ELSE 1 END,
             COALESCE((SELECT SUM(u.quantity) FROM licensing_usage u WHERE u.instance_id = p.id), 0) DESC, p.id
           ) AS place,
           COUNT(*) OVER (PARTITION BY p.ha_group_id) AS members,
           MIN(p.udi_pid) OVER w = MAX(p.udi_pid) OVER w AND MIN(p.software_tag) OVER w = MAX(p.software_tag) OVER w
             AS alike
      FROM snap_group g JOIN licensing_productinstance p ON p.ha_group_id = g.id
     WHERE p.origin_id = %(origin)s AND p.state IN {active}
    WINDOW w AS (PARTITION BY p.ha_group_id)
  ) r WHERE NOT r.claim_lost AND r.is_counted <> (r.place = 1 OR r.members > 8 OR NOT r.alike))
""",
    # A server that is heard of keeps the claims of what it does not name, too.
    """
UPDATE licensing_instancecontact SET last_contact_at = %(generated)s
 WHERE last_contact_at < %(refresh)s AND instance_id IN (
   SELECT id FROM licensing_productinstance WHERE origin_id = %(origin)s AND state IN {active})
""",
)

DELTAS: Final = """
INSERT INTO licensing_pooldelta (pool_id, virtual_account_id, instance_id, in_use, reserved, at)
SELECT p.id, c.va, c.instance_id, c.quantity, 0, %(now)s
  FROM snap_change c JOIN licensing_pool p ON p.virtual_account_id = c.va AND p.license_id = c.license_id
"""

USE_BY_POOL: Final = "SELECT va, license_id, SUM(quantity) FROM snap_change GROUP BY va, license_id"

DIALECT: Final = {
    "postgresql": {
        **_COMMON,
        "drop": "ON COMMIT DROP",
        "uuid": "gen_random_uuid()",
        "uuid_text": "CAST(c.piid AS text)",
        "object": "jsonb_build_object",
        "greatest": "GREATEST",
        "join_text": "string_agg",
        "true": "TRUE",
        "false": "FALSE",
    },
    "sqlite": {
        **_COMMON,
        "drop": "",
        "uuid": "lower(hex(randomblob(16)))",
        "uuid_text": "substr(c.piid, 1, 8) || '-' || substr(c.piid, 9, 4) || '-' || substr(c.piid, 13, 4) || '-'"
        " || substr(c.piid, 17, 4) || '-' || substr(c.piid, 21)",
        "object": "json_object",
        "greatest": "MAX",
        "join_text": "group_concat",
        "true": "1",
        "false": "0",
    },
}
