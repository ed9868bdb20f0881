//! No module of a crate depends on one that depends on it: the modules beside each other form no cycle.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// A module by its names from the crate's root down.
type Module = Vec<String>;
/// Modules that the modules below a module use, by name.
type Siblings = BTreeMap<Module, BTreeMap<String, BTreeSet<String>>>;

/// Crates that are kept free of cycles.
const CRATES: [&str; 9] =
    ["client", "operate", "cli", "migrations", "daemon", "keeper", "archive", "node", "localnet"];

#[test]
fn modules_form_no_cycle() {
    for name in CRATES {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name).join("src");
        let mut files = BTreeMap::new();
        read(&source, &[], &mut files);
        assert!(files.len() > 3, "{} has no modules", source.display());
        for (parent, uses) in siblings(&files) {
            let rest = cyclic(uses);
            assert!(rest.is_empty(), "{name}: a cycle below {parent:?} among {rest:?}");
        }
    }
}

#[test]
fn a_cycle_is_found() {
    let file =
        |path: &[&str], text: &str| (path.iter().map(|name| (*name).to_owned()).collect(), text.to_owned());
    let one = "use std::fmt;\nuse crate::{\n    outer::two::Type,\n    other,\n};\n";
    let mut files = BTreeMap::from([
        file(&["outer", "one"], one),
        file(&["outer", "two"], "fn f() {}\n"),
        file(&["other"], "use crate::outer::one;\n"),
    ]);
    let cycles = |files: &BTreeMap<Module, String>| -> Vec<_> {
        siblings(files).into_values().map(cyclic).filter(|rest| !rest.is_empty()).collect()
    };
    assert_eq!(cycles(&files), [BTreeSet::from(["other".to_owned(), "outer".to_owned()])]);
    files.extend([file(&["other"], ""), file(&["outer", "two"], "fn f() { super::one::g() }\n")]);
    assert_eq!(cycles(&files), [BTreeSet::from(["one".to_owned(), "two".to_owned()])]);
    files.extend([file(&["outer", "two"], "#[cfg(test)]\nmod tests {\n    use super::super::one;\n}\n")]);
    assert!(cycles(&files).is_empty(), "tests may use what they like");
}

/// Reads the modules below a folder, without those of tests.
fn read(folder: &Path, parent: &[String], files: &mut BTreeMap<Module, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let module = [parent, std::slice::from_ref(&name)].concat();
        if path.is_dir() {
            read(&path, &module, files);
        } else if name == "mod" {
            files.insert(parent.to_vec(), fs::read_to_string(&path).unwrap());
        } else if !["tests", "lib", "main"].contains(&name.as_str()) {
            files.insert(module, fs::read_to_string(&path).unwrap());
        }
    }
}

/// Modules that each module uses of those beside it.
fn siblings(files: &BTreeMap<Module, String>) -> Siblings {
    let mut siblings = Siblings::new();
    for (module, text) in files {
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let text = text.split("#[cfg(test)]\npub mod tests {").next().unwrap_or_default();
        let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        for used in used(module, &code).iter().filter_map(|path| known(path, files)) {
            let same = module.iter().zip(&used).take_while(|(one, other)| one == other).count();
            // Neither is the other's parent.
            if let (Some(one), Some(other)) = (module.get(same), used.get(same)) {
                let uses = siblings.entry(module[..same].to_vec()).or_default();
                uses.entry(one.clone()).or_default().insert(other.clone());
            }
        }
    }
    siblings
}

/// Paths in the code that begin with `crate`, `self` or `super`, from the crate's root.
fn used(module: &[String], code: &str) -> Vec<Module> {
    let mut paths = Vec::new();
    for start in ["crate::", "self::", "super::"] {
        for (place, _) in code.match_indices(start) {
            let before = code[..place].chars().next_back();
            if before.is_some_and(|before| before.is_alphanumeric() || "_:".contains(before)) {
                continue;
            }
            let root = if start == "crate::" { &[][..] } else { module };
            let rest = if start == "crate::" { &code[place + start.len()..] } else { &code[place..] };
            expand(root.to_vec(), rest, &mut paths);
        }
    }
    paths
}

/// Adds the paths of a tree like `a::{b, c::d}` and returns what follows it.
fn expand<'a>(mut path: Module, mut code: &'a str, paths: &mut Vec<Module>) -> &'a str {
    loop {
        code = code.trim_start();
        if let Some(mut rest) = code.strip_prefix('{') {
            loop {
                rest = expand(path.clone(), rest, paths).trim_start();
                match rest.strip_prefix(',') {
                    Some(more) if !more.trim_start().starts_with('}') => rest = more,
                    Some(more) => return more.trim_start().strip_prefix('}').unwrap_or_default(),
                    None => return rest.strip_prefix('}').unwrap_or_default(),
                }
            }
        }
        let end = code.find(|character: char| !character.is_alphanumeric() && character != '_');
        let (name, rest) = code.split_at(end.unwrap_or(code.len()));
        match name {
            "super" => drop(path.pop()),
            "self" => {}
            name => path.push(name.to_owned()),
        }
        // A name may be followed by another: `Type as Other`.
        let rest = rest.trim_start();
        let rest = match rest.strip_prefix("as ") {
            Some(alias) => {
                alias.trim_start_matches(|character: char| character.is_alphanumeric() || character == '_')
            }
            None => rest,
        };
        match rest.strip_prefix("::") {
            Some(below) => code = below,
            None => {
                paths.push(path);
                return rest;
            }
        }
    }
}

/// The longest beginning of a path that is a module.
fn known(path: &[String], files: &BTreeMap<Module, String>) -> Option<Module> {
    (1..=path.len()).rev().map(|length| path[..length].to_vec()).find(|module| files.contains_key(module))
}

/// Modules that are left if those that use no other of them are taken away again and again.
fn cyclic(mut uses: BTreeMap<String, BTreeSet<String>>) -> BTreeSet<String> {
    loop {
        let left: BTreeSet<_> = uses.keys().cloned().collect();
        let before = uses.len();
        uses.retain(|_, used| used.iter().any(|used| left.contains(used)));
        if uses.len() == before {
            return left;
        }
    }
}
