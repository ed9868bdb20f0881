//! Scripts that are run on the machines. None of them has a secret in it.

use crate::commands::lease::session::quote::word;

/// Folder of Ray and its token on a machine.
const FOLDER: &str = "$HOME/.leasehold";

/// A version of a Python package, which a shell and pip read as one.
pub fn version(text: &str) -> Result<String, &'static str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".+-_".contains(&byte);
    let good = text.starts_with(|first: char| first.is_ascii_digit()) && text.bytes().all(plain);
    good.then(|| text.to_owned()).ok_or("give a version of Ray on PyPI, for example 2.55.0")
}

/// A folder on the machines.
pub fn folder(text: &str) -> Result<String, &'static str> {
    let good = text.starts_with('/') && !text.contains(char::is_control);
    good.then(|| text.to_owned()).ok_or("give a path that begins with /, for example /opt/ray/bin")
}

/// Which Ray the machines are to use.
pub struct Install<'a> {
    pub version: &'a str,
    /// Where it is.
    pub folder: Option<&'a str>,
}

/// Makes `ray` of that version the one that is used: the one in the folder if there is one, the image's if it is that, or else
/// one of its own.
pub fn install(install: &Install) -> String {
    let version = install.version;
    if let Some(folder) = install.folder {
        return format!(
            r#"set -e; umask 077; d={FOLDER}; bin={folder}; mkdir -p $d
[ "$("$bin/ray" --version 2>/dev/null)" = "ray, version {version}" ] || {{ echo "$bin/ray is not Ray {version}: leave out --ray-path to have it installed" >&2; exit 22; }}
ln -sfn "$bin" $d/ray"#,
            folder = word(folder)
        );
    }
    format!(
        r#"set -e; umask 077; d={FOLDER}; mkdir -p $d; own=$d/ray-{version}
command -v python3 >/dev/null || {{ echo "python3 is not installed: choose a machine with Python 3.9 or later" >&2; exit 20; }}
if [ -e $own/complete ]; then bin=$own/bin
elif command -v ray >/dev/null && [ "$(ray --version 2>/dev/null)" = "ray, version {version}" ]; then bin=$(dirname "$(command -v ray)")
else
  rm -rf $own
  python3 -m venv $own || {{ echo "python3 has no venv: install it on the machine (Debian: apt-get install python3-venv)" >&2; exit 21; }}
  $own/bin/pip install -q --disable-pip-version-check "ray[default]=={version}" >&2
  touch $own/complete
  bin=$own/bin
fi
ln -sfn $bin $d/ray; $d/ray/ray --version"#
    )
}

/// Reads the token from standard input into the file that Ray's processes read.
pub const TOKEN: &str = "set -e; umask 077; d=$HOME/.leasehold; mkdir -p $d; cat >$d/ray-token.new; mv $d/ray-token.new $d/ray-token";

/// Environment of Ray's processes.
const ENVIRONMENT: &str = "export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=$HOME/.leasehold/ray-token RAY_USAGE_STATS_ENABLED=0 \
                           PATH=$(readlink -f $HOME/.leasehold/ray):$PATH";

/// Ray's processes on the machines.
#[derive(Clone, Copy, Debug)]
pub struct Daemons {
    /// Where the head listens.
    pub port: u16,
    /// Bytes on each machine. `None` leaves it to Ray.
    pub object_store_memory: Option<u64>,
}

impl Daemons {
    /// Starts the head. Its dashboard is for those who are on the machine: callers come through a port forward.
    pub fn head(&self, address: &str) -> String {
        let port = self.port;
        self.start(&format!(
            "--head --node-ip-address={address} --port={port} --dashboard-host=127.0.0.1 --dashboard-port=8265"
        ))
    }

    pub fn worker(&self, address: &str, head: &str) -> String {
        let head = super::network::endpoint(head, self.port);
        self.start(&format!("--node-ip-address={address} --address={head}"))
    }

    fn start(&self, options: &str) -> String {
        let memory = self.object_store_memory.map(|bytes| format!(" --object-store-memory={bytes}"));
        let memory = memory.unwrap_or_default();
        format!("{ENVIRONMENT}; ray start {options}{memory} --disable-usage-stats")
    }
}

pub fn status(address: &str) -> String {
    format!("{ENVIRONMENT}; ray status --address={address}")
}

