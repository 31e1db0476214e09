//! The keys that a first start makes, so that no two installations share one: kept in `<data>/secrets.toml`.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, ensure};
use rand::RngCore;
use rotunda_proto::config::{Application, Secret};
use rotunda_proto::ids::SdkAppId;
use rotunda_proto::ticket::ClusterSecret;
use serde::{Deserialize, Serialize};

/// Application id of the embedded default.
const DEFAULT_APP: u32 = 1_400_000_001;

/// What the file holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Secrets {
    cluster_secret: String,
    sdk_app_id: SdkAppId,
    secret_key: String,
    secret_id: String,
    api_secret: String,
}

impl Secrets {
    /// Reads the file, or makes it (readable by its owner only) when there is none.
    pub fn load_or_make(data: &Path) -> anyhow::Result<Self> {
        let path = data.join("secrets.toml");
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::read(&text).with_context(|| format!("read {}", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let secrets = Self::make()?;
                secrets
                    .write(&path)
                    .with_context(|| format!("write {}", path.display()))?;
                Ok(secrets)
            }
            Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
        }
    }

    /// Errors: a key is missing or empty, and would let anybody in.
    fn read(text: &str) -> anyhow::Result<Self> {
        let secrets: Self = toml::from_str(text)?;
        for (name, key) in [
            ("cluster_secret", &secrets.cluster_secret),
            ("secret_key", &secrets.secret_key),
            ("secret_id", &secrets.secret_id),
            ("api_secret", &secrets.api_secret),
        ] {
            ensure!(
                !key.trim().is_empty(),
                "{name} is empty; write a long random text, or remove the file and all keys are made anew"
            );
        }
        Ok(secrets)
    }

    pub fn cluster(&self) -> ClusterSecret {
        ClusterSecret::new(self.cluster_secret.as_bytes())
    }

    /// The application of an installation that configures none.
    pub fn application(&self) -> Application {
        Application {
            secret_id: self.secret_id.clone(),
            api_secret: Secret::new(&self.api_secret),
            ..Application::new(self.sdk_app_id, &self.secret_key)
        }
    }

    fn make() -> anyhow::Result<Self> {
        Ok(Self {
            cluster_secret: random_hex(32),
            sdk_app_id: SdkAppId::try_from(DEFAULT_APP).context("default application")?,
            secret_key: random_hex(32),
            secret_id: format!("AKID{}", random_hex(16)),
            api_secret: random_hex(16),
        })
    }

    fn write(&self, path: &Path) -> anyhow::Result<()> {
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        writeln!(
            file,
            "# Made at the first start. These keys let their owner log in and call the API: keep them secret."
        )?;
        file.write_all(toml::to_string(self)?.as_bytes())?;
        Ok(file.sync_all()?)
    }
}

fn random_hex(bytes: usize) -> String {
    let mut random = vec![0; bytes];
    rand::rng().fill_bytes(&mut random);
    hex::encode(random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_an_empty_key_is_refused_by_its_name() {
        let made = Secrets::make().unwrap();
        let written = toml::to_string(&made).unwrap();
        assert!(Secrets::read(&written).is_ok());
        let emptied = written.replace(&made.api_secret, "");
        let refused = Secrets::read(&emptied).unwrap_err().to_string();
        assert!(refused.starts_with("api_secret is empty"), "{refused}");
    }
}
