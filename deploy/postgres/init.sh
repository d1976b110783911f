#!/bin/bash
# Runs once, in an empty cluster: an account and databases for Temporal, and two for the broker's own records: the owner, who
# migrates, and the services, who cannot change the audit log.
set -euo pipefail
psql --username postgres --set ON_ERROR_STOP=1 \
  --set temporal_password="$(cat /run/secrets/temporal_db_password)" \
  --set atb_password="$(cat /run/secrets/atb_db_password)" \
  --set atb_service_password="$(cat /run/secrets/atb_service_db_password)" <<'SQL'
CREATE ROLE temporal LOGIN PASSWORD :'temporal_password';
CREATE ROLE atb LOGIN PASSWORD :'atb_password';
CREATE ROLE atb_service LOGIN PASSWORD :'atb_service_password';
CREATE DATABASE temporal OWNER temporal;
CREATE DATABASE temporal_visibility OWNER temporal;
CREATE DATABASE atb OWNER atb;
SQL
