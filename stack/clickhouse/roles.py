"""Roles inside the engine: its one user may do everything, and while it wears the reading role, read one database."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape  # nosec B406  # writes XML, and reads none

READING = "reading"
_EVERYTHING = "everything"


def write_roles(folder: Path, database: str) -> Path:
    """Write the engine's config to `folder` and return its path; nothing in it is secret.

    The engine logs everybody in as `default`, so rights hang on roles: a connection begins with both, and
    ``SET ROLE reading`` leaves it those of that role alone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    users, config = folder / "users.xml", folder / "config.xml"
    name = "`" + database.replace("\\", "\\\\").replace("`", "\\`") + "`"
    users.write_text(
        f"""<clickhouse>
  <profiles><default/></profiles>
  <quotas><default/></quotas>
  <roles>
    <{_EVERYTHING}><grants><query>GRANT ALL ON *.* WITH GRANT OPTION</query></grants></{_EVERYTHING}>
    <{READING}><grants><query>GRANT SELECT, SHOW ON {escape(name)}.*</query></grants></{READING}>
  </roles>
  <users>
    <default>
      <password/>
      <networks><ip>::/0</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
      <grants><query>GRANT {_EVERYTHING}</query><query>GRANT {READING}</query></grants>
    </default>
  </users>
</clickhouse>
"""
    )
    config.write_text(f"<clickhouse><users_config>{escape(str(users))}</users_config></clickhouse>\n")
    return config
