#!/bin/sh
# For cert-manager, which has no hooks: a sidecar or CronJob with the secrets mounted below CERTS, and a token.
#
#   CERTS=/certs TOCSIN_URL=https://tocsin.example.com:8631 TOCSIN_TOKEN_FILE=/run/tocsin/token cert-manager.sh
#
# Each tls.crt is journalled once; DONE remembers which. With WATCH=SECONDS it looks again, for ever.
set -eu
here=$(dirname "$(readlink -f "$0")")
certs=${CERTS:?the directory in which the secrets are mounted}
done=${DONE:-/tmp/tocsin-journalled}
mkdir -p "$done"
look() {
	failed=0
	for cert in "$certs"/tls.crt "$certs"/*/tls.crt; do
		[ -s "$cert" ] || continue
		mark=$done/$(sha256sum "$cert" | cut -c1-64)
		[ -e "$mark" ] && continue
		name=$(basename "$(dirname "$cert")")
		if "$here/tocsin-journal.sh" "$cert" "cert-manager $name"; then
			: >"$mark"
		else
			failed=1
		fi
	done
	return $failed
}
if [ -z "${WATCH:-}" ]; then
	look
	exit
fi
while :; do
	look || true # said by then; tried again
	sleep "$WATCH"
done
