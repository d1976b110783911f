#!/bin/sh
# The registration entries of ATB: who gets which SPIFFE ID from the agents of the node spiffe://<trust domain>/node.
# Selectors say how a process is known, for example unix:path:/opt/atb/bin/worker, unix:user:atb-worker,
# docker:label:app:atb-worker or k8s:sa:atb-worker; no two processes may have the same.
set -eu
: "${SPIRE_SERVER:=spire-server}" "${SPIRE_SERVER_SOCKET:?}" "${SPIRE_TRUST_DOMAIN:?}"
: "${AGENTAUTH_SELECTOR:?}" "${WORKER_SELECTOR:?}" "${BROKER_SELECTOR:?}"
: "${SVID_TTL_SECONDS:=3600}" "${ATB_HOSTNAME:=localhost}"

# entry PATH SELECTOR [DNS NAME]
entry() {
  "$SPIRE_SERVER" entry create -socketPath "$SPIRE_SERVER_SOCKET" \
    -parentID "spiffe://$SPIRE_TRUST_DOMAIN/node" -spiffeID "spiffe://$SPIRE_TRUST_DOMAIN/$1" \
    -selector "$2" -x509SVIDTTL "$SVID_TTL_SECONDS" ${3:+-dns "$3"}
}

entry agentauth "$AGENTAUTH_SELECTOR" "$ATB_HOSTNAME"
entry worker "$WORKER_SELECTOR"
entry broker "$BROKER_SELECTOR" "$ATB_HOSTNAME"
# Agents, each as policy/data/agents.json knows it: sh register.sh agent/finance-bot unix:path:/opt/finance-bot
while [ $# -ge 2 ]; do
  entry "$1" "$2"
  shift 2
done
