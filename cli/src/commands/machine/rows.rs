//! Files of machines: a section for each in TOML, a line in CSV.

use std::{
    fmt, io,
    num::{IntErrorKind, ParseIntError},
    path::Path,
};

use clap::ValueEnum;
use csv::{DeserializeErrorKind, ErrorKind, Position, ReaderBuilder, StringRecord, Trim};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use leasehold_operate::{
    failure::Failure,
    text::{mistake, quoted, toml_mistake},
};

/// Format of a file of machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FileFormat {
    /// A section [[machine]] for each.
    Toml,
    /// A line for each, below a line with the names of the fields.
    Csv,
}

/// Position in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Counted from 1.
    Section(usize),
    /// Counted from 1, as editors do.
    Line(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Place::Section(number) => write!(f, "machine {number}"),
            Place::Line(number) => write!(f, "line {number}"),
        }
    }
}

/// A machine's entry in a file.
#[derive(Clone, Debug)]
pub struct Row<T> {
    pub place: Place,
    pub entry: T,
}

/// A file in TOML.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Sections<T> {
    #[serde(rename = "machine", default = "Vec::new")]
    pub machines: Vec<T>,
}

/// Reads a file, or standard input for `-`. Files are TOML unless they end in .csv.
pub fn read<T: DeserializeOwned>(path: &Path, format: Option<FileFormat>) -> Result<Vec<Row<T>>, Failure> {
    let standard_input = path == Path::new("-");
    let is_csv = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv"));
    let format = match format {
        Some(format) => format,
        None if standard_input => {
            let text = "standard input needs --format toml or csv";
            return Err(Failure::Input(text.to_owned()));
        }
        None if is_csv => FileFormat::Csv,
        None => FileFormat::Toml,
    };
    let text = if standard_input { io::read_to_string(io::stdin()) } else { std::fs::read_to_string(path) };
    let text = text.map_err(|error| Failure::File { path: path.to_owned(), error })?;
    let name = if standard_input { "standard input".to_owned() } else { path.display().to_string() };
    let rows = parse(&text, format)
        .map_err(|error| Failure::Input(format!("{name} is not a valid list of machines: {error}")))?;
    if rows.is_empty() {
        let advice = match format {
            FileFormat::Toml => "add a section [[machine]] for each",
            FileFormat::Csv => "add a line for each, below the names of the fields",
        };
        return Err(Failure::Input(format!("{name} lists no machine: {advice}")));
    }
    Ok(rows)
}

/// Reads the text of a file. Spreadsheets write a mark of byte order first, and line breaks of two characters.
pub fn parse<T: DeserializeOwned>(text: &str, format: FileFormat) -> Result<Vec<Row<T>>, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
    match format {
        FileFormat::Toml => sections(&text),
        FileFormat::Csv => lines(&text),
    }
}

fn sections<T: DeserializeOwned>(text: &str) -> Result<Vec<Row<T>>, String> {
    let file: Sections<T> = toml::from_str(text).map_err(|error| toml_mistake(&error, text))?;
    let row = |(place, entry)| Row { place: Place::Section(place), entry };
    Ok((1..).zip(file.machines).map(row).collect())
}

fn lines<T: DeserializeOwned>(text: &str) -> Result<Vec<Row<T>>, String> {
    let mut reader = ReaderBuilder::new().trim(Trim::All).flexible(true).from_reader(text.as_bytes());
    let head = reader.headers().map_err(|error| mistake(&error.to_string()))?.clone();
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| mistake(&error.to_string()))?;
        // Spreadsheets keep lines that were emptied, with their commas.
        if record.iter().all(str::is_empty) {
            continue;
        }
        let place = Place::Line(line(text, &record));
        if record.len() != head.len() {
            return Err(format!("{place}: it has {} fields, the head {}", record.len(), head.len()));
        }
        let entry = record.deserialize(Some(&head));
        let entry = entry.map_err(|error| format!("{place}: {}", wrong(&error, &head, &record)))?;
        rows.push(Row { place, entry });
    }
    Ok(rows)
}

/// The line that a record begins on. The reader's position includes the empty lines before it.
fn line(text: &str, record: &StringRecord) -> u64 {
    let Some(position) = record.position() else { return 0 };
    let rest = usize::try_from(position.byte()).ok().and_then(|start| text.as_bytes().get(start..));
    let empty = rest.unwrap_or_default().iter().take_while(|byte| **byte == b'\n').count();
    Position::line(position).saturating_add(u64::try_from(empty).unwrap_or_default())
}

/// Mistake in a line, with name and value of the field if they are known.
fn wrong(error: &csv::Error, head: &StringRecord, record: &StringRecord) -> String {
    let ErrorKind::Deserialize { err, .. } = error.kind() else { return mistake(&error.to_string()) };
    let field = err.field().and_then(|field| usize::try_from(field).ok());
    let Some((name, value)) = field.and_then(|field| head.get(field).zip(record.get(field))) else {
        return mistake(&err.kind().to_string());
    };
    match err.kind() {
        DeserializeErrorKind::ParseInt(error) => mistake(&format!("{name}: {}", number(value, error))),
        kind => mistake(&format!("{name}: {kind}")),
    }
}

