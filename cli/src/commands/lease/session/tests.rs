use super::*;
use crate::commands::lease::inventory::tests::inventory;

/// A session with two machines at these addresses, the second of which is down, and one key.
pub fn session(class: &str, addresses: [&str; 2]) -> Session {
    let mut inventory = inventory(class, addresses);
    for host in &mut inventory.hosts {
        host.identity_file = Some("/k/1".to_owned());
        host.authorized = Some("ssh-ed25519 AAAA".to_owned());
    }
    Session { inventory, folder: "/h/ssh/lease".into() }
}

#[test]
fn the_only_machine_needs_no_slot_and_others_are_named() {
    let mut session = session("A", ["1.1.1.1", "2a00::7"]);
    let several = session.one(None).unwrap_err();
    assert_eq!(several.to_string(), "the lease has 2 machines: name a slot of these: 0, 1");
    assert_eq!(session.one(Some(1)).unwrap().slot, 1);
    let missing = session.one(Some(7)).unwrap_err();
    assert!(missing.code() == 2 && missing.to_string().contains("slot 7: it has slots 0, 1"), "{missing}");
    assert_eq!(session.some(&[]).unwrap().len(), 2);
    assert_eq!(session.some(&[1]).unwrap()[0].slot, 1);
    assert!(session.some(&[1, 9]).unwrap_err().to_string().contains("in slot 9"));
    session.inventory.hosts.truncate(1);
    assert_eq!(session.one(None).unwrap().slot, 0);
}
