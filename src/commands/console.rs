//! `rotunda console`: the password of the operator console.

use std::io::BufRead;

use anyhow::{Context, ensure};
use rotunda_signaling::console;
use rotunda_store::Store;

use super::load;
use crate::cli::{Console, ConsolePassword};

pub async fn run(command: Console) -> anyhow::Result<()> {
    match command {
        Console::Password(arguments) => password(&arguments).await,
    }
}

async fn password(arguments: &ConsolePassword) -> anyhow::Result<()> {
    let config = load(&arguments.file)?;
    std::fs::create_dir_all(&config.server.data).with_context(|| format!("make {}", config.server.data.display()))?;
    let store = Store::open(&config.database_url()).await.context("open the database")?;
    let chosen = if arguments.stdin { Some(first_line()?) } else { None };
    let is_generated = chosen.is_none();
    let password = console::set_password(&store, chosen).await?;
    match is_generated {
        true => println!("{password}"),
        false => eprintln!("the password is changed"),
    }
    Ok(())
}

fn first_line() -> anyhow::Result<String> {
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .context("read the password")?;
    let password = line.trim_end_matches(['\r', '\n']);
    ensure!(!password.is_empty(), "write the password to the standard input");
    Ok(password.to_owned())
}
