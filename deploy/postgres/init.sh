#!/bin/bash
# Runs once, in an empty cluster: an account and databases for Temporal, and one for the broker's own records.
set -euo pipefail
psql --username postgres --set ON_ERROR_STOP=1 \
  --set temporal_password="$(cat /run/secrets/temporal_db_password)" \
  --set atb_password="$(cat /run/secrets/atb_db_password)" <<'SQL'
CREATE ROLE temporal LOGIN PASSWORD :'temporal_password';
CREATE ROLE atb LOGIN PASSWORD :'atb_password';
CREATE DATABASE temporal OWNER temporal;
CREATE DATABASE temporal_visibility OWNER temporal;
CREATE DATABASE atb OWNER atb;
SQL
