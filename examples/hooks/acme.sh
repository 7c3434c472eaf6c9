#!/bin/sh
# For acme.sh: acme.sh --install-cert -d NAME --reloadcmd '/etc/tocsin/hooks/acme.sh && systemctl reload nginx'
# acme.sh sets CERT_FULLCHAIN_PATH and Le_Domain for it, and for --renew-hook as well.
set -eu
here=$(dirname "$(readlink -f "$0")")
cert=${CERT_FULLCHAIN_PATH:-${CERT_PATH:-}}
exec "$here/tocsin-journal.sh" "${cert:?this is a hook of acme.sh, which sets CERT_FULLCHAIN_PATH}" "acme.sh ${Le_Domain:-}"
