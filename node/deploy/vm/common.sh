# shellcheck shell=bash
# What `begin` and `end` of the virtual machine share.

# PCI addresses of the machine's GPUs, one a line.
pci_devices() {
  local gpu gpus=${LEASEHOLD_GPUS:-$PCI}
  for gpu in ${gpus//,/ }; do
    [[ $gpu =~ ^([0-9a-f]{4}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$ ]] || fail "$gpu is not a PCI address such as 0000:41:00.0: correct \`gpus\` or PCI"
    case $gpu in *:*:*) printf '%s\n' "$gpu" ;; *) printf '0000:%s\n' "$gpu" ;; esac
  done
}

# Process number of the machine's QEMU; nothing if it doesn't run.
qemu_pid() {
  local pid
  pid=$(cat "$RUN_FOLDER/qemu.pid" 2>/dev/null) || return 0
  if tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q -- "-name $NAME"; then printf '%s' "$pid"; fi
}

# Runs a command in a cgroup of this machine's own.
in_cgroup() {
  if has_systemd; then
    systemd-run --quiet --scope --collect --slice leasehold-tenants.slice --unit "$NAME-vm" "$@" 8>&- 9>&-
  else
    (
      mkdir -p "/sys/fs/cgroup/$NAME-vm"
      echo "$BASHPID" >"/sys/fs/cgroup/$NAME-vm/cgroup.procs"
      exec "$@" 8>&- 9>&-
    )
  fi
}

# Resets a GPU that no guest has: a function-level reset clears what it computed.
reset_pci() {
  local device path
  for device in "$@"; do
    path=/sys/bus/pci/devices/$device/reset
    if [ -w "$path" ] && echo 1 >"$path"; then continue; fi
    [ "$GPU_RESET" != require ] || fail "cannot reset $device: it has no function-level reset; set GPU_RESET=try to let the machine again without"
    say "cannot reset $device; vfio resets it once more when the next guest opens it"
  done
}

# Kills the guest and deletes everything that it could write. Idempotent.
wipe() {
  local pid devices=()
  pid=$(qemu_pid)
  if [ -n "$pid" ]; then kill_cgroup "$(cgroup_of "$pid")"; fi
  if ! has_systemd && [ -d "/sys/fs/cgroup/$NAME-vm" ]; then
    kill_cgroup "/sys/fs/cgroup/$NAME-vm"
    rmdir "/sys/fs/cgroup/$NAME-vm"
  fi
  network_remove
  while mountpoint -q "$RUN_FOLDER/keys"; do umount "$RUN_FOLDER/keys"; done
  if [ -e "$FOLDER/devices" ]; then
    mapfile -t devices <"$FOLDER/devices"
    [ "$GPU_RESET" = no ] || reset_pci "${devices[@]}"
  fi
  rm -rf "$FOLDER/ready" "$FOLDER/disk.qcow2" "$FOLDER/devices" "$FOLDER/lease" "$RUN_FOLDER"
  install -d -m 0700 "$RUN_FOLDER"
}
