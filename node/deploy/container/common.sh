# shellcheck shell=bash
# What `begin` and `end` of the container share.

# podman with a store on the tenant's own disk, which bounds all files that a container can write. Images are read from the
# host's store. What stays running must not inherit the locks.
run_podman() {
  local manager=cgroupfs
  if has_systemd; then manager=systemd; fi
  podman --log-level error --runtime crun --cgroup-manager "$manager" \
    --root "$FOLDER/disk/storage" --runroot "$FOLDER/disk/run" --tmpdir "$RUN_FOLDER/libpod" \
    --storage-driver overlay --storage-opt additionalimagestore="$IMAGE_STORE" "$@" 8>&- 9>&-
}

# Names of the machine's GPUs for podman, one a line: those of the node's configuration, or DEVICES of profile.conf.
cdi_devices() {
  local gpu gpus=${LEASEHOLD_GPUS:-}
  for gpu in ${gpus//,/ }; do
    case $gpu in *=*) printf '%s\n' "$gpu" ;; *) printf 'nvidia.com/gpu=%s\n' "$gpu" ;; esac
  done
  [ -n "${LEASEHOLD_GPUS:-}" ] || for gpu in $DEVICES; do printf '%s\n' "$gpu"; done
}

# Kills the container and deletes everything that it could write. Idempotent.
wipe() {
  local pid device gpus=()
  if mountpoint -q "$FOLDER/disk"; then
    pid=$(run_podman inspect --format '{{.State.Pid}}' "$NAME" 2>/dev/null || echo 0)
    if [ "$pid" != 0 ] && [ -e "/proc/$pid" ]; then kill_cgroup "$(cgroup_of "$pid")"; fi
    run_podman rm --force --time 0 --ignore "$NAME" >/dev/null
    while mountpoint -q "$FOLDER/disk/storage/overlay"; do umount "$FOLDER/disk/storage/overlay"; done
    while mountpoint -q "$FOLDER/disk"; do umount "$FOLDER/disk"; done
  fi
  network_remove
  if [ -e "$FOLDER/devices" ]; then
    while read -r device; do
      case $device in
        nvidia.com/gpu=all) mapfile -t gpus < <(nvidia-smi --query-gpu=index --format=csv,noheader) ;;
        nvidia.com/gpu=*) gpus+=("${device#*=}") ;;
      esac
    done <"$FOLDER/devices"
    reset_gpus "${gpus[@]}"
  fi
  rm -rf "$FOLDER/ready" "$FOLDER/disk.img" "$FOLDER/disk" "$FOLDER/devices" "$FOLDER/lease" "$RUN_FOLDER"
  install -d -m 0700 "$RUN_FOLDER"
}
