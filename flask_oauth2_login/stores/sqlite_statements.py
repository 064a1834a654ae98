"""The tables and the SQL statements of `SQLiteStore`.

The tables are the same as those of `SQLAlchemyStore`, so each store opens files of the other.
"""

# ruff: noqa: S608  (only names of tables and columns are put into statements)

from __future__ import annotations

from .base import ENDED, ENDINGS, INDEXES, LABELS

TABLES = ("oauth2_login_records", "oauth2_login_records_leases")
COLUMNS = ("id", "sealed", "version", "expires_at", *LABELS)
RECORDS, LEASES = TABLES
SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS {RECORDS} (
    id VARCHAR(64) NOT NULL PRIMARY KEY, sealed TEXT NOT NULL, version VARCHAR(64) NOT NULL,
    expires_at DOUBLE NOT NULL, {", ".join(f"{label} VARCHAR(64)" for label in LABELS)}
);
CREATE TABLE IF NOT EXISTS {LEASES} (
    name VARCHAR(80) NOT NULL PRIMARY KEY, ticket VARCHAR(64) NOT NULL, ends_at DOUBLE NOT NULL
);
CREATE INDEX IF NOT EXISTS ix_{RECORDS}_expires_at ON {RECORDS} (expires_at);
CREATE INDEX IF NOT EXISTS ix_{LEASES}_ends_at ON {LEASES} (ends_at);
{
    "".join(
        f"CREATE INDEX IF NOT EXISTS ix_{RECORDS}_by_{index[-1]} ON {RECORDS} ({', '.join(index)});"
        for index in INDEXES
    )
}
PRAGMA user_version = {{file_id}};
COMMIT;
"""

READ = f"SELECT sealed, version FROM {RECORDS} WHERE id = ? AND expires_at > ?"
INSERT = f"INSERT INTO {RECORDS} ({', '.join(COLUMNS)}) VALUES ({', '.join('?' for _ in COLUMNS)})"
OVERWRITE = (
    f"{INSERT} ON CONFLICT (id) DO UPDATE SET"
    f" {', '.join(f'{column} = excluded.{column}' for column in COLUMNS[1:])}"
)
CREATE = f"{OVERWRITE} WHERE expires_at <= ?"
PUT = f"{OVERWRITE} WHERE expires_at <= ? OR sealed <> '{ENDED}'"
REPLACE = f"""
UPDATE {RECORDS} SET sealed = ?, version = ?, expires_at = ?
WHERE id = ? AND version = ? AND expires_at > ?
"""
TOUCH = f"UPDATE {RECORDS} SET expires_at = ? WHERE id = ? AND expires_at > ?"
RELABEL = f"""
UPDATE {RECORDS} SET {", ".join(f"{label} = ?" for label in LABELS)}
WHERE id = ? AND expires_at > ?
"""
DELETE = f"DELETE FROM {RECORDS} WHERE id = ? AND expires_at > ?"
SCAN = f"SELECT id FROM {RECORDS} WHERE id > ? AND expires_at > ? ORDER BY id LIMIT ?"
FIND: dict[tuple[str, ...], str] = {
    index: f"SELECT id FROM {RECORDS} WHERE {' AND '.join(f'{label} = ?' for label in index)}"
    " AND expires_at > ?"
    for index in INDEXES
}
# A lease's ticket has the form "random@end~seconds". The end is by the monotonic clock, which all
# processes of a machine share and which does not jump; "seconds" is the lease's length. That clock
# starts again when the machine does, so a lease that seems to last longer than its length has
# ended. A ticket of `SQLAlchemyStore` has no such end; the column ends_at (Unix seconds) counts.
_ENDS = "CAST(substr(ticket, instr(ticket, '@') + 1) AS REAL)"
_SECONDS = "CAST(substr(ticket, instr(ticket, '~') + 1) AS REAL)"
_HELD = f"{_ENDS} BETWEEN :monotonic AND :monotonic + {_SECONDS} + 60"
LEASE = f"""
INSERT INTO {LEASES} (name, ticket, ends_at)
VALUES ('lease:' || :name, :ticket, :unix_time + :seconds)
ON CONFLICT (name) DO UPDATE SET ticket = excluded.ticket, ends_at = excluded.ends_at
WHERE CASE WHEN ticket LIKE '%@%~%' THEN NOT ({_HELD}) ELSE ends_at <= :unix_time END
"""
RELEASE = f"DELETE FROM {LEASES} WHERE name = 'lease:' || ? AND ticket = ?"
ONCE = f"""
INSERT INTO {LEASES} (name, ticket, ends_at) VALUES ('once:' || ?, '', ?)
ON CONFLICT (name) DO UPDATE SET ends_at = excluded.ends_at WHERE ends_at <= ?
"""
SWEEP = f"DELETE FROM {RECORDS} WHERE expires_at <= :unix_time"
SWEEP_LEASES = f"""
DELETE FROM {LEASES} WHERE ends_at <= :unix_time AND NOT (ticket LIKE '%@%~%' AND {_HELD})
"""
HAS_ENDINGS = f"SELECT 1 FROM {RECORDS} WHERE id > '{ENDINGS}' AND id < '{ENDINGS}~' LIMIT 1"
# A store with a limit deletes its surplus, and a tenth of the limit more: the records that were
# written longest ago. Ended logins are not counted, and are kept until they expire.
_TRIMMED = f"sealed <> '{ENDED}' AND NOT (id > '{ENDINGS}' AND id < '{ENDINGS}~')"
TRIM = f"""
DELETE FROM {RECORDS} WHERE id IN (
    SELECT id FROM {RECORDS} WHERE {_TRIMMED} ORDER BY version LIMIT :surplus)
"""
TRIM_LEASES = f"""
DELETE FROM {LEASES} WHERE name IN (
    SELECT name FROM {LEASES} WHERE name LIKE 'once:%' ORDER BY ends_at LIMIT :surplus)
"""
#: Pairs of statements: one counts rows that a limit is for, the other deletes the oldest of them.
COUNT_AND_TRIM = (
    (f"SELECT count(*) FROM {RECORDS} WHERE {_TRIMMED}", TRIM),
    (f"SELECT count(*) FROM {LEASES} WHERE name LIKE 'once:%'", TRIM_LEASES),
)
#: Pairs of statements that copy all rows of a store to another one.
COPY = (
    (f"SELECT {', '.join(COLUMNS)} FROM {RECORDS}", INSERT.replace("INSERT", "INSERT OR IGNORE")),
    (
        f"SELECT name, ticket, ends_at FROM {LEASES}",
        f"INSERT OR IGNORE INTO {LEASES} (name, ticket, ends_at) VALUES (?, ?, ?)",
    ),
)
