#!/usr/bin/env bash
# The main job on real input: this machine's own logs and a million generated security events go into build/demo, are
# queried, and are still all there after a reopen. `make demo` builds first, then runs this.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

hdb=build/tools/hdb
store=build/demo
generated=1000000
seed=42

heading() { printf '\n%s\n' "$1"; }
count() { "$hdb" query --dir "$store" --output count "$@"; }
now() { date +%s.%N; }

# rate COUNT SECONDS: "1000000 in 2.1 s (476190/s)"
rate() { awk -v n="$1" -v s="$2" 'BEGIN { printf "%d in %.2f s (%d/s)", n, s, n / (s > 0 ? s : 1) }'; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { print b - a }'; }

# timed NAME COMMAND...: one line with the command's output and its time.
timed() {
  local name=$1 begin=$(now) result
  shift
  result=$("$@")
  printf '  %-62s %9s   %4.0f ms\n' "$name" "$result" "$(awk -v s="$(since "$begin")" 'BEGIN { print s * 1000 }')"
}

check_equal() { # NAME, EXPECTED, FOUND
  if [[ $2 != "$3" ]]; then
    echo "demo: $1: expected $2, found $3; please report this with the store in $store" >&2
    exit 1
  fi
}

rm -rf "$store"
"$hdb" init --dir "$store"

heading "1. This machine's own logs (/var/log), a line an event"
logs=()
while IFS= read -r -d '' log; do
  # Journals and login records are binary; a log is text, or packed text.
  if [[ -r $log && -s $log ]]; then logs+=("$log"); fi
done < <(find /var/log -type f \( -name '*.log' -o -name '*.log.[0-9]*' -o -name '*.gz' -o -name syslog -o -name messages \) \
  -print0 2>/dev/null | sort -z)
begin=$(now)
if ((${#logs[@]} > 0)); then
  "$hdb" ingest --dir "$store" --format lines --on-error skip --durability interval "${logs[@]}"
fi
own=$(count)
echo "  ${#logs[@]} files, lines: $(rate "$own" "$(since "$begin")")"

heading "2. $generated generated security events (seed $seed), as NDJSON through a pipe"
begin=$(now)
build/bench/hdb-bench generate --events "$generated" --seed "$seed" |
  "$hdb" ingest --dir "$store" --format ndjson --durability interval -
echo "  generated, parsed, indexed, stored: $(rate "$generated" "$(since "$begin")")"

heading "3. Queries (each a new process that opens the store)"
check_equal "events in the store" "$((own + generated))" "$(count)"
timed "all events" count
timed "DNS queries (--type DNSQuery)" count --type DNSQuery
timed "the busiest host (--host host-000)" count --host host-000
timed "everything about an address (--tag ip:10.20.0.1)" count --tag ip:10.20.0.1
timed "failed log-ins (--type Authentication --where outcome=failure)" count --type Authentication --where outcome=failure
timed "one minute (--from 2026-01-01T00:10:00Z --to ...:11:00Z)" count --from 2026-01-01T00:10:00Z --to 2026-01-01T00:11:00Z
echo "  the latest alert:"
"$hdb" query --dir "$store" --type MalwareDetected --order position-desc --limit 1 --output raw | cut -c 1-160 | sed 's/^/    /'

heading "4. Compact, close, reopen, verify"
begin=$(now)
"$hdb" compact --dir "$store"
printf '  compacted in %.1f s\n' "$(since "$begin")"
check_equal "events after compaction" "$((own + generated))" "$(count)"
check_equal "DNS queries seen by a scan of the raw events" "$(count --type DNSQuery)" \
  "$("$hdb" query --dir "$store" --output raw | grep -c '"type":"DNSQuery"')"
"$hdb" verify --dir "$store"
build/tools/hdb-dump verify "$store"
echo "  $(du -sb --apparent-size "$store" | cut -f 1) bytes on disk for $((own + generated)) events"

heading "The store stays in $store. Look around:"
echo "  $hdb query --dir $store --type ProcessStart --limit 3 --output table"
echo "  $hdb stats --dir $store"
