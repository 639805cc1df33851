#!/usr/bin/env bash
# The size of libcsfle.so without symbols, and the shared objects it brings along besides libcurl and what that needs. Exit 1: a budget of
# DESIGN.md section 5 is missed.
#
#   bench/library_size.sh BUILD_FOLDER/libcsfle.so
set -euo pipefail
lib=$1 rc=0
bare=$(mktemp)
trap 'rm -f "$bare"' EXIT
strip -o "$bare" "$lib"
size=$(stat -c %s "$bare")
note=""
[ "$size" -lt 1000000 ] || { note="  MISSED" rc=1; }
printf '%-52s %12d bytes (budget 1000000)%s\n' "libcsfle.so, stripped" "$size" "$note"

paths=$(ldd "$lib")
needed() { readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'; }
seen=" " queue=$(needed "$lib")
while [ -n "$queue" ]; do
  next=""
  for name in $queue; do
    case "$seen" in *" $name "*) continue ;; esac
    seen="$seen$name "
    case $name in
      libcurl.so.*) continue ;;
      libcrypto.so.* | libyyjson.so.* | libc.so.* | libm.so.* | ld-linux*) ;;
      *) echo "needs $name, which nothing but libcurl should bring  MISSED"; rc=1 ;;
    esac
    path=$(awk -v n="$name" '$1 == n { print $3 } $1 ~ ("/" n "$") { print $1 }' <<<"$paths")
    [ -z "$path" ] || next="$next $(needed "$path")"
  done
  queue=${next# }
done
echo "it needs:$seen"
exit $rc
