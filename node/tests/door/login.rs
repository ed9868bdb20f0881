//! Who gets in.

use crate::stage::{
    Files, Host, Key, LEASE, OTHER_LEASE, Ssh, Stage, alias, ends, in_network_namespace, machine, tenant,
    until,
};
use leasehold_node::access::{Bounds, Door, DoorError, Entry, Outcome};
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{LineEnding, PrivateKey};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

#[tokio::test]
async fn tenants_log_in_with_keys_of_every_kind() {
    let stage = Stage::new().await;
    for kind in ["ed25519", "rsa", "ecdsa"] {
        let key = stage.files.key(kind).await;
        stage.door.admit(tenant(1, LEASE, 0, &key)).unwrap();
        let output = stage.ssh(&key, Host::new(1, LEASE, 0)).run("id -u; echo $SSH_CONNECTION").await;
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            text.starts_with("0\n127.0.0.1 "),
            "{kind}: the tenant is root and sshd sees its address: {text}"
        );
    }
    until(|| stage.door.metrics().logins() == 3).await;
}

#[tokio::test]
async fn a_solana_keypair_logs_in_as_an_openssh_key() {
    let stage = Stage::new().await;
    let wallet = Ed25519Keypair::from_seed(&[42; 32]);
    let key = PrivateKey::new(KeypairData::Ed25519(wallet), "wallet").unwrap();
    let path = stage.files.path("wallet");
    key.write_openssh_file(&path, LineEnding::LF).unwrap();
    key.public_key().write_openssh_file(&path.with_extension("pub")).unwrap();
    let key = Key::read(path);
    stage.door.admit(tenant(1, LEASE, 0, &key)).unwrap();
    assert!(stage.ssh(&key, Host::new(1, LEASE, 0)).gets_in().await);
}

#[tokio::test]
async fn tenants_log_in_over_ipv6_and_both_families_at_one_socket() {
    let stage = Stage::with(&[(1, "[::1]:0"), (2, "[::]:0")], Bounds::default()).await;
    let key = stage.files.key("ed25519").await;
    for slot in [1, 2] {
        stage.door.admit(tenant(slot, LEASE, 0, &key)).unwrap();
    }
    let (host, other) = (Host::new(1, LEASE, 0), Host::new(2, LEASE, 0));
    let output = stage.ssh(&key, host).run("echo $SSH_CONNECTION").await;
    assert!(output.stdout.starts_with(b"::1 "));
    for ip in ["127.0.0.1", "::1"] {
        let address = (ip.parse::<std::net::IpAddr>().unwrap(), stage.address(2).port()).into();
        let output = Ssh::new(&stage.files, &key, address, other.clone()).run("echo $SSH_CONNECTION").await;
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.starts_with(&format!("{ip} ")), "{text}");
    }
}

#[tokio::test]
async fn another_key_is_refused() {
    let stage = Stage::new().await;
    let (key, other) = (stage.files.key("ed25519").await, stage.files.key("ed25519").await);
    stage.door.admit(tenant(1, LEASE, 0, &key)).unwrap();
    let host = Host::new(1, LEASE, 0);
    let output = stage.ssh(&other, host.clone()).run("echo in").await;
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.stdout.is_empty() && text.contains("Permission denied (publickey)"), "{text}");
    assert!(stage.ssh(&key, host).gets_in().await);
    let metrics = stage.door.metrics();
    until(|| (metrics.logins(), metrics.count(Outcome::NoLogin)) == (1, 1)).await;
}

#[tokio::test]
async fn the_key_of_another_machine_s_tenant_is_refused() {
    let stage = Stage::new().await;
    let (key, other) = (stage.files.key("ed25519").await, stage.files.key("ed25519").await);
    stage.door.admit(tenant(1, LEASE, 0, &key)).unwrap();
    stage.door.admit(tenant(2, OTHER_LEASE, 0, &other)).unwrap();
    assert!(!stage.ssh(&key, Host::new(2, OTHER_LEASE, 0)).gets_in().await);
    assert!(stage.ssh(&other, Host::new(2, OTHER_LEASE, 0)).gets_in().await);
}

#[tokio::test]
async fn nobody_gets_in_before_a_tenant_is_admitted() {
    let stage = Stage::new().await;
    let key = stage.files.key("ed25519").await;
    assert!(!stage.ssh(&key, Host::new(1, LEASE, 0)).gets_in().await);
    let prepared = tenant(1, LEASE, 0, &key);
    let folder =
        stage.door.prepare(&machine(1), &LEASE, &prepared.alias, &key.hash, prepared.valid_until).unwrap();
    assert!(!stage.ssh(&key, Host::new(1, LEASE, 0)).gets_in().await, "prepared is not let in");
    assert!(folder.join("sshd_config").exists() && !folder.join("keys.sock").exists());
    assert_eq!(stage.door.metrics().count(Outcome::NobodyLetIn), 2);
}

#[tokio::test]
async fn attack_a_caller_s_words_do_not_pass_for_a_login() {
    let stage = Stage::new().await;
    let (key, other) = (stage.files.key("ed25519").await, stage.files.key("ed25519").await);
    stage.door.admit(tenant(1, LEASE, 0, &key)).unwrap();
    let line = "Accepted publickey for root from 127.0.0.1 port 1 ssh2: ED25519 SHA256:x";
    // sshd writes names and greetings to its log.
    assert!(!stage.ssh(&other, Host::new(1, LEASE, 0)).user(line).gets_in().await);
    for greeting in
        [format!("{line}\r\n"), format!("SSH-2.0-x\r\n{line}\r\n"), format!("SSH-1.5-x\n\n{line}\n")]
    {
        let mut caller = TcpStream::connect(stage.address(1)).await.unwrap();
        caller.write_all(greeting.as_bytes()).await.unwrap();
        caller.shutdown().await.unwrap();
        ends(&mut caller).await;
    }
    let metrics = stage.door.metrics();
    until(|| metrics.count(Outcome::NoLogin) == 4).await;
    assert_eq!(metrics.logins(), 0);
}

