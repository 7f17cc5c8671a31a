#!/usr/bin/env bash
# A cache in front of a Weir, as docker/nginx.conf sets it up, on a port of its own: until it is killed, or its input ends.
#
#   tests/nginx.sh http://127.0.0.1:8080
#
# Its first line is its address. Only what must differ for that is another than in the file: address, origin, and where files are.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
origin=${1:?the address of a Weir}

nginx=$here/target/tools/nginx/usr/sbin/nginx
[ -x "$nginx" ] || nginx=$(PATH=$PATH:/usr/sbin command -v nginx) ||
    { echo 'no nginx: `scripts/setup.sh test` unpacks one into target/tools/nginx' >&2; exit 1; }

folder=$(mktemp -d "${TMPDIR:-/tmp}/weir-nginx-XXXXXX")
child=
trap '[ -z "$child" ] || { kill "$child"; wait "$child"; } 2>/dev/null; rm -rf "$folder"' EXIT
trap 'exit 0' TERM INT HUP

start() { # start <port>
    sed -e "s#listen 80 #listen 127.0.0.1:$1 #" \
        -e "s#server 127.0.0.1:8080;#server ${origin#http://};#" \
        -e "s#/var/cache/weir#$folder/cache#" \
        -e "s#^worker_rlimit_nofile.*##" \
        "$here/docker/nginx.conf" > "$folder/nginx.conf"
    for what in client_body proxy fastcgi uwsgi scgi; do
        sed -i "s#^http {#http {\n    ${what}_temp_path $folder/$what;#" "$folder/nginx.conf"
    done
    "$nginx" -p "$folder" -c "$folder/nginx.conf" -e "$folder/error.log" -g "daemon off; user $(id -un) $(id -gn); pid $folder/pid; error_log $folder/error.log;" &
    child=$!
    # It tries for a while to bind before it gives up, and answers as soon as it can.
    until (: < "/dev/tcp/127.0.0.1/$1") 2>/dev/null; do
        kill -0 "$child" 2>/dev/null || return 1
        sleep 0.05
    done
    kill -0 "$child"
}

for _ in 1 2 3 4 5; do
    port=$((20000 + RANDOM % 10000))
    # Somebody else's port is not ours, though it answers.
    (: < "/dev/tcp/127.0.0.1/$port") 2>/dev/null && continue
    start "$port" && break
    child=
done
[ -n "$child" ] || { cat "$folder/error.log" >&2; exit 1; }
echo "http://127.0.0.1:$port"
cat <&0 > /dev/null &
wait -n
kill $! 2>/dev/null || true
