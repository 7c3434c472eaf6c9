#!/bin/sh
# For lego: lego run --deploy-hook /etc/tocsin/hooks/lego.sh (version 5), or --run-hook and --renew-hook (version 4).
# Version 5 sets LEGO_HOOK_CERT_PATH, version 4 LEGO_CERT_PATH: the certificate with its chain.
set -eu
here=$(dirname "$(readlink -f "$0")")
cert=${LEGO_HOOK_CERT_PATH:-${LEGO_CERT_PATH:-}}
name=${LEGO_HOOK_CERT_NAME:-${LEGO_CERT_DOMAIN:-$cert}}
exec "$here/tocsin-journal.sh" "${cert:?this is a hook of lego, which sets LEGO_HOOK_CERT_PATH or LEGO_CERT_PATH}" "lego $name"
