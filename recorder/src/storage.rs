//! The bucket that finished files go to: uploads that a later process resumes, signed addresses, deletion.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{ClientOptions, ObjectStore, RetryConfig};
use rotunda_proto::config::{ConfigMistake, Secret};
use rotunda_proto::recording::FileFormat;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::folder::Folder;
use crate::uploads::UploadProgress;

/// Bytes of a part of a large file. S3 takes parts of 5 MiB to 5 GiB, and at most 10,000 of them.
const PART: u64 = 16 << 20;
/// Ending of the file that says how far an upload is.
const PROGRESS: &str = "upload";

/// Section `[recorder.storage]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StorageConfig {
    /// Bucket of an S3 service that finished files are moved to: "s3://bucket" or "s3://bucket/prefix". Default none: files stay on
    /// the disk.
    pub url: String,
    /// Address of an S3 service other than Amazon's, as in "https://minio.example.com:9000". Default none.
    pub endpoint: String,
    /// Region of the bucket. Default none, which is "us-east-1".
    pub region: String,
    pub access_key_id: String,
    pub secret_access_key: Secret,
}

impl StorageConfig {
    pub fn validate(&self) -> Vec<ConfigMistake> {
        let mut mistakes = Vec::new();
        let mut check = |right: bool, key: &str, message: &str| {
            if !right {
                mistakes.push(ConfigMistake::new(format!("recorder.storage.{key}"), message));
            }
        };
        if self.url.is_empty() {
            return mistakes;
        }
        check(
            self.bucket().is_some(),
            "url",
            "write \"s3://bucket\" or \"s3://bucket/prefix\"",
        );
        let is_http = |address: &str| address.starts_with("http://") || address.starts_with("https://");
        check(
            self.endpoint.is_empty() || is_http(&self.endpoint),
            "endpoint",
            "write http:// or https:// and the host",
        );
        check(
            !self.access_key_id.is_empty(),
            "access_key_id",
            "write the bucket's access key",
        );
        check(
            !self.secret_access_key.reveal().is_empty(),
            "secret_access_key",
            "write the bucket's secret key",
        );
        mistakes
    }

    /// The bucket and the prefix.
    fn bucket(&self) -> Option<(&str, &str)> {
        let rest = self.url.strip_prefix("s3://")?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        (!bucket.is_empty()).then_some((bucket, prefix.trim_matches('/')))
    }
}

