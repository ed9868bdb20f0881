//! The diagram of the crates, from each `Cargo.toml` of the workspace.

use std::path::Path;

use anyhow::{Context, Result};
use toml::{Table, Value};

/// A member of the workspace: its folder, and the folders of members that it and its tests depend on.
struct Member {
    folder: String,
    normal: Vec<String>,
    tests: Vec<String>,
}

pub fn diagram() -> Result<String> {
    let workspace: Table = super::read(Path::new("Cargo.toml"))?.parse().context("Cargo.toml")?;
    let members =
        workspace.get("workspace").and_then(|workspace| workspace.get("members")).and_then(Value::as_array);
    let members = members.context("Cargo.toml has no members")?.iter().filter_map(Value::as_str);
    Ok(mermaid(&members.map(member).collect::<Result<Vec<_>>>()?))
}

fn member(folder: &str) -> Result<Member> {
    let manifest = super::read(&Path::new(folder).join("Cargo.toml"))?;
    let manifest: Table = manifest.parse().with_context(|| format!("{folder}/Cargo.toml"))?;
    let depends = |table: &str| {
        let dependencies = manifest.get(table).and_then(Value::as_table).into_iter().flatten();
        let paths = dependencies.filter_map(|(_, value)| value.get("path").and_then(Value::as_str));
        paths.map(|path| resolve(folder, path)).collect::<Vec<_>>()
    };
    let normal = depends("dependencies");
    let tests = depends("dev-dependencies").into_iter().filter(|folder| !normal.contains(folder)).collect();
    Ok(Member { folder: folder.to_owned(), normal, tests })
}

/// A path relative to a folder of the workspace, relative to the root.
fn resolve(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').collect();
    for part in path.split('/') {
        match part {
            ".." => {
                parts.pop();
            }
            "." => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn mermaid(members: &[Member]) -> String {
    let id = |folder: &str| folder.rsplit('/').next().unwrap_or(folder).to_owned();
    let mut text = String::from("```mermaid\nflowchart TD\n");
    for Member { folder, .. } in members {
        text += &format!("    {}[\"{folder}\"]\n", id(folder));
    }
    for (member, others, arrow) in members
        .iter()
        .flat_map(|member| [(member, &member.normal, "-->"), (member, &member.tests, "-. tests .->")])
    {
        for other in others.iter().filter(|other| **other != member.folder) {
            text += &format!("    {} {arrow} {}\n", id(&member.folder), id(other));
        }
    }
    text + "```\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_resolved_against_the_folder_of_the_manifest() {
        assert_eq!(resolve("examples/bot", "../../programs/leasehold"), "programs/leasehold");
        assert_eq!(resolve("cli", "../client"), "client");
    }

    #[test]
    fn dependencies_of_tests_are_dotted() {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let member = Member { folder: "a/b".into(), normal: owned(&["c"]), tests: owned(&["d", "a/b"]) };
        assert_eq!(
            mermaid(&[member]),
            "```mermaid\nflowchart TD\n    b[\"a/b\"]\n    b --> c\n    b -. tests .-> d\n```\n"
        );
    }
}
