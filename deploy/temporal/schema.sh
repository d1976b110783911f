#!/bin/sh
# Makes Temporal's two databases, or brings them up to this release's schema. Harmless when repeated.
set -eu
SQL_PASSWORD=$(cat /run/secrets/temporal_db_password)
export SQL_PASSWORD
for database in temporal temporal_visibility; do
  folder=$database
  [ "$database" = temporal ] || folder=visibility
  tool="temporal-sql-tool --plugin postgres12 --endpoint postgres --port 5432 --user temporal --database $database"
  $tool setup-schema --version 0.0 2>/dev/null || echo "$database: has its schema"
  $tool update-schema --schema-name "postgresql/v12/$folder"
done
