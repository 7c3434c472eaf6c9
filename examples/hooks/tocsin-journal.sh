#!/bin/sh
# Journals a certificate that an ACME client of ours has just got, so that it does not ring.
# It is called by the hooks beside it, as: tocsin-journal.sh CERTIFICATE [WHERE-FROM]
#
#   TOCSIN         the program; tocsin by default
#   TOCSIN_CONFIG  the config of the daemon on this machine, or
#   TOCSIN_STATE   its state file, where neither is in its usual place; or
#   TOCSIN_URL     the API of a tocsin on another machine, with
#   TOCSIN_TOKEN_FILE  a file that holds a token for it
#
# It is tried a few times, since a daemon may be starting. The exit status says whether it was journalled.
set -eu
cert=${1:?the path of the certificate is missing}
source=${2:-$cert}
set -- journal push --cert "$cert" --source "$source"
if [ -n "${TOCSIN_URL:-}" ]; then
	set -- "$@" --url "$TOCSIN_URL" --token-file "${TOCSIN_TOKEN_FILE:?TOCSIN_URL needs TOCSIN_TOKEN_FILE}"
elif [ -n "${TOCSIN_STATE:-}" ]; then
	set -- "$@" --state "$TOCSIN_STATE"
elif [ -n "${TOCSIN_CONFIG:-}" ]; then
	set -- "$@" --config "$TOCSIN_CONFIG"
fi
for pause in 1 2 0; do
	if "${TOCSIN:-tocsin}" "$@"; then
		exit 0
	fi
	[ "$pause" = 0 ] || sleep "${TOCSIN_PAUSE:-$pause}"
done
echo "tocsin-journal.sh: $cert was not journalled: expect an alarm for it" >&2
exit 1