/// Why a file is not in the storage yet.
#[derive(Debug, Error)]
pub enum StorageError {
    #[error("reach the storage")]
    Store(#[from] object_store::Error),
    #[error("read the file")]
    Read(#[from] io::Error),
    #[error("the storage has {there} bytes of {name} instead of {expected}")]
    Size { name: String, there: u64, expected: u64 },
    #[error("a task of the storage ended")]
    Task(#[from] tokio::task::JoinError),
}

/// See the [module](self).
#[derive(Debug, Clone)]
pub struct Storage {
    store: Arc<AmazonS3>,
    prefix: String,
    part: u64,
}

/// How far the upload of a large file is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Progress {
    /// Of the file: another size is another file.
    size: u64,
    upload: String,
    /// The ids of the parts that are there, in order.
    parts: Vec<String>,
}

impl Storage {
    /// None where files stay on the disk. `retry`: of each request.
    ///
    /// Errors: [`StorageError::Store`] where the settings cannot be used.
    pub fn open(config: &StorageConfig, retry: RetryConfig) -> Result<Option<Self>, StorageError> {
        let Some((bucket, prefix)) = config.bucket() else {
            return Ok(None);
        };
        let region = if config.region.is_empty() {
            "us-east-1"
        } else {
            &config.region
        };
        let client = ClientOptions::new()
            .with_connect_timeout(Duration::from_secs(10))
            .with_timeout(Duration::from_secs(300));
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(region)
            .with_access_key_id(&config.access_key_id)
            .with_secret_access_key(config.secret_access_key.reveal())
            .with_client_options(client)
            .with_retry(retry);
        if !config.endpoint.is_empty() {
            builder = builder
                .with_endpoint(config.endpoint.trim_end_matches('/'))
                .with_allow_http(config.endpoint.starts_with("http://"));
        }
        Ok(Some(Self {
            store: Arc::new(builder.build()?),
            prefix: prefix.to_owned(),
            part: PART,
        }))
    }

    /// A small part size, for tests.
    #[cfg(test)]
    pub fn with_parts_of(self, part: u64) -> Self {
        Self { part, ..self }
    }

    /// Puts files of a recording into the storage, in this order, and checks each. What is there already is left alone.
    ///
    /// Errors: [`StorageError`]; it may be called again, also by another process, and goes on where it was.
    pub async fn upload(
        &self,
        folder: &Folder,
        recording_id: &str,
        names: &[String],
        done: &UploadProgress,
    ) -> Result<(), StorageError> {
        for name in names {
            self.upload_file(folder, name, &self.path(recording_id, name), done)
                .await?;
        }
        Ok(())
    }

    /// Whether the service answers to these keys. The file need not be there.
    pub async fn reach(&self, path: &str) -> Result<(), StorageError> {
        self.size_of(&self.full(path)).await?;
        Ok(())
    }

    /// An address by which anybody gets the file for this time.
    pub async fn signed_url(&self, path: &str, life: Duration) -> Result<String, StorageError> {
        let path = self.full(path);
        Ok(self.store.signed_url(Method::GET, &path, life).await?.into())
    }

    /// Deletes a finished file: of HLS the segments too.
    pub async fn delete(&self, recording_id: &str, name: &str, format: FileFormat) -> Result<(), StorageError> {
        if format == FileFormat::Hls {
            let folder = self.full(recording_id);
            let objects: Vec<_> = self.store.list(Some(&folder)).try_collect().await?;
            for object in objects {
                let file = object.location.filename().unwrap_or_default();
                if file.ends_with(".m4s") || file.starts_with("init-") {
                    self.delete_object(&object.location).await?;
                }
            }
        }
        self.delete_plain(recording_id, name).await
    }

    /// Deletes one file of a recording, if it is there.
    pub async fn delete_plain(&self, recording_id: &str, name: &str) -> Result<(), StorageError> {
        self.delete_object(&self.path(recording_id, name)).await
    }

    /// The content of a small file; None: it is not there.
    pub async fn read(&self, path: &str) -> Result<Option<Bytes>, StorageError> {
        match self.store.get(&self.full(path)).await {
            Ok(found) => Ok(Some(found.bytes().await?)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn delete_object(&self, path: &Path) -> Result<(), StorageError> {
        match self.store.delete(path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn upload_file(
        &self,
        folder: &Folder,
        name: &str,
        path: &Path,
        done: &UploadProgress,
    ) -> Result<(), StorageError> {
        let file = folder.file(name);
        let size = tokio::fs::metadata(&file).await?.len();
        if self.size_of(path).await? == Some(size) {
            done.add(size);
        } else {
            if size <= self.part {
                self.store.put(path, tokio::fs::read(&file).await?.into()).await?;
                done.add(size);
            } else {
                self.upload_parts(folder, name, path, size, done).await?;
            }
            // The service has checked the content by the signed digest of each request.
            let there = self.size_of(path).await?.unwrap_or(0);
            if there != size {
                return Err(StorageError::Size {
                    name: name.to_owned(),
                    there,
                    expected: size,
                });
            }
        }
        folder.remove_file(&progress_name(name))?;
        Ok(())
    }

    async fn upload_parts(
        &self,
        folder: &Folder,
        name: &str,
        path: &Path,
        size: u64,
        done: &UploadProgress,
    ) -> Result<(), StorageError> {
        let known = read_progress(folder, name).filter(|progress| progress.size == size);
        let mut progress = match known {
            Some(progress) => progress,
            None => Progress {
                size,
                upload: self.store.create_multipart(path).await?,
                parts: Vec::new(),
            },
        };
        done.add(self.part * progress.parts.len() as u64);
        let uploaded = self.continue_upload(folder, name, path, &mut progress, done).await;
        // The service has forgotten the upload: the next attempt begins another one.
        if let Err(StorageError::Store(object_store::Error::NotFound { .. })) = &uploaded {
            folder.remove_file(&progress_name(name))?;
        }
        uploaded
    }

    async fn continue_upload(
        &self,
        folder: &Folder,
        name: &str,
        path: &Path,
        progress: &mut Progress,
        done: &UploadProgress,
    ) -> Result<(), StorageError> {
        let count = progress.size.div_ceil(self.part) as usize;
        while progress.parts.len() < count {
            let index = progress.parts.len();
            let (file, from, part) = (folder.file(name), index as u64 * self.part, self.part);
            let data = tokio::task::spawn_blocking(move || read_part(&file, from, part)).await??;
            let bytes = data.len() as u64;
            let id = self.store.put_part(path, &progress.upload, index, data.into()).await?;
            progress.parts.push(id.content_id);
            let json = serde_json::to_vec(progress).map_err(io::Error::other)?;
            folder.replace(&progress_name(name), &json)?;
            done.add(bytes);
        }
        let parts = progress.parts.iter().cloned().map(|content_id| PartId { content_id });
        self.store
            .complete_multipart(path, &progress.upload, parts.collect())
            .await?;
        Ok(())
    }

    /// None: it is not there.
    async fn size_of(&self, path: &Path) -> Result<Option<u64>, StorageError> {
        match self.store.head(path).await {
            Ok(found) => Ok(Some(found.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn path(&self, recording_id: &str, name: &str) -> Path {
        self.full(&format!("{recording_id}/{name}"))
    }

    fn full(&self, path: &str) -> Path {
        Path::from(format!("{}/{path}", self.prefix))
    }
}

fn progress_name(name: &str) -> String {
    format!("{name}.{PROGRESS}")
}

fn read_progress(folder: &Folder, name: &str) -> Option<Progress> {
    let json = std::fs::read(folder.file(&progress_name(name))).ok()?;
    serde_json::from_slice(&json).ok()
}

fn read_part(file: &FilePath, from: u64, length: u64) -> io::Result<Bytes> {
    let mut file = std::fs::File::open(file)?;
    file.seek(SeekFrom::Start(from))?;
    let mut data = Vec::new();
    file.take(length).read_to_end(&mut data)?;
    Ok(data.into())
}

#[cfg(test)]
pub mod tests;
