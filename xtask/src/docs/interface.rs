//! Tables of the program's interface, from idl/leasehold.json.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::root;
use crate::source::PROGRAM;

#[derive(Deserialize)]
pub struct Idl {
    instructions: Vec<Instruction>,
    events: Vec<Named>,
    errors: Vec<Error>,
    types: Vec<Type>,
}

#[derive(Deserialize)]
struct Instruction {
    name: String,
    #[serde(default)]
    docs: Vec<String>,
    accounts: Vec<Account>,
}

#[derive(Deserialize)]
struct Account {
    name: String,
    #[serde(default)]
    docs: Vec<String>,
    #[serde(default)]
    signer: bool,
    /// Accounts whose field of this name must be this account.
    #[serde(default)]
    relations: Vec<String>,
    /// Set for accounts that are a group of others.
    #[serde(default)]
    accounts: Vec<Account>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct Error {
    code: u32,
    name: String,
    msg: String,
}

#[derive(Deserialize)]
struct Type {
    name: String,
    #[serde(default)]
    docs: Vec<String>,
}

/// The committed interface description.
pub fn read() -> Result<Idl> {
    let text = super::read(Path::new("idl/leasehold.json"))?;
    serde_json::from_str(&text).context("idl/leasehold.json is not an interface description")
}

/// One table for each folder of instructions: name, signers, description.
pub fn instructions(idl: &Idl) -> Result<String> {
    let sources = sources()?;
    let mut groups: BTreeMap<&str, Vec<&Instruction>> = BTreeMap::new();
    for instruction in &idl.instructions {
        let handler = format!("pub fn {}", instruction.name);
        let is_handler = |text: &str| {
            text.match_indices(&handler).any(|(at, _)| text[at + handler.len()..].starts_with(['(', '<']))
        };
        let folder = sources.iter().find(|(_, text)| is_handler(text)).map(|(folder, _)| folder.as_str());
        let folder =
            folder.with_context(|| format!("no file of the program has the handler {}", instruction.name))?;
        groups.entry(folder).or_default().push(instruction);
    }
    let mut text = String::new();
    for (folder, instructions) in groups {
        if !text.is_empty() {
            text.push('\n');
        }
        text += &format!("| `{folder}/` | signed by | |\n|---|---|---|\n");
        for instruction in instructions {
            let signers = signers(&instruction.accounts);
            let signers = if signers.is_empty() { "nobody".to_owned() } else { signers.join("; ") };
            text +=
                &format!("| `{}` | {signers} | {} |\n", instruction.name, cell(&instruction.docs.join(" ")));
        }
    }
    Ok(text)
}

/// Every file of the handlers, with the folder it lies in.
fn sources() -> Result<Vec<(String, String)>> {
    let folder = root().join(PROGRAM).join("src/instructions");
    let mut sources = Vec::new();
    for entry in fs::read_dir(&folder).context("the program's instructions")? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            continue;
        }
        for file in fs::read_dir(entry.path())? {
            let text = fs::read_to_string(file?.path())?;
            sources.push((entry.file_name().to_string_lossy().into_owned(), text));
        }
    }
    sources.sort();
    Ok(sources)
}

/// Signers of an instruction: each with the accounts that name it, and its description.
fn signers(accounts: &[Account]) -> Vec<String> {
    let mut found = Vec::new();
    for account in accounts {
        if account.signer {
            let docs = cell(&account.docs.join(" "));
            let mut text = match account.relations.as_slice() {
                [] => format!("`{}`", account.name),
                relations => format!("`{}` of the `{}`", account.name, relations.join("`, `")),
            };
            if !docs.is_empty() {
                text += &format!(": {}", docs.trim_end_matches('.'));
            }
            found.push(text);
        }
        found.extend(signers(&account.accounts));
    }
    found
}

pub fn events(idl: &Idl) -> String {
    let mut text = String::from("| event | |\n|---|---|\n");
    for event in &idl.events {
        let docs = idl.types.iter().find(|kind| kind.name == event.name).map(|kind| kind.docs.join(" "));
        text += &format!("| `{}` | {} |\n", event.name, cell(&docs.unwrap_or_default()));
    }
    text
}

pub fn errors(idl: &Idl) -> String {
    let mut text = String::from("| code | name | message |\n|--:|---|---|\n");
    for error in &idl.errors {
        text += &format!("| {} | `{}` | {} |\n", error.code, error.name, cell(&error.msg));
    }
    text
}

/// Text for a cell: on one line, links of rustdoc as code, no bar that would end the cell.
fn cell(text: &str) -> String {
    let mut cell = text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
    // [`Board`](crate::state::Board) and [`Board`] become `Board`.
    while let Some(start) = cell.find("[`") {
        let Some(end) = cell[start..].find("`]").map(|end| start + end) else { break };
        let after = &cell[end + 2..];
        let after = match after.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
            Some((_, rest)) => rest,
            None => after,
        };
        cell = format!("{}`{}`{after}", &cell[..start], &cell[start + 2..end]);
    }
    cell
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(name: &str, signer: bool, docs: &str, relations: &[&str]) -> Account {
        let docs = if docs.is_empty() { vec![] } else { vec![docs.to_owned()] };
        let relations = relations.iter().map(|relation| (*relation).to_owned()).collect();
        Account { name: name.into(), docs, signer, relations, accounts: vec![] }
    }

    #[test]
    fn a_signer_is_named_with_the_account_that_names_it_or_its_description() {
        let accounts = [
            account("owner", true, "", &["lease"]),
            account("signer", true, "The lease's owner.", &[]),
            account("caller", true, "", &[]),
            account("board", false, "Not a signer.", &[]),
        ];
        assert_eq!(signers(&accounts), ["`owner` of the `lease`", "`signer`: The lease's owner", "`caller`"]);
    }

    #[test]
    fn a_cell_is_one_line_without_links() {
        assert_eq!(cell("a [`Board`](crate::state::Board)\n or [`Slot`] | b"), "a `Board` or `Slot` \\| b");
    }

    #[test]
    fn every_instruction_event_and_error_of_the_interface_has_a_row() {
        let idl = read().unwrap();
        let instructions = instructions(&idl).unwrap();
        assert!(idl.instructions.iter().all(|each| instructions.contains(&format!("| `{}` |", each.name))));
        assert!(idl.events.iter().all(|each| events(&idl).contains(&format!("| `{}` |", each.name))));
        assert!(
            idl.errors
                .iter()
                .all(|each| errors(&idl).contains(&format!("| {} | `{}` |", each.code, each.name)))
        );
        let undocumented: Vec<_> = idl.instructions.iter().filter(|each| each.docs.is_empty()).collect();
        assert!(undocumented.is_empty());
    }
}
