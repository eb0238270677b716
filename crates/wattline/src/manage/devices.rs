use std::io::{BufReader, Write as _, stdin, stdout};
use std::path::Path;

use anyhow::Context as _;
use wattline_directory::{Directory, parse_lines};

use crate::arguments::DevicesCommand;

pub(super) async fn run(directory: &Directory, command: DevicesCommand) -> anyhow::Result<()> {
    let DevicesCommand::Import { file } = command;
    let report = if file == Path::new("-") {
        directory.import_devices(parse_lines(BufReader::new(stdin()))).await
    } else {
        let lines = std::fs::File::open(&file).with_context(|| format!("cannot read {}", file.display()))?;
        directory.import_devices(parse_lines(BufReader::new(lines))).await
    }?;
    writeln!(stdout(), "{} lines, {} devices new or changed", report.lines, report.changed)?;
    Ok(())
}