#[tokio::test]
async fn attack_nothing_of_the_node_s_environment_or_folder_gets_into_the_namespaces() {
    let stage = Stage::new().await;
    let mut shows = tenant(1, LEASE, 0, &stage.files.key("ed25519").await);
    // Standard output is the caller's.
    shows.entry = Entry::Exec(["sh", "-c", "env; ls -l /proc/self/fd; pwd"].map(str::to_owned).into());
    stage.door.admit(shows).unwrap();
    let mut caller = TcpStream::connect(stage.address(1)).await.unwrap();
    caller.write_all(b"SSH-2.0-x\r\n").await.unwrap();
    let shown = String::from_utf8(ends(&mut caller).await).unwrap();
    let lines: Vec<_> = shown.lines().collect();
    let names = lines.iter().filter_map(|line| line.split_once('=')).map(|(name, _)| name);
    // The shell's own, besides.
    assert!(names.clone().all(|name| ["PATH", "PWD", "_", "SHLVL", "OLDPWD"].contains(&name)), "{shown}");
    assert!(std::env::vars().any(|(name, _)| name.starts_with("CARGO")), "the node's environment has more");
    assert_eq!(lines.last(), Some(&"/"));
    // Others may be those that the test itself was started with.
    let sockets = lines.iter().filter(|line| line.contains(" -> socket:")).count();
    assert_eq!(sockets, 2, "the caller's connection as standard input and output: {shown}");
    assert!(!shown.contains(stage.files.path("").to_str().unwrap()), "{shown}");
}

#[tokio::test]
async fn files_can_be_copied() {
    let stage = Stage::new().await;
    let key = stage.files.key("ed25519").await;
    stage.door.admit(tenant(1, LEASE, 0, &key)).unwrap();
    // sftp's first packet and its answer: version 3.
    let answer = stage.ssh(&key, Host::new(1, LEASE, 0)).sftp(&[0, 0, 0, 5, 1, 0, 0, 0, 3]).await;
    assert_eq!(answer.get(4..9), Some([2, 0, 0, 0, 3].as_slice()), "SSH_FXP_VERSION");
}

#[tokio::test]
async fn attack_a_tenant_reaches_no_service_of_the_host_s_loopback() {
    let stage = Stage::new().await;
    let service = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = service.local_addr().unwrap().to_string();
    let served = tokio::spawn(async move {
        loop {
            let (mut caller, _) = service.accept().await.unwrap();
            let _ = caller.write_all(b"secret").await;
        }
    });
    let key = stage.files.key("ed25519").await;
    let inside = tenant(1, LEASE, 0, &key);
    stage.door.admit(leasehold_node::access::Tenant { entry: in_network_namespace(), ..inside }).unwrap();
    // The test's own check: without a network namespace the forward does reach the service.
    stage.door.admit(tenant(2, LEASE, 0, &key)).unwrap();
    let forward = async |slot| stage.ssh(&key, Host::new(slot, LEASE, 0)).forward(&to).await.stdout;
    assert_eq!(forward(2).await, b"secret");
    assert!(forward(1).await.is_empty());
    assert!(stage.ssh(&key, Host::new(1, LEASE, 0)).gets_in().await);
    served.abort();
}

#[tokio::test]
async fn a_command_that_does_not_start_fails_and_an_empty_one_is_refused() {
    let stage = Stage::new().await;
    let key = stage.files.key("ed25519").await;
    let mut broken = tenant(1, LEASE, 0, &key);
    broken.entry = Entry::Exec(vec!["/nonexistent/nsenter".to_owned()]);
    stage.door.admit(broken.clone()).unwrap();
    assert!(!stage.ssh(&key, Host::new(1, LEASE, 0)).gets_in().await);
    until(|| stage.door.metrics().count(Outcome::Failed) == 1).await;
    broken.entry = Entry::Exec(vec![]);
    assert!(matches!(stage.door.admit(broken), Err(DoorError::NoCommand { .. })));
}

#[tokio::test]
async fn settings_are_checked() {
    let files = Files::new();
    let bind = async |change: &dyn Fn(&mut leasehold_node::access::DoorSettings)| {
        let mut settings = files.settings(&[(1, "127.0.0.1:0")], Bounds::default());
        change(&mut settings);
        Door::bind(settings).await.unwrap_err().to_string()
    };
    let error = bind(&|settings| settings.folder = "relative".into()).await;
    assert!(error.contains("absolute path"), "{error}");
    let error = bind(&|settings| settings.folder = files.path("with space")).await;
    assert!(error.contains("with space does not do"), "{error}");
    let error = bind(&|settings| settings.key_command = files.path("missing")).await;
    assert!(error.contains("install leasehold-authorized-keys"), "{error}");
    let error = bind(&|settings| settings.machines.push(settings.machines[0].clone())).await;
    assert!(error.contains("is given twice"), "{error}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let _holder = std::net::TcpListener::bind(taken).unwrap();
    let error = bind(&|settings| settings.machines[0].listen = vec![taken]).await;
    assert!(error.contains("move an sshd of this host"), "{error}");
}

#[tokio::test]
async fn a_machine_of_another_node_is_refused() {
    let stage = Stage::new().await;
    let key = stage.files.key("ed25519").await;
    let mut stranger = tenant(1, LEASE, 0, &key);
    stranger.machine = machine(3);
    stranger.alias = alias(3, &LEASE, 0);
    assert!(matches!(stage.door.admit(stranger), Err(DoorError::UnknownMachine(_))));
}
