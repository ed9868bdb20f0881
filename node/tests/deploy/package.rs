//! The Debian package, unpacked.

use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy");

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).permissions().mode()
        & 0o7777
}

/// Builds the package from the node under test, and unpacks it with its scripts.
fn unpacked(folder: &Path) -> PathBuf {
    let binaries = folder.join("binaries");
    fs::create_dir(&binaries).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_leasehold-node"), binaries.join("leasehold-node")).unwrap();
    // Compiled apart, statically; here its place alone counts.
    fs::write(binaries.join("leasehold-authorized-keys"), "#!/bin/sh\n").unwrap();
    let (package, root) = (folder.join("node.deb"), folder.join("root"));
    let build = Path::new(DEPLOY).join("debian/build");
    run(Command::new(build)
        .arg(&binaries)
        .arg("1.2.3")
        .arg(&package)
        .env("DPKG_DEB_COMPRESSOR_TYPE", "none"));
    run(Command::new("dpkg-deb").arg("-R").arg(&package).arg(&root));
    root
}

#[test]
fn the_package_has_each_file_where_others_look_for_it_and_check_runs_from_it() {
    let folder = tempfile::tempdir().unwrap();
    let root = unpacked(folder.path());
    for profile in ["container", "vm", "metal"] {
        for script in ["begin", "end", "check"] {
            assert_eq!(mode(&root.join("usr/lib/leasehold/profiles").join(profile).join(script)), 0o755);
        }
    }
    assert_eq!(mode(&root.join("etc/leasehold")), 0o700, "keys of machines are there");
    assert_eq!(mode(&root.join("etc/leasehold/profile.conf")), 0o600);
    let unit = fs::read_to_string(root.join("usr/lib/systemd/system/leasehold-node.service")).unwrap();
    let program = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/")).unwrap();
    assert_eq!(mode(&root.join(program)), 0o755);
    assert!(unit.contains("Delegate=yes"));
    // Either would reach what hooks and tenants do: see the unit.
    let forbidden =
        ["ProtectSystem", "PrivateTmp", "NoNewPrivileges", "SystemCallFilter", "MemoryDenyWriteExecute"];
    let settings = unit.lines().filter(|line| !line.starts_with('#'));
    assert!(settings.clone().all(|line| !forbidden.iter().any(|name| line.starts_with(name))));
    let control = fs::read_to_string(root.join("DEBIAN/control")).unwrap();
    assert!(control.contains("Version: 1.2.3\n") && control.contains("Depends: libc6 (>= 2."), "{control}");
    let said = run(Command::new("sh")
        .arg(root.join("DEBIAN/postinst"))
        .args(["configure", ""])
        .env("PATH", "/usr/bin:/bin"));
    assert!(said.contains("leasehold-node check"), "{said}");

    let checked = Command::new(root.join(program))
        .args(["check", "--json", "--listen", "127.0.0.1:0", "--keypair", "/no/such/file", "--profile"])
        .arg(root.join("usr/lib/leasehold/profiles/metal"))
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert!(report["rows"][0]["found"].as_str().unwrap().contains("/no/such/file"), "{report}");
}

/// Rows of a profile's check, on this host.
fn rows(profile: &str, settings: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let conf = folder.path().join("profile.conf");
    fs::write(&conf, settings).unwrap();
    let script = Path::new(DEPLOY).join(profile).join("check");
    run(Command::new(script).env("LEASEHOLD_PROFILE_CONF", conf))
}

#[test]
fn checks_of_profiles_say_what_is_wrong_and_what_to_do() {
    let metal = rows("metal", "INSTALL=/bin/true WIPE=/no/such/file");
    assert!(metal.contains("ok\tINSTALL is /bin/true\t"), "{metal}");
    assert!(
        metal.contains("error\t/no/such/file is not executable\tcorrect WIPE in profile.conf"),
        "{metal}"
    );
    let container = rows("container", "DEVICES=nvidia.com/gpu=none-such");
    assert!(container.contains("error\tIMAGE is not set in profile.conf\t"), "{container}");
    assert!(container.contains("share this host's kernel"), "{container}");
    let vm = rows("vm", "PCI=ffff:1f:1f.7 MEMORY=1024T");
    assert!(vm.contains("error\tthere is no PCI device ffff:1f:1f.7\trun lspci -D"), "{vm}");
    assert!(vm.contains("huge pages of 2 MB are free, and a guest has 1024T"), "{vm}");
    for row in [metal, container, vm].iter().flat_map(|rows| rows.lines()) {
        let fields: Vec<_> = row.split('\t').collect();
        assert_eq!(fields.len(), 3, "{row}");
        assert!(fields[0] == "ok" || !fields[2].is_empty(), "no advice: {row}");
    }
}

/// A PCI device of a /sys that the test makes.
#[test]
fn a_gpu_without_iommu_group_or_with_a_stranger_in_it_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (sys, group) = (folder.path(), folder.path().join("group/devices"));
    fs::create_dir_all(&group).unwrap();
    let device = |name: &str, class: &str, driver: &str| {
        let path = sys.join("bus/pci/devices").join(name);
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("class"), class).unwrap();
        fs::create_dir_all(sys.join("drivers").join(driver)).unwrap();
        std::os::unix::fs::symlink(sys.join("drivers").join(driver), path.join("driver")).unwrap();
        path
    };
    let conf = sys.join("profile.conf");
    fs::write(&conf, "PCI=0000:41:00.0").unwrap();
    let rows = || {
        let mut command = Command::new(Path::new(DEPLOY).join("vm/check"));
        run(command.env("LEASEHOLD_PROFILE_CONF", &conf).env("LEASEHOLD_SYS", sys))
    };
    let gpu = device("0000:41:00.0", "0x030200", "vfio-pci");
    assert!(rows().contains("error\t0000:41:00.0 has no IOMMU group"), "{}", rows());
    std::os::unix::fs::symlink(sys.join("group"), gpu.join("iommu_group")).unwrap();
    std::os::unix::fs::symlink(&gpu, group.join("0000:41:00.0")).unwrap();
    let found = rows();
    assert!(found.contains("ok\t0000:41:00.0 is bound to vfio-pci"), "{found}");
    assert!(found.contains("warning\t0000:41:00.0 has no reset"), "{found}");
    for (name, class, driver) in
        [("0000:41:00.1", "0x040300", "snd_hda_intel"), ("0000:40:00.0", "0x060400", "pcieport")]
    {
        std::os::unix::fs::symlink(device(name, class, driver), group.join(name)).unwrap();
    }
    let found = rows();
    assert!(
        found.contains("error\t0000:41:00.1, in the IOMMU group of 0000:41:00.0, is bound to snd_hda_intel"),
        "{found}"
    );
    assert!(!found.contains("0000:40:00.0"), "bridges stay with the host: {found}");
}
