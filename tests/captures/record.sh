#!/usr/bin/env bash
# Records the captures of this directory: real programs talk between network namespaces of our own, tcpdump listens.
#
# usage: record.sh [NAME...]      NAME: http tls redis lossy http6 vlan dns (default: all)
#
# Beside each capture it writes what the programs themselves reported (facts/NAME.txt, read by tests/captures.rs).
# Needs root and: iproute2 ethtool tcpdump curl nginx-light openssl redis-server redis-tools python3. Bounded in time; namespaces
# and processes are removed however it ends. Nothing outside those namespaces is touched.
set -euo pipefail

readonly here=$(cd "$(dirname "$0")" && pwd)
readonly client=mosaic-client-$$ wire=mosaic-wire-$$ server=mosaic-server-$$
readonly client4=192.0.2.1 server4=192.0.2.2 client6=2001:db8::1 server6=2001:db8::2
readonly file_bytes=300000 upload_bytes=100000
readonly work=$(mktemp -d -t mosaic-record.XXXXXX)
children=() # process ids; each was started as a plain command, for behind a function `$!` would be a shell

main() {
    trap clean_up EXIT
    local names=("$@") name
    ((${#names[@]})) || names=(http tls redis lossy http6 vlan dns)
    need ip ethtool tcpdump curl nginx openssl redis-server redis-cli redis-benchmark python3
    for name in "${names[@]}"; do declare -F "record_$name" >/dev/null || fail "no capture is called $name"; done
    mkdir -p "$here/facts"
    prepare_documents
    for name in "${names[@]}"; do
        facts=$work/$name.txt
        : >"$facts"
        "record_$name"
        disconnect
        install -m 644 "$work/$name.pcap" "$here/$name.pcap"
        install -m 644 "$facts" "$here/facts/$name.txt"
        printf '%-6s %8d bytes\n' "$name" "$(stat -c %s "$here/$name.pcap")"
    done
}

# --- what is recorded ------------------------------------------------------------------------------------------------

record_http() {
    connect_directly
    start_nginx
    start_capture http "$client" c0
    fetch "http://$server4/hello.txt" "http://$server4/index.html" "http://$server4/missing"
    fetch "http://$server4/file.txt"
    upload "http://$server4/upload"
    stop_capture
    stop_children
    facts_of_nginx
    fact body s2c "$(digest_of "$work/www/file.txt")"
    fact body c2s "$(digest_of "$work/upload.txt")"
}

record_http6() {
    connect_directly ipv6
    start_nginx
    start_capture http6 "$client" c0 --time-stamp-precision=nano
    fetch "http://[$server6]/hello.txt" "http://[$server6]/index.html"
    fetch "http://[$server6]/file.txt"
    stop_capture
    stop_children
    facts_of_nginx
    fact body s2c "$(digest_of "$work/www/file.txt")"
}

record_lossy() {
    connect_through_faults
    start_nginx
    start_capture lossy "$client" c0
    fetch "http://$server4/hello.txt" "http://$server4/index.html"
    fetch --parallel --parallel-immediate "http://$server4/part1.txt" "http://$server4/part2.txt"
    fetch "http://$server4/file.txt"
    upload "http://$server4/upload"
    stop_capture
    stop_children
    facts_of_nginx
    fact body s2c "$(digest_of "$work/www/file.txt")"
    fact body s2c "$(digest_of "$work/www/part1.txt")"
    fact body s2c "$(digest_of "$work/www/part2.txt")"
    fact body c2s "$(digest_of "$work/upload.txt")"
}

record_vlan() {
    connect_through_trunk 7
    start_nginx
    start_capture vlan "$wire" t1
    fetch "http://$server4/hello.txt" "http://$server4/part1.txt"
    stop_capture
    stop_children
    facts_of_nginx
    fact body s2c "$(digest_of "$work/www/part1.txt")"
    fact vlan 7
}

record_tls() {
    connect_directly
    start_nginx
    start_capture tls "$client" c0
    local name
    for name in alpha beta; do
        fetch --insecure --resolve "$name.example.test:443:$server4" "https://$name.example.test/part1.txt"
    done
    fetch --insecure --tls-max 1.2 --resolve "beta.example.test:443:$server4" "https://beta.example.test/hello.txt"
    printf 'GET /hello.txt HTTP/1.0\r\n\r\n' |
        in_client openssl s_client -quiet -connect "$server4:443" -servername gamma.example.test >/dev/null 2>&1 || true
    stop_capture
    stop_children
    # Per connection nginx knows only the bytes inside TLS; the names it was asked for are comparable.
    fact tcp_flows "$(awk '{ print $1 }' "$work/access.log" | sort -u | wc -l)"
    awk '{ print $5 }' "$work/access.log" | sort | uniq -c | while read -r count name; do
        fact text c2s "$count" "$name"
    done
}

record_redis() {
    connect_directly
    ip netns exec "$server" redis-server --bind "$server4" --port 6379 --protected-mode no --save '' --dir "$work" >"$work/redis.log" &
    children+=($!)
    wait_until in_client redis-cli -h "$server4" config resetstat
    start_capture redis "$client" c0
    in_client redis-cli -h "$server4" config resetstat >/dev/null
    in_client redis-cli -h "$server4" set greeting hello >/dev/null
    in_client redis-cli -h "$server4" get greeting >/dev/null
    in_client redis-benchmark -h "$server4" -q -n 600 -c 5 -P 4 -d 64 -t set,get,lpush >/dev/null
    in_client redis-cli -h "$server4" info stats >"$work/redis-stats.txt"
    stop_capture
    stop_children
    # The statistics were reset by a command of the capture's first connection, and asked for by its last one.
    fact tcp_flows "$(($(redis_stat total_connections_received) + 1))"
    fact stream_total c2s "$(($(redis_stat total_net_input_bytes) + $(redis_reset_bytes)))"
}

record_dns() {
    connect_directly
    ip netns exec "$server" timeout 60 python3 "$here/dns.py" serve "$server4" >"$work/dns.log" &
    children+=($!)
    wait_until grep -q ready "$work/dns.log"
    start_capture dns "$client" c0
    in_client python3 "$here/dns.py" ask "$server4" alpha.example.test beta.example.test gamma.example.test >"$work/dns-answers.txt"
    stop_capture
    stop_children
    cat "$work/dns-answers.txt" >>"$facts"
}

# --- programs --------------------------------------------------------------------------------------------------------

in_client() { timeout 60 ip netns exec "$client" "$@"; }
in_server() { timeout 60 ip netns exec "$server" "$@"; }

fetch() { in_client curl --silent --show-error --no-progress-meter --max-time 60 --remote-name-all --output-dir "$work/got" "$@"; }
upload() { in_client curl --silent --show-error --max-time 60 --data-binary "@$work/upload.txt" "$1"; }

prepare_documents() {
    mkdir -p "$work/www" "$work/got"
    lines_of_text $file_bytes >"$work/www/file.txt"
    for part in 1 2 3; do lines_of_text $((part * 20000)) >"$work/www/part$part.txt"; done
    lines_of_text $upload_bytes >"$work/upload.txt"
    echo 'Hello from a network namespace.' >"$work/www/hello.txt"
    echo '<!doctype html><title>mosaic</title>' >"$work/www/index.html"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj /CN=example.test \
        -addext 'subjectAltName=DNS:*.example.test' -keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null
    write_nginx_config >"$work/nginx.conf"
}

# Text whose every line is different, so that no two pieces of it can be mistaken for each other.
lines_of_text() { head -c "$1" < <(seq -f "line %08.0f of $1 bytes" 1 "$1"); }

write_nginx_config() {
    cat <<CONFIG
daemon off;
master_process off;
pid $work/nginx.pid;
error_log $work/error.log;
events {}
http {
    log_format facts '\$connection \$remote_port \$request_length \$bytes_sent \$ssl_server_name';
    access_log $work/access.log facts;
    client_body_temp_path $work/body;
    proxy_temp_path $work/proxy;
    fastcgi_temp_path $work/fastcgi;
    uwsgi_temp_path $work/uwsgi;
    scgi_temp_path $work/scgi;
    server {
        listen $server4:80;
        listen [::]:80 ipv6only=on;
        listen $server4:443 ssl;
        ssl_certificate $work/cert.pem;
        ssl_certificate_key $work/key.pem;
        root $work/www;
        location /upload { proxy_pass http://127.0.0.1:8080; }
    }
    server { listen 127.0.0.1:8080; access_log off; location / { return 204; } }
}
CONFIG
}

start_nginx() {
    rm -f "$work/access.log"
    ip netns exec "$server" nginx -c "$work/nginx.conf" -e "$work/error.log" &
    children+=($!)
    wait_until in_server curl --silent --output /dev/null "http://127.0.0.1:8080/"
}

start_capture() {
    local name=$1 namespace=$2 interface=$3
    shift 3
    rm -f "$work/tcpdump.log" # or "listening on" of the capture before this one would be found
    # No name look-ups, whole frames, written at once, as the user who started it.
    ip netns exec "$namespace" tcpdump -n -s 0 -U --immediate-mode -Z root -i "$interface" -w "$work/$name.pcap" "$@" 2>"$work/tcpdump.log" &
    capture=$!
    children+=("$capture")
    wait_until grep -q 'listening on' "$work/tcpdump.log"
}

stop_capture() {
    sleep 1 # last acknowledgements
    kill "$capture"
    wait "$capture" || true
    grep -q '^0 packets dropped by kernel' "$work/tcpdump.log" || fail "tcpdump dropped packets: $(cat "$work/tcpdump.log")"
}

# --- facts -----------------------------------------------------------------------------------------------------------

fact() { echo "$*" >>"$facts"; }
digest_of() { echo "$(stat -c %s "$1") $(sha256sum "$1" | cut -d ' ' -f 1)"; }

# From nginx's own log: connections, and the bytes of each connection's two streams.
facts_of_nginx() {
    fact tcp_flows "$(awk '{ print $1 }' "$work/access.log" | sort -u | wc -l)"
    awk '{ c2s[$2] += $3; s2c[$2] += $4 } END { for (port in c2s) print "stream", port, c2s[port], s2c[port] }' "$work/access.log" |
        sort >>"$facts"
}

redis_stat() { tr -d '\r' <"$work/redis-stats.txt" | sed -n "s/^$1://p"; }
# CONFIG RESETSTAT as redis-cli sends it: counted before the counter goes back to zero.
redis_reset_bytes() { printf '*2\r\n$6\r\nconfig\r\n$9\r\nresetstat\r\n' | wc -c; }

# --- networks --------------------------------------------------------------------------------------------------------

# client c0 ==== s0 server
connect_directly() {
    add_namespaces "$@"
    ip -n "$client" link add c0 type veth peer name s0 netns "$server"
    address_ends "$@"
}

# client c0 ==== w0 (link.py: loss, duplicates, reordering) w1 ==== s0 server
connect_through_faults() {
    add_namespaces
    ip -n "$client" link add c0 type veth peer name w0 netns "$wire"
    ip -n "$server" link add s0 type veth peer name w1 netns "$wire"
    bring_up "$wire" w0 w1
    address_ends
    start_link w0 w1 --loss 0.03 --duplicate 0.02 --reorder 0.25 --delay 0.002 --seed 7
}

# client c0 ==== w0 (link.py: tag on) t0 ==== t1 (link.py: tag off) w1 ==== s0 server
connect_through_trunk() {
    add_namespaces
    ip -n "$client" link add c0 type veth peer name w0 netns "$wire"
    ip -n "$server" link add s0 type veth peer name w1 netns "$wire"
    ip -n "$wire" link add t0 type veth peer name t1
    bring_up "$wire" w0 w1 t0 t1
    address_ends
    start_link w0 t0 --vlan "$1"
    start_link w1 t1 --vlan "$1"
}

# Without "ipv6", the interfaces do not speak it: no router solicitations among the frames of interest.
add_namespaces() {
    local namespace quiet
    for namespace in "$client" "$wire" "$server"; do
        ip netns add "$namespace"
        [[ ${1:-} == ipv6 && $namespace != "$wire" ]] && continue
        for quiet in all default; do
            ip netns exec "$namespace" tee "/proc/sys/net/ipv6/conf/$quiet/disable_ipv6" <<<1 >/dev/null
        done
    done
    ip -n "$server" link set lo up
}

address_ends() {
    bring_up "$client" c0
    bring_up "$server" s0
    ip -n "$client" address add "$client4/24" dev c0
    ip -n "$server" address add "$server4/24" dev s0
    [[ ${1:-} == ipv6 ]] || return 0
    ip -n "$client" address add "$client6/64" dev c0 nodad
    ip -n "$server" address add "$server6/64" dev s0 nodad
}

# Interfaces without offloads: checksums are finished and segments have their size on the wire before tcpdump looks.
bring_up() {
    local namespace=$1 interface
    shift
    for interface in "$@"; do
        ip netns exec "$namespace" ethtool -K "$interface" tx off tso off gso off gro off >/dev/null
        ip -n "$namespace" link set "$interface" up
    done
}

start_link() {
    local log=$work/link-$1.log
    rm -f "$log"
    ip netns exec "$wire" python3 "$here/link.py" "$@" >"$log" &
    children+=($!)
    wait_until grep -q ready "$log"
}

disconnect() {
    stop_children
    local namespace
    for namespace in "$client" "$wire" "$server"; do ip netns del "$namespace" 2>/dev/null || true; done
}

# --- housekeeping ----------------------------------------------------------------------------------------------------

stop_children() {
    local child
    for child in "${children[@]}"; do kill "$child" 2>/dev/null || true; done
    for child in "${children[@]}"; do wait "$child" 2>/dev/null || true; done
    children=()
}

clean_up() {
    disconnect
    rm -rf "$work"
}

wait_until() {
    local _
    for _ in $(seq 100); do
        if "$@" >/dev/null 2>&1; then return; fi
        sleep 0.1
    done
    fail "gave up waiting for: $*"
}

need() {
    local program
    ((EUID == 0)) || fail "must be root to make network namespaces"
    for program in "$@"; do
        command -v "$program" >/dev/null || fail "missing $program; install: iproute2 ethtool tcpdump curl nginx-light openssl redis-server redis-tools python3"
    done
}

fail() {
    echo "record.sh: $*" >&2
    exit 1
}

main "$@"
