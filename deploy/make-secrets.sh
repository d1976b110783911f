#!/bin/sh
# Makes the passwords of the compose file where they are missing.
set -eu
cd "$(dirname "$0")/secrets"
umask 077
for name in postgres_password temporal_db_password atb_db_password atb_service_db_password opa_token \
  example_credential; do
  [ -s "$name" ] || od -An -N24 -tx1 /dev/urandom | tr -d ' \n' >"$name"
done
[ -s atb_database_owner_url ] ||
  printf 'postgresql://atb:%s@postgres:5432/atb' "$(cat atb_db_password)" >atb_database_owner_url
[ -s atb_database_url ] ||
  printf 'postgresql://atb_service:%s@postgres:5432/atb' "$(cat atb_service_db_password)" >atb_database_url
for name in log_store_credentials log_tsa_certificates.pem operations_ssh_key operations_known_hosts; do
  [ -e "$name" ] || : >"$name"
done
printf 'ATB_OPA_TOKEN=%s\n' "$(cat opa_token)" >opa.env
# A container reads them as another account; who may list this folder is for the host to say.
chmod 644 opa_token opa.env postgres_password temporal_db_password atb_db_password atb_service_db_password \
  atb_database_owner_url atb_database_url log_store_credentials log_tsa_certificates.pem example_credential \
  operations_ssh_key operations_known_hosts
chmod 700 .
