#!/usr/bin/env bash
# Makes the toolchain that compiles the program to sBPF v3, from package registries alone; README.md in
# this folder says what it is. Does nothing where the toolchain is complete and made by this recipe.
#   toolchain/setup.sh        Debian, x86-64, as root or not; wants cargo, cc, patch and xz
set -euo pipefail
umask 022
cd "$(dirname "$0")"
. ./recipe.env
recipe=$(cat recipe.env setup.sh sbpf-link sbpf-solana-solana.json std-solana.patch rust-library-"$RUST".tar.xz \
  | sha256sum | cut -d' ' -f1)

fail() { echo "toolchain/setup.sh: $*" >&2; exit 1; }
# Everybody may write to /var/tmp: a compiler that another user put there is not run.
trusted() { case $(stat -c %u "$DIR") in 0 | "$(id -u)") ;; *) return 1 ;; esac; }
complete() { [ "$(cat "$DIR/complete" 2>/dev/null)" = "$recipe" ]; }

if [ -e "$DIR" ]; then
  trusted || fail "$DIR belongs to another user: remove it, then try again."
  if complete; then exit 0; fi
  [ -w "$DIR" ] || fail "$DIR was made by another version of this recipe: remove it, then try again."
fi
[ "$(uname -m)" = x86_64 ] || fail "the recipe is for x86-64; with Solana's platform tools no recipe is needed."
missing=
for tool in apt-get cargo cc dpkg flock patch xz; do command -v "$tool" >/dev/null || missing+=" $tool"; done
[ -z "$missing" ] || fail "these programs are missing:$missing. Install Rust and the Debian packages gcc, libc6-dev, patch and xz-utils."

exec 9<"$(dirname "$DIR")"
flock 9
if complete; then exit 0; fi                       # another process made it in the meantime
rm -rf "$DIR"
mkdir -p "$DIR"/{apt/lists/partial,apt/archives/partial,llvm}
: >"$DIR/apt/status"

# 1. LLVM 23 and the libraries it needs: Debian packages, unpacked here and not installed into the system.
# The list of addresses says which mirror this machine uses; it needs no package lists.
mirror=$(apt-get update --print-uris | sed -n "s#^'\([^']*\)/dists/$(. /etc/os-release; echo "$VERSION_CODENAME")/InRelease'.*#\1#p" | head -n1)
[ -n "$mirror" ] || fail "apt knows no mirror of this Debian release: check /etc/apt/sources.list."
key=/usr/share/keyrings/debian-archive-keyring.gpg
for suite in sid testing; do echo "deb [signed-by=$key] $mirror $suite main"; done >"$DIR/apt/sources.list"
# The empty status makes apt choose every library that LLVM needs, even those the system has. Signed lists may
# be older than apt likes: a version is wanted that was current once.
apt() {
  apt-get -q -y -o APT::Sandbox::User=root -o Debug::NoLocking=1 -o APT::Install-Recommends=0 -o Acquire::Check-Valid-Until=false \
    -o Dir::Etc::sourcelist="$DIR/apt/sources.list" -o Dir::Etc::sourceparts=- -o Dir::Etc::preferencesparts=- \
    -o Dir::State="$DIR/apt" -o Dir::State::lists="$DIR/apt/lists" -o Dir::State::status="$DIR/apt/status" \
    -o Dir::Cache="$DIR/apt" "$@" >"$DIR/apt/log" 2>&1 || { cat "$DIR/apt/log" >&2; return 1; }
}
echo "toolchain: LLVM 23 from Debian's packages" >&2
apt update || fail "apt could not read the package lists of Debian sid."
if ! apt install --download-only "libllvm23=$LLVM" 2>/dev/null; then
  echo "toolchain: Debian has replaced LLVM $LLVM by a newer one; the program's bytes may change" >&2
  apt install --download-only libllvm23 || fail "Debian's packages no longer include LLVM 23."
fi
for deb in "$DIR"/apt/archives/*.deb; do dpkg -x "$deb" "$DIR/root"; done
llvm=$(basename "$DIR"/apt/archives/libllvm23_*.deb | cut -d_ -f2)
lib=$DIR/root/usr/lib/x86_64-linux-gnu
ln -s "$lib"/libLLVM.so.23.1 "$DIR/llvm/"
find "$DIR/root" -mindepth 1 -maxdepth 1 ! -name usr -exec rm -rf {} +
rm -rf "$DIR/root/usr/share"

# 2. Rust's library sources, with what they lack for Solana's virtual machine.
mkdir "$DIR/rust-src"
tar -xJf "rust-library-$RUST.tar.xz" -C "$DIR/rust-src"
patch -s -d "$DIR/rust-src" -p1 <std-solana.patch
cp sbpf-solana-solana.json "$DIR/"

# 3. The linker.
echo "toolchain: sbpf-linker $SBPF_LINKER" >&2
env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS cargo install -q sbpf-linker --version "$SBPF_LINKER" --locked \
  --root "$DIR" --target-dir "$DIR/build"
install -m 755 sbpf-link "$DIR/bin/"

printf 'LLVM=%s\nSBPF_LINKER=%s\n' "${llvm/\%3a/:}" "$SBPF_LINKER" >"$DIR/versions.env"
rm -rf "$DIR/apt" "$DIR/build" "$DIR"/.crates*
echo "$recipe" >"$DIR/complete"
