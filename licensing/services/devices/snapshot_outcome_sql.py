"""The statements that tell what a snapshot changed: events, counts, what is marked, every change. They only read.

Parameters and temporary tables are those of `snapshot_sql`.
"""

from typing import Final

# The rows of an event, and the products named where it is only summed up.
EVENT: Final = """
SELECT c.virtual_account_id, 'product_instance' AS subject_type, {uuid_text} AS subject_id,
       {object}('udi', c.udi, 'external_id', c.external_id, 'server', CAST(%(server)s AS text)) AS data
  FROM ({concerned}) c
"""
SAMPLE_OF: Final = "SELECT c.udi FROM ({concerned}) c LIMIT 200"
EVENTS: Final = {
    "instance.synchronized_in": """
SELECT p.virtual_account_id, p.piid, p.udi, n.external_id
  FROM snap_named n JOIN licensing_productinstance p ON p.id = n.instance_id
 WHERE n.wanted AND (n.is_new OR NOT n.was_active) ORDER BY n.line
""",
    "instance.synchronized_out": """
SELECT p.virtual_account_id, p.piid, p.udi, p.external_id
  FROM snap_gone d JOIN licensing_productinstance p ON p.id = d.id ORDER BY p.id
""",
    "instance.moved_by_server": """
SELECT p.virtual_account_id, p.piid, p.udi, n.external_id
  FROM snap_named n JOIN licensing_productinstance p ON p.id = n.instance_id
 WHERE n.wanted AND n.was_active AND n.moves ORDER BY n.line
""",
}
COUNTS: Final = """
SELECT COALESCE(SUM(CASE WHEN wanted AND is_new THEN 1 ELSE 0 END), 0),
       COALESCE(SUM(CASE WHEN wanted AND NOT is_new AND NOT was_active THEN 1 ELSE 0 END), 0),
       COALESCE(SUM(CASE WHEN wanted AND was_active AND differs THEN 1 ELSE 0 END), 0),
       COALESCE(SUM(CASE WHEN wanted AND was_active AND moves THEN 1 ELSE 0 END), 0),
       COUNT(*)
  FROM snap_named
"""
COUNT_GONE: Final = "SELECT COUNT(*) FROM snap_gone"
COUNT_USE: Final = """
SELECT COUNT(*) FROM (
  SELECT u.instance_id FROM snap_use u UNION SELECT g.instance_id FROM snap_use_gone g) c
  JOIN snap_named n ON n.instance_id = c.instance_id WHERE NOT n.is_new AND n.was_active
"""
MARKED: Final = """
SELECT s.external_id, s.udi_pid, s.udi_serial_number,
       CASE WHEN n.va IS NULL THEN 'unlinked_account' WHEN v.reason <> '' THEN v.reason ELSE 'ha_peer' END
  FROM snap_named n
  JOIN licensing_stagedinstance s ON s.id = n.staged_id
  LEFT JOIN licensing_productinstance p ON p.id = n.instance_id
  LEFT JOIN snap_verdict v ON v.instance_id = n.instance_id
 WHERE n.is_active AND (n.va IS NULL OR NOT p.is_counted) ORDER BY n.line
"""
# Every instance that the file changes, with the change of its counted use.
CHANGES: Final = """
SELECT c.change, c.external_id, c.udi, a.name, COALESCE(u.use, '') FROM (
  SELECT CASE WHEN n.is_new THEN 'added' WHEN NOT n.was_active THEN 'returned' WHEN n.moves THEN 'moved'
              WHEN n.differs THEN 'changed' ELSE 'use' END AS change,
         n.external_id, n.udi, n.instance_id, n.va, n.line, 0 AS part
    FROM snap_named n
    LEFT JOIN (SELECT instance_id FROM snap_change UNION SELECT instance_id FROM snap_use
                UNION SELECT instance_id FROM snap_use_gone) t ON t.instance_id = n.instance_id
   WHERE n.wanted AND (n.is_new OR NOT n.was_active OR n.differs OR t.instance_id IS NOT NULL)
  UNION ALL
  SELECT 'removed', p.external_id, p.udi, p.id, p.virtual_account_id, p.id, 1
    FROM snap_gone g JOIN licensing_productinstance p ON p.id = g.id
) c
JOIN accounts_virtualaccount a ON a.id = c.va
LEFT JOIN (
  SELECT s.instance_id, {join_text}({signed} || ' ' || l.display_name, ', ') AS use
    FROM (SELECT instance_id, license_id, SUM(quantity) AS quantity FROM snap_change
           GROUP BY instance_id, license_id HAVING SUM(quantity) <> 0) s
    JOIN licensing_license l ON l.id = s.license_id GROUP BY s.instance_id
) u ON u.instance_id = c.instance_id
ORDER BY c.part, c.line
"""
