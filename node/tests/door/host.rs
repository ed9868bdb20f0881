//! Clients refuse a host that is another.

use crate::stage::{Host, LEASE, OTHER_LEASE, Stage, alias, machine, node_key, now, read, tenant, until};
use ssh_key::certificate::{Builder, CertType};
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{Certificate, PrivateKey};
use std::fs;

/// What ssh says of a host that it takes for `host`.
async fn refusal(stage: &Stage, key: &crate::stage::Key, host: Host) -> String {
    let output = stage.ssh(key, host).run("echo in").await;
    assert!(output.stdout.is_empty(), "the client refuses");
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn attack_a_host_that_is_another_machine_s_or_lease_s_is_refused() {
    let stage = Stage::new().await;
    let key = stage.files.key("ed25519").await;
    stage.door.admit(tenant(1, LEASE, 0, &key)).unwrap();
    stage.door.admit(tenant(2, LEASE, 0, &key)).unwrap();
    let own = Host::new(1, LEASE, 0);
    let others = [
        // A call to machine 2 that is answered by machine 1.
        Host { slot: 1, ..Host::new(2, LEASE, 0) },
        // The same node_key, but another lease, epoch or slot.
        Host { alias: alias(1, &OTHER_LEASE, 0), ..own.clone() },
        Host { alias: alias(1, &LEASE, 1), ..own.clone() },
        Host { alias: alias(2, &LEASE, 0), ..own.clone() },
        // The right name, certified by another machine.
        Host { node_key: node_key(2), ..own.clone() },
    ];
    for host in others {
        let text = refusal(&stage, &key, host).await;
        assert!(text.contains("Host key verification failed"), "{text}");
    }
    assert!(stage.ssh(&key, own).gets_in().await);
    until(|| stage.door.metrics().waiting() == 0).await;
    assert_eq!(stage.door.metrics().logins(), 1);
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let stage = Stage::new().await;
    let key = stage.files.key("ed25519").await;
    stage.door.admit(tenant(1, LEASE, 0, &key)).unwrap();
    let folder =
        stage.door.prepare(&machine(1), &LEASE, &alias(1, &LEASE, 0), &key.hash, now() + 3600).unwrap();
    // Put there by hand: the Door lets nobody in by then.
    let host_key = PrivateKey::read_openssh_file(&folder.join("ssh_host_ed25519_key")).unwrap();
    let public = host_key.public_key().key_data().clone();
    let mut builder = Builder::new([0; 16], public, now() - 7200, now() - 3600).unwrap();
    builder.cert_type(CertType::Host).unwrap().valid_principal(alias(1, &LEASE, 0)).unwrap();
    let authority = KeypairData::Ed25519(Ed25519Keypair::from_seed(&node_key(1).to_bytes()));
    let expired = builder.sign(&PrivateKey::new(authority, "").unwrap()).unwrap();
    fs::write(folder.join("ssh_host_ed25519_key-cert.pub"), expired.to_openssh().unwrap()).unwrap();
    let text = refusal(&stage, &key, Host::new(1, LEASE, 0)).await;
    assert!(text.contains("Certificate invalid: expired"), "{text}");
}

#[tokio::test]
async fn the_host_key_is_another_for_each_lease_machine_and_epoch_and_never_the_node_key() {
    let stage = Stage::new().await;
    let key = stage.files.key("ed25519").await;
    let mut seen = Vec::new();
    for (slot, lease, epoch) in [(1, LEASE, 0), (2, LEASE, 0), (1, OTHER_LEASE, 0), (1, LEASE, 1)] {
        let alias = alias(slot, &lease, epoch);
        let folder = stage.door.prepare(&machine(slot), &lease, &alias, &key.hash, now() + 3600).unwrap();
        let certificate =
            Certificate::from_openssh(&read(&folder.join("ssh_host_ed25519_key-cert.pub"))).unwrap();
        assert_eq!(certificate.valid_principals(), [alias]);
        assert_ne!(certificate.public_key(), certificate.signature_key());
        seen.push(certificate.public_key().clone());
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 4);
}