/// Why a value is not a valid number.
fn number(value: &str, error: &ParseIntError) -> String {
    match error.kind() {
        IntErrorKind::Empty => "it is empty: give a whole number".to_owned(),
        IntErrorKind::PosOverflow => format!("{} is too large: give a smaller number", quoted(value)),
        _ => format!("{} is not a whole number: give digits only", quoted(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Eq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Pair {
        name: String,
        count: u8,
        #[serde(default)]
        note: Option<String>,
    }

    fn csv(text: &str) -> Result<Vec<(String, String, u8)>, String> {
        let rows = parse::<Pair>(text, FileFormat::Csv)?;
        Ok(rows.into_iter().map(|row| (row.place.to_string(), row.entry.name, row.entry.count)).collect())
    }

    #[test]
    fn lines_are_counted_as_editors_do() {
        let expected = [("line 2", "a", 1), ("line 5", "b, c", 2), ("line 8", "d", 3)];
        let expected = expected.map(|(line, name, count)| (line.to_owned(), name.to_owned(), count));
        let text = "name,count\na,1\n\n\n\"b, c\", 2\n,\n  \nd ,3";
        for text in [text.to_owned(), format!("\u{feff}{}\r\n", text.replace('\n', "\r\n"))] {
            assert_eq!(csv(&text).unwrap(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_mistake_names_line_and_field() {
        for (text, expected) in [
            ("name,count\na,1\nb,x", "line 3: count: \"x\" is not a whole number: give digits only"),
            ("name,count\r\na,1\r\n\r\nb,256", "line 4: count: \"256\" is too large: give a smaller number"),
            ("name,count\na,1\nb", "line 3: it has 1 fields, the head 2"),
            ("name,count\na,1,\n", "line 2: it has 3 fields, the head 2"),
            ("name;count\na;1", "line 2: unknown field `name;count`"),
            ("name,count,size\na,1,2", "line 2: unknown field `size`"),
            ("name\na", "line 2: missing field `count`"),
            ("name,count,count\na,1,2", "line 2: duplicate field `count`"),
        ] {
            let error = csv(text).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
        assert!(csv("name,count\na,\n").unwrap_err().starts_with("line 2: count: it is empty: give"));
    }

    #[test]
    fn a_file_without_machines_is_wrong_in_either_form() {
        let dir = tempfile::tempdir().unwrap();
        for (text, name) in [
            ("", "empty.toml"),
            ("machine = []", "empty.toml"),
            ("", "empty.csv"),
            ("name,count\n,\n", "empty.csv"),
        ] {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            let error = read::<Pair>(&path, None).unwrap_err();
            assert_eq!(error.code(), 2, "{name}");
            let error = error.to_string();
            assert!(error.contains(&format!("{name} lists no machine: add a")), "{text:?}: {error}");
        }
    }

    #[test]
    fn columns_stand_in_any_order_and_optional_ones_may_be_left_out() {
        let rows = parse::<Pair>("count,note,name\n1,,a\n2,b,a", FileFormat::Csv).unwrap();
        assert_eq!((&rows[0].entry.note, rows[1].entry.note.as_deref()), (&None, Some("b")));
        assert_eq!(csv("count,name\n1,a").unwrap()[0].1, "a");
    }

    #[test]
    fn sections_are_counted() {
        let text =
            "\u{feff}[[machine]]\r\nname = \"a\"\r\ncount = 1\r\n[[machine]]\nname = \"b\"\ncount = 2\n";
        let rows = parse::<Pair>(text, FileFormat::Toml).unwrap();
        assert_eq!((rows[1].place.to_string(), rows[1].entry.name.as_str()), ("machine 2".to_owned(), "b"));
    }

    #[test]
    fn errors_do_not_quote_the_file() {
        let secret = "11223344556677889900aabbccddeeff";
        for text in [
            format!("[[machine]]\nseed = \"{secret}\"\n"),
            "[17, 18, 19, 20]".to_owned(),
            format!("[[machine]]\nclass = [\"{secret}\"]"),
            format!("[[machine]]\ngpus = \"{secret}\""),
            format!("{secret}\n{secret}"),
        ] {
            for format in [FileFormat::Toml, FileFormat::Csv] {
                let Err(error) = parse::<super::super::file::Entry>(&text, format) else { continue };
                assert!(!error.contains(secret) && !error.contains("17, 18"), "{error}");
            }
        }
    }

    #[test]
    fn the_ending_tells_how_a_file_is_written_unless_that_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("machines.CSV");
        std::fs::write(&path, "name,count\na,1").unwrap();
        assert_eq!(read::<Pair>(&path, None).unwrap().len(), 1);
        let error = read::<Pair>(&path, Some(FileFormat::Toml)).unwrap_err().to_string();
        assert!(error.contains("machines.CSV is not a valid list of machines"), "{error}");
        let error = read::<Pair>(Path::new("-"), None).unwrap_err();
        assert!(error.code() == 2 && error.to_string().contains("--format"), "{error}");
    }
}