/// Prints the cluster's nodes as JSON.
pub fn nodes(address: &str) -> String {
    let program = "import json, sys, ray\n\
                   ray.init(address=sys.argv[1], logging_level=\"ERROR\", log_to_driver=False)\n\
                   alive = [n for n in ray.nodes() if n[\"Alive\"]]\n\
                   total = lambda name: sum(n[\"Resources\"].get(name, 0) for n in alive)\n\
                   print(\"nodes\", json.dumps({\"alive\": len(alive), \"cpus\": total(\"CPU\"), \"gpus\": total(\"GPU\")}))\n";
    format!(
        "{ENVIRONMENT}; exec \"$(readlink -f $HOME/.leasehold/ray)\"/python3 -c {} {address}",
        word(program)
    )
}

/// Ends Ray, and removes the token; fine if there is none.
pub const STOP: &str = "d=$HOME/.leasehold; rm -f $d/ray-token; if [ -x $d/ray/ray ]; then PATH=$d/ray:$PATH ray stop --force; fi";

/// Listens until standard input ends, and tells where; answers each caller with its own name.
pub const LISTEN: &str = r#"
import json, socket, sys, threading
name = sys.argv[1].encode()
families = [(socket.AF_INET6, "::"), (socket.AF_INET, "0.0.0.0")]
for family, any_address in families:
    try:
        server = socket.socket(family, socket.SOCK_STREAM)
        if family == socket.AF_INET6:
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        server.bind((any_address, 0))
        break
    except OSError:
        continue
server.listen(512)
def answer():
    while True:
        connection, _ = server.accept()
        connection.sendall(name)
        connection.close()
threading.Thread(target=answer, daemon=True).start()
found = set()
import subprocess
try:
    found.update(subprocess.run(["hostname", "-I"], capture_output=True, text=True).stdout.split())
except OSError:
    pass
for target in ("192.0.2.1", "2001:db8::1"):
    try:
        probe = socket.socket(socket.AF_INET6 if ":" in target else socket.AF_INET, socket.SOCK_DGRAM)
        probe.connect((target, 9))
        found.add(probe.getsockname()[0])
    except OSError:
        pass
print(json.dumps({"port": server.getsockname()[1], "addresses": sorted(a for a in found if not a.startswith(("127.", "fe80:")) and a != "::1")}), flush=True)
sys.stdin.read()
"#;

/// Reads from standard input whom to reach where, and prints at which addresses each was reached.
pub const DIAL: &str = r#"
import concurrent.futures, json, socket, sys
def reaches(task):
    name, address, port = task
    try:
        with socket.create_connection((address, port), timeout=5) as connection:
            connection.settimeout(5)
            got = b""
            while len(got) < 256:
                part = connection.recv(256)
                if not part:
                    break
                got += part
            return got == name.encode()
    except OSError:
        return False
peers = json.load(sys.stdin)
tasks = [(p["name"], a, p["port"]) for p in peers for a in p["addresses"]]
with concurrent.futures.ThreadPoolExecutor(64) as pool:
    done = list(pool.map(reaches, tasks))
print(json.dumps([[name, address] for (name, address, _), good in zip(tasks, done) if good]))
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_one_word_of_the_shell() {
        assert_eq!(folder("/opt/my ray").as_deref(), Ok("/opt/my ray"));
        for wrong in ["", "ray/bin", "/opt\nreboot"] {
            assert!(folder(wrong).is_err(), "{wrong}");
        }
        let install = install(&Install { version: "2.55.0", folder: Some("/opt/it's $(reboot)") });
        assert!(install.contains(r"bin='/opt/it'\''s $(reboot)';"), "{install}");
    }

    #[test]
    fn the_object_store_takes_no_more_than_it_is_given() {
        let given = Daemons { port: 6379, object_store_memory: Some(80_000_000) };
        for start in [given.head("10.0.0.1"), given.worker("10.0.0.2", "10.0.0.1")] {
            assert!(start.contains(" --object-store-memory=80000000 "), "{start}");
        }
        let ray = Daemons { object_store_memory: None, ..given };
        assert!(!ray.head("10.0.0.1").contains("object-store"));
    }

    #[test]
    fn a_version_is_one_word() {
        assert_eq!(version("2.55.0").as_deref(), Ok("2.55.0"));
        for wrong in ["", "latest", "2.55; rm -rf /", "2 55", "-1", "$(x)"] {
            assert!(version(wrong).is_err(), "{wrong}");
        }
    }
}
