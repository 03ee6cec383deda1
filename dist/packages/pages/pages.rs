//! Man pages and completions, made of the command line's own definition. What help does not show is in neither.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Command, CommandFactory};
use clap_complete::{Shell, generate};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use twinbeat::cli::line::CommandLine;

/// Where completions are looked for, below the folder of this shell: bash loads by the command's name, zsh wants the underscore.
const SHELLS: [(Shell, &str, &str, &str); 3] =
    [(Shell::Bash, "bash", "", ""), (Shell::Zsh, "zsh", "_", ""), (Shell::Fish, "fish", "", ".fish")];

/// What the program reads and writes unless it is told otherwise, in the order of docs/OPERATIONS.md.
const FILES: [(&str, &str); 4] = [
    ("/etc/twinbeat/twinbeat.toml", "the configuration, the same on both nodes"),
    ("/etc/twinbeat/NAME.key", "this node's private key"),
    ("/run/twinbeat/control.sock", "where the commands reach the daemon"),
    ("/var/lib/twinbeat", "epochs, leases, standby, the flight recorder; of the daemon alone"),
];

/// The command line under this name, without what help does not show: a completion would offer it.
pub fn shown(name: &str) -> Command {
    let name = kept(name);
    without_hidden(&CommandLine::command())
        .name(name)
        .bin_name(name)
        .version(env!("CARGO_PKG_VERSION"))
        .disable_help_subcommand(true)
}

/// The same command without hidden verbs and options.
fn without_hidden(command: &Command) -> Command {
    let mut shown = Command::new(kept(command.get_name()))
        .args(command.get_arguments().filter(|arg| !arg.is_hide_set()))
        .subcommands(command.get_subcommands().filter(|verb| !verb.is_hide_set()).map(without_hidden))
        .subcommand_required(command.is_subcommand_required_set())
        .disable_help_flag(command.is_disable_help_flag_set());
    if let Some(about) = command.get_about() {
        shown = shown.about(about.clone());
    }
    if let Some(about) = command.get_long_about() {
        shown = shown.long_about(about.clone());
    }
    shown
}

/// Names live as long as the program, which is short; clap keeps no others unless it is built differently.
fn kept(name: &str) -> &'static str {
    name.to_owned().leak()
}

/// All files, with their paths below the directory: `man/*.1`, `completions/SHELL/*`.
///
/// # Errors
/// A page that cannot be written to memory, which does not happen.
pub fn all(name: &str) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut files = Vec::new();
    let mut command = shown(name);
    for (shell, folder, before, behind) in SHELLS {
        let mut text = Vec::new();
        generate(shell, &mut command.clone(), name, &mut text);
        files.push((Path::new("completions").join(folder).join(format!("{before}{name}{behind}")), text));
    }
    command.build();
    man(&command, name, &mut files)?;
    Ok(files)
}

/// As help has it: the synopsis that would be made of the options leaves out what they take.
fn usage(command: &Command) -> String {
    let usage = command.clone().render_usage().to_string();
    usage.strip_prefix("Usage: ").unwrap_or(&usage).to_owned()
}

/// The page of a command, and those of its verbs.
fn man(command: &Command, program: &str, files: &mut Vec<(PathBuf, Vec<u8>)>) -> Result<()> {
    for verb in command.get_subcommands() {
        man(verb, program, files)?;
    }
    let title = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let page = Man::new(command.clone());
    // No date: the version says which, and a page is the same whenever it is made. By hand, since an empty date would be left out and not quoted.
    let mut text =
        format!(".TH \"{}\" \"1\" \"\" \"twinbeat {}\" \"twinbeat\"\n", title.to_uppercase(), env!("CARGO_PKG_VERSION"))
            .into_bytes();
    page.render_name_section(&mut text)?;
    Man::new(command.clone().override_usage(usage(command))).render_synopsis_section(&mut text)?;
    page.render_description_section(&mut text)?;
    page.render_options_section(&mut text)?;
    let mut end = Roff::default();
    if command.has_subcommands() {
        page.render_subcommands_section(&mut text)?;
    }
    if title == program {
        end.control("SH", ["FILES"]);
        for (file, what) in FILES {
            end.control("TP", []);
            end.text([bold(file)]);
            end.text([roman(what)]);
        }
    }
    end.control("SH", ["SEE ALSO"]);
    let others = if title == program { String::new() } else { format!("{program}(1), ") };
    end.text([roman(format!("{others}/usr/share/doc/{program}/"))]);
    end.to_writer(&mut text)?;
    files.push((Path::new("man").join(format!("{title}.1")), text));
    Ok(())
}
