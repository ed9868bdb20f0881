# shellcheck shell=bash
# What the profiles share: settings, a number for each machine of this host, its folder, its network, its cgroup. Sourced
# by `begin`, `end` and `check` of a profile, after `set -euo pipefail`.
#
# Standard output belongs to the answer of `begin` and to the rows of `check`; everything else goes to standard error.

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
fail() {
  say "$*"
  exit 1
}

# Settings and their defaults; profile.conf explains them. A machine's own file comes last: machine-BOARD-SLOT.conf.
# shellcheck disable=SC2034 # each profile uses some of them
load_settings() {
  local file=${LEASEHOLD_PROFILE_CONF:-/etc/leasehold/profile.conf}
  STATE=/var/lib/leasehold/tenants RUN=/run/leasehold/tenants
  TENANT_NET=10.213 NAMESERVERS="9.9.9.9 1.1.1.1" ALLOW="" BLOCK_TCP="25"
  CPUS="" MEMORY="" DISK=100G PIDS=32768 SHM=8G
  IMAGE_STORE=/var/lib/containers/storage IMAGE="" DEVICES="nvidia.com/gpu=all" GPU_RESET=try ULIMITS="memlock=-1:-1 nofile=1048576:1048576" UID_BASE=1879048192
  DISK_IMAGE="" KERNEL="" INITRD="" APPEND="root=/dev/vda rw" PCI="" HUGEPAGES=yes ACCEL=kvm VM_USER=leasehold-vm
  INSTALL="" WIPE=""
  if [ -e "$file" ]; then
    # shellcheck source=/dev/null
    . "$file"
  fi
  local own="${file%/*}/machine-${LEASEHOLD_BOARD:-}-${LEASEHOLD_SLOT:-}.conf"
  if [ -e "$own" ]; then
    # shellcheck source=/dev/null
    . "$own"
  fi
}

# Refuses a call that is not the node's.
need_environment() {
  local name
  for name in LEASEHOLD_LEASE LEASEHOLD_BOARD LEASEHOLD_SLOT LEASEHOLD_DIR; do
    [ -n "${!name:-}" ] || fail "$name is not set: the node sets it when it calls this script"
  done
  [[ $LEASEHOLD_LEASE =~ ^[1-9A-HJ-NP-Za-km-z]{32,44}$ ]] || fail "LEASEHOLD_LEASE is not an address: $LEASEHOLD_LEASE"
  [[ $LEASEHOLD_BOARD =~ ^[0-9A-Za-z]{1,44}$ ]] || fail "LEASEHOLD_BOARD is not a board: $LEASEHOLD_BOARD"
  [[ $LEASEHOLD_SLOT =~ ^[0-9]{1,5}$ ]] || fail "LEASEHOLD_SLOT is not a slot: $LEASEHOLD_SLOT"
  # The folder is mounted at the same path, and options of mounts are separated by colons and commas.
  [[ $LEASEHOLD_DIR =~ ^/[A-Za-z0-9/._-]+$ ]] || fail "LEASEHOLD_DIR has characters other than A-Z a-z 0-9 / . _ -: $LEASEHOLD_DIR"
  [ "$(id -u)" = 0 ] || fail "run as root: a tenancy needs namespaces, mounts and cgroups"
}

# Sets NUMBER, the machine's own on this host (0 to 255), and what follows from it. Machines keep their numbers.
# shellcheck disable=SC2034
take_machine() {
  local machine="$LEASEHOLD_BOARD $LEASEHOLD_SLOT"
  install -d -m 0700 "$STATE" "$RUN"
  exec 8>"$STATE/lock"
  flock 8
  for ((NUMBER = 0; NUMBER < 256; NUMBER++)); do
    [ -e "$STATE/$NUMBER/machine" ] || break
    [ "$(<"$STATE/$NUMBER/machine")" != "$machine" ] || break
  done
  ((NUMBER < 256)) || fail "this host has 256 machines already: remove folders of machines that left from $STATE"
  FOLDER=$STATE/$NUMBER RUN_FOLDER=$RUN/$NUMBER
  install -d -m 0700 "$FOLDER" "$RUN_FOLDER"
  printf '%s' "$machine" >"$FOLDER/machine"
  flock -u 8
  # One hook of a machine at a time.
  exec 9>"$FOLDER/lock"
  flock -w 60 9 || fail "another hook of this machine has run for a minute: look at $FOLDER"
  NAME=leasehold-$NUMBER INTERFACE=lh$NUMBER
  UID_FIRST=$((UID_BASE + NUMBER * 65536))
  GATEWAY=$TENANT_NET.$NUMBER.1 ADDRESS=$TENANT_NET.$NUMBER.2
}

# The lease whose data are in the machine's folder; nothing if there are none.
lease_here() { if [ -e "$FOLDER/lease" ]; then cat "$FOLDER/lease"; fi; }

