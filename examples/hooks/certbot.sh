#!/bin/sh
# For certbot: certbot renew --deploy-hook /etc/tocsin/hooks/certbot.sh, or a link to it in renewal-hooks/deploy/.
# certbot sets RENEWED_LINEAGE, the directory of the certificate in live/.
set -eu
here=$(dirname "$(readlink -f "$0")")
exec "$here/tocsin-journal.sh" "${RENEWED_LINEAGE:?this is a deploy hook of certbot, which sets RENEWED_LINEAGE}/fullchain.pem" "certbot ${RENEWED_LINEAGE##*/}"
