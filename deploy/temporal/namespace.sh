#!/bin/sh
# The namespace of the broker and its search attributes. Harmless when repeated.
set -eu
namespace=atb
until temporal operator cluster health >/dev/null 2>&1; do sleep 1; done
temporal operator namespace describe --namespace "$namespace" >/dev/null 2>&1 ||
  temporal operator namespace create --namespace "$namespace" --retention 30d
temporal operator search-attribute create --namespace "$namespace" \
  --name AtbAction --type Keyword \
  --name AtbAgent --type Keyword \
  --name AtbPolicyRevision --type Keyword \
  --name AtbState --type Keyword \
  --name AtbTicket --type Keyword \
  --name AtbTier --type Keyword \
  --name AtbWaitingOn --type KeywordList
