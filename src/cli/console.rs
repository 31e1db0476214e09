//! `rotunda console`.

use clap::{Args, Subcommand};

use super::ConfigFile;

#[derive(Debug, Subcommand)]
pub enum Console {
    /// Set a new password of the administrator: a generated one, which is printed once. Running servers follow within 2 seconds, and the
    /// sessions of the administrator end.
    Password(ConsolePassword),
}

#[derive(Debug, Args)]
pub struct ConsolePassword {
    #[command(flatten)]
    pub file: ConfigFile,
    /// Read the password from the first line of the standard input, 12 to 200 characters, in place of a generated one.
    #[arg(long)]
    pub stdin: bool,
}
