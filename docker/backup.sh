#!/bin/bash
# Back up the job database and the data folder; the service may go on meanwhile.
#
# usage: backup.sh FOLDER
#
# By default both are those of docker-compose.yml. Without Docker, say where they are:
#   PGDUMP_URL=postgresql://...  DATA_DIR=/path/to/data  docker/backup.sh FOLDER
set -euo pipefail

target=${1:?usage: backup.sh FOLDER}
compose() { docker compose --project-directory "$(dirname "$0")/.." "$@"; }

if [ -e "$target" ]; then
    echo "$target is there already; a backup needs a folder of its own" >&2
    exit 1
fi
umask 077
mkdir -p "$target.part"

# The database first: files that come afterwards are more than its rows know, never less.
if [ -n "${PGDUMP_URL:-}" ]; then
    pg_dump --format custom --dbname "$PGDUMP_URL" >"$target.part/database.dump"
else
    compose exec -T postgres pg_dump --format custom -U thrombolens thrombolens \
        >"$target.part/database.dump"
fi

# Files that vanish or grow while they are read belong to what is not finished yet: tar ends with 1.
archive() { "$@" || [ $? -eq 1 ]; }
excluded=(--exclude=./broker --exclude='./*/.incoming*')
if [ -n "${DATA_DIR:-}" ]; then
    archive tar -C "$DATA_DIR" "${excluded[@]}" --warning=no-file-changed -czf "$target.part/data.tar.gz" .
else
    archive compose exec -T api tar -C /data "${excluded[@]}" -cz . >"$target.part/data.tar.gz"
fi

(cd "$target.part" && sha256sum database.dump data.tar.gz >SHA256SUMS)
mv "$target.part" "$target"
echo "backed up to $target: $(du -sh "$target" | cut -f1)"