# Refuses a GPU that another tenancy of this host has.
claim() {
  local other device
  [ $# -gt 0 ] || return 0
  printf "%s\n" "$@" >"$FOLDER/devices.new"
  exec 8>"$STATE/lock"
  flock 8
  for other in "$STATE"/*/devices; do
    if [ ! -e "$other" ] || [ "$other" = "$FOLDER/devices" ]; then continue; fi
    for device in "$@"; do
      if [ "$device" = nvidia.com/gpu=all ] || grep -qxF -e "$device" -e nvidia.com/gpu=all "$other"; then
        fail "$device belongs to the tenant of ${other%/devices}: give each machine \`gpus\` of its own in [[access.machine]]"
      fi
    done
  done
  mv "$FOLDER/devices.new" "$FOLDER/devices"
  flock -u 8
}

# True if systemd runs this host; then it manages cgroups, and nobody else may write outside their own.
has_systemd() { [ -d /run/systemd/system ]; }

# Path of a process's cgroup.
cgroup_of() {
  local path
  path=$(sed -n 's/^0:://p' "/proc/$1/cgroup")
  case $path in
    /?*) ;;
    *) fail "process $1 has no cgroup of its own: boot with cgroup v2 (systemd.unified_cgroup_hierarchy=1)" ;;
  esac
  printf '/sys/fs/cgroup%s' "$path"
}

# Kills what is in a cgroup and below, frozen or not, and waits until nothing is left.
kill_cgroup() {
  local cgroup=$1 tries
  [ -e "$cgroup/cgroup.kill" ] || return 0
  echo 1 >"$cgroup/cgroup.kill"
  # A process that was killed may be in the kernel for some time: the driver frees a GPU's memory.
  for ((tries = 0; tries < 600; tries++)); do
    grep -q '^populated 1' "$cgroup/cgroup.events" 2>/dev/null || return 0
    sleep 0.1
  done
  fail "processes of $cgroup do not die: is a GPU hung? Look at dmesg; a reboot ends them"
}

# Makes the network's rules anew, in one transaction. Tenants reach the internet and nothing else.
network_rules() {
  local blocked="0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, 172.16.0.0/12, 192.0.0.0/24,
    192.168.0.0/16, 198.18.0.0/15, 224.0.0.0/3, 168.63.129.16"
  [ -z "$ALLOW" ] || local allowed="ip daddr { ${ALLOW// /, } } accept"
  [ -z "$BLOCK_TCP" ] || local ports="tcp dport { ${BLOCK_TCP// /, } } drop"
  nft -f - <<RULES
add table inet leasehold
add set inet leasehold tenants { type ifname . ipv4_addr; }
flush table inet leasehold
table inet leasehold {
  chain input {
    type filter hook input priority -10; policy accept;
    iifname "lh*" ct state established,related accept
    iifname "lh*" drop
  }
  chain forward {
    type filter hook forward priority -10; policy accept;
    iifname "lh*" jump from_tenant
    oifname "lh*" ct state established,related accept
    oifname "lh*" drop
  }
  chain from_tenant {
    iifname . ip saddr != @tenants drop
    meta nfproto ipv6 drop
    ct state established,related accept
    ${allowed:-}
    oifname "lh*" drop
    ip daddr { $blocked } drop
    ${ports:-}
    accept
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr $TENANT_NET.0.0/16 oifname != "lh*" masquerade
  }
}
RULES
}

# The host's end of a tenant's interface, with address and rules.
network_host() {
  network_rules
  [ "$(cat /proc/sys/net/ipv4/ip_forward)" = 1 ] || fail "this host forwards no packets: run sysctl -w net.ipv4.ip_forward=1"
  echo 1 >"/proc/sys/net/ipv6/conf/$INTERFACE/disable_ipv6" 2>/dev/null || true
  ip address replace "$GATEWAY/30" dev "$INTERFACE"
  ip link set "$INTERFACE" up
  nft add element inet leasehold tenants "{ \"$INTERFACE\" . $ADDRESS }"
}

network_remove() {
  ip link delete "$INTERFACE" 2>/dev/null || true
  nft delete element inet leasehold tenants "{ \"$INTERFACE\" . $ADDRESS }" 2>/dev/null || true
}

# Resets GPUs, so that a tenant's memory and settings are gone.
reset_gpus() {
  if [ "$GPU_RESET" = no ] || [ $# = 0 ] || ! command -v nvidia-smi >/dev/null; then return 0; fi
  local list
  list=$(IFS=,; printf '%s' "$*")
  if ! nvidia-smi --gpu-reset --id="$list" >&2; then
    [ "$GPU_RESET" = try ] || fail "cannot reset the GPUs $list: set GPU_RESET=try to let the machine again without"
    say "cannot reset the GPUs $list; the driver clears memory when it hands it out"
  fi
}

# A row of `check`: ok, warning or error; what was found; what to do.
row() { printf '%s\t%s\t%s\n' "$1" "$2" "${3:-}"; }

check_command() {
  if command -v "$1" >/dev/null; then row ok "$1 is installed"; else row error "$1 is not installed" "run apt-get install $2"; fi
}

# What both profiles need of a host.
check_host() {
  check_command nft nftables
  check_command ip iproute2
  if [ "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs ] && [ -r /proc/self/cgroup ]; then
    row ok "cgroup v2"
  else
    row error "/sys/fs/cgroup is not cgroup v2, by which a tenancy is frozen and killed" \
      "boot with systemd.unified_cgroup_hierarchy=1, which Debian has had by default since 11"
  fi
  if [ "$(cat /proc/sys/net/ipv4/ip_forward)" = 1 ]; then
    row ok "the host forwards packets of tenants"
  else
    row error "the host forwards no packets, so that tenants have no network" "run sysctl -w net.ipv4.ip_forward=1"
  fi
  check_space
}

# Disks of tenants are sparse files: a full file system would break all of them.
check_space() {
  local folder=$STATE free
  while [ ! -d "$folder" ]; do folder=${folder%/*}; folder=${folder:-/}; done
  free=$(df -B1 --output=avail "$folder" | tail -n 1)
  if ((free >= $(bytes "$DISK"))); then
    row ok "$((free / 1000000000)) GB are free for tenants' disks of $DISK"
  else
    row error "$((free / 1000000000)) GB are free in $folder, and a tenant's disk has $DISK" \
      "free space, lower DISK in profile.conf, or set STATE to a larger file system"
  fi
}

# A size such as 100G as a number.
bytes() { numfmt --from=iec "$1"; }
