#!/bin/bash
# Restore what backup.sh wrote, into an empty database and an empty data folder. Nothing that is
# there is overwritten. The processes of the service must not run.
#
# usage: restore.sh FOLDER
#
# By default into the volumes of docker-compose.yml. Without Docker, say where:
#   PGDUMP_URL=postgresql://...  DATA_DIR=/path/to/data  docker/restore.sh FOLDER
set -euo pipefail

source=${1:?usage: restore.sh FOLDER}
compose() { docker compose --project-directory "$(dirname "$0")/.." "$@"; }
# Runs in a container of its own, with the data volume, as the user to whom all files belong.
in_data() { compose run --rm -T --no-deps api "$@"; }

query() {
    if [ -n "${PGDUMP_URL:-}" ]; then
        psql --no-psqlrc -Atc "$1" "$PGDUMP_URL"
    else
        compose exec -T postgres psql --no-psqlrc -U thrombolens -d thrombolens -Atc "$1"
    fi
}
content() { if [ -n "${DATA_DIR:-}" ]; then ls -A "$DATA_DIR"; else in_data ls -A /data; fi; }

(cd "$source" && sha256sum --check --quiet SHA256SUMS)
if [ -z "${PGDUMP_URL:-}" ]; then compose up --detach --wait postgres; fi
tables=$(query "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
if [ "$tables" != 0 ] || [ -n "$(content)" ]; then
    echo "the database has $tables tables, or the data folder is not empty: nothing was restored" >&2
    exit 1
fi

restore=(pg_restore --exit-on-error --single-transaction --no-owner)
if [ -n "${PGDUMP_URL:-}" ]; then
    "${restore[@]}" --dbname "$PGDUMP_URL" "$source/database.dump"
else
    compose exec -T postgres "${restore[@]}" -U thrombolens -d thrombolens <"$source/database.dump"
fi
if [ -n "${DATA_DIR:-}" ]; then
    tar -C "$DATA_DIR" -xzpf "$source/data.tar.gz"
else
    in_data tar -C /data -xzp <"$source/data.tar.gz"
fi
echo "restored from $source, schema $(query 'SELECT version_num FROM alembic_version')"
