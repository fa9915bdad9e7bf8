#!/bin/bash
# Make the secrets of docker-compose.yml; what is there already stays as it is.
#
# usage: make_secrets.sh [FOLDER [POSTGRES_HOST:PORT [REDIS_HOST:PORT]]]
#
# The folder is its owner's alone. The files in it can be read by anyone who gets there, because
# every container reads its own as another user, through a mount that passes the folder by.
set -euo pipefail

folder=${1:-"$(dirname "$0")/secrets"}
postgres=${2:-postgres:5432}
redis=${3:-redis:6379}

umask 077
mkdir -p "$folder"
chmod 0700 "$folder"

# 32 random bytes; hexadecimal digits need no quoting in an address, in JSON or in a file.
random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }

# keep NAME: store standard input, unless the secret exists.
keep() {
    if [ -e "$folder/$1" ]; then
        cat >/dev/null
        echo "kept  $1"
    else
        cat >"$folder/$1.new"
        chmod 0444 "$folder/$1.new"
        mv "$folder/$1.new" "$folder/$1"
        echo "made  $1"
    fi
}

password() { cat "$folder/$1"; }

for name in postgres_password redis_password orthanc_password grafana_password; do
    random | keep "$name"
done
keep database_url <<<"postgresql+psycopg://thrombolens:$(password postgres_password)@$postgres/thrombolens"
keep broker_url <<<"redis://:$(password redis_password)@$redis/0"
keep redis_conf <<END
requirepass $(password redis_password)
appendonly yes
END
keep orthanc_users <<<"{\"RegisteredUsers\": {\"thrombolens\": \"$(password orthanc_password)\"}}"
