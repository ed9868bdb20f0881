//! Sessions end with the lease, and with the key.

use crate::stage::{Host, LEASE, OTHER_LEASE, Stage, machine, now, read, tenant, until};
use leasehold_node::access::{DoorError, Outcome, Tenant};
use ssh_key::Certificate;
use std::path::Path;

#[tokio::test]
async fn attack_a_former_owner_s_key_and_session_end_with_the_epoch() {
    let stage = Stage::new().await;
    let (former, key) = (stage.files.key("ed25519").await, stage.files.key("ed25519").await);
    stage.door.admit(tenant(1, LEASE, 0, &former)).unwrap();
    let session = stage.ssh(&former, Host::new(1, LEASE, 0)).session().await;
    stage.door.admit(tenant(1, LEASE, 1, &key)).unwrap();
    session.gets_cut().await;
    let host = Host::new(1, LEASE, 1);
    assert!(!stage.ssh(&former, host.clone()).gets_in().await, "the former key is refused");
    assert!(
        !stage.ssh(&key, Host::new(1, LEASE, 0)).gets_in().await,
        "the host's certificate is the new epoch's"
    );
    assert!(stage.ssh(&key, host).gets_in().await);
    until(|| stage.door.metrics().count(Outcome::Cut) == 1).await;
}

#[tokio::test]
async fn a_new_epoch_cuts_the_session_of_a_key_that_stays() {
    let stage = Stage::new().await;
    let key = stage.files.key("ed25519").await;
    stage.door.admit(tenant(1, LEASE, 0, &key)).unwrap();
    let session = stage.ssh(&key, Host::new(1, LEASE, 0)).session().await;
    stage.door.admit(tenant(1, LEASE, 1, &key)).unwrap();
    session.gets_cut().await;
    assert!(stage.ssh(&key, Host::new(1, LEASE, 1)).gets_in().await);
}

#[tokio::test]
async fn the_next_tenant_s_admission_ends_the_one_before() {
    let stage = Stage::new().await;
    let (first, second) = (stage.files.key("ed25519").await, stage.files.key("ed25519").await);
    stage.door.admit(tenant(1, LEASE, 0, &first)).unwrap();
    stage.door.admit(tenant(2, LEASE, 0, &first)).unwrap();
    let session = stage.ssh(&first, Host::new(1, LEASE, 0)).session().await;
    let mut other = stage.ssh(&first, Host::new(2, LEASE, 0)).session().await;
    stage.door.admit(tenant(1, OTHER_LEASE, 0, &second)).unwrap();
    session.gets_cut().await;
    assert!(other.echoes().await, "the other machine's tenant stays");
    assert!(!stage.ssh(&first, Host::new(1, OTHER_LEASE, 0)).gets_in().await);
    assert!(stage.ssh(&second, Host::new(1, OTHER_LEASE, 0)).gets_in().await);
}

#[tokio::test]
async fn an_extension_renews_the_certificate_and_cuts_nobody() {
    let stage = Stage::new().await;
    let key = stage.files.key("ed25519").await;
    let first = tenant(1, LEASE, 0, &key);
    let extended = Tenant { valid_until: first.valid_until + 3600, ..first.clone() };
    let folder = stage.door.prepare(&machine(1), &LEASE, &first.alias, &key.hash, first.valid_until).unwrap();
    stage.door.admit(first).unwrap();
    let host = Host::new(1, LEASE, 0);
    let mut session = stage.ssh(&key, host.clone()).session().await;
    stage.door.admit(extended.clone()).unwrap();
    assert!(session.echoes().await);
    let certificate =
        Certificate::from_openssh(&read(&folder.join("ssh_host_ed25519_key-cert.pub"))).unwrap();
    assert_eq!(certificate.valid_before(), extended.valid_until);
    assert!(stage.ssh(&key, host).gets_in().await);
    assert_eq!(stage.door.metrics().count(Outcome::Cut), 0);
}

#[tokio::test]
async fn attack_a_shell_does_not_outlive_its_lease_even_if_nobody_shuts_the_door() {
    let stage = Stage::new().await;
    let key = stage.files.key("ed25519").await;
    let whole = tenant(1, LEASE, 0, &key);
    stage.door.admit(whole.clone()).unwrap();
    let host = Host::new(1, LEASE, 0);
    let mut session = stage.ssh(&key, host.clone()).session().await;
    let end = now() + 2;
    stage.door.admit(Tenant { valid_until: end, ..whole.clone() }).unwrap();
    assert!(session.echoes().await, "an earlier end alone cuts nobody");
    session.gets_cut().await;
    assert!(now() >= end);
    assert!(!stage.ssh(&key, host).gets_in().await);
    until(|| stage.door.metrics().tenants() == 0).await;
    let error = stage.door.admit(Tenant { valid_until: end, ..whole }).unwrap_err();
    assert!(matches!(error, DoorError::Ended { .. }), "{error}");
}

#[tokio::test]
async fn a_shut_door_cuts_sessions_and_leaves_jobs_to_the_tenant_s_cgroup() {
    let stage = Stage::new().await;
    let key = stage.files.key("ed25519").await;
    let tenant = tenant(1, LEASE, 0, &key);
    stage.door.admit(tenant.clone()).unwrap();
    let host = Host::new(1, LEASE, 0);
    let output = stage.ssh(&key, host.clone()).run("setsid sleep 600 >/dev/null 2>&1 & echo $!").await;
    let job = Job(String::from_utf8(output.stdout).unwrap().trim().parse().unwrap());
    let session = stage.ssh(&key, host.clone()).session().await;
    stage.door.shut(&machine(1));
    stage.door.shut(&machine(1));
    session.gets_cut().await;
    assert!(!stage.ssh(&key, host.clone()).gets_in().await);
    until(|| stage.door.metrics().sessions() == 0).await;
    assert!(job.runs());
    stage.door.admit(tenant).unwrap();
    assert!(stage.ssh(&key, host).gets_in().await);
}

#[tokio::test]
async fn a_lease_that_is_forgotten_leaves_no_key() {
    let stage = Stage::new().await;
    let key = stage.files.key("ed25519").await;
    let tenant = tenant(1, LEASE, 0, &key);
    let folder =
        stage.door.prepare(&machine(1), &LEASE, &tenant.alias, &key.hash, tenant.valid_until).unwrap();
    stage.door.admit(tenant).unwrap();
    let session = stage.ssh(&key, Host::new(1, LEASE, 0)).session().await;
    stage.door.forget(&machine(1), &LEASE).unwrap();
    session.gets_cut().await;
    assert!(!folder.exists());
}

/// A process that a tenant left. Killed with the test.
struct Job(i32);

impl Job {
    fn runs(&self) -> bool {
        Path::new(&format!("/proc/{}", self.0)).exists()
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let process = rustix::process::Pid::from_raw(self.0).unwrap();
        let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
    }
}
