# shellcheck shell=bash
# What `begin` and `end` of bare metal share.

# Sets TARGET, address and port of the tenant's host.
find_target() {
  local ip
  TARGET=${LEASEHOLD_ADDRESS:-}
  if [ -z "$TARGET" ] && [ -n "${LEASEHOLD_HOST:-}" ]; then
    ip=$(getent ahostsv4 "$LEASEHOLD_HOST" | sed -n 's/ .*//p;q') || true
    [ -n "$ip" ] || fail "the host $LEASEHOLD_HOST has no IPv4 address: correct \`host\` in [access]"
    TARGET=$ip:22
  fi
  [[ $TARGET =~ ^[0-9.]+:[0-9]+$ ]] || fail "the tenant's host is unknown: set \`host\` or \`address\` of the machine in [access]"
  # On its own host a tenant would find node_key, with which it could answer for the machine for ever.
  if ip -o address show | grep -qF " ${TARGET%:*}/"; then
    fail "$TARGET is this host: run the node on another host than the tenant's"
  fi
}

# Runs the supplier's command INSTALL or WIPE, with the node's environment.
run_command() {
  local command=${!1}
  [ -n "$command" ] || fail "$1 is not set in profile.conf: name a command that does it by your BMC and PXE server"
  [ -x "$command" ] || fail "$command is not executable: correct $1 in profile.conf"
  LEASEHOLD_TARGET=$TARGET "$command" >&2 || fail "$command ended with $?"
}

# Has the host wiped. Idempotent if the supplier's command is.
wipe() {
  if [ -e "$FOLDER/lease" ]; then run_command WIPE; fi
  rm -f "$FOLDER/ready" "$FOLDER/lease"
}
