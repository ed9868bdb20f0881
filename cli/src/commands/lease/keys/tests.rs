use std::process::Command;

use leasehold_client::sample::wallet;

use super::*;

fn home() -> (tempfile::TempDir, Home) {
    let dir = tempfile::tempdir().unwrap();
    let home = Home(dir.path().join("home"));
    (dir, home)
}

/// A new key for lease 7.
pub fn offered(home: &Home) -> Offered {
    Offered::new(home, wallet(7), 0, &Choice::New).unwrap()
}

#[test]
fn a_new_key_is_one_that_ssh_keygen_reads_and_only_its_owner() {
    let (_dir, home) = home();
    let key = offered(&home);
    let file = key.file().unwrap();
    assert!(!file.exists(), "nothing is written before it is confirmed");
    key.save().unwrap();
    assert_eq!(file, home.keys().join(wallet(7).to_string()));
    let shown = Command::new("ssh-keygen").arg("-lf").arg(file).output().expect("ssh-keygen").stdout;
    let expected = display(&key.fingerprint().unwrap());
    assert!(String::from_utf8(shown).unwrap().contains(&expected));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(file), mode(&home.keys())), (0o600, 0o700));
    }
    assert_ne!(offered(&Home("/elsewhere".into())).fingerprint(), key.fingerprint(), "keys are new");
}

#[test]
fn a_key_is_kept_if_a_lease_may_name_it_and_removed_if_none_can() {
    let (_dir, home) = home();
    for (failure, is_kept) in [
        (None, true),
        (Some(Failure::Unknown { copies: vec![] }), true),
        (Some(Failure::Stopped { done: 0, of: 1, offered: vec![] }), true),
        (Some(Failure::Declined), false),
        (Some(Failure::Interrupted), false),
        (Some(Failure::Refused(String::new())), false),
    ] {
        let keys = [offered(&home)];
        save_all(&keys).unwrap();
        settle(&keys, &failure.map_or(Ok(()), Err));
        let file = keys[0].file().unwrap();
        assert_eq!(file.exists(), is_kept);
        let _ = fs::remove_file(file);
    }
}

#[test]
fn a_command_that_is_repeated_offers_the_key_of_its_first_try() {
    let (_dir, home) = home();
    let first = offered(&home);
    first.save().unwrap();
    let again = offered(&home);
    assert_eq!(again.fingerprint(), first.fingerprint());
    again.save().unwrap();
    again.discard();
    assert!(first.file().unwrap().exists(), "it is of the first try, whose fate is unknown");
    fs::write(first.file().unwrap(), "words").unwrap();
    let Err(error) = Offered::new(&home, wallet(7), 0, &Choice::New) else { panic!("it is no key") };
    assert!(error.to_string().contains("move it away"), "{error}");
}

#[test]
fn the_key_of_a_lease_is_the_one_that_the_chain_names() {
    let (dir, home) = home();
    let first = offered(&home);
    let second = Offered::new(&home, wallet(7), 2, &Choice::New).unwrap();
    save_all(&[first, second]).unwrap();
    let [first, second] = [0, 2].map(|epoch| Offered::new(&home, wallet(7), epoch, &Choice::New).unwrap());
    let found = |key: &Offered| find(&home, &wallet(7), &key.fingerprint().unwrap());
    assert_eq!(found(&first).as_deref(), first.file());
    assert_eq!(found(&second).as_deref(), second.file());
    assert_eq!(find(&home, &wallet(8), &first.fingerprint().unwrap()), None, "another lease's");
    assert_eq!(find(&home, &wallet(7), &[1; 32]), None);

    let mine = dir.path().join("mine.pub");
    fs::write(&mine, format!("{} me@host\n", second.public().unwrap().line)).unwrap();
    let named = Offered::new(&home, wallet(9), 0, &Choice::Named(mine)).unwrap();
    assert_eq!((named.fingerprint(), named.file()), (second.fingerprint(), None));
    named.save().unwrap();
    let copy = find(&home, &wallet(9), &named.fingerprint().unwrap()).unwrap();
    assert_eq!(copy, home.keys().join(format!("{}.pub", wallet(9))), "an agent may have it");
    assert!(!fs::read_to_string(copy).unwrap().contains("me@host"));

    forget_others(&home, &second);
    assert_eq!((found(&first), found(&second).as_deref()), (None, second.file()));
    let nobody = Offered::new(&home, wallet(7), 3, &Choice::Nobody).unwrap();
    assert_eq!(nobody.fingerprint(), None);
    forget_others(&home, &nobody);
    assert_eq!(found(&second), None);
}
